#include "rooftune/text/staging.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

namespace rooftune::text {
namespace {

namespace fs = std::filesystem;

/// Names that are taken are met by chance or by malice; neither goes on for long.
constexpr int kTries = 100;
/// File names hold 255 bytes at most (NAME_MAX); what is put around a name takes less than the rest.
constexpr std::size_t kLongestName = 200;

struct OwnTemporaries {
  std::mutex mutex;
  std::set<fs::path> paths;
};

OwnTemporaries& own_temporaries() {
  // Never destroyed: threads may outlive main's statics.
  static auto* const instance = new OwnTemporaries;
  return *instance;
}

std::uint64_t random_number() {
  std::uint64_t number = 0;
  while (::getrandom(&number, sizeof number, 0) != sizeof number) {
  }
  return number;
}

/// True where the lock was got, and where the file system knows none.
bool hold(int descriptor) { return ::flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK; }

Staged stage(const fs::path& folder, std::string_view prefix, const std::function<int(const fs::path&)>& make) {
  Staged staged;
  for (int attempt = 0; attempt < kTries; ++attempt) {
    const fs::path path = folder / fmt::format("{}{:016x}", prefix, random_number());
    core::Descriptor descriptor(make(path));
    if (!descriptor.is_open()) {
      staged.failed = system_error(errno);
      // ENOENT: swept between mkdir and open, or the folder itself is missing.
      std::error_code ignored;
      const bool may_try_again = errno == EEXIST || (errno == ENOENT && fs::exists(folder, ignored));
      if (!may_try_again) return staged;
      continue;
    }
    if (!hold(descriptor.number()) || !is_at(descriptor.number(), path)) continue;
    staged.failed = {};
    staged.own = OwnTemporary(path);
    staged.path = path;
    staged.descriptor = std::move(descriptor);
    return staged;
  }
  return staged;
}

/// Whether nobody works on what lies there any more. It stays held by `descriptor` while it is removed.
bool is_abandoned(const fs::path& path, core::Descriptor& descriptor) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0 || status.st_uid != ::geteuid()) return false;
  if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) return false;
  descriptor = core::Descriptor(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  return descriptor.is_open() && ::flock(descriptor.number(), LOCK_EX | LOCK_NB) == 0 && is_at(descriptor.number(), path);
}

}  // namespace

OwnTemporary::OwnTemporary(fs::path path) : path_(std::move(path)) {
  const std::scoped_lock lock(own_temporaries().mutex);
  own_temporaries().paths.insert(path_);
}

OwnTemporary::OwnTemporary(OwnTemporary&& other) noexcept : path_(std::exchange(other.path_, fs::path{})) {}

OwnTemporary& OwnTemporary::operator=(OwnTemporary&& other) noexcept {
  std::swap(path_, other.path_);
  return *this;
}

OwnTemporary::~OwnTemporary() {
  if (path_.empty()) return;
  const std::scoped_lock lock(own_temporaries().mutex);
  own_temporaries().paths.erase(path_);
}

void remove_own_temporaries() {
  const std::scoped_lock lock(own_temporaries().mutex);
  std::error_code ignored;
  for (const fs::path& path : own_temporaries().paths) fs::remove_all(path, ignored);
}

bool is_at(int descriptor, const fs::path& path) {
  struct stat opened {};
  struct stat named {};
  return ::fstat(descriptor, &opened) == 0 && ::lstat(path.c_str(), &named) == 0 && opened.st_ino == named.st_ino &&
         opened.st_dev == named.st_dev;
}

fs::path without_trailing_slash(const fs::path& path) { return path.has_filename() ? path : path.parent_path(); }

fs::path behind_links(const fs::path& folder) {
  std::error_code failed;
  if (!fs::is_symlink(fs::symlink_status(folder, failed))) return folder;
  const fs::path real = fs::canonical(folder, failed);
  return failed ? folder : real;
}

std::string staging_prefix(const fs::path& target) {
  return fmt::format(".{}.partial-", target.filename().string().substr(0, kLongestName));
}

Staged stage_file(const fs::path& folder, std::string_view prefix, mode_t mode) {
  return stage(folder, prefix,
               [&](const fs::path& path) { return ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode); });
}

Staged stage_folder(const fs::path& folder, std::string_view prefix, mode_t mode) {
  return stage(folder, prefix, [&](const fs::path& path) {
    return ::mkdir(path.c_str(), mode) != 0 ? -1 : ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  });
}

void remove_abandoned(const fs::path& folder, std::string_view prefix) {
  std::error_code failed;
  std::vector<fs::path> candidates;
  for (fs::directory_iterator entry(folder, failed), end; !failed && entry != end; entry.increment(failed)) {
    if (entry->path().filename().string().starts_with(prefix)) candidates.push_back(entry->path());
  }
  for (const fs::path& path : candidates) {
    core::Descriptor held;
    if (is_abandoned(path, held)) fs::remove_all(path, failed);
  }
}

}  // namespace rooftune::text
