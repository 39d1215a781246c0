#include "rooftune/core/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace rooftune::core {

double quantile_in_place(std::span<double> values, double fraction) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  const double rank = fraction * static_cast<double>(values.size() - 1);
  const auto lower = static_cast<std::size_t>(std::floor(rank));
  const double weight = rank - static_cast<double>(lower);
  const auto nth = values.begin() + static_cast<std::ptrdiff_t>(lower);
  std::nth_element(values.begin(), nth, values.end());
  if (weight == 0.0) return *nth;
  const double next = *std::min_element(nth + 1, values.end());
  return *nth + weight * (next - *nth);
}

double mean(std::span<const double> values) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double median(std::span<const double> values) {
  std::vector<double> copy(values.begin(), values.end());
  return quantile_in_place(copy, 0.5);
}

double root_mean_square(std::span<const double> values) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  const double sum = std::transform_reduce(values.begin(), values.end(), 0.0, std::plus<>(), [](double x) { return x * x; });
  return std::sqrt(sum / static_cast<double>(values.size()));
}

double standard_deviation(std::span<const double> values) {
  if (values.size() < 2) return 0.0;
  const double centre = mean(values);
  const double sum = std::transform_reduce(values.begin(), values.end(), 0.0, std::plus<>(),
                                           [centre](double x) { return (x - centre) * (x - centre); });
  return std::sqrt(sum / static_cast<double>(values.size() - 1));
}

}  // namespace rooftune::core
