#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "certified_problems.hpp"

namespace rooftune::opt {
namespace {

class Conformance : public testing::TestWithParam<Algorithm> {};

TEST_P(Conformance, ReachesKnownMinimaAsWellAsItsKindAllows) {
  const Bar bar = bar_of(GetParam());
  int solved = 0;
  std::string missed;
  for (const CertifiedProblem& certified : certified_problems()) {
    const auto objective = make_residual_objective(certified.residuals);
    const Solution solution = solve(certified.problem, *objective, GetParam(), smooth_options());
    const double above = excess(certified, solution, describe(GetParam()).scope);
    EXPECT_GE(above, -1e-9) << certified.name << ": below the certified minimum";
    if (above <= bar.tolerance) {
      ++solved;
    } else {
      missed += " " + certified.name;
    }
  }
  EXPECT_GE(solved, bar.solved) << "missed:" << missed;
}

TEST(CertifiedProblems, AreThe35OfThePaper) { EXPECT_EQ(certified_problems().size(), 35U); }

/// The largest cosine between the residuals and a column of their Jacobian, by central differences: 0 where no variable moves
/// the sum of squares, whatever its scale.
double slope(const CertifiedProblem& certified, const std::vector<double>& at) {
  const std::vector<double> middle = certified.residuals(at);
  double largest = 0.0;
  for (std::size_t i = 0; i < at.size(); ++i) {
    const double step = 6e-6 * std::max(std::abs(at[i]), 1e-3);
    std::vector<double> up = at;
    std::vector<double> down = at;
    up[i] += step;
    down[i] -= step;
    const std::vector<double> above = certified.residuals(up);
    const std::vector<double> below = certified.residuals(down);
    double dot = 0.0;
    double column = 0.0;
    double length = 0.0;
    for (std::size_t row = 0; row < middle.size(); ++row) {
      const double derivative = (above[row] - below[row]) / (2.0 * step);
      dot += derivative * middle[row];
      column += derivative * derivative;
      length += middle[row] * middle[row];
    }
    if (column > 0.0 && length > 0.0) largest = std::max(largest, std::abs(dot) / std::sqrt(column * length));
  }
  return largest;
}

TEST(CertifiedProblems, HaveNoSlopeWhereTheirMinimumIsReached) {
  for (const CertifiedProblem& certified : certified_problems()) {
    Solution best;
    for (const Algorithm algorithm : {Algorithm::ceres_lm, Algorithm::ceres_dogleg, Algorithm::bobyqa, Algorithm::mlsl}) {
      const auto objective = make_residual_objective(certified.residuals);
      Solution solution = solve(certified.problem, *objective, algorithm, smooth_options());
      if (!best.has_point() || solution.value < best.value) best = std::move(solution);
    }
    if (certified.minimum > 0.0) {
      EXPECT_NEAR(best.value / certified.minimum, 1.0, 1e-10) << certified.name;
      EXPECT_LT(slope(certified, best.point), 1e-5) << certified.name;
    } else {
      // Every residual is 0, and with them every slope.
      EXPECT_LT(best.value, 1e-16) << certified.name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EveryAlgorithm, Conformance, testing::ValuesIn([] {
                           std::vector<Algorithm> all;
                           for (const AlgorithmInfo& row : algorithms()) all.push_back(row.algorithm);
                           return all;
                         }()),
                         [](const auto& test) { return std::string(name(test.param)); });

}  // namespace
}  // namespace rooftune::opt
