#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

#include "rooftune/core/diagnostics.hpp"

namespace rooftune::text {

/// Writes `text` so that readers see the old file or the whole new one, also after a crash: a temporary sibling is written,
/// synced to disk and renamed over the file, which keeps its mode and owner. A link stays one, and what it leads to is written. What is
/// no file (a device, a pipe) is written through. The folder must exist. Errors name the file and the system's reason.
[[nodiscard]] core::Result<void> write_file_atomically(const std::filesystem::path& path, std::string_view text);

struct NewFile {
  std::filesystem::path path;
  std::string_view text;
};

/// Writes the files of one result as write_file_atomically writes each, all or none, also when the process is killed meanwhile. Two
/// paths to one file are refused. Errors name the file; nothing but streams that come before it is written then.
[[nodiscard]] core::Result<void> write_files_together(std::span<const NewFile> files);

/// What to do with a target folder that already holds something.
enum class ExistingFolder {
  refuse,
  resume,  ///< keep its files and replace those that are written again
};

/// Whether a StagedFolder could be opened for `target`; writes nothing, so commands ask before they compute.
[[nodiscard]] core::Result<void> check_target_folder(const std::filesystem::path& target, ExistingFolder policy);

/// Removes what staged folders of processes that have ended left beside `target`.
void remove_abandoned_staging(const std::filesystem::path& target);

struct Staged;

/// A folder that appears complete or not at all: its files are written to a temporary sibling, which commit() renames to the
/// target. Without commit() the destructor removes the sibling and the target stays as it was. A target that exists keeps its mode,
/// and where it is a link the folder behind it is replaced.
class StagedFolder {
 public:
  /// Creates the sibling (and the target's parent folders). With ExistingFolder::resume it starts as a copy of the target.
  [[nodiscard]] static core::Result<StagedFolder> open(const std::filesystem::path& target, ExistingFolder policy);

  StagedFolder(StagedFolder&& other) noexcept;
  StagedFolder& operator=(StagedFolder&&) = delete;
  StagedFolder(const StagedFolder&) = delete;
  StagedFolder& operator=(const StagedFolder&) = delete;
  ~StagedFolder();

  /// Where files go until commit(), for writers that need a path (a database).
  [[nodiscard]] const std::filesystem::path& staging_path() const { return staging_; }
  [[nodiscard]] const std::filesystem::path& target_path() const { return target_; }

  /// Writes one file of the folder; `name` is a plain file name.
  [[nodiscard]] core::Result<void> write(std::string_view name, std::string_view text) const;

  /// Makes the target the staged folder. A target that was resumed is exchanged in one step and its old content removed.
  [[nodiscard]] core::Result<void> commit();

 private:
  StagedFolder(std::filesystem::path target, ExistingFolder policy);

  std::filesystem::path target_;
  std::filesystem::path staging_;  ///< empty once committed or moved from
  ExistingFolder policy_;
  std::unique_ptr<Staged> staged_;  ///< holds the sibling against those who sweep
};

}  // namespace rooftune::text
