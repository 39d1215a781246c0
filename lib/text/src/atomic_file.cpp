#include "rooftune/text/atomic_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace rooftune::text {
namespace {

namespace fs = std::filesystem;

std::error_code last_system_error() { return {errno, std::generic_category()}; }

tl::unexpected<core::Diagnostics> cannot(std::string_view what, const fs::path& path, const std::error_code& reason,
                                         std::string_view remedy) {
  return core::fail({.file = path.string()}, fmt::format("{}: {}", what, reason.message()), std::string(remedy));
}

constexpr std::string_view kCheckPlace = "check the path, its permissions and the free space";

/// A sibling of `path` that no other process or thread uses: hidden, so that globs over a folder of results do not see it.
fs::path temporary_sibling(const fs::path& path) {
  static std::atomic<unsigned> counter{0};
  return path.parent_path() / fmt::format(".{}.partial-{}-{}", path.filename().string(), ::getpid(), counter.fetch_add(1));
}

/// An open file descriptor.
class Descriptor {
 public:
  Descriptor(const fs::path& path, int flags) : number_(::open(path.c_str(), flags | O_CLOEXEC, 0666)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (is_open()) ::close(number_);
  }

  [[nodiscard]] bool is_open() const { return number_ >= 0; }

  [[nodiscard]] std::error_code write_all(std::string_view text) const {
    while (!text.empty()) {
      const ssize_t written = ::write(number_, text.data(), text.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return last_system_error();
      text.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
  }

  /// EINVAL: the file system cannot sync (some network and special ones); the rename alone has to do there.
  [[nodiscard]] std::error_code sync() const {
    return ::fsync(number_) == 0 || errno == EINVAL ? std::error_code{} : last_system_error();
  }

  /// Network file systems report a full disk only here.
  [[nodiscard]] std::error_code close() { return ::close(std::exchange(number_, -1)) == 0 ? std::error_code{} : last_system_error(); }

 private:
  int number_;
};

/// Makes a rename in `folder` survive a crash. Best effort: the content is complete either way.
void sync_folder(const fs::path& folder) {
  const Descriptor descriptor(folder.empty() ? fs::path(".") : folder, O_RDONLY | O_DIRECTORY);
  if (descriptor.is_open()) static_cast<void>(descriptor.sync());
}

std::error_code write_and_sync(const fs::path& path, std::string_view text) {
  Descriptor descriptor(path, O_WRONLY | O_CREAT | O_EXCL);
  if (!descriptor.is_open()) return last_system_error();
  if (const auto failed = descriptor.write_all(text)) return failed;
  if (const auto failed = descriptor.sync()) return failed;
  return descriptor.close();
}

/// Swaps two folders: in one step where the file system can, else by way of a third name.
std::error_code exchange(const fs::path& staging, const fs::path& target) {
  if (::renameat2(AT_FDCWD, staging.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) == 0) return {};
  if (errno != EINVAL && errno != ENOSYS) return last_system_error();
  const fs::path aside = temporary_sibling(target);
  std::error_code failed;
  fs::rename(target, aside, failed);
  if (failed) return failed;
  fs::rename(staging, target, failed);
  std::error_code ignored;
  fs::rename(aside, failed ? target : staging, ignored);
  return failed;
}

/// "runs/a/" names the same folder as "runs/a".
fs::path without_trailing_slash(const fs::path& path) { return path.has_filename() ? path : path.parent_path(); }

}  // namespace

core::Result<void> write_file_atomically(const fs::path& path, std::string_view text) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return core::fail({.file = path.string()}, "is a folder, not a file", "name a file to write");
  const fs::path temporary = temporary_sibling(path);
  auto failed = write_and_sync(temporary, text);
  if (!failed) fs::rename(temporary, path, failed);
  if (failed) {
    fs::remove(temporary, ignored);
    return cannot("cannot be written", path, failed, kCheckPlace);
  }
  sync_folder(path.parent_path());
  return {};
}

core::Result<void> check_target_folder(const fs::path& target, ExistingFolder policy) {
  const fs::path folder = without_trailing_slash(target);
  if (folder.empty()) return core::fail({}, "the run folder has no name", "name it, e.g. --out runs/first");
  std::error_code failed;
  const fs::file_status status = fs::status(folder, failed);
  if (!fs::exists(status)) return {};
  if (!fs::is_directory(status)) return core::fail({.file = folder.string()}, "exists and is not a folder", "choose another --out");
  const bool empty = fs::is_empty(folder, failed);
  if (failed) return cannot("cannot be read", folder, failed, kCheckPlace);
  if (!empty && policy == ExistingFolder::refuse) {
    return core::fail({.file = folder.string()}, "the folder exists and is not empty",
                      "choose another --out, or continue what was begun there with --resume");
  }
  return {};
}

void remove_abandoned_staging(const fs::path& target) {
  const fs::path folder = without_trailing_slash(target);
  const std::string prefix = fmt::format(".{}.partial-", folder.filename().string());
  const fs::path parent = folder.has_parent_path() ? folder.parent_path() : fs::path(".");
  std::error_code failed;
  std::vector<fs::path> abandoned;
  for (fs::directory_iterator entry(parent, failed), end; !failed && entry != end; entry.increment(failed)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with(prefix)) continue;
    pid_t owner = 0;
    std::from_chars(name.data() + prefix.size(), name.data() + name.size(), owner);
    if (owner > 0 && ::kill(owner, 0) != 0 && errno == ESRCH) abandoned.push_back(entry->path());
  }
  for (const fs::path& path : abandoned) fs::remove_all(path, failed);
}

core::Result<StagedFolder> StagedFolder::open(const fs::path& target, ExistingFolder policy) {
  if (auto usable = check_target_folder(target, policy); !usable) return tl::unexpected(std::move(usable).error());
  const fs::path folder = without_trailing_slash(target);
  std::error_code failed;
  if (folder.has_parent_path()) fs::create_directories(folder.parent_path(), failed);
  if (failed) return cannot("cannot be created", folder.parent_path(), failed, kCheckPlace);
  const fs::path staging = temporary_sibling(folder);
  fs::create_directory(staging, failed);
  if (failed) return cannot("cannot be created", folder, failed, kCheckPlace);
  StagedFolder staged(folder, staging, policy);
  if (fs::exists(folder)) {
    fs::copy(folder, staging, fs::copy_options::recursive | fs::copy_options::copy_symlinks, failed);
    if (failed) return cannot("cannot be copied", folder, failed, kCheckPlace);
  }
  return staged;
}

StagedFolder::StagedFolder(fs::path target, fs::path staging, ExistingFolder policy)
    : target_(std::move(target)), staging_(std::move(staging)), policy_(policy) {}

StagedFolder::StagedFolder(StagedFolder&& other) noexcept
    : target_(std::move(other.target_)), staging_(std::exchange(other.staging_, fs::path{})), policy_(other.policy_) {}

StagedFolder::~StagedFolder() {
  std::error_code ignored;
  if (!staging_.empty()) fs::remove_all(staging_, ignored);
}

core::Result<void> StagedFolder::write(std::string_view name, std::string_view text) const {
  auto written = write_file_atomically(staging_ / name, text);
  // The user knows the target, not the sibling.
  if (!written) written.error().front().position.file = (target_ / name).string();
  return written;
}

core::Result<void> StagedFolder::commit() {
  sync_folder(staging_);
  std::error_code failed;
  fs::rename(staging_, target_, failed);  // replaces an empty folder too
  const bool occupied = failed == std::errc::directory_not_empty || failed == std::errc::file_exists;
  if (occupied && policy_ == ExistingFolder::resume) failed = exchange(staging_, target_);
  if (failed) return cannot("the run folder cannot be put in place", target_, failed, kCheckPlace);
  std::error_code ignored;
  fs::remove_all(std::exchange(staging_, fs::path{}), ignored);
  sync_folder(target_.parent_path());
  return {};
}

}  // namespace rooftune::text
