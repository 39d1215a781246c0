#pragma once

#include <filesystem>

#include "rooftune/core/diagnostics.hpp"

namespace rooftune::data {

/// The folder that holds what ships with rooftune: `configs/` and `ground_truth/`. In this order: the environment variable
/// ROOFTUNE_DATA_DIR, `../share/rooftune` beside the running program, the source tree that it was built from, the data folder
/// of the installation. A ROOFTUNE_DATA_DIR without `configs/` is an error, never passed over.
[[nodiscard]] core::Result<std::filesystem::path> data_directory();

}  // namespace rooftune::data
