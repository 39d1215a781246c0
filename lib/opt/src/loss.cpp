#include "rooftune/opt/loss.hpp"

#include <cmath>

namespace rooftune::opt {
namespace {

/// rho and d rho / dr.
struct LossAndSlope {
  double value;
  double slope;
};

LossAndSlope evaluate(const Loss& loss, double residual) {
  const double scale = loss.scale;
  const double u = residual / scale;
  switch (loss.kind) {
    case LossKind::squares: break;
    case LossKind::huber:
      if (std::abs(u) <= 1.0) break;
      return {scale * scale * (2.0 * std::abs(u) - 1.0), std::copysign(2.0 * scale, residual)};
    case LossKind::cauchy: return {scale * scale * std::log1p(u * u), 2.0 * residual / (1.0 + u * u)};
    case LossKind::tukey: {
      // Tukey's biweight, scaled so that rho = r^2 for small r and scale^2 / 3 for far ones.
      if (std::abs(u) >= 1.0) return {scale * scale / 3.0, 0.0};
      const double rest = 1.0 - u * u;
      return {scale * scale / 3.0 * (1.0 - rest * rest * rest), 2.0 * residual * rest * rest};
    }
  }
  return {residual * residual, 2.0 * residual};
}

}  // namespace

std::string_view name(LossKind kind) {
  switch (kind) {
    case LossKind::squares: return "squares";
    case LossKind::huber: return "huber";
    case LossKind::cauchy: return "cauchy";
    case LossKind::tukey: return "tukey";
  }
  return "unknown";
}

double loss_value(const Loss& loss, double residual) { return evaluate(loss, residual).value; }

RobustResidual robustify(const Loss& loss, double residual) {
  // Every loss is r^2 near zero, where the quotient below loses its digits.
  if (loss.kind == LossKind::squares || std::abs(residual) < 1e-8 * loss.scale) return {residual, 1.0};
  const LossAndSlope rho = evaluate(loss, residual);
  const double root = std::copysign(std::sqrt(rho.value), residual);
  return {root, rho.slope / (2.0 * root)};
}

}  // namespace rooftune::opt
