#include "rooftune/data/metric_columns.hpp"

#include <fmt/format.h>

#include "rooftune/domain/experiment.hpp"

namespace rooftune::data {

std::string stage_cell(int stage) { return stage == domain::kSummaryStage ? "summary" : fmt::format("{}", stage); }

std::string metric_columns() {
  std::string text;
  for (const domain::Metric metric : domain::kMetrics) text += fmt::format(",{}", domain::metric_name(metric));
  return text;
}

}  // namespace rooftune::data
