#include "csv_pieces.hpp"

#include <fmt/format.h>

#include <cmath>

#include "rooftune/domain/experiment.hpp"

namespace rooftune::io {

std::string csv_cell(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

std::string csv_cell(const std::optional<double>& value) { return value && std::isfinite(*value) ? fmt::format("{}", *value) : ""; }

std::string stage_cell(int stage) { return stage == domain::kSummaryStage ? "summary" : fmt::format("{}", stage); }

std::string metric_columns() {
  std::string text;
  for (const domain::Metric metric : domain::kMetrics) text += fmt::format(",{}", domain::metric_name(metric));
  return text;
}

}  // namespace rooftune::io
