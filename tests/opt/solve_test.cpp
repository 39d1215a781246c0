#include "rooftune/opt/solve.hpp"

#include <gmock/gmock.h>

#include <vector>

namespace rooftune::opt {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;

/// Rosenbrock 1960 as two residuals; minimum 0 at (1, 1).
std::vector<double> rosenbrock(std::span<const double> x) { return {10.0 * (x[1] - x[0] * x[0]), 1.0 - x[0]}; }

Problem two_variables() {
  return {{{.name = "a", .lower = -5.0, .initial = -1.2, .upper = 5.0}, {.name = "b", .lower = -5.0, .initial = 1.0, .upper = 5.0}}};
}

TEST(Solve, FindsTheMinimumOfResidualsWithoutDerivatives) {
  const auto objective = make_residual_objective(rosenbrock);
  SolveOptions options;
  options.finite_differences.step = 1e-5;
  for (const Algorithm algorithm : {Algorithm::ceres_lm, Algorithm::bobyqa}) {
    const Solution solution = solve(two_variables(), *objective, algorithm, options);
    EXPECT_THAT(solution.point, ElementsAre(DoubleNear(1.0, 1e-3), DoubleNear(1.0, 1e-3)))
        << name(algorithm) << " " << format(solution.termination);
  }
}

}  // namespace
}  // namespace rooftune::opt
