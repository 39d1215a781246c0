#pragma once

#include <cmath>

#include "rooftune/core/derivative.hpp"

namespace rooftune::latency {

/// (a^p + b^p)^(1/p): 1 adds the two, large p takes the larger. Scaled by the larger so that powers stay small; derivatives take one
/// pass over memory.
template <class Scalar>
[[nodiscard]] Scalar p_norm(const Scalar& a, const Scalar& b, const Scalar& p) {
  using core::value_of;
  const bool a_rules = value_of(a) >= value_of(b);
  const Scalar& larger = a_rules ? a : b;
  const Scalar& smaller = a_rules ? b : a;
  if (value_of(smaller) <= 0.0) return larger;
  const double ratio = value_of(smaller) / value_of(larger);
  const double log_ratio = std::log(ratio);
  const double power = std::exp(value_of(p) * log_ratio);
  const double log_sum = std::log(1.0 + power);
  const double root = std::exp(log_sum / value_of(p));
  if constexpr (core::carries_derivatives<Scalar>) {
    const double value = larger.a * root;
    const double of_larger = root / (1.0 + power);
    const double of_p = value / p.a * (power / (1.0 + power) * log_ratio - log_sum / p.a);
    return {value, of_larger * larger.v + of_larger * power / ratio * smaller.v + of_p * p.v};
  } else {
    return larger * root;
  }
}

/// The same with p = 8, for what runs side by side: close to the larger of the two, yet differentiable. By squares and square roots,
/// because every large step that prefills asks for it.
template <class Scalar>
[[nodiscard]] Scalar overlapped(const Scalar& a, const Scalar& b) {
  using core::value_of;
  const bool a_rules = value_of(a) >= value_of(b);
  const Scalar& larger = a_rules ? a : b;
  const Scalar& smaller = a_rules ? b : a;
  if (value_of(smaller) <= 0.0) return larger;
  const double ratio = value_of(smaller) / value_of(larger);
  const double to_2 = ratio * ratio;
  const double to_4 = to_2 * to_2;
  const double sum = 1.0 + to_4 * to_4;
  const double root = std::sqrt(std::sqrt(std::sqrt(sum)));
  if constexpr (core::carries_derivatives<Scalar>) {
    const double of_larger = root / sum;
    return {larger.a * root, of_larger * larger.v + of_larger * (to_4 * to_2 * ratio) * smaller.v};
  } else {
    return larger * root;
  }
}

}  // namespace rooftune::latency
