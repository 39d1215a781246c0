#include "rooftune/core/statistics.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace rooftune::core {
namespace {

double quantile(std::vector<double> values, double fraction) { return quantile_in_place(values, fraction); }

// Worked by hand: rank = fraction * (n - 1), linear between neighbours.
TEST(Quantile, InterpolatesBetweenOrderStatistics) {
  EXPECT_DOUBLE_EQ(quantile({4, 1, 3, 2}, 0.5), 2.5);
  EXPECT_DOUBLE_EQ(quantile({4, 1, 3, 2}, 0.9), 3.7);
  EXPECT_DOUBLE_EQ(quantile({4, 1, 3, 2}, 0.25), 1.75);
  EXPECT_DOUBLE_EQ(quantile({10, 20, 30, 40, 50}, 0.99), 49.6);
}

TEST(Quantile, ReachesTheExtremesAndRepeatsASingleValue) {
  EXPECT_EQ(quantile({4, 1, 3}, 0.0), 1.0);
  EXPECT_EQ(quantile({4, 1, 3}, 1.0), 4.0);
  for (const double fraction : {0.0, 0.3, 0.9, 1.0}) EXPECT_EQ(quantile({7}, fraction), 7.0);
}

TEST(Quantile, CountsTies) { EXPECT_DOUBLE_EQ(quantile({1, 1, 1, 5}, 0.5), 1.0); }

TEST(Quantile, SeveralAreThoseOfTheSortedValues) {
  std::vector<double> values;
  for (int i = 0; i < 1001; ++i) values.push_back(std::fmod(i * 377.7, 101.0));
  std::vector<double> sorted = values;
  std::ranges::sort(sorted);
  EXPECT_THAT(quantiles_in_place(values, {0.0, 0.5, 0.5, 0.9, 0.99, 1.0}),
              testing::ElementsAre(sorted[0], sorted[500], sorted[500], sorted[900], sorted[990], sorted[1000]));
}

TEST(Quantile, OfNothingIsNotANumber) { EXPECT_TRUE(std::isnan(quantile({}, 0.5))); }

TEST(Quantile, NeverFallsWithItsFraction) {
  const std::vector<double> values{9, -3, 2.5, 2.5, 14, 0};
  for (int percent = 1; percent <= 100; ++percent)
    EXPECT_GE(quantile(values, percent / 100.0), quantile(values, (percent - 1) / 100.0));
}

TEST(Averages, MatchHandValues) {
  const std::vector<double> values{2, 4, 4, 4, 5, 5, 7, 9};
  EXPECT_DOUBLE_EQ(mean(values), 5.0);
  EXPECT_DOUBLE_EQ(median(values), 4.5);
  EXPECT_DOUBLE_EQ(root_mean_square(values), std::sqrt(29.0));
  EXPECT_DOUBLE_EQ(standard_deviation(values), std::sqrt(32.0 / 7.0));
}

TEST(Averages, OfNothingAreNotANumberButNothingDoesNotSpread) {
  EXPECT_TRUE(std::isnan(mean({})));
  EXPECT_TRUE(std::isnan(median({})));
  EXPECT_TRUE(std::isnan(root_mean_square({})));
  EXPECT_EQ(standard_deviation({}), 0.0);
  EXPECT_EQ(standard_deviation(std::vector{3.0}), 0.0);
}

}  // namespace
}  // namespace rooftune::core
