#pragma once

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>
#include <ostream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/temporary_folder.hpp"

namespace rooftune::testing_support {

/// How a program is started.
struct ProgramOptions {
  std::filesystem::path working_directory{};         ///< empty: the test's own
  std::map<std::string, std::string> environment{};  ///< set in addition to the test's own
  std::chrono::seconds time_limit{600};              ///< then it is killed, and the result says so
};

/// How a program ended and what it wrote.
struct ProgramResult {
  int exit_code = -1;  ///< -1 when a signal ended it
  int signal = 0;      ///< the signal that ended it, or 0
  bool timed_out = false;
  std::string output;
  std::string errors;

  friend std::ostream& operator<<(std::ostream& stream, const ProgramResult& result) {
    return stream << "exit code " << result.exit_code << ", signal " << result.signal << (result.timed_out ? ", timed out" : "")
                  << "\n--- output\n"
                  << result.output << "--- errors\n"
                  << result.errors;
  }
};

/// A program that runs beside the test. Both of its streams go to files, so that it never waits for a reader.
class RunningProgram {
 public:
  RunningProgram(const std::filesystem::path& program, const std::vector<std::string>& arguments, ProgramOptions options = {})
      : options_(std::move(options)) {
    // Everything that allocates happens before fork: between fork and exec a copy of a threaded process may not.
    const std::string program_text = program.string();
    const std::string output_path = (streams_ / "output").string();
    const std::string errors_path = (streams_ / "errors").string();
    const std::string directory = options_.working_directory.string();
    std::vector<char*> argument_pointers{const_cast<char*>(program_text.c_str())};
    for (const std::string& argument : arguments) argument_pointers.push_back(const_cast<char*>(argument.c_str()));
    argument_pointers.push_back(nullptr);
    const std::vector<std::string> environment = merged_environment();
    std::vector<char*> environment_pointers;
    for (const std::string& entry : environment) environment_pointers.push_back(const_cast<char*>(entry.c_str()));
    environment_pointers.push_back(nullptr);

    process_ = ::fork();
    if (process_ < 0) throw std::runtime_error("cannot fork");
    if (process_ == 0) {
      const int output = ::open(output_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      const int errors = ::open(errors_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      const int input = ::open("/dev/null", O_RDONLY);
      ::dup2(input, STDIN_FILENO);
      ::dup2(output, STDOUT_FILENO);
      ::dup2(errors, STDERR_FILENO);
      if (directory.empty() || ::chdir(directory.c_str()) == 0) {
        ::execve(program_text.c_str(), argument_pointers.data(), environment_pointers.data());
      }
      ::_exit(kCannotStart);
    }
  }
  RunningProgram(const RunningProgram&) = delete;
  RunningProgram& operator=(const RunningProgram&) = delete;
  ~RunningProgram() {
    if (!ended_) {
      send(SIGKILL);
      collect(0);
    }
  }

  /// What it has written to its output so far.
  [[nodiscard]] std::string output_so_far() const { return written("output"); }

  void send(int signal) const {
    if (!ended_) ::kill(process_, signal);
  }

  /// Waits for the end, within the time limit.
  [[nodiscard]] ProgramResult wait() {
    const auto deadline = std::chrono::steady_clock::now() + options_.time_limit;
    bool timed_out = false;
    while (!collect(WNOHANG)) {
      if (std::chrono::steady_clock::now() > deadline) {
        timed_out = true;
        send(SIGKILL);
        collect(0);
        break;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    if (WIFEXITED(status_) && WEXITSTATUS(status_) == kCannotStart && written("errors").empty()) {
      throw std::runtime_error("the program could not be started");
    }
    return {.exit_code = WIFEXITED(status_) ? WEXITSTATUS(status_) : -1,
            .signal = WIFSIGNALED(status_) ? WTERMSIG(status_) : 0,
            .timed_out = timed_out,
            .output = written("output"),
            .errors = written("errors")};
  }

 private:
  static constexpr int kCannotStart = 127;

  /// Whether the program has ended; with flags 0 waits until it has.
  bool collect(int flags) {
    while (!ended_) {
      const pid_t found = ::waitpid(process_, &status_, flags);
      if (found == process_)
        ended_ = true;
      else if (found == 0)
        return false;
      else if (errno != EINTR)
        throw std::runtime_error("cannot wait for the program");
    }
    return true;
  }

  [[nodiscard]] std::string written(std::string_view stream) const {
    return std::filesystem::exists(streams_ / stream) ? streams_.read(stream) : "";
  }

  [[nodiscard]] std::vector<std::string> merged_environment() const {
    std::map<std::string, std::string> merged = options_.environment;
    for (char** entry = environ; *entry != nullptr; ++entry) {
      const std::string text = *entry;
      const std::size_t equals = text.find('=');
      merged.try_emplace(text.substr(0, equals), equals == std::string::npos ? "" : text.substr(equals + 1));
    }
    std::vector<std::string> entries;
    for (const auto& [name, value] : merged) entries.push_back(name + "=" + value);
    return entries;
  }

  ProgramOptions options_;
  TemporaryFolder streams_;
  pid_t process_ = -1;
  int status_ = 0;
  bool ended_ = false;
};

/// Runs a program to its end.
[[nodiscard]] inline ProgramResult run_program(const std::filesystem::path& program, const std::vector<std::string>& arguments,
                                               ProgramOptions options = {}) {
  return RunningProgram(program, arguments, std::move(options)).wait();
}

}  // namespace rooftune::testing_support
