#pragma once

namespace rooftune::latency {

/// By how many mean delays the slowest of `ranks` is behind the average one: 1/2 + ... + 1/ranks, the expected maximum of
/// exponentially distributed delays over their mean, less one. An all-reduce ends when the slowest rank has come to it.
[[nodiscard]] inline double rank_lag(int ranks) {
  double lag = 0.0;
  for (int rank = 2; rank <= ranks; ++rank) lag += 1.0 / rank;
  return lag;
}

}  // namespace rooftune::latency
