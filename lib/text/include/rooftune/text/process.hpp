#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <stop_token>
#include <string>
#include <vector>

namespace rooftune::text {

/// A program to run to its end. It sees the environment that is given and no more, and none of our open files.
struct Process {
  std::vector<std::string> command;  ///< the program first; looked up in PATH of `environment` when it has no slash
  std::filesystem::path working_directory;
  std::map<std::string, std::string> environment;
  std::chrono::duration<double> timeout{300.0};
  std::string input{};  ///< what it finds on its standard input; empty: nothing
};

struct ProcessEnd {
  bool started = false;
  bool timed_out = false;
  bool cancelled = false;
  bool wrote_too_much = false;  ///< more than limits::kProgramOutputBytes to one of its streams
  int exit_code = -1;           ///< -1 when a signal ended it
  int signal = 0;
  std::string output;
  std::string errors;
};

/// Runs it under a minder (minder.hpp): it and all that it started end when it ends, when time is up, when it writes without end,
/// when `cancel` is requested, and when this process ends in any way; then the working directory is removed as well. Streams go to
/// files in the working directory ("stdin", "stdout", "stderr"), so that it never waits for a reader.
[[nodiscard]] ProcessEnd run_process(const Process& process, const std::stop_token& cancel);

}  // namespace rooftune::text
