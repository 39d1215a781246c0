#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "command_line.hpp"
#include "rooftune/core/diagnostics.hpp"
#include "rooftune/domain/experiment.hpp"
#include "rooftune/eval/dataset.hpp"
#include "rooftune/plan/next_run.hpp"

namespace rooftune::app {

/// Where recommended runs go as scripts, and who makes their load.
struct RunScriptOptions {
  std::optional<std::string> folder;
  std::string load_generator = "vllm-bench";
};

/// --next-runs, --load-generator.
void add_run_script_options(const Command& command, RunScriptOptions& options);

/// The best recommended run of each model and TP degree, at most three, each as a shell script and a Kubernetes Job; gives the files.
/// The server is set as in the model's own runs among `measured`, else as in the first. Nothing without --next-runs.
[[nodiscard]] core::Result<std::vector<std::string>> write_run_scripts(const RunScriptOptions& options,
                                                                       std::span<const plan::NextRun> runs,
                                                                       std::span<const eval::Case> measured, const std::string& gpu);

}  // namespace rooftune::app
