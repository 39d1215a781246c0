// Everything here runs between fork and exec, or in a process that never calls exec: a copy of a program with many threads, of which
// only one is left. Locks may be held by threads that are not there, so nothing allocates and only system calls are used.
#include "minder.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <ctime>
#include <utility>

namespace rooftune::text {
namespace {

/// How often the minder looks at its children when nothing wakes it.
constexpr int kMinderPoll_ms = 20;
/// Processes that the system cannot end (they wait for a disk) are left to it after this many rounds of a millisecond.
constexpr int kMostRounds = 10'000;

void close_range_of(unsigned first, unsigned last) {
  if (first > last) return;
  if (::syscall(SYS_close_range, first, last, 0U) == 0) return;
  constexpr unsigned kUsualLimit = 65'536;  // of open files, on systems before 5.9
  for (unsigned number = first; number <= std::min(last, kUsualLimit); ++number) ::close(static_cast<int>(number));
}

/// Nothing of the parent stays open here: neither its databases and locks nor the pipes of whoever waits for its end.
void close_all_but(std::array<int, 4> kept) {
  std::sort(kept.begin(), kept.end());
  unsigned first = STDERR_FILENO + 1;
  for (const int number : kept) {
    close_range_of(first, static_cast<unsigned>(number) - 1);
    first = static_cast<unsigned>(number) + 1;
  }
  close_range_of(first, ~0U);
}

void give_up_streams() {
  const int nowhere = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(nowhere, stream);
  if (nowhere > STDERR_FILENO) ::close(nowhere);
}

[[noreturn]] void become(const MinderTask& task) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::dup2(task.output, STDOUT_FILENO);
  ::dup2(task.errors, STDERR_FILENO);
  close_range_of(STDERR_FILENO + 1, ~0U);
  const bool is_there = ::chdir(task.folder) == 0;
  if (is_there && task.reads_input) {
    const int input = ::open(kInputName, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (input < 0) ::_exit(kCannotStart);
    ::dup2(input, STDIN_FILENO);
  }
  if (is_there) ::execve(task.program, task.arguments, task.environment);
  ::_exit(kCannotStart);
}

/// Kills every child that the minder has now. The system lists them in a file, as numbers with a space behind each.
void kill_children() {
  const int list = ::open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
  if (list < 0) return;
  pid_t child = 0;
  std::array<char, 4096> piece{};
  for (ssize_t length = ::read(list, piece.data(), piece.size()); length > 0; length = ::read(list, piece.data(), piece.size())) {
    for (ssize_t i = 0; i < length; ++i) {
      const char c = piece[static_cast<std::size_t>(i)];
      if (c >= '0' && c <= '9') {
        child = child * 10 + (c - '0');
      } else if (child > 0) {
        ::kill(std::exchange(child, 0), SIGKILL);
      }
    }
  }
  ::close(list);
}

/// Ends all descendants: those of a killed child become children in their turn.
void end_all(pid_t program) {
  ::kill(-program, SIGKILL);
  for (int round = 0; round < kMostRounds; ++round) {
    kill_children();
    pid_t ended = 0;
    while ((ended = ::waitpid(-1, nullptr, WNOHANG)) > 0) {
    }
    if (ended < 0 && errno == ECHILD) return;
    const timespec pause{.tv_sec = 0, .tv_nsec = 1'000'000};
    ::nanosleep(&pause, nullptr);
  }
}

enum class Reason { program_ended, asked_to, parent_was_killed };

/// Waits for the first thing that makes an end. Collects orphans meanwhile; the program itself stays to be collected, so that its
/// number stays its own.
Reason wait_for_end(pid_t program, int control) {
  const int ended_program = static_cast<int>(::syscall(SYS_pidfd_open, program, 0U));
  while (true) {
    std::array<pollfd, 2> watched{
        {{.fd = control, .events = POLLIN, .revents = 0}, {.fd = ended_program, .events = POLLIN, .revents = 0}}};
    ::poll(watched.data(), watched.size(), ended_program < 0 ? kMinderPoll_ms : 50 * kMinderPoll_ms);
    siginfo_t child{};
    while (::waitid(P_ALL, 0, &child, WEXITED | WNOHANG | WNOWAIT) == 0 && child.si_pid > 0 && child.si_pid != program) {
      ::waitpid(child.si_pid, nullptr, WNOHANG);
      child = {};
    }
    child = {};
    if (::waitid(P_PID, static_cast<id_t>(program), &child, WEXITED | WNOHANG | WNOWAIT) == 0 && child.si_pid == program) {
      return Reason::program_ended;
    }
    if (watched[0].revents == 0) continue;
    char asked = 0;
    return ::read(control, &asked, 1) == 1 ? Reason::asked_to : Reason::parent_was_killed;
  }
}

}  // namespace

void mind(const MinderTask& task) {
  // A session of its own: what a terminal or a shell sends to the parent's group is the parent's affair.
  ::setsid();
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  ::prctl(PR_SET_NAME, "rooftune-minder");
  sigset_t all;
  sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  struct sigaction usual {};
  usual.sa_handler = SIG_DFL;
  ::sigaction(SIGCHLD, &usual, nullptr);  // where it is ignored, nobody can wait
  ::sigaction(SIGPIPE, &usual, nullptr);
  close_all_but({task.output, task.errors, task.control, task.report});
  give_up_streams();

  const pid_t program = ::_Fork();
  if (program == 0) become(task);
  int status = kCannotStart << 8;  // as if it had ended so
  if (program < 0) {
    static_cast<void>(!::write(task.report, &status, sizeof status));
    ::_exit(0);
  }
  ::setpgid(program, program);  // whichever of the two comes first
  const Reason reason = wait_for_end(program, task.control);
  ::kill(-program, SIGKILL);
  if (reason != Reason::program_ended) ::kill(program, SIGKILL);
  while (::waitpid(program, &status, 0) < 0 && errno == EINTR) {
  }
  end_all(program);
  if (reason != Reason::parent_was_killed) {
    static_cast<void>(!::write(task.report, &status, sizeof status));
    ::_exit(0);
  }
  const char* const remover[] = {"rm", "-rf", "--", task.folder, nullptr};
  const char* const nothing[] = {nullptr};
  ::execve("/bin/rm", const_cast<char* const*>(remover), const_cast<char* const*>(nothing));
  ::_exit(0);
}

}  // namespace rooftune::text
