#pragma once

namespace rooftune::app {

/// How the program ends; scripts rely on it.
enum class ExitCode {
  done = 0,
  bad_input = 1,           ///< bad usage or input: nothing was written
  no_usable_solution = 2,  ///< it ran, but its result cannot be used as it is: none was found, or it was interrupted
};

}  // namespace rooftune::app
