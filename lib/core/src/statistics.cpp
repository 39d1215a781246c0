#include "rooftune/core/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "rooftune/core/contract.hpp"

namespace rooftune::core {

std::vector<double> quantiles_in_place(std::span<double> values, std::initializer_list<double> fractions) {
  if (values.empty()) return std::vector<double>(fractions.size(), std::numeric_limits<double>::quiet_NaN());
  std::vector<double> quantiles;
  auto from = values.begin();  // what lies before is smaller
  for (const double fraction : fractions) {
    const double rank = fraction * static_cast<double>(values.size() - 1);
    const double lower = std::floor(rank);
    const auto nth = values.begin() + static_cast<std::ptrdiff_t>(lower);
    ROOFTUNE_EXPECTS(nth >= from);
    std::nth_element(from, nth, values.end());
    quantiles.push_back(*nth);
    if (rank > lower) quantiles.back() += (rank - lower) * (*std::min_element(nth + 1, values.end()) - *nth);
    from = nth;
  }
  return quantiles;
}

double quantile_in_place(std::span<double> values, double fraction) { return quantiles_in_place(values, {fraction}).front(); }

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
