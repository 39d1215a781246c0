#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "rooftune/domain/metrics.hpp"
#include "rooftune/eval/evaluate.hpp"
#include "rooftune/report/text_table.hpp"

namespace rooftune::report {

/// "TTFT mean", "E2E p90" ...
[[nodiscard]] std::string metric_title(domain::Metric metric);
/// "TTFT", "E2E", "TPOT"
[[nodiscard]] std::string short_title(domain::Metric metric);

/// Milliseconds with three or four significant digits.
[[nodiscard]] std::string milliseconds(double value_ms);
/// "+3.2", toned by its size.
[[nodiscard]] Cell signed_percent(double percent);
/// "3.2"
[[nodiscard]] std::string percent(double percent);
/// MAPE of a metric over all that was evaluated; nothing where it was not measured.
[[nodiscard]] std::optional<double> mean_ape(const eval::Evaluation& evaluation, domain::Metric metric);
/// Four significant digits, for parameters of any size.
[[nodiscard]] std::string significant(double value);
/// "summary" or the stage's index.
[[nodiscard]] std::string stage_title(int stage);

/// "title\n" over the table, with an empty line before it.
[[nodiscard]] std::string titled(std::string_view title, std::string table);

}  // namespace rooftune::report
