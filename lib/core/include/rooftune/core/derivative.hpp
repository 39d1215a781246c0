#pragma once

#include <ceres/jet.h>

#include "rooftune/core/scalar.hpp"

namespace rooftune::core {

template <int N>
double value_of(const Dual<N>& x) {
  return x.a;
}

}  // namespace rooftune::core
