#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

#include "rooftune/core/descriptor.hpp"
#include "rooftune/text/temporaries.hpp"

// Temporary files and folders: under names that nobody can predict, made new (never through a link), and held by a lock that the
// system lets go of when their owner ends in any way. Whoever gets such a lock later knows that they were abandoned.
namespace rooftune::text {

/// ".NAME.partial-": hidden, so that globs over a folder of results do not see it.
[[nodiscard]] std::string staging_prefix(const std::filesystem::path& target);

/// A new file or folder that is open and held.
struct Staged {
  std::filesystem::path path;
  core::Descriptor descriptor;
  OwnTemporary own;
  std::error_code failed;
};

/// Makes one in `folder`, named `prefix` and sixteen random digits. The umask takes its share of `mode`.
[[nodiscard]] Staged stage_file(const std::filesystem::path& folder, std::string_view prefix, mode_t mode);
[[nodiscard]] Staged stage_folder(const std::filesystem::path& folder, std::string_view prefix, mode_t mode);

/// Removes what stage_file and stage_folder of processes that have ended left in `folder` under `prefix`: what belongs to this user
/// and is held by nobody.
void remove_abandoned(const std::filesystem::path& folder, std::string_view prefix);

/// "" is the working directory.
[[nodiscard]] inline std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

/// "runs/a/" names the same folder as "runs/a".
[[nodiscard]] std::filesystem::path without_trailing_slash(const std::filesystem::path& path);

/// The folder behind a link, so that the link stays one.
[[nodiscard]] std::filesystem::path behind_links(const std::filesystem::path& folder);

/// Whether `descriptor` is still what `path` names: somebody may have swept it before it was held.
[[nodiscard]] bool is_at(int descriptor, const std::filesystem::path& path);

[[nodiscard]] inline std::error_code system_error(int number) { return {number, std::generic_category()}; }

}  // namespace rooftune::text
