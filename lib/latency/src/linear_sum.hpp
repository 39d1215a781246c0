#pragma once

#include "rooftune/core/derivative.hpp"

namespace rooftune::latency {

/// A scalar times a plain number.
template <class Scalar>
struct Scaled {
  const Scalar& scalar;
  double factor;
};

/// out = base + the terms. With derivatives in one pass over memory, where operators take one pass each.
template <class... Terms>
void set_sum(double& out, double base, const Terms&... terms) {
  out = (base + ... + (terms.factor * terms.scalar));
}
template <int N, class... Terms>
void set_sum(core::Dual<N>& out, const core::Dual<N>& base, const Terms&... terms) {
  out.a = (base.a + ... + (terms.factor * terms.scalar.a));
  out.v = (base.v + ... + (terms.factor * terms.scalar.v));
}

}  // namespace rooftune::latency
