#include "rooftune/domain/experiment.hpp"

#include <algorithm>
#include <cmath>

namespace rooftune::domain {

std::string_view all2all_backend_name(All2AllBackend backend) {
  return std::ranges::find(kAll2AllBackends, backend, [](const auto& entry) { return entry.second; })->first;
}

std::optional<All2AllBackend> find_all2all_backend(std::string_view name) {
  const auto found = std::ranges::find(kAll2AllBackends, name, [](const auto& entry) { return entry.first; });
  return found != kAll2AllBackends.end() ? std::optional(found->second) : std::nullopt;
}

std::string_view metric_name(Metric metric) {
  switch (metric) {
    case Metric::ttft_mean: return "ttft_mean_ms";
    case Metric::ttft_p90: return "ttft_p90_ms";
    case Metric::ttft_p99: return "ttft_p99_ms";
    case Metric::e2e_mean: return "e2e_mean_ms";
    case Metric::e2e_p90: return "e2e_p90_ms";
    case Metric::e2e_p99: return "e2e_p99_ms";
    case Metric::tpot_mean: return "tpot_mean_ms";
    case Metric::ttft_median: return "ttft_median_ms";
    case Metric::e2e_median: return "e2e_median_ms";
    case Metric::tpot_median: return "tpot_median_ms";
  }
  return "";
}

std::optional<Metric> find_metric(std::string_view name) {
  for (const Metric metric : kMetrics) {
    if (metric_name(metric) == name) return metric;
  }
  return std::nullopt;
}

core::RequestsPerSecond ramped_rate(const Arrival& arrival, int i, int count) {
  const double progress = count > 1 ? static_cast<double>(i) / (count - 1) : 0.0;
  const double first = arrival.first_rate.value;
  const double last = arrival.last_rate.value;
  return {arrival.rate_ramp == RateRamp::linear ? first + (last - first) * progress : first * std::pow(last / first, progress)};
}

core::RequestsPerSecond mean_rate(const Arrival& arrival, int count) {
  double duration_s = 0.0;
  for (int i = 0; i < count; ++i) duration_s += 1.0 / ramped_rate(arrival, i, count).value;
  return {count / duration_s};
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
