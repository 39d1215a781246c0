#pragma once

#include <filesystem>
#include <memory>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/improve/journal.hpp"

namespace rooftune::runs {

/// Opens the journal of improvements in an SQLite file of a run folder (docs/file_formats.md); creates its tables where there are
/// none. Every entry is one transaction. Studies are kept as YAML whose paths count from the file's folder.
/// Every row carries a checksum; reading a journal that is not as it was written is an error.
[[nodiscard]] core::Result<std::unique_ptr<improve::Journal>> open_journal(const std::filesystem::path& file);

/// What a journal holds, whether its improvement has ended or goes on; the file stays as it is.
[[nodiscard]] core::Result<improve::JournalEntries> read_journal(const std::filesystem::path& file);

/// Empties a journal that is not as it was written, so that an improvement that goes on computes again what it held; the warning that
/// comes back says what was found, and how much it was. None where the journal is sound.
[[nodiscard]] core::Result<core::Diagnostics> discard_damaged_journal(const std::filesystem::path& file);

}  // namespace rooftune::runs
