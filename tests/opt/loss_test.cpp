#include "rooftune/opt/loss.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace rooftune::opt {
namespace {

constexpr LossKind kKinds[] = {LossKind::squares, LossKind::huber, LossKind::cauchy, LossKind::tukey};

TEST(Loss, IsTheSquareForSmallResiduals) {
  for (const LossKind kind : kKinds) EXPECT_NEAR(loss_value({kind, 0.1}, 1e-5) / 1e-10, 1.0, 1e-7) << name(kind);
}

TEST(Loss, TheRobustResidualSquaresToTheLoss) {
  for (const LossKind kind : kKinds) {
    for (const double residual : {-3.0, -0.1, -1e-12, 0.0, 1e-12, 0.05, 0.3, 7.0}) {
      const RobustResidual robust = robustify({kind, 0.2}, residual);
      EXPECT_NEAR(robust.value * robust.value, loss_value({kind, 0.2}, residual), 1e-14) << name(kind) << " " << residual;
      EXPECT_GE(robust.value * residual, 0.0);
    }
  }
}

TEST(Loss, ItsSlopeEqualsTheSymmetricDifference) {
  for (const LossKind kind : kKinds) {
    for (const double residual : {-3.0, -0.13, 1e-3, 0.05, 0.15, 0.3, 7.0}) {
      const Loss loss{kind, 0.2};
      const double h = 1e-6;
      const double difference = (robustify(loss, residual + h).value - robustify(loss, residual - h).value) / (2.0 * h);
      EXPECT_NEAR(robustify(loss, residual).slope, difference, 1e-7) << name(kind) << " " << residual;
    }
  }
}

TEST(Loss, TukeyIsConstantBeyondItsScale) {
  EXPECT_EQ(loss_value({LossKind::tukey, 2.0}, 5.0), loss_value({LossKind::tukey, 2.0}, 500.0));
}

}  // namespace
}  // namespace rooftune::opt
