#include "rooftune/text/folder_lock.hpp"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <ctime>
#include <fstream>
#include <utility>

#include "rooftune/core/printable.hpp"
#include "rooftune/text/staging.hpp"

namespace rooftune::text {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostOwnerBytes = 4096;

std::string first_line_of(const fs::path& file) {
  std::ifstream stream(file);
  std::string line;
  std::getline(stream, line);
  return line;
}

std::string host_name() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

/// Of the boot and of the process namespace: where both are the same, process numbers mean the same processes.
std::string this_system() {
  std::error_code ignored;
  return first_line_of("/proc/sys/kernel/random/boot_id") + " " + fs::read_symlink("/proc/self/ns/pid", ignored).string();
}

/// The 22nd field of /proc/PID/stat; the second, the name, may hold spaces and parentheses.
std::string begin_of(const std::string& process) {
  const std::string line = first_line_of("/proc/" + process + "/stat");
  std::size_t at = line.rfind(')');
  for (int field = 2; field < 22 && at != std::string::npos; ++field) at = line.find(' ', at + 1);
  return at == std::string::npos ? "" : line.substr(at + 1, line.find(' ', at + 1) - at - 1);
}

FolderOwner this_process() {
  return {.host = host_name(),
          .process = ::getpid(),
          .since = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr))),
          .system = this_system(),
          .began = begin_of("self")};
}

std::string content_of(int descriptor) {
  std::string text(kMostOwnerBytes, '\0');
  const ssize_t length = ::pread(descriptor, text.data(), text.size(), 0);
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(length, 0)));
  return text;
}

tl::unexpected<core::Diagnostics> in_use(const fs::path& folder, const fs::path& file, const FolderOwner& owner, bool is_certain) {
  const std::string who =
      owner.process > 0 ? fmt::format("process {} on '{}' since {}", owner.process, core::shown(owner.host), core::shown(owner.since))
                        : std::string("another process");
  return core::fail({.file = folder.string()}, "the run folder is in use by " + who,
                    is_certain ? "wait for it, end it, or choose another --out"
                               : fmt::format("wait for it; if it has ended, remove {}", file.string()));
}

}  // namespace

std::string owner_text(const FolderOwner& owner) {
  return fmt::format("host {}\nprocess {}\nsince {}\nsystem {}\nbegan {}\n", owner.host, owner.process, owner.since, owner.system,
                     owner.began);
}

FolderOwner parse_owner(std::string_view text) {
  FolderOwner owner;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos) continue;
    const std::string_view key = line.substr(0, space);
    const std::string_view value = line.substr(space + 1);
    if (key == "host") owner.host = value;
    if (key == "since") owner.since = value;
    if (key == "system") owner.system = value;
    if (key == "began") owner.began = value;
    if (key == "process") std::from_chars(value.data(), value.data() + value.size(), owner.process);
  }
  return owner;
}

bool may_be_running(const FolderOwner& owner) {
  if (owner.process <= 0) return false;
  if (owner.system != this_system()) return true;
  return !owner.began.empty() && begin_of(std::to_string(owner.process)) == owner.began;
}

core::Result<FolderLock> FolderLock::acquire(const fs::path& folder) {
  const fs::path target = behind_links(without_trailing_slash(folder));
  std::error_code failed;
  if (target.has_parent_path()) fs::create_directories(target.parent_path(), failed);
  const fs::path file = folder_of(target) / fmt::format(".{}.lock", target.filename().string());
  const auto cannot = [&](int reason) {
    return core::fail({.file = file.string()},
                      fmt::format("the lock of the run folder cannot be taken: {}", system_error(reason).message()),
                      "check the path, its permissions and the free space");
  };
  while (true) {
    core::Descriptor descriptor(::open(file.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666));
    struct stat status {};
    if (!descriptor.is_open() || ::fstat(descriptor.number(), &status) != 0) return cannot(errno);
    if (!S_ISREG(status.st_mode)) return cannot(EINVAL);
    if (::flock(descriptor.number(), LOCK_EX | LOCK_NB) != 0) {
      const FolderOwner owner = parse_owner(content_of(descriptor.number()));
      if (errno == EWOULDBLOCK) return in_use(folder, file, owner, true);
      // Some network file systems know no locks: what the file says has to do there.
      if (may_be_running(owner)) return in_use(folder, file, owner, false);
    }
    // Whoever had the lock before may have removed the file after we had opened it.
    if (!is_at(descriptor.number(), file)) continue;
    const std::string text = owner_text(this_process());
    if (::ftruncate(descriptor.number(), 0) != 0) return cannot(errno);
    if (::pwrite(descriptor.number(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
      const int reason = errno;
      fs::remove(file, failed);
      return cannot(reason);
    }
    return FolderLock(file, std::move(descriptor));
  }
}

FolderLock::FolderLock(fs::path file, core::Descriptor descriptor)
    : file_(std::move(file)), descriptor_(std::move(descriptor)), listed_(file_) {}

FolderLock::FolderLock(FolderLock&& other) noexcept
    : file_(std::exchange(other.file_, fs::path{})), descriptor_(std::move(other.descriptor_)), listed_(std::move(other.listed_)) {}

FolderLock& FolderLock::operator=(FolderLock&& other) noexcept {
  std::swap(file_, other.file_);
  std::swap(descriptor_, other.descriptor_);
  listed_ = std::move(other.listed_);
  return *this;
}

FolderLock::~FolderLock() {
  // First the file, then the lock: nobody can lock a file that is about to vanish and take it for the one that counts.
  std::error_code ignored;
  if (!file_.empty()) fs::remove(file_, ignored);
}

}  // namespace rooftune::text
