#pragma once

#include "rooftune/core/derivative.hpp"

namespace rooftune::latency {

/// A scalar times a plain number.
template <class Scalar>
struct Scaled {
  const Scalar& scalar;
  double factor;
};

/// base + the terms. With derivatives in one pass over memory, where operators take one pass each.
template <class... Terms>
[[nodiscard]] double linear_sum(double base, const Terms&... terms) {
  return (base + ... + (terms.factor * terms.scalar));
}
template <int N, class... Terms>
[[nodiscard]] core::Dual<N> linear_sum(const core::Dual<N>& base, const Terms&... terms) {
  return {(base.a + ... + (terms.factor * terms.scalar.a)), (base.v + ... + (terms.factor * terms.scalar.v))};
}

}  // namespace rooftune::latency
