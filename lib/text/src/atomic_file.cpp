#include "rooftune/text/atomic_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "place_together.hpp"
#include "rooftune/core/limits.hpp"
#include "rooftune/text/staging.hpp"
#include "write_target.hpp"

namespace rooftune::text {
namespace {

namespace fs = std::filesystem;

tl::unexpected<core::Diagnostics> cannot(std::string_view what, const fs::path& path, const std::error_code& reason,
                                         std::string_view remedy) {
  return core::fail({.file = path.string()}, fmt::format("{}: {}", what, reason.message()), std::string(remedy));
}

constexpr std::string_view kCheckPlace = "check the path, its permissions and the free space";

/// A folder that could not be put in place in one step goes by this name for a moment.
std::string aside_prefix(const fs::path& target) { return fmt::format(".{}.before-", target.filename().string()); }

/// Waits while a pipe is full, but not for ever.
std::error_code wait_until_writable(int descriptor) {
  pollfd watched{.fd = descriptor, .events = POLLOUT, .revents = 0};
  const int ready = ::poll(&watched, 1, static_cast<int>(core::limits::kPipeSilence_s * 1e3));
  if (ready < 0 && errno != EINTR) return system_error(errno);
  return ready == 0 ? system_error(ETIMEDOUT) : std::error_code{};
}

std::error_code write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written > 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (written < 0 && errno == EAGAIN) {
      if (const auto failed = wait_until_writable(descriptor)) return failed;
    } else if (written < 0 && errno != EINTR) {
      return system_error(errno);
    }
  }
  return {};
}

/// EINVAL: the file system cannot sync (some network and special ones); the rename alone has to do there.
std::error_code sync(int descriptor) { return ::fsync(descriptor) == 0 || errno == EINVAL ? std::error_code{} : system_error(errno); }

/// Makes a rename in `folder` survive a crash. Best effort: the content is complete either way.
void sync_folder(const fs::path& folder) {
  const core::Descriptor descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (descriptor.is_open()) static_cast<void>(sync(descriptor.number()));
}

/// Gives `descriptor` the owner and the mode of what it replaces. The owner goes as far as the system lets us.
std::error_code take_over(int descriptor, const struct stat& replaced) {
  if (::fchown(descriptor, replaced.st_uid, replaced.st_gid) != 0 &&
      ::fchown(descriptor, static_cast<uid_t>(-1), replaced.st_gid) != 0) {
    // Another user's file in a folder that we may write to: it becomes ours, with the same mode.
  }
  return ::fchmod(descriptor, replaced.st_mode & 07777U) == 0 ? std::error_code{} : system_error(errno);
}

/// A reader that ends early is an error of the write, not the end of the program: SIGPIPE waits, and is taken back.
class BrokenPipesAreErrors {
 public:
  BrokenPipesAreErrors() {
    ::sigemptyset(&pipe_);
    ::sigaddset(&pipe_, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  BrokenPipesAreErrors(const BrokenPipesAreErrors&) = delete;
  BrokenPipesAreErrors& operator=(const BrokenPipesAreErrors&) = delete;
  ~BrokenPipesAreErrors() {
    const timespec at_once{};
    while (::sigtimedwait(&pipe_, nullptr, &at_once) == SIGPIPE) {
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t pipe_{};
  sigset_t before_{};
};

/// Writes into what is no file: it stays what it is.
std::error_code write_through(const fs::path& given, const WriteTarget& target, std::string_view text) {
  if (target.inherited >= 0) {
    std::fflush(nullptr);  // what was printed before comes before
    return write_all(target.inherited, text);
  }
  core::Descriptor stream;
  // A pipe that nobody reads yet says ENXIO.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(core::limits::kPipeSilence_s);
  while (true) {
    stream = core::Descriptor(::open(given.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (stream.is_open()) break;
    if (errno != ENXIO || std::chrono::steady_clock::now() > deadline) return system_error(errno);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  const BrokenPipesAreErrors guard;
  if (const auto failed = write_all(stream.number(), text)) return failed;
  return stream.close();
}

/// The whole new file beside its target. Removed again where `failed` says that it could not be written.
Staged stage_text(const WriteTarget& target, std::string_view text) {
  const bool exists = target.kind == WriteTarget::Kind::file;
  const fs::path folder = folder_of(target.path);
  remove_abandoned(folder, staging_prefix(target.path));
  // Nobody else reads the new content of a file that only we could read, not even for a moment.
  Staged staged = stage_file(folder, staging_prefix(target.path), exists ? 0600 : 0666);
  if (staged.failed) return staged;
  staged.failed = write_all(staged.descriptor.number(), text);
  if (!staged.failed && exists) staged.failed = take_over(staged.descriptor.number(), target.existing);
  if (!staged.failed) staged.failed = sync(staged.descriptor.number());
  if (!staged.failed) staged.failed = staged.descriptor.close();
  std::error_code ignored;
  if (staged.failed) fs::remove(staged.path, ignored);
  return staged;
}

std::error_code replace(const WriteTarget& target, std::string_view text) {
  const Staged staged = stage_text(target, text);
  std::error_code failed = staged.failed;
  if (failed) return failed;
  fs::rename(staged.path, target.path, failed);
  std::error_code ignored;
  if (failed) fs::remove(staged.path, ignored);
  if (!failed) sync_folder(folder_of(target.path));
  return failed;
}

/// What a user is told of a file that could not be written.
core::Result<void> written_unless(std::error_code failed, const fs::path& path) {
  if (failed == std::errc::no_such_device_or_address || failed == std::errc::timed_out) {
    return core::fail({.file = path.string()}, fmt::format("nobody read this pipe for {} s", core::limits::kPipeSilence_s),
                      "start its reader first, or name a file");
  }
  if (failed) return cannot("cannot be written", path, failed, kCheckPlace);
  return {};
}

bool are_one_file(const WriteTarget& one, const WriteTarget& other) {
  if (one.kind == WriteTarget::Kind::stream || one.kind != other.kind) return false;
  if (one.kind == WriteTarget::Kind::file) {
    return one.existing.st_ino == other.existing.st_ino && one.existing.st_dev == other.existing.st_dev;
  }
  std::error_code ignored;
  return one.path.filename() == other.path.filename() && fs::equivalent(folder_of(one.path), folder_of(other.path), ignored);
}

/// New files beside their targets, to be put in place together or removed.
class StagedFiles {
 public:
  StagedFiles() = default;
  StagedFiles(const StagedFiles&) = delete;
  StagedFiles& operator=(const StagedFiles&) = delete;
  ~StagedFiles() {
    std::error_code ignored;
    for (const Placement& placement : placements_) fs::remove(placement.staged, ignored);
  }

  [[nodiscard]] std::error_code add(const WriteTarget& target, std::string_view text) {
    Staged staged = stage_text(target, text);
    if (staged.failed) return staged.failed;
    struct stat status {};
    if (::lstat(staged.path.c_str(), &status) != 0) return system_error(errno);
    placements_.push_back({.staged = staged.path.string(),
                           .target = target.path.string(),
                           .old = staged.path.string() + "-old",
                           .device = status.st_dev,
                           .inode = status.st_ino});
    own_.push_back(std::move(staged.own));
    return {};
  }

  [[nodiscard]] std::error_code place() {
    own_.clear();  // an interrupted process leaves them to the one that places them
    if (const auto failed = place_together(placements_)) return failed;
    for (const Placement& placement : placements_) sync_folder(folder_of(placement.target));
    placements_.clear();
    return {};
  }

 private:
  std::vector<Placement> placements_;
  std::vector<OwnTemporary> own_;
};

/// Swaps two folders: in one step where the file system can, else by way of a third name, from which put_back finds the way.
std::error_code exchange(const fs::path& staging, const fs::path& target) {
  if (::renameat2(AT_FDCWD, staging.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) == 0) return {};
  if (errno != EINVAL && errno != ENOSYS) return system_error(errno);
  const std::string unique = staging.filename().string().substr(staging_prefix(target).size());
  const fs::path aside = folder_of(target) / (aside_prefix(target) + unique);
  std::error_code failed;
  fs::rename(target, aside, failed);
  if (failed) return failed;
  fs::rename(staging, target, failed);
  std::error_code ignored;
  fs::rename(aside, failed ? target : staging, ignored);
  return failed;
}

/// Undoes what a process that was killed in exchange() left: the old folder aside, and none in its place.
void put_back(const fs::path& target) {
  std::error_code failed;
  if (fs::exists(fs::symlink_status(target, failed))) return;
  std::vector<fs::path> aside;
  for (fs::directory_iterator entry(folder_of(target), failed), end; !failed && entry != end; entry.increment(failed)) {
    if (entry->path().filename().string().starts_with(aside_prefix(target))) aside.push_back(entry->path());
  }
  if (aside.size() == 1) fs::rename(aside.front(), target, failed);
}

}  // namespace

core::Result<void> write_file_atomically(const fs::path& path, std::string_view text) {
  const auto target = find_write_target(path);
  if (!target) return tl::unexpected(target.error());
  return written_unless(target->kind == WriteTarget::Kind::stream ? write_through(path, *target, text) : replace(*target, text), path);
}

core::Result<void> write_files_together(std::span<const NewFile> files) {
  if (files.size() == 1) return write_file_atomically(files.front().path, files.front().text);
  std::vector<WriteTarget> targets;
  for (const NewFile& file : files) {
    auto target = find_write_target(file.path);
    if (!target) return tl::unexpected(target.error());
    const bool is_taken = std::ranges::any_of(targets, [&](const WriteTarget& other) { return are_one_file(*target, other); });
    if (is_taken) return core::fail({.file = file.path.string()}, "two results would go into this file", "name a file for each");
    targets.push_back(*std::move(target));
  }
  StagedFiles staged;
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (targets[i].kind == WriteTarget::Kind::stream) continue;
    if (const auto failed = staged.add(targets[i], files[i].text)) return written_unless(failed, files[i].path);
  }
  // What went into a stream cannot be taken back, so that files wait for it.
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (targets[i].kind != WriteTarget::Kind::stream) continue;
    if (const auto failed = write_through(files[i].path, targets[i], files[i].text)) return written_unless(failed, files[i].path);
  }
  if (const auto failed = staged.place()) {
    return cannot("cannot be put in place, and neither was what belongs to it", files.front().path, failed, kCheckPlace);
  }
  return {};
}

core::Result<void> check_target_folder(const fs::path& target, ExistingFolder policy) {
  const fs::path folder = without_trailing_slash(target);
  if (folder.empty()) return core::fail({}, "the run folder has no name", "name it, e.g. --out runs/first");
  put_back(folder);
  std::error_code failed;
  const fs::file_status status = fs::status(folder, failed);
  if (!fs::exists(status)) return {};
  if (!fs::is_directory(status)) return core::fail({.file = folder.string()}, "exists and is not a folder", "choose another --out");
  const bool empty = fs::is_empty(folder, failed);
  if (failed) return cannot("cannot be read", folder, failed, kCheckPlace);
  if (!empty && policy == ExistingFolder::refuse) {
    return core::fail({.file = folder.string()}, "the folder exists and is not empty", "choose another --out");
  }
  return {};
}

void remove_abandoned_staging(const fs::path& target) {
  const fs::path folder = behind_links(without_trailing_slash(target));
  remove_abandoned(folder_of(folder), staging_prefix(folder));
}

core::Result<StagedFolder> StagedFolder::open(const fs::path& target, ExistingFolder policy) {
  if (auto usable = check_target_folder(target, policy); !usable) return tl::unexpected(std::move(usable).error());
  const fs::path folder = behind_links(without_trailing_slash(target));
  std::error_code failed;
  if (folder.has_parent_path()) fs::create_directories(folder.parent_path(), failed);
  if (failed) return cannot("cannot be created", folder.parent_path(), failed, kCheckPlace);
  remove_abandoned_staging(folder);
  const bool exists = fs::exists(folder, failed);
  StagedFolder staged(folder, policy);
  staged.staged_ = std::make_unique<Staged>(stage_folder(folder_of(folder), staging_prefix(folder), exists ? 0700 : 0777));
  if (staged.staged_->failed) {
    failed = staged.staged_->failed;
    staged.staged_.reset();
    return cannot("cannot be created", folder, failed, kCheckPlace);
  }
  staged.staging_ = staged.staged_->path;
  if (exists) {
    fs::copy(folder, staged.staging_, fs::copy_options::recursive | fs::copy_options::copy_symlinks, failed);
    if (failed) return cannot("cannot be copied", folder, failed, kCheckPlace);
  }
  return staged;
}

StagedFolder::StagedFolder(fs::path target, ExistingFolder policy) : target_(std::move(target)), policy_(policy) {}

StagedFolder::StagedFolder(StagedFolder&& other) noexcept
    : target_(std::move(other.target_)),
      staging_(std::exchange(other.staging_, fs::path{})),
      policy_(other.policy_),
      staged_(std::move(other.staged_)) {}

StagedFolder::~StagedFolder() {
  std::error_code ignored;
  if (!staging_.empty()) fs::remove_all(staging_, ignored);
}

core::Result<void> StagedFolder::write(std::string_view name, std::string_view text) const {
  // A link in a folder that is resumed leads out of it, to who knows where: the file takes its place.
  std::error_code ignored;
  if (fs::is_symlink(fs::symlink_status(staging_ / name, ignored))) fs::remove(staging_ / name, ignored);
  auto written = write_file_atomically(staging_ / name, text);
  // The user knows the target, not the sibling.
  if (!written) written.error().front().position.file = (target_ / name).string();
  return written;
}

core::Result<void> StagedFolder::commit() {
  std::error_code failed;
  struct stat replaced {};
  if (::stat(target_.c_str(), &replaced) == 0) failed = take_over(staged_->descriptor.number(), replaced);
  if (failed) return cannot("the run folder cannot be put in place", target_, failed, kCheckPlace);
  sync_folder(staging_);
  fs::rename(staging_, target_, failed);  // replaces an empty folder too
  const bool occupied = failed == std::errc::directory_not_empty || failed == std::errc::file_exists;
  if (occupied && policy_ == ExistingFolder::resume) failed = exchange(staging_, target_);
  if (failed) return cannot("the run folder cannot be put in place", target_, failed, kCheckPlace);
  std::error_code ignored;
  fs::remove_all(std::exchange(staging_, fs::path{}), ignored);
  staged_.reset();
  sync_folder(folder_of(target_));
  return {};
}

}  // namespace rooftune::text
