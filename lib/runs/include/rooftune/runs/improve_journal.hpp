#pragma once

#include <filesystem>
#include <memory>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/improve/journal.hpp"

namespace rooftune::runs {

/// Opens the journal of improvements in an SQLite file of a run folder (docs/file_formats.md); creates its tables where there are
/// none. Every entry is one transaction. Studies are kept as YAML whose paths count from the file's folder.
[[nodiscard]] core::Result<std::unique_ptr<improve::Journal>> open_journal(const std::filesystem::path& file);

}  // namespace rooftune::runs
