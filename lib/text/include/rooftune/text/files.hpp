#pragma once

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

// Looking at the file system without exceptions: std::filesystem throws where a path cannot even be looked at (a loop of links, a name
// that is too long, a folder that may not be searched), and what a user names can be any of these.
namespace rooftune::text {

/// Whether there is something that can be looked at.
[[nodiscard]] inline bool exists(const std::filesystem::path& path) {
  std::error_code failed;
  return std::filesystem::exists(path, failed) && !failed;
}
[[nodiscard]] inline bool is_folder(const std::filesystem::path& path) {
  std::error_code failed;
  return std::filesystem::is_directory(path, failed) && !failed;
}
[[nodiscard]] inline bool is_file(const std::filesystem::path& path) {
  std::error_code failed;
  return std::filesystem::is_regular_file(path, failed) && !failed;
}

[[nodiscard]] inline bool is_pipe(const std::filesystem::path& path) {
  std::error_code failed;
  return std::filesystem::is_fifo(path, failed) && !failed;
}

/// What lies directly in a folder, by name; `failed` says why the list is not complete.
[[nodiscard]] inline std::vector<std::filesystem::path> entries_of(const std::filesystem::path& folder, std::error_code& failed) {
  std::vector<std::filesystem::path> entries;
  failed.clear();
  for (std::filesystem::directory_iterator entry(folder, failed), end; !failed && entry != end; entry.increment(failed)) {
    entries.push_back(entry->path());
  }
  std::ranges::sort(entries);
  return entries;
}

/// With "" for the working directory; as it is where the system cannot tell.
[[nodiscard]] inline std::filesystem::path absolute(const std::filesystem::path& path) {
  std::error_code failed;
  const std::filesystem::path found = std::filesystem::absolute(path.empty() ? "." : path, failed);
  return (failed ? path : found).lexically_normal();
}

}  // namespace rooftune::text
