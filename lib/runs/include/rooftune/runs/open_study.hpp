#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "rooftune/calibrate/prepare.hpp"
#include "rooftune/core/diagnostics.hpp"
#include "rooftune/kernels/kernel_summary.hpp"
#include "rooftune/runs/run_folder.hpp"

namespace rooftune::runs {

/// What takes the place of parts of a study; an empty value leaves the study's. Paths count from the working directory.
struct StudyOverrides {
  std::vector<std::string> ground_truth{};  ///< replaces the study's list
  std::vector<std::string> select{};        ///< "field=value"; replaces what the study says about that field
  std::vector<std::string> models{};        ///< beside the study's
  std::vector<std::string> hardware{};      ///< beside the study's
  std::optional<std::string> config{};      ///< in place of the study's own start: its config, switches, fixed and free values;
                                            ///< the name of a shipped one, or a path
  bool use_shipped_config = false;          ///< without a study and a config: the one that ships for the GPU of the experiments
  std::optional<std::string> step_time_model{};
  std::optional<int> threads{};
  std::optional<std::uint64_t> seed{};
  std::optional<int> replicates{};
};

/// A study with everything that it names read, and what was read.
struct OpenedStudy {
  calibrate::PreparedStudy prepared;  ///< paths of its spec count from the working directory; warnings of readers are in its dataset
  calibrate::StudyInputs inputs;
  std::vector<InputFile> files;                 ///< for the manifest; shipped ones count from the data folder
  std::optional<std::string> shipped_config{};  ///< the name of the config that use_shipped_config found
};

/// Whose predictions the caller can work with. What asks for derivatives, traces or engine states needs the built-in simulation.
enum class Simulators { built_in, any };

/// Reads a study and all files that it names, and checks everything before anything runs. Reports all problems at once, each with
/// file, line and column.
[[nodiscard]] core::Result<OpenedStudy> open_study(const std::filesystem::path& path, const StudyOverrides& overrides = {},
                                                   Simulators simulators = Simulators::built_in);

/// The same without a study: the experiments of the ground truth that the overrides name, of every role.
[[nodiscard]] core::Result<OpenedStudy> open_ground_truth(const StudyOverrides& overrides);

/// The same for experiments that no file holds.
[[nodiscard]] core::Result<OpenedStudy> open_experiments(std::vector<domain::Experiment> experiments, const StudyOverrides& overrides);

/// What kernel benchmarks of the GPUs come to, for a study that says how to onboard: its own file, which joins the study's files, or
/// the shipped one.
[[nodiscard]] core::Result<std::vector<kernels::KernelSummary>> open_kernel_summaries(OpenedStudy& study);

}  // namespace rooftune::runs
