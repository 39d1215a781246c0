#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace rooftune::io {

/// A text as a cell: in quotes where it must be.
[[nodiscard]] std::string csv_cell(std::string_view text);
/// Empty where there is no value, or none that is finite.
[[nodiscard]] std::string csv_cell(const std::optional<double>& value);
/// "summary", or the stage's index.
[[nodiscard]] std::string stage_cell(int stage);
/// ",ttft_mean_ms,...": the metrics as columns.
[[nodiscard]] std::string metric_columns();

}  // namespace rooftune::io
