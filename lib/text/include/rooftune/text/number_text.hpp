#pragma once

#include <string_view>

namespace rooftune::text {

// How files spell numbers. Read character by character: a regular expression of the standard library recurses once for each.

/// What JSON and YAML 1.2 both read as a decimal number, with an optional plus sign: "-1", "0.5", ".5", "2.", "1e-3".
[[nodiscard]] bool is_decimal_number(std::string_view text);

/// "010": a number that some readers take for an octal one.
[[nodiscard]] bool has_leading_zero(std::string_view text);

/// "nan", "-.inf", "Infinity": what is written for numbers that are not finite.
[[nodiscard]] bool is_special_number(std::string_view text);

/// The same letters, large or small. ASCII alone.
[[nodiscard]] bool equals_ignoring_case(std::string_view text, std::string_view lower_case);

}  // namespace rooftune::text
