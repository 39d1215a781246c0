#include "write_target.hpp"

#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <string>
#include <string_view>
#include <system_error>

#include "rooftune/text/staging.hpp"

namespace rooftune::text {
namespace {

namespace fs = std::filesystem;

/// As many as the system itself follows.
constexpr int kMostLinks = 40;

tl::unexpected<core::Diagnostics> refused(const fs::path& path, std::string problem, std::string remedy) {
  return core::fail({.file = path.string()}, std::move(problem), std::move(remedy));
}

tl::unexpected<core::Diagnostics> cannot(const fs::path& path, int reason) {
  return refused(path, fmt::format("cannot be written: {}", system_error(reason).message()),
                 "check the path, its permissions and the free space");
}

/// In a folder like /tmp anybody may place a link that leads to a file of ours. The system itself does not follow such links where
/// fs.protected_symlinks is set; this is the same rule.
bool is_planted(const fs::path& link, const struct stat& status) {
  struct stat folder {};
  if (::stat(folder_of(link).c_str(), &folder) != 0) return true;
  const bool is_shared = (folder.st_mode & S_ISVTX) != 0 && (folder.st_mode & S_IWOTH) != 0;
  return is_shared && status.st_uid != ::geteuid() && status.st_uid != folder.st_uid;
}

/// "/proc/self/fd/1": a link whose text is no path.
bool is_in_proc(const fs::path& path) {
  struct statfs system {};
  return ::statfs(folder_of(path).c_str(), &system) == 0 && system.f_type == PROC_SUPER_MAGIC;
}

/// The descriptor of this process that the path names, or -1.
int own_descriptor(const fs::path& path) {
  const fs::path folder = folder_of(path);
  if (folder.filename() != "fd") return -1;
  const std::string process = folder.parent_path().filename().string();
  if (process != "self" && process != "thread-self" && process != std::to_string(::getpid())) return -1;
  const std::string name = path.filename().string();
  int number = -1;
  const auto [end, failed] = std::from_chars(name.data(), name.data() + name.size(), number);
  return failed == std::errc{} && end == name.data() + name.size() ? number : -1;
}

core::Result<fs::path> target_of(const fs::path& link) {
  std::error_code failed;
  const fs::path target = fs::read_symlink(link, failed);
  if (failed) return cannot(link, failed.value());
  return target.is_absolute() ? target : folder_of(link) / target;
}

core::Result<WriteTarget> check_file(const fs::path& given, WriteTarget target) {
  if (target.existing.st_nlink > 1) {
    return refused(given,
                   fmt::format("the file has {} names (hard links), and replacing it would part them", target.existing.st_nlink),
                   "remove this one first, or name another file");
  }
  if (::access(target.path.c_str(), W_OK) != 0) return cannot(given, errno);
  target.kind = WriteTarget::Kind::file;
  return target;
}

}  // namespace

core::Result<WriteTarget> find_write_target(const fs::path& given) {
  WriteTarget target{.path = given};
  for (int links = 0; links <= kMostLinks; ++links) {
    struct stat status {};
    if (::lstat(target.path.c_str(), &status) != 0) {
      if (errno == ENOENT) return target;
      return cannot(given, errno);
    }
    if (S_ISLNK(status.st_mode)) {
      if (is_in_proc(target.path)) {
        target.kind = WriteTarget::Kind::stream;
        target.inherited = own_descriptor(target.path);
        return target;
      }
      if (is_planted(target.path, status)) {
        return refused(given, "is a link that another user put into a folder that everybody may write to", "name another file");
      }
      auto next = target_of(target.path);
      if (!next) return tl::unexpected(next.error());
      target.path = *std::move(next);
      continue;
    }
    if (S_ISDIR(status.st_mode)) return refused(given, "is a folder, not a file", "name a file to write");
    if (S_ISBLK(status.st_mode)) return refused(given, "is a disk", "name a file to write");
    target.existing = status;
    if (S_ISREG(status.st_mode)) return check_file(given, std::move(target));
    target.kind = WriteTarget::Kind::stream;
    return target;
  }
  return cannot(given, ELOOP);
}

}  // namespace rooftune::text
