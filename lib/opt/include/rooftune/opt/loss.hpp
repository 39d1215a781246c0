#pragma once

#include <string_view>

namespace rooftune::opt {

/// How a residual r enters the sum that is minimised: rho(r). All equal r^2 for |r| much smaller than `scale`.
enum class LossKind {
  squares,  ///< r^2
  huber,    ///< linear beyond the scale; Huber 1964
  cauchy,   ///< scale^2 log(1 + (r/scale)^2)
  tukey,    ///< constant beyond the scale: far outliers have no pull at all; Beaton & Tukey 1974
};

struct Loss {
  LossKind kind = LossKind::squares;
  /// The residual beyond which observations count as outlying, > 0, in the unit of the residuals. 0.1 is 10 % for log ratios.
  double scale = 1.0;

  friend bool operator==(const Loss&, const Loss&) = default;
};

[[nodiscard]] std::string_view name(LossKind kind);

/// rho(residual).
[[nodiscard]] double loss_value(const Loss& loss, double residual);

/// sign(r) sqrt(rho(r)) and its derivative by r. Least-squares solvers work on these: their sum of squares is the robust
/// objective itself, its gradient is exact, and the Gauss-Newton matrix stays positive semidefinite.
struct RobustResidual {
  double value;
  double slope;
};
[[nodiscard]] RobustResidual robustify(const Loss& loss, double residual);

}  // namespace rooftune::opt
