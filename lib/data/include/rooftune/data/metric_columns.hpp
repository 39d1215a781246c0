#pragma once

#include <string>

/// What the tables that we write have in common.
namespace rooftune::data {

/// "summary", or the stage's index.
[[nodiscard]] std::string stage_cell(int stage);
/// ",ttft_mean_ms,...": the metrics as columns.
[[nodiscard]] std::string metric_columns();

}  // namespace rooftune::data
