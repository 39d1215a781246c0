#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace rooftune::text {

/// A text as a cell: in quotes where it must be, and behind an apostrophe where a spreadsheet would take it for a formula.
[[nodiscard]] std::string csv_cell(std::string_view text);
/// Empty where there is no value, or none that is finite.
[[nodiscard]] std::string csv_cell(const std::optional<double>& value);

}  // namespace rooftune::text
