#pragma once

#include <cmath>

#include "rooftune/core/derivative.hpp"

namespace rooftune::latency {

/// (a^p + b^p)^(1/p): 1 adds the two, large p takes the larger. Scaled by the larger so that powers stay small.
template <class Scalar>
[[nodiscard]] Scalar p_norm(const Scalar& a, const Scalar& b, const Scalar& p) {
  using std::exp;
  using std::log;
  const bool a_rules = core::value_of(a) >= core::value_of(b);
  const Scalar& larger = a_rules ? a : b;
  const Scalar& smaller = a_rules ? b : a;
  if (core::value_of(smaller) <= 0.0) return larger;
  const Scalar ratio_to_p = exp(p * log(smaller / larger));
  return larger * exp(log(1.0 + ratio_to_p) / p);
}

}  // namespace rooftune::latency
