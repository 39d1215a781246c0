#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <stop_token>
#include <string>
#include <vector>

namespace rooftune::text {

/// A program to run to its end. It sees the environment that is given and no more.
struct Process {
  std::vector<std::string> command;  ///< the program first; looked up in PATH of `environment` when it has no slash
  std::filesystem::path working_directory;
  std::map<std::string, std::string> environment;
  std::chrono::duration<double> timeout{300.0};
};

struct ProcessEnd {
  bool started = false;
  bool timed_out = false;
  bool cancelled = false;
  int exit_code = -1;  ///< -1 when a signal ended it
  int signal = 0;
  std::string output;
  std::string errors;
};

/// Runs it in a process group of its own, which is killed when time is up, when `cancel` is requested, and with this process.
/// Streams go to files in the working directory ("stdout", "stderr"), so that it never waits for a reader.
[[nodiscard]] ProcessEnd run_process(const Process& process, const std::stop_token& cancel);

}  // namespace rooftune::text
