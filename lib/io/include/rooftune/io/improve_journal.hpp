#pragma once

#include <filesystem>
#include <memory>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/study/journal.hpp"

namespace rooftune::io {

/// Opens the journal of improvements in an SQLite file of a run folder (docs/file_formats.md); creates its tables where there are
/// none. Every entry is one transaction. Studies are kept as YAML whose paths count from the file's folder.
[[nodiscard]] core::Result<std::unique_ptr<study::Journal>> open_journal(const std::filesystem::path& file);

}  // namespace rooftune::io
