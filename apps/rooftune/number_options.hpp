#pragma once

#include <CLI/CLI.hpp>

#include "rooftune/core/limits.hpp"  // IWYU pragma: export

namespace rooftune::app {

// Checks of numbers on the command line, the same as files get: plain decimal numbers (no nan, no inf, no octal or hexadecimal ones)
// within bounds that the message says in few digits.

[[nodiscard]] CLI::Validator positive(double most);
[[nodiscard]] CLI::Validator not_negative(double most);
[[nodiscard]] CLI::Validator between(double least, double most);
/// Of random streams: any whole number of 64 bits.
[[nodiscard]] CLI::Validator seed();

}  // namespace rooftune::app
