#pragma once

#include <algorithm>
#include <array>

#include "rooftune/domain/experiment.hpp"

namespace rooftune::domain {

/// The means, in the order in which they are shown. A fit differentiates them, stages pool them by requests, and calibrated
/// domains hold their ranges; percentiles have none of that.
inline constexpr std::array kMeanMetrics{Metric::ttft_mean, Metric::e2e_mean, Metric::tpot_mean};
[[nodiscard]] constexpr bool is_mean(Metric metric) { return std::ranges::find(kMeanMetrics, metric) != kMeanMetrics.end(); }

/// The mean of the same latency: E2E p90 belongs to the E2E mean.
[[nodiscard]] constexpr Metric mean_of(Metric metric) {
  switch (metric) {
    case Metric::ttft_mean:
    case Metric::ttft_median:
    case Metric::ttft_p90:
    case Metric::ttft_p99: return Metric::ttft_mean;
    case Metric::e2e_mean:
    case Metric::e2e_median:
    case Metric::e2e_p90:
    case Metric::e2e_p99: return Metric::e2e_mean;
    case Metric::tpot_mean:
    case Metric::tpot_median: break;
  }
  return Metric::tpot_mean;
}

}  // namespace rooftune::domain
