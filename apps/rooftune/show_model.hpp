#pragma once

#include <string>

#include "exit_code.hpp"
#include "options.hpp"

namespace rooftune::app {

struct ShowModelOptions {
  std::string model;  ///< name, folder or file
  int tp = 1;
};

/// Prints what a model is made of and what one of its GPUs holds and does in a step.
[[nodiscard]] ExitCode show_model(const ShowModelOptions& options, const DataOptions& data);

}  // namespace rooftune::app
