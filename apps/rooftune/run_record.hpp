#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "load_inputs.hpp"
#include "rooftune/eval/evaluate.hpp"
#include "rooftune/runs/run_folder.hpp"

namespace rooftune::app {

/// The command line after the program's name.
[[nodiscard]] std::vector<std::string> command_line();
void remember_command_line(int argument_count, char** arguments);

/// The manifest of a run of `command` on the study.
[[nodiscard]] runs::RunManifest make_manifest(std::string_view command, const LoadedStudy& study);

/// The study as its run folder keeps it: everything written out, paths counting from the folder.
[[nodiscard]] std::string resolved_study(const LoadedStudy& study, const std::filesystem::path& run_folder);

/// GPUs of the study that are not shipped, or not as the study has them, go into the config: it loads by itself.
void add_own_gpus(params::Config& tuned, const LoadedStudy& study);

/// Where tuned values came from, beside the values.
void add_provenance(params::Config& tuned, const LoadedStudy& study, const runs::RunManifest& manifest);

/// Reads a config's text back, simulates it, and compares to the last bit with what was reported for the study's data.
[[nodiscard]] core::Result<void> check_written_config(std::string_view text, const std::string& file, const LoadedStudy& study,
                                                      const eval::Evaluation& reported);

/// runs/<study name>-<UTC time>, for runs without --out.
[[nodiscard]] std::filesystem::path default_run_folder(const std::string& study_name);

}  // namespace rooftune::app
