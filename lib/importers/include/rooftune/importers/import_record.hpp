#pragma once

#include <filesystem>
#include <string>

#include "rooftune/importers/import.hpp"

/// What an import wrote, for machines.
namespace rooftune::importers {

/// "rooftune/import/1" (docs/file_formats.md); `file` is the ground truth that was written.
[[nodiscard]] std::string import_json(const ImportedGroundTruth& imported, const std::filesystem::path& file);
/// A row for the summary and each stage of every experiment.
[[nodiscard]] std::string import_csv(const ImportedGroundTruth& imported);

}  // namespace rooftune::importers
