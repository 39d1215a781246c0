#pragma once

#include <algorithm>
#include <array>
#include <cmath>

/// Whole experts dealt to GPUs: a layer takes as long as the GPU that its tokens happen to load most.
namespace rooftune::kernels {

/// By how many standard deviations the largest of `ranks` normal loads is expected to be above their mean (order statistics of the
/// normal distribution at 2, 4, 8 ... 64, interpolated in the logarithm of the ranks; within 2 %).
[[nodiscard]] inline double busiest_deviation(int ranks) {
  constexpr std::array<double, 7> at_powers_of_two{0.0, 0.564, 1.029, 1.424, 1.766, 2.070, 2.344};
  const double position = std::clamp(std::log2(static_cast<double>(std::max(1, ranks))), 0.0, 6.0);
  const auto below = std::min(static_cast<std::size_t>(position), at_powers_of_two.size() - 2);
  const double part = position - static_cast<double>(below);
  return at_powers_of_two[below] + part * (at_powers_of_two[below + 1] - at_powers_of_two[below]);
}

/// Pairs of a token and an expert on the busiest of `ranks` GPUs over their mean, for `pairs` in all that fall on them at random.
/// Routing of a real model is less even than that (the rows of kernel tables with a power law say by how much).
[[nodiscard]] inline double busiest_pairs(double pairs, int ranks) {
  if (ranks <= 1) return 1.0;
  const double mean = pairs / ranks;
  return std::min(static_cast<double>(ranks), 1.0 + busiest_deviation(ranks) * std::sqrt((1.0 - 1.0 / ranks) / mean));
}

/// Experts that tokens reach on the busiest of `ranks` GPUs over their mean, where `distinct` of `experts` are reached in all.
template <class Scalar>
[[nodiscard]] Scalar busiest_experts(const Scalar& distinct, double experts, int ranks) {
  using std::sqrt;
  if (ranks <= 1) return Scalar(1.0);
  const double own = experts / ranks;
  const Scalar mean = distinct / static_cast<double>(ranks);
  const Scalar rest = 1.0 - mean / own;
  if (!(rest > 1e-12)) return Scalar(1.0);
  const Scalar factor = 1.0 + busiest_deviation(ranks) * sqrt(rest / mean);
  const Scalar most = own / mean;
  return factor < most ? factor : most;
}

/// The same as a number: as many experts reached on all GPUs as if each had reached the busiest one's, and its derivative.
struct BusiestReached {
  double experts = 0.0;
  double slope = 1.0;
};
[[nodiscard]] inline BusiestReached busiest_reached(double distinct, double experts, int ranks) {
  if (ranks <= 1 || distinct <= 0.0) return {.experts = distinct, .slope = 1.0};
  const double rest = 1.0 - distinct / experts;
  if (!(rest > 1e-12)) return {.experts = distinct, .slope = 1.0};
  const double spread = std::sqrt(static_cast<double>(ranks) * distinct * rest);
  const double busiest = distinct + busiest_deviation(ranks) * spread;
  if (busiest >= experts) return {.experts = experts, .slope = 0.0};
  return {.experts = busiest, .slope = 1.0 + 0.5 * busiest_deviation(ranks) * ranks * (1.0 - 2.0 * distinct / experts) / spread};
}

}  // namespace rooftune::kernels
