// What runs in the child here is a copy of a program with many threads, of which only one is left: nothing allocates, and only system
// calls are used.
#include "place_together.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>

namespace rooftune::text {
namespace {

bool is_in_place(const Placement& placement) {
  struct stat status {};
  return ::lstat(placement.target.c_str(), &status) == 0 && status.st_ino == placement.inode && status.st_dev == placement.device;
}

bool exists(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0;
}

/// 0 or the reason. What was at the target is then under `staged` or `old`.
int place(const Placement& placement) {
  const char* const staged = placement.staged.c_str();
  const char* const target = placement.target.c_str();
  if (!exists(placement.target)) return ::rename(staged, target) == 0 ? 0 : errno;
  if (::renameat2(AT_FDCWD, staged, AT_FDCWD, target, RENAME_EXCHANGE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return errno;
  // A file system that cannot exchange names: a second name keeps the old file.
  if (::link(target, placement.old.c_str()) != 0 && errno != EEXIST) return errno;
  return ::rename(staged, target) == 0 ? 0 : errno;
}

void take_back(const Placement& placement) {
  const char* const staged = placement.staged.c_str();
  const char* const target = placement.target.c_str();
  if (exists(placement.old)) {
    ::rename(placement.old.c_str(), target);
  } else if (exists(placement.staged)) {
    ::renameat2(AT_FDCWD, staged, AT_FDCWD, target, RENAME_EXCHANGE);
  } else {
    ::rename(target, staged);
  }
}

/// 0 or the reason why none is in place. Goes on where another was ended.
int place_all(std::span<const Placement> placements) {
  int failed = 0;
  for (const Placement& placement : placements) {
    if (failed == 0 && !is_in_place(placement)) failed = place(placement);
  }
  for (const Placement& placement : placements) {
    if (failed != 0 && is_in_place(placement)) take_back(placement);
  }
  for (const Placement& placement : placements) {
    ::unlink(placement.staged.c_str());
    ::unlink(placement.old.c_str());
  }
  return failed;
}

/// 0, the reason, or -1: the process was ended by somebody else.
int place_all_in_child(std::span<const Placement> placements) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);  // handlers are the parent's affair
  const pid_t child = ::_Fork();
  if (child == 0) {
    ::setsid();  // and so is what is sent to its group
    ::_exit(place_all(placements));
  }
  int status = 0;
  const int failed = child < 0 ? place_all(placements) : 0;  // no process to be had
  while (child > 0 && ::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (child < 0) return failed;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

std::error_code place_together(std::span<const Placement> placements) {
  int failed = -1;
  // Each that is ended has placed one file more, or none can.
  for (std::size_t tries = 0; failed < 0 && tries <= placements.size(); ++tries) failed = place_all_in_child(placements);
  return {failed < 0 ? EINTR : failed, std::generic_category()};
}

}  // namespace rooftune::text
