#pragma once

#include <array>
#include <string>

#include "rooftune/core/word.hpp"
#include "rooftune/domain/experiment.hpp"
#include "rooftune/plan/next_run.hpp"

namespace rooftune::plan {

/// Who makes the load of a recommended run.
enum class LoadGenerator { vllm_bench, guidellm, inference_perf };
inline constexpr std::array<core::Word<LoadGenerator>, 3> kLoadGenerators{{{"vllm-bench", LoadGenerator::vllm_bench},
                                                                           {"guidellm", LoadGenerator::guidellm},
                                                                           {"inference-perf", LoadGenerator::inference_perf}}};

/// A recommended run, ready to type.
struct RunScript {
  std::string name;            ///< "run_1_Qwen3-14B_tp1_rate4"; of files and of the Kubernetes Job
  std::string shell;           ///< server, load, and the line that imports what came of it
  std::string kubernetes_job;  ///< server and load in one pod, whose log holds the results
};

/// `like` gives the engine's settings and version; `gpu` is the name under which the run is imported.
[[nodiscard]] RunScript run_script(const NextRun& run, int number, const domain::Deployment& like, const std::string& gpu,
                                   LoadGenerator generator);

}  // namespace rooftune::plan
