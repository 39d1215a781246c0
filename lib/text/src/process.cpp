#include "rooftune/text/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <sstream>
#include <utility>

#include "minder.hpp"
#include "rooftune/core/descriptor.hpp"
#include "rooftune/core/limits.hpp"

namespace rooftune::text {
namespace {

namespace fs = std::filesystem;
using core::Descriptor;
using Clock = std::chrono::steady_clock;

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

struct Pipe {
  Descriptor reader;
  Descriptor writer;
  Pipe() {
    std::array<int, 2> ends{-1, -1};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return;
    reader = Descriptor(ends[0]);
    writer = Descriptor(ends[1]);
  }
};

/// Above the three standard streams, where the minder moves things about.
Descriptor above_streams(Descriptor descriptor) {
  if (!descriptor.is_open() || descriptor.number() > STDERR_FILENO) return descriptor;
  return Descriptor(::fcntl(descriptor.number(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
}

Descriptor new_stream(const fs::path& file) {
  return above_streams(Descriptor(::open(file.c_str(), O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600)));
}

/// Written before the program begins, which opens it by its name.
bool write_input(const fs::path& file, const std::string& text) {
  const Descriptor stream = new_stream(file);
  std::size_t length = 0;
  while (stream.is_open() && length < text.size()) {
    const ssize_t written = ::write(stream.number(), text.data() + length, text.size() - length);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    length += static_cast<std::size_t>(written);
  }
  return stream.is_open();
}

bool is_too_long(const Descriptor& stream) {
  struct stat status {};
  return ::fstat(stream.number(), &status) == 0 && static_cast<std::size_t>(status.st_size) > core::limits::kProgramOutputBytes;
}

/// What the program wrote, as far as it counts. Read by descriptor: the name may lead elsewhere by now.
std::string content_of(const Descriptor& stream) {
  struct stat status {};
  if (::fstat(stream.number(), &status) != 0) return "";
  std::string text(std::min(static_cast<std::size_t>(status.st_size), core::limits::kProgramOutputBytes), '\0');
  std::size_t length = 0;
  while (length < text.size()) {
    const ssize_t received = ::pread(stream.number(), text.data() + length, text.size() - length, static_cast<off_t>(length));
    if (received < 0 && errno == EINTR) continue;
    if (received <= 0) break;
    length += static_cast<std::size_t>(received);
  }
  text.resize(length);
  return text;
}

/// Waits for the minder's report, and asks it for an end when there is a reason to.
void watch(const Process& process, const std::stop_token& cancel, const Pipe& control, const Pipe& report,
           const std::array<const Descriptor*, 2>& streams, ProcessEnd& end) {
  const Clock::time_point begin = Clock::now();
  bool asked = false;
  while (true) {
    pollfd watched{.fd = report.reader.number(), .events = POLLIN, .revents = 0};
    if (::poll(&watched, 1, kPollTime_ms) > 0) return;
    if (asked) continue;
    end.cancelled = cancel.stop_requested();
    end.wrote_too_much = !end.cancelled && std::ranges::any_of(streams, [](const Descriptor* stream) { return is_too_long(*stream); });
    end.timed_out = !end.cancelled && !end.wrote_too_much && Clock::now() - begin >= process.timeout;
    asked = end.cancelled || end.wrote_too_much || end.timed_out;
    const char one = 1;
    if (asked) static_cast<void>(!::write(control.writer.number(), &one, 1));
  }
}

}  // namespace

ProcessEnd run_process(const Process& process, const std::stop_token& cancel) {
  ProcessEnd end;
  std::vector<std::string> command = process.command;
  std::vector<std::string> environment;
  for (const auto& [name, value] : process.environment) environment.push_back(name + "=" + value);
  const std::string program = find_program(command.front(), process.environment);
  const std::string folder = process.working_directory.string();
  const std::vector<char*> argument_pointers = pointers(command);
  const std::vector<char*> environment_pointers = pointers(environment);
  const Descriptor output = new_stream(process.working_directory / "stdout");
  const Descriptor errors = new_stream(process.working_directory / "stderr");
  Pipe control;
  Pipe report;
  control.reader = above_streams(std::move(control.reader));
  report.writer = above_streams(std::move(report.writer));
  if (!output.is_open() || !errors.is_open() || !control.reader.is_open() || !report.writer.is_open()) return end;

  if (!process.input.empty() && !write_input(process.working_directory / kInputName, process.input)) return end;

  const MinderTask task{.program = program.c_str(),
                        .arguments = argument_pointers.data(),
                        .environment = environment_pointers.data(),
                        .folder = folder.c_str(),
                        .output = output.number(),
                        .errors = errors.number(),
                        .reads_input = !process.input.empty(),
                        .control = control.reader.number(),
                        .report = report.writer.number()};
  const pid_t minder = ::fork();
  if (minder < 0) return end;
  if (minder == 0) mind(task);
  control.reader = Descriptor();
  report.writer = Descriptor();
  watch(process, cancel, control, report, {&output, &errors}, end);
  int status = SIGKILL;  // what is reported when somebody has killed the minder
  static_cast<void>(!::read(report.reader.number(), &status, sizeof status));
  while (::waitpid(minder, nullptr, 0) < 0 && errno == EINTR) {
  }
  end.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  end.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  end.wrote_too_much = end.wrote_too_much || is_too_long(output) || is_too_long(errors);
  end.output = content_of(output);
  end.errors = content_of(errors);
  end.started = end.exit_code != kCannotStart || !end.errors.empty();
  return end;
}

}  // namespace rooftune::text
