#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "command_line.hpp"

namespace rooftune::testing_support {

/// Where these tests are built there is Open MPI (CMakeLists.txt); without its launcher they fail.
inline std::string mpirun_program() {
  std::stringstream path(std::getenv("PATH") == nullptr ? "" : std::getenv("PATH"));
  for (std::string folder; std::getline(path, folder, ':');) {
    if (std::filesystem::exists(folder + "/mpirun")) return folder + "/mpirun";
  }
  return "";
}

inline const std::string kMpirun = mpirun_program();

/// As tests may run: as root, with more ranks than cores, and without a network.
inline ProgramOptions mpirun_options() {
  return {
      .environment = {{"OMPI_ALLOW_RUN_AS_ROOT", "1"}, {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"}, {"OMPI_MCA_btl", "self,vader,tcp"}}};
}

inline std::vector<std::string> mpirun_arguments(int ranks, const std::vector<std::string>& command) {
  std::vector<std::string> arguments{"--oversubscribe", "--bind-to", "none", "-n", std::to_string(ranks), rooftune_program()};
  arguments.insert(arguments.end(), command.begin(), command.end());
  return arguments;
}

/// Runs the program under test on so many ranks; alone for 1.
inline ProgramResult on_ranks(int ranks, const std::vector<std::string>& command) {
  return ranks == 1 ? rooftune(command) : run_program(kMpirun, mpirun_arguments(ranks, command), mpirun_options());
}

/// A study of two runs that simulator.sh beside it predicts, called with the value of a parameter and its own folder.
inline std::string scripted_study() {
  return "name: scripted\ndata:\n  ground_truth: [" + shipped("experiments/external_example/ground_truth.json") + R"(]
  select: {id: [short-prompts, long-prompts]}
simulator:
  command: [sh, "${folder}/simulator.sh", "${parameter:scale}", "${folder}"]
  metrics: {e2e_mean_ms: {json: /e2e}}
  parameters: [{name: scale, lower: 1, initial: 4000, upper: 90000}]
free: [external.scale]
objective: {metrics: {e2e_mean_ms: 1}}
solver: [{algorithm: ceres_lm, max_evaluations: 10}]
crossval: {split: LeaveOneGroupOut, group: experiment}
)";
}

/// Processes that live, by their parent and by the name of their program.
inline std::vector<pid_t> children(pid_t of, const std::string& program) {
  std::vector<pid_t> found;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    std::ifstream file(entry.path() / "stat");
    pid_t pid = 0;
    std::string name;
    std::string state;
    pid_t parent = 0;
    if (file >> pid >> name >> state >> parent && parent == of && name == "(" + program + ")" && state != "Z") found.push_back(pid);
  }
  return found;
}

/// Of the one mpirun that this test has started; empty once it has ended.
inline std::vector<pid_t> running_ranks() {
  const std::vector<pid_t> launchers = children(::getpid(), "mpirun");
  return launchers.empty() ? std::vector<pid_t>{} : children(launchers.front(), "rooftune");
}

}  // namespace rooftune::testing_support
