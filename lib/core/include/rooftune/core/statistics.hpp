#pragma once

#include <initializer_list>
#include <span>
#include <vector>

namespace rooftune::core {

/// Quantile by linear interpolation between order statistics (Hyndman & Fan 1996, type 7; numpy's default).
/// `values` is reordered. `fraction` in [0, 1]. NaN for an empty span.
[[nodiscard]] double quantile_in_place(std::span<double> values, double fraction);
/// One for each of the ascending `fractions`. What the lower ones have ordered spares the higher ones most of the work.
[[nodiscard]] std::vector<double> quantiles_in_place(std::span<double> values, std::initializer_list<double> fractions);

[[nodiscard]] double mean(std::span<const double> values);
[[nodiscard]] double median(std::span<const double> values);
[[nodiscard]] double root_mean_square(std::span<const double> values);
/// Sample standard deviation (n - 1); 0 for fewer than two values.
[[nodiscard]] double standard_deviation(std::span<const double> values);

}  // namespace rooftune::core
