#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "support/places.hpp"
#include "support/run_program.hpp"

namespace rooftune::testing_support {

/// Runs the program under test.
inline ProgramResult rooftune(const std::vector<std::string>& arguments, ProgramOptions options = {}) {
  return run_program(rooftune_program(), arguments, std::move(options));
}

/// A file of the source tree.
inline std::string shipped(const std::string& path) { return testing_support::source_folder().string() + "/" + path; }

inline const std::string kGroundTruth = shipped("ground_truth/h100.json");

/// A study on two short runs that is fitted in a moment. Experiments 66 and 64: Qwen2.5-7B, 62: Nemo.
inline std::string small_study(const std::string& ids = "['64', '62']", const std::string& free = "physics.t_layer_us") {
  return "name: small\ndata:\n  ground_truth: [" + kGroundTruth + "]\n  select: {id: " + ids +
         "}\nstart:\n  step_time_model: physics\nfree:\n  - frontend.constant_us\n  - " + free +
         "\nsolver:\n  - {algorithm: ceres_lm, max_evaluations: 20}\ncrossval: {split: LeaveOneGroupOut, group: model}\n";
}

}  // namespace rooftune::testing_support
