#include "program_run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <system_error>

#include "rooftune/core/limits.hpp"
#include "rooftune/core/printable.hpp"

namespace rooftune::runs {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kWorkingDirectoryPrefix = "rooftune-simulation-";

/// Where programs run; empty when the system names no such folder.
fs::path temporary_folder() {
  std::error_code failed;
  const fs::path folder = fs::temp_directory_path(failed);
  return failed ? fs::path{} : folder;
}

}  // namespace

WorkingDirectory::WorkingDirectory() {
  if (const fs::path folder = temporary_folder(); !folder.empty()) staged_ = text::stage_folder(folder, kWorkingDirectoryPrefix, 0700);
}

WorkingDirectory::~WorkingDirectory() {
  std::error_code ignored;
  if (!path().empty()) fs::remove_all(path(), ignored);
}

void remove_abandoned_work() {
  if (const fs::path folder = temporary_folder(); !folder.empty()) text::remove_abandoned(folder, kWorkingDirectoryPrefix);
}

std::string last_words(const std::string& text) {
  constexpr std::size_t kMost = 300;
  std::string words = text.size() > kMost ? "..." + text.substr(text.size() - kMost) : text;
  while (!words.empty() && std::isspace(static_cast<unsigned char>(words.back())) != 0) words.pop_back();
  std::ranges::replace(words, '\n', ' ');
  return words.empty() ? "it said nothing" : "it said: " + core::printable(words);
}

std::optional<std::string> why_it_failed(const text::ProcessEnd& end, const std::vector<std::string>& command, double timeout_s) {
  if (end.cancelled) return "stopped";
  if (end.timed_out) return fmt::format("no end within timeout_s: {} s; {}", timeout_s, last_words(end.errors));
  if (end.wrote_too_much) {
    return fmt::format("wrote more than {} MiB to its output; {}", core::limits::kProgramOutputBytes >> 20U, last_words(end.errors));
  }
  if (!end.started) return fmt::format("'{}' cannot be started", command.front());
  if (end.signal != 0) return fmt::format("ended by signal {}; {}", end.signal, last_words(end.errors));
  if (end.exit_code != 0) return fmt::format("ended with exit code {}; {}", end.exit_code, last_words(end.errors));
  return std::nullopt;
}

}  // namespace rooftune::runs
