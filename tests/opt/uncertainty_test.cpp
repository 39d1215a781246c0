#include "rooftune/opt/uncertainty.hpp"

#include <gmock/gmock.h>

#include <cmath>

#include "nist_problems.hpp"

namespace rooftune::opt {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

Problem variables(std::vector<std::string> names) {
  Problem problem;
  for (std::string& name : names)
    problem.variables.push_back({.name = std::move(name), .lower = -10.0, .initial = 1.0, .upper = 10.0});
  return problem;
}

constexpr BoundState kFree = BoundState::free;

TEST(Uncertainty, AgreesWithTheTextbookForAStraightLine) {
  // y = a + b t at t = 0, 1, 2 with residuals 1, -2, 1: s^2 = 6, var(a) = 5/6 s^2, var(b) = s^2 / 2, cov = -s^2 / 2.
  const std::vector<double> jacobian{1, 0, 1, 1, 1, 2};
  const std::vector<double> residuals{1, -2, 1};
  const Uncertainty result = estimate_uncertainty(variables({"a", "b"}), residuals, jacobian, std::vector{kFree, kFree});
  EXPECT_EQ(result.degrees_of_freedom, 1);
  EXPECT_NEAR(result.residual_standard_deviation, std::sqrt(6.0), 1e-12);
  EXPECT_THAT(result.standard_errors, ElementsAre(DoubleNear(std::sqrt(5.0), 1e-12), DoubleNear(std::sqrt(3.0), 1e-12)));
  EXPECT_NEAR(result.correlation_of(0, 1), -3.0 / std::sqrt(15.0), 1e-12);
  EXPECT_EQ(result.rank, 2U);
}

TEST(Uncertainty, DoesNotDependOnTheScalesOfTheVariables) {
  Problem scaled = variables({"a", "b"});
  scaled.variables[0].scale = 1e6;
  const std::vector<double> jacobian{1, 0, 1, 1, 1, 2};
  const std::vector<double> residuals{1, -2, 1};
  const Uncertainty plain = estimate_uncertainty(variables({"a", "b"}), residuals, jacobian, std::vector{kFree, kFree});
  const Uncertainty other = estimate_uncertainty(scaled, residuals, jacobian, std::vector{kFree, kFree});
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(other.covariance[i], plain.covariance[i], 1e-8);
}

TEST(Uncertainty, NamesVariablesThatCannotBeToldApart) {
  // Columns 0 and 2 are the same, column 1 stands alone.
  const std::vector<double> jacobian{1, 5, 1, 2, -3, 2, 3, 7, 3, 4, -1, 4, 5, 2, 5};
  const std::vector<double> residuals{0.1, -0.1, 0.1, 0.2, -0.1};
  const Problem problem = variables({"constant", "slope", "per_token"});
  const Uncertainty result = estimate_uncertainty(problem, residuals, jacobian, std::vector{kFree, kFree, kFree});
  EXPECT_EQ(result.rank, 2U);
  EXPECT_TRUE(std::isinf(result.standard_errors[0]));
  EXPECT_TRUE(std::isfinite(result.standard_errors[1]));
  EXPECT_TRUE(std::isinf(result.standard_errors[2]));
  EXPECT_TRUE(std::isnan(result.correlation_of(0, 2)));
  const Direction& last = result.directions.back();
  EXPECT_EQ(last.state, Direction::State::unidentifiable);
  EXPECT_THAT(last.participants, UnorderedElementsAre(0U, 2U));
  EXPECT_THAT(explain_unidentified(problem, result), ElementsAre(HasSubstr("cannot be told apart")));
}

TEST(Uncertainty, SaysThatAVariableHasNoEffect) {
  const std::vector<double> jacobian{1, 0, 2, 0, 3, 0};
  const std::vector<double> residuals{0.1, -0.1, 0.1};
  const Problem problem = variables({"a", "idle"});
  const Uncertainty result = estimate_uncertainty(problem, residuals, jacobian, std::vector{kFree, kFree});
  EXPECT_THAT(result.without_effect, ElementsAre(1U));
  EXPECT_TRUE(std::isinf(result.standard_errors[1]));
  EXPECT_THAT(explain_unidentified(problem, result), ElementsAre("idle has no effect on any residual"));
}

TEST(Uncertainty, HoldsVariablesAtABound) {
  const std::vector<double> jacobian{1, 0, 1, 1, 1, 2};
  const std::vector<double> residuals{1, -2, 1};
  const Uncertainty result =
      estimate_uncertainty(variables({"a", "b"}), residuals, jacobian, std::vector{kFree, BoundState::at_lower});
  EXPECT_THAT(result.held, ElementsAre(1U));
  EXPECT_EQ(result.degrees_of_freedom, 2);
  EXPECT_NEAR(result.standard_errors[0], 1.0, 1e-12);
  EXPECT_EQ(result.standard_errors[1], 0.0);
  EXPECT_THAT(result.directions, SizeIs(1));
}

TEST(Uncertainty, IsNoneWhereEveryVariableIsHeld) {
  const std::vector<BoundState> states(2, BoundState::at_lower);
  const Uncertainty result =
      estimate_uncertainty(variables({"a", "b"}), std::vector<double>{1, -2, 1}, std::vector<double>{1, 0, 1, 1, 1, 2}, states);
  EXPECT_THAT(result.standard_errors, ElementsAre(0.0, 0.0));
  EXPECT_EQ(result.correlation_of(0, 1), 0.0);
  EXPECT_THAT(result.directions, IsEmpty());
}

TEST(Uncertainty, IsInfiniteWithoutDegreesOfFreedom) {
  const std::vector<double> jacobian{1, 0, 1, 1};
  const std::vector<double> residuals{0, 0};
  const Uncertainty result = estimate_uncertainty(variables({"a", "b"}), residuals, jacobian, std::vector{kFree, kFree});
  EXPECT_EQ(result.degrees_of_freedom, 0);
  EXPECT_TRUE(std::isinf(result.standard_errors[0]));
}

TEST(Uncertainty, TakesFiniteDifferencesAtASolutionWithoutDerivatives) {
  const NistProblem& nist = nist_problem("misra1a");
  const Problem problem = nist.problem(1);
  SolveOptions options;
  options.finite_differences = {.basis = FiniteDifferences::Basis::magnitude, .step = 6e-6};
  const auto objective = nist.objective(Support::values);
  const Solution solution = solve(problem, *objective, Algorithm::ceres_lm, options);
  const Uncertainty result = estimate_uncertainty(problem, *objective, solution, options);
  EXPECT_GE(correct_digits(result.standard_errors, nist.standard_deviations), 4.0);
  EXPECT_THAT(explain_unidentified(problem, result), IsEmpty());
}

TEST(Uncertainty, IsUnknownWhereThereIsNoSolution) {
  const auto objective = make_residual_objective([](auto x) { return std::vector<double>{x[0]}; });
  const Uncertainty result = estimate_uncertainty(variables({"a"}), *objective, Solution{});
  EXPECT_EQ(result.rank, 0U);
  EXPECT_TRUE(std::isinf(result.standard_errors[0]));
}

}  // namespace
}  // namespace rooftune::opt
