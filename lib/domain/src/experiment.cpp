#include "rooftune/domain/experiment.hpp"

namespace rooftune::domain {

std::string_view metric_name(Metric metric) {
  switch (metric) {
    case Metric::ttft_mean: return "ttft_mean_ms";
    case Metric::ttft_p90: return "ttft_p90_ms";
    case Metric::ttft_p99: return "ttft_p99_ms";
    case Metric::e2e_mean: return "e2e_mean_ms";
    case Metric::e2e_p90: return "e2e_p90_ms";
    case Metric::e2e_p99: return "e2e_p99_ms";
    case Metric::tpot_mean: return "tpot_mean_ms";
  }
  return "";
}

std::optional<Metric> find_metric(std::string_view name) {
  for (const Metric metric : kMetrics) {
    if (metric_name(metric) == name) return metric;
  }
  return std::nullopt;
}

std::string_view role_name(Role role) {
  switch (role) {
    case Role::calibration: return "calibration";
    case Role::new_gpu: return "new_gpu";
    case Role::overload: return "overload";
  }
  return "";
}

}  // namespace rooftune::domain
