#include "rooftune/opt/gaussian_belief.hpp"

#include <gtest/gtest.h>

#include <array>

namespace rooftune::opt {
namespace {

TEST(GaussianBelief, HalvesTheVarianceThatAnEquallyNoisyObservationSees) {
  GaussianBelief belief(std::array{2.0, 3.0});
  belief.observe(std::array{1.0, 0.0}, 4.0);
  EXPECT_DOUBLE_EQ(belief.covariance(0, 0), 2.0);
  EXPECT_DOUBLE_EQ(belief.covariance(1, 1), 9.0);
  EXPECT_DOUBLE_EQ(belief.covariance(0, 1), 0.0);
}

TEST(GaussianBelief, DoesNotDependOnTheOrderOfObservations) {
  const std::array first{1.0, 2.0, -1.0};
  const std::array second{0.5, -1.0, 3.0};
  GaussianBelief forth(std::array{1.0, 1.0, 1.0});
  forth.observe(first, 0.1);
  forth.observe(second, 0.2);
  GaussianBelief back(std::array{1.0, 1.0, 1.0});
  back.observe(second, 0.2);
  back.observe(first, 0.1);
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < 3; ++j) EXPECT_NEAR(forth.covariance(i, j), back.covariance(i, j), 1e-14);
  }
}

/// (diag(1, 1)^-1 + a a^T / 0.25)^-1 with a = (1, 1), by hand: [5 -4; -4 5] / 9.
TEST(GaussianBelief, EqualsTheInverseOfTheInformation) {
  GaussianBelief belief(std::array{1.0, 1.0});
  belief.observe(std::array{1.0, 1.0}, 0.25);
  EXPECT_NEAR(belief.covariance(0, 0), 5.0 / 9.0, 1e-15);
  EXPECT_NEAR(belief.covariance(0, 1), -4.0 / 9.0, 1e-15);
  EXPECT_NEAR(belief.variance_along(std::array{1.0, 1.0}), 2.0 / 9.0, 1e-15);
  EXPECT_NEAR(belief.variance_along(std::array{1.0, -1.0}), 2.0, 1e-15) << "nothing was learnt across";
}

}  // namespace
}  // namespace rooftune::opt
