#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace rooftune::sim {

/// What a model says of a step, as a time of this world, neither infinite nor NaN: at most 31 years. A clock that runs out of
/// numbers would find no next event.
[[gnu::always_inline]] inline double of_this_world(double us) {
  constexpr double kLongestUs = 1e15;
  return us < kLongestUs ? us : kLongestUs;
}

/// Coming steps with linearly growing duration.
struct Stretch {
  std::int64_t steps = 0;     ///< for which it holds; 0: the model is to be asked again
  double first_us = 0.0;      ///< of the coming step
  double last_us = 0.0;       ///< of the step just done
  double increment_us = 0.0;  ///< per step
  bool grows = false;         ///< nobody prefills, so that there may be more steps than one
};

/// Smallest k >= 1 with k * first + increment * k (k - 1) / 2 >= gap: in which of the coming steps a moment falls.
[[gnu::always_inline]] inline std::int64_t steps_until(double gap_us, const Stretch& stretch, std::int64_t limit) {
  const double first_us = stretch.first_us;
  const double increment_us = stretch.increment_us;
  if (gap_us <= first_us || limit <= 1) return 1;
  const auto elapsed = [&](std::int64_t k) {
    const auto steps = static_cast<double>(k);
    return steps * first_us + increment_us * (0.5 * steps * (steps - 1.0));
  };
  if (elapsed(limit) < gap_us) return limit;
  double guess = gap_us / first_us;
  if (guess * guess * increment_us > first_us) {  // by steps of equal length: too far off
    const double b = first_us - 0.5 * increment_us;
    guess = 2.0 * gap_us / (b + std::sqrt(std::max(0.0, b * b + 2.0 * increment_us * gap_us)));
  }
  std::int64_t k = std::clamp(static_cast<std::int64_t>(guess) + 1, std::int64_t{1}, limit);
  while (k > 1 && elapsed(k - 1) >= gap_us) --k;
  while (k < limit && elapsed(k) < gap_us) ++k;
  return k;
}

}  // namespace rooftune::sim
