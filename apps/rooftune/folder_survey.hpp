#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/importers/import.hpp"

namespace rooftune::app {

/// A measurement that lies in a folder, and the server's log that belongs to it.
struct FoundResult {
  std::filesystem::path path;
  importers::ImportFormat format = importers::ImportFormat::guidellm;
  std::optional<std::filesystem::path> log{};  ///< beside it, in a folder above, or the only one there is
};

/// What lies in a folder, by its contents.
struct FolderSurvey {
  std::vector<FoundResult> results{};
  std::vector<std::filesystem::path> logs{};
  std::vector<std::filesystem::path> ground_truth{};
  std::vector<std::filesystem::path> models{};  ///< folders with a config.json
  std::vector<std::filesystem::path> gpus{};    ///< our files of GPUs
  std::vector<std::filesystem::path> hardware_configs{};
  std::vector<std::filesystem::path> kernel_tables{};  ///< folders
  std::vector<std::filesystem::path> others{};         ///< of no use here
  core::Diagnostics problems{};                        ///< why it is not all that lies there
};

/// Looks at everything below `folder` except hidden folders and `left_out`, a few levels deep.
[[nodiscard]] FolderSurvey survey(const std::filesystem::path& folder, const std::filesystem::path& left_out);

}  // namespace rooftune::app
