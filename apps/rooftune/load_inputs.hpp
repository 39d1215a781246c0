#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "options.hpp"
#include "rooftune/calibrate/prepare.hpp"
#include "rooftune/core/diagnostics.hpp"
#include "rooftune/eval/peers.hpp"
#include "rooftune/runs/run_folder.hpp"

namespace rooftune::app {

/// A study with everything it names read, and what was read.
struct LoadedStudy {
  calibrate::PreparedStudy prepared;  ///< paths of its spec count from the working directory; warnings of readers are in its dataset
  calibrate::StudyInputs inputs;
  std::vector<runs::InputFile> files;  ///< for the manifest; shipped ones count from the data folder
};

/// Whose predictions a command can work with. What asks for derivatives, traces or engine states needs the built-in simulation.
enum class Simulators { built_in, any };

/// Reads and checks everything before anything runs, and reports all problems at once.
/// With --config the study's own start (config, switches, fixed and free values) is left aside. Without a study every role of
/// experiment is taken.
[[nodiscard]] core::Result<LoadedStudy> load_study(const DataOptions& options, Simulators simulators = Simulators::built_in);

/// The same for experiments that no file holds.
[[nodiscard]] core::Result<LoadedStudy> load_experiments(const DataOptions& options, std::vector<domain::Experiment> experiments);

/// Published predictions to compare with; none without a file.
[[nodiscard]] core::Result<std::vector<domain::PeerPrediction>> load_peers(const std::optional<std::string>& file);

}  // namespace rooftune::app
