#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "rooftune/calibrate/external_spec.hpp"
#include "rooftune/core/diagnostics.hpp"
#include "rooftune/eval/external.hpp"

namespace rooftune::runs {

/// The program of a study as a simulator. `spec.folder` counts from the working directory.
[[nodiscard]] std::unique_ptr<const eval::ExternalSimulator> make_external_simulator(const calibrate::ExternalSpec& spec);

/// The files that a command names, for manifests: the program's own where it has some.
[[nodiscard]] std::vector<std::filesystem::path> program_files(const std::vector<std::string>& command, const std::string& folder);

}  // namespace rooftune::runs
