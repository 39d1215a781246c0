#pragma once

namespace ceres {
template <typename T, int N>
struct Jet;
}

namespace rooftune::core {

/// A value with its first derivatives in N directions (forward-mode automatic differentiation). Named here, so that an
/// interface can speak of it; who computes with it includes derivative.hpp, which brings Ceres and Eigen.
template <int N>
using Dual = ceres::Jet<double, N>;

/// The widths that the simulation is instantiated for; a Jacobian with more columns takes several passes.
inline constexpr int kNarrowWidth = 8;
inline constexpr int kMediumWidth = 16;
inline constexpr int kWideWidth = 24;

template <class Scalar>
struct ScalarTraits {
  static constexpr bool carries_derivatives = false;
  static constexpr int width = 0;
};

template <int N>
struct ScalarTraits<Dual<N>> {
  static constexpr bool carries_derivatives = true;
  static constexpr int width = N;
};

template <class Scalar>
inline constexpr bool carries_derivatives = ScalarTraits<Scalar>::carries_derivatives;

/// The plain value of a scalar: what decides the order of events.
[[nodiscard]] inline double value_of(double x) { return x; }
template <int N>
[[nodiscard]] double value_of(const Dual<N>& x);

}  // namespace rooftune::core
