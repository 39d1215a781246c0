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

/// By how much the loads of GPUs differ that experts are dealt to of which some are wanted more than others, chance apart: the
/// variance of one GPU's load over the square of the mean one, and its slope in the exponent.
struct DealtVariance {
  double value = 0.0;
  double slope = 0.0;
};

/// The i-th most wanted of `experts` takes a share of the pairs in proportion to i^-exponent (0: all alike), and which GPU has which
/// is chance: the mean of experts / ranks draws without replacement.
[[nodiscard]] inline DealtVariance dealt_variance(double experts, int ranks, double exponent) {
  const double own = experts / ranks;
  if (ranks <= 1 || experts <= 1.0 || own >= experts) return {};
  double sum = 0.0;
  double squares = 0.0;
  double sum_slope = 0.0;
  double squares_slope = 0.0;
  for (double i = 1.0; i <= experts; ++i) {
    const double share = std::pow(i, -exponent);
    sum += share;
    squares += share * share;
    sum_slope -= std::log(i) * share;
    squares_slope -= 2.0 * std::log(i) * share * share;
  }
  const double drawn = (experts - own) / (own * (experts - 1.0));
  const double relative = experts * squares / (sum * sum);
  return {.value = drawn * (relative - 1.0), .slope = drawn * relative * (squares_slope / squares - 2.0 * sum_slope / sum)};
}

/// Pairs of a token and an expert on the busiest of `ranks` GPUs over their mean, for `pairs` in all: they fall on experts at
/// random, and those lie on GPUs whose loads differ by `dealt` anyway.
template <class Scalar>
[[nodiscard]] Scalar busiest_pairs(double pairs, int ranks, const Scalar& dealt) {
  using std::sqrt;
  if (ranks <= 1) return Scalar(1.0);
  const double mean = pairs / ranks;
  const double chance = (1.0 - 1.0 / ranks) / mean;
  const Scalar factor = 1.0 + busiest_deviation(ranks) * sqrt(chance + dealt);
  const Scalar most(static_cast<double>(ranks));
  return factor < most ? factor : most;
}
/// Where all experts are wanted alike.
[[nodiscard]] inline double busiest_pairs(double pairs, int ranks) { return busiest_pairs(pairs, ranks, 0.0); }

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
