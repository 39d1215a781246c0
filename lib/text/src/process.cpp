#include "rooftune/text/process.hpp"

#include <fcntl.h>
#include <poll.h>
extern "C" {  // glibc 2.36 forgot to say so
#include <sys/pidfd.h>
}
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <sstream>

namespace rooftune::text {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

/// What shells say when a program cannot be started.
constexpr int kCannotStart = 127;
/// How often a running program is looked after.
constexpr int kPollTime_ms = 50;

/// The program's file: as it is when it names a place, else the first in PATH.
std::string find_program(const std::string& program, const std::map<std::string, std::string>& environment) {
  const auto path = environment.find("PATH");
  if (program.find('/') != std::string::npos || path == environment.end()) return program;
  std::stringstream folders(path->second);
  for (std::string folder; std::getline(folders, folder, ':');) {
    const fs::path candidate = fs::path(folder) / program;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate.string();
  }
  return program;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

/// In the child, between fork and exec: nothing here may allocate.
[[noreturn]] void become(const char* program, char** arguments, char** environment, const char* folder) {
  ::setpgid(0, 0);
  // A killed rooftune leaves no simulators behind.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (::chdir(folder) == 0) {
    ::dup2(::open("/dev/null", O_RDONLY), STDIN_FILENO);
    ::dup2(::open("stdout", O_WRONLY | O_CREAT | O_TRUNC, 0600), STDOUT_FILENO);
    ::dup2(::open("stderr", O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
    ::execve(program, arguments, environment);
  }
  ::_exit(kCannotStart);
}

std::string read_all(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

/// Waits until the process has ended, is out of time or is cancelled.
void watch(pid_t child, const Process& process, const std::stop_token& cancel, ProcessEnd& end) {
  const Clock::time_point begin = Clock::now();
  const int descriptor = ::pidfd_open(child, 0);
  while (true) {
    pollfd watched{.fd = descriptor, .events = POLLIN, .revents = 0};
    if (::poll(&watched, 1, kPollTime_ms) > 0) break;
    // Where the system has no such descriptors, looking after it again and again does. WNOWAIT: it stays to be collected.
    siginfo_t ended{};
    if (::waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid == child) break;
    end.cancelled = cancel.stop_requested();
    end.timed_out = !end.cancelled && Clock::now() - begin >= process.timeout;
    if (end.cancelled || end.timed_out) break;
  }
  if (descriptor >= 0) ::close(descriptor);
}

}  // namespace

ProcessEnd run_process(const Process& process, const std::stop_token& cancel) {
  ProcessEnd end;
  std::vector<std::string> command = process.command;
  std::vector<std::string> environment;
  for (const auto& [name, value] : process.environment) environment.push_back(name + "=" + value);
  const std::string program = find_program(command.front(), process.environment);
  const std::string folder = process.working_directory.string();
  std::vector<char*> argument_pointers = pointers(command);
  std::vector<char*> environment_pointers = pointers(environment);

  const pid_t child = ::fork();
  if (child < 0) return end;
  if (child == 0) become(program.c_str(), argument_pointers.data(), environment_pointers.data(), folder.c_str());
  ::setpgid(child, child);  // whichever of the two comes first
  watch(child, process, cancel, end);
  // Before the child is collected: until then no other process can have its number.
  ::kill(-child, SIGKILL);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  end.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  end.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  end.output = read_all(process.working_directory / "stdout");
  end.errors = read_all(process.working_directory / "stderr");
  end.started = end.exit_code != kCannotStart || !end.errors.empty();
  return end;
}

}  // namespace rooftune::text
