// Preloaded into a program under test (LD_PRELOAD): makes one of its system calls fail, write less than it was given, or be the last.
//   ROOFTUNE_FAULT=CALL:NUMBER:ACTION   the NUMBERth call counts from 1; CALL is a name below; ACTION is an errno's number,
//                                       "short" (a write of half the bytes) or "kill"
//   ROOFTUNE_FAULT_FOLDER=DIR           only calls on what lies in DIR count
//   ROOFTUNE_FAULT_COUNTS=FILE          where the number of calls by name goes at the end: "name count" a line
// Only calls that can change something count, so that the numbers of two runs of one command are the same.
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

namespace {

enum Call { kOpen, kWrite, kSync, kRename, kMkdir, kUnlink, kTruncate, kClose, kMode, kCalls };
constexpr std::array<const char*, kCalls> kNames{"open", "write", "sync", "rename", "mkdir", "unlink", "truncate", "close", "mode"};

/// Shared with what the program forks: files that are replaced together are renamed by a process of its own.
struct Counters {
  std::array<std::atomic<long>, kCalls> of{};
};

Counters& counters() {
  static auto* const shared =
      new (::mmap(nullptr, sizeof(Counters), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) Counters;
  return *shared;
}

enum class Act { pass, fail, half };

bool lies_in_folder(const char* path) {
  const char* folder = std::getenv("ROOFTUNE_FAULT_FOLDER");
  return folder == nullptr || std::strncmp(path, folder, std::strlen(folder)) == 0;
}

/// A path as the program gave it; relative ones count from its working directory, which the tests make the folder.
bool path_counts(const char* path) { return path != nullptr && (path[0] != '/' || lies_in_folder(path)); }

bool descriptor_counts(int descriptor) {
  std::array<char, 64> link{};
  std::array<char, 4096> path{};
  std::snprintf(link.data(), link.size(), "/proc/self/fd/%d", descriptor);
  const ssize_t length = ::readlink(link.data(), path.data(), path.size() - 1);
  return length > 0 && path[0] == '/' && lies_in_folder(path.data());
}

Act decide(Call call) {
  const long number = ++counters().of[call];
  const char* fault = std::getenv("ROOFTUNE_FAULT");
  if (fault == nullptr) return Act::pass;
  std::array<char, 16> name{};
  std::array<char, 16> action{};
  long wanted = 0;
  if (std::sscanf(fault, "%15[a-z]:%ld:%15s", name.data(), &wanted, action.data()) != 3) return Act::pass;
  if (std::strcmp(name.data(), kNames[call]) != 0 || number != wanted) return Act::pass;
  if (std::strcmp(action.data(), "kill") == 0) ::kill(::getpid(), SIGKILL);
  if (std::strcmp(action.data(), "short") == 0) return Act::half;
  errno = std::atoi(action.data());
  return Act::fail;
}

template <class Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

bool changes(int flags) { return (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT) != 0; }

struct WriteCounts {
  WriteCounts() { counters(); }  // before anything forks
  ~WriteCounts() {
    const char* file = std::getenv("ROOFTUNE_FAULT_COUNTS");
    if (file == nullptr) return;
    const int out = next<int(const char*, int, ...)>("open")(file, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    for (int call = 0; call < kCalls; ++call) {
      std::array<char, 64> line{};
      const int length = std::snprintf(line.data(), line.size(), "%s %ld\n", kNames[call], counters().of[call].load());
      static_cast<void>(!next<ssize_t(int, const void*, size_t)>("write")(out, line.data(), static_cast<size_t>(length)));
    }
    ::close(out);
  }
} write_counts;

}  // namespace

extern "C" {

#define ROOFTUNE_OPEN(name)                                                           \
  int name(const char* path, int flags, ...) {                                        \
    va_list arguments;                                                                \
    va_start(arguments, flags);                                                       \
    const auto mode = static_cast<mode_t>(va_arg(arguments, int));                    \
    va_end(arguments);                                                                \
    if (changes(flags) && path_counts(path) && decide(kOpen) == Act::fail) return -1; \
    return next<int(const char*, int, ...)>(#name)(path, flags, mode);                \
  }
ROOFTUNE_OPEN(open)
ROOFTUNE_OPEN(open64)

ssize_t write(int descriptor, const void* data, size_t size) {
  const Act act = descriptor_counts(descriptor) ? decide(kWrite) : Act::pass;
  if (act == Act::fail) return -1;
  return next<ssize_t(int, const void*, size_t)>("write")(descriptor, data, act == Act::half ? (size + 1) / 2 : size);
}
#define ROOFTUNE_PWRITE(name)                                                                                                         \
  ssize_t name(int descriptor, const void* data, size_t size, off_t offset) {                                                         \
    const Act act = descriptor_counts(descriptor) ? decide(kWrite) : Act::pass;                                                       \
    if (act == Act::fail) return -1;                                                                                                  \
    return next<ssize_t(int, const void*, size_t, off_t)>(#name)(descriptor, data, act == Act::half ? (size + 1) / 2 : size, offset); \
  }
ROOFTUNE_PWRITE(pwrite)
ROOFTUNE_PWRITE(pwrite64)

#define ROOFTUNE_ON_DESCRIPTOR(name, call)                                     \
  int name(int descriptor) {                                                   \
    if (descriptor_counts(descriptor) && decide(call) == Act::fail) return -1; \
    return next<int(int)>(#name)(descriptor);                                  \
  }
ROOFTUNE_ON_DESCRIPTOR(fsync, kSync)
ROOFTUNE_ON_DESCRIPTOR(fdatasync, kSync)

int close(int descriptor) {
  // As on network file systems: the failure is told, and the descriptor is gone all the same.
  const bool fails =
      descriptor_counts(descriptor) && (::fcntl(descriptor, F_GETFL) & O_ACCMODE) != O_RDONLY && decide(kClose) == Act::fail;
  const int reason = errno;
  const int result = next<int(int)>("close")(descriptor);
  if (fails) errno = reason;
  return fails ? -1 : result;
}

int rename(const char* from, const char* to) {
  if (path_counts(to) && decide(kRename) == Act::fail) return -1;
  return next<int(const char*, const char*)>("rename")(from, to);
}
int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) {
  if (path_counts(to) && decide(kRename) == Act::fail) return -1;
  return next<int(int, const char*, int, const char*, unsigned)>("renameat2")(from_folder, from, to_folder, to, flags);
}
int mkdir(const char* path, mode_t mode) {
  if (path_counts(path) && decide(kMkdir) == Act::fail) return -1;
  return next<int(const char*, mode_t)>("mkdir")(path, mode);
}
int unlink(const char* path) {
  if (path_counts(path) && decide(kUnlink) == Act::fail) return -1;
  return next<int(const char*)>("unlink")(path);
}
int unlinkat(int folder, const char* path, int flags) {
  if ((folder == AT_FDCWD ? path_counts(path) : descriptor_counts(folder)) && decide(kUnlink) == Act::fail) return -1;
  return next<int(int, const char*, int)>("unlinkat")(folder, path, flags);
}
#define ROOFTUNE_TRUNCATE(name)                                                     \
  int name(int descriptor, off_t size) {                                            \
    if (descriptor_counts(descriptor) && decide(kTruncate) == Act::fail) return -1; \
    return next<int(int, off_t)>(#name)(descriptor, size);                          \
  }
ROOFTUNE_TRUNCATE(ftruncate)
ROOFTUNE_TRUNCATE(ftruncate64)
int fchmod(int descriptor, mode_t mode) {
  if (descriptor_counts(descriptor) && decide(kMode) == Act::fail) return -1;
  return next<int(int, mode_t)>("fchmod")(descriptor, mode);
}

}  // extern "C"
