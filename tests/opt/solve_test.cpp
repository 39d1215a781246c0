#include "rooftune/opt/solve.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <random>
#include <thread>
#include <vector>

#include "certified_problems.hpp"
#include "rooftune/core/random.hpp"
#include "rooftune/opt/pipeline.hpp"

namespace rooftune::opt {
namespace {

using testing::AllOf;
using testing::DoubleNear;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

/// Rosenbrock 1960; minimum 0 at (1, 1).
std::vector<double> rosenbrock(std::span<const double> x) { return {10.0 * (x[1] - x[0] * x[0]), 1.0 - x[0]}; }

Evaluation rosenbrock_with_derivatives(std::span<const double> x) {
  return {.residuals = rosenbrock(x), .jacobian = {-20.0 * x[0], 10.0, -1.0, 0.0}};
}

Problem two_variables(double lower = -5.0, double upper = 5.0) {
  return {
      {{.name = "a", .lower = lower, .initial = -1.2, .upper = upper}, {.name = "b", .lower = -5.0, .initial = 1.0, .upper = 5.0}}};
}

TEST(Solve, UsesTheDerivativesThatAnObjectiveOffers) {
  const auto objective =
      make_objective({.residuals = Support::values_and_derivatives}, [](auto x, Request) { return rosenbrock_with_derivatives(x); });
  const Solution solution = solve(two_variables(), *objective, Algorithm::ceres_lm, smooth_options());
  EXPECT_THAT(solution.point, Each(DoubleNear(1.0, 1e-9)));
  EXPECT_GT(solution.counts.derivatives, 0);
  EXPECT_EQ(solution.counts.differences, 0);
}

TEST(Solve, MinimisesAScalarWithGradientsFromLbfgs) {
  const auto objective = make_objective({.scalar = Support::values_and_derivatives}, [](auto x, Request) {
    const double r0 = 10.0 * (x[1] - x[0] * x[0]);
    const double r1 = 1.0 - x[0];
    return Evaluation{.scalar = r0 * r0 + r1 * r1, .gradient = {-40.0 * x[0] * r0 - 2.0 * r1, 20.0 * r0}};
  });
  const Solution solution = solve(two_variables(), *objective, Algorithm::lbfgs, smooth_options());
  EXPECT_THAT(solution.point, Each(DoubleNear(1.0, 1e-6)));
  EXPECT_EQ(solution.counts.differences, 0);
}

TEST(Solve, MinimisesAScalarWithoutDerivatives) {
  const auto objective = make_scalar_objective([](auto x) { return std::abs(x[0] - 2.0) + std::abs(x[1] + 1.0); });
  for (const Algorithm algorithm : {Algorithm::sbplx, Algorithm::bobyqa, Algorithm::cobyla, Algorithm::crs2}) {
    const Solution solution = solve(two_variables(), *objective, algorithm, smooth_options());
    EXPECT_LT(solution.value, 1e-3) << name(algorithm);
    EXPECT_TRUE(solution.residuals.empty());
  }
}

TEST(Solve, TheTrustRegionAlgorithmsSayThatTheyNeedResiduals) {
  const auto objective = make_scalar_objective([](auto x) { return x[0] * x[0]; });
  const Solution solution = solve(two_variables(), *objective, Algorithm::ceres_lm);
  EXPECT_EQ(solution.termination.reason, Reason::failed);
  EXPECT_THAT(solution.termination.detail, HasSubstr("needs residuals"));
  EXPECT_FALSE(solution.has_point());
}

TEST(Solve, GlobalSearchesSayWhichVariableHasNoFiniteBounds) {
  Problem problem = two_variables();
  problem.variables[1].upper = std::numeric_limits<double>::infinity();
  const auto objective = make_residual_objective(rosenbrock);
  const Solution solution = solve(problem, *objective, Algorithm::crs2);
  EXPECT_EQ(solution.termination.reason, Reason::failed);
  EXPECT_THAT(solution.termination.detail, HasSubstr("'b' has no finite bounds"));
}

TEST(Solve, NamesEveryDefectOfAProblem) {
  Problem problem = two_variables();
  problem.variables[0].initial = 9.0;
  problem.variables[1].scale = 0.0;
  EXPECT_THAT(defects(problem), ElementsAre(HasSubstr("outside its bounds"), HasSubstr("scale 0")));
}

TEST(Solve, NeverEvaluatesOutsideTheBounds) {
  for (const AlgorithmInfo& info : algorithms()) {
    bool outside = false;
    const auto objective = make_residual_objective([&](auto x) {
      outside = outside || x[0] < -5.0 || x[0] > 0.5 || x[1] < -5.0 || x[1] > 5.0;
      return rosenbrock(x);
    });
    const Solution solution = solve(two_variables(-5.0, 0.5), *objective, info.algorithm, smooth_options());
    EXPECT_FALSE(outside) << info.name;
    EXPECT_TRUE(solution.has_point()) << info.name;
  }
}

TEST(Solve, FindsAMinimumOnABoundAndSaysSo) {
  for (const Algorithm algorithm : {Algorithm::ceres_lm, Algorithm::ceres_dogleg, Algorithm::bobyqa, Algorithm::lbfgs}) {
    const auto objective = make_residual_objective(rosenbrock);
    const Solution solution = solve(two_variables(-5.0, 0.5), *objective, algorithm, smooth_options());
    EXPECT_THAT(solution.point, ElementsAre(DoubleNear(0.5, 1e-9), DoubleNear(0.25, 1e-5))) << name(algorithm);
    EXPECT_THAT(solution.bounds, ElementsAre(BoundState::at_upper, BoundState::free)) << name(algorithm);
  }
}

TEST(Solve, LeavesABoundWhenDescentPointsInside) {
  Problem problem = two_variables();
  problem.variables[0].initial = -5.0;
  problem.variables[1].initial = 5.0;
  const auto objective = make_residual_objective(rosenbrock);
  const Solution solution = solve(problem, *objective, Algorithm::ceres_lm, smooth_options());
  EXPECT_THAT(solution.point, Each(DoubleNear(1.0, 1e-6)));
}

TEST(Solve, BobyqaBeginsAtAStartThatLiesNearABound) {
  // A first step of 0.25 does not fit between 0.9 and 1; BOBYQA by itself would move the start to 0.75.
  Problem problem{
      {{.name = "a", .lower = 0.0, .initial = 0.9, .upper = 1.0}, {.name = "b", .lower = -5.0, .initial = 0.0, .upper = 5.0}}};
  std::vector<double> seen;
  const auto objective = make_residual_objective([&](auto x) {
    seen.push_back(x[0]);
    return std::vector<double>{10.0 * (x[0] - 0.92), x[1] - 0.1};
  });
  const Solution solution = solve(problem, *objective, Algorithm::bobyqa, smooth_options());
  EXPECT_THAT(solution.point, ElementsAre(DoubleNear(0.92, 1e-6), DoubleNear(0.1, 1e-6)));
  ASSERT_GE(seen.size(), 5U);
  for (std::size_t i = 0; i < 5; ++i) EXPECT_NEAR(seen[i], 0.9, 0.1 + 1e-12) << i;
}

TEST(Solve, HoldsAVariableWhoseBoundsAreEqual) {
  Problem problem = two_variables();
  problem.variables[0] = {.name = "a", .lower = 0.7, .initial = 0.7, .upper = 0.7};
  const auto objective = make_residual_objective(rosenbrock);
  for (const Algorithm algorithm : {Algorithm::ceres_lm, Algorithm::bobyqa, Algorithm::sbplx, Algorithm::lbfgs}) {
    const Solution solution = solve(problem, *objective, algorithm, smooth_options());
    EXPECT_THAT(solution.point, ElementsAre(0.7, DoubleNear(0.49, 1e-6))) << name(algorithm) << format(solution.termination);
    EXPECT_EQ(solution.bounds[0], BoundState::held);
  }
}

TEST(Solve, ReportsARefusedStartWithItsReason) {
  const auto objective = make_objective({.residuals = Support::values}, [](auto, Request) -> tl::expected<Evaluation, Refusal> {
    return tl::make_unexpected(Refusal{"the queue grows without bound"});
  });
  for (const AlgorithmInfo& info : algorithms()) {
    const Solution solution = solve(two_variables(), *objective, info.algorithm);
    EXPECT_EQ(solution.termination, (Termination{Reason::refused_start, "", "the queue grows without bound"})) << info.name;
    EXPECT_FALSE(solution.has_point());
    EXPECT_EQ(solution.counts.refusals, 1);
  }
}

TEST(Solve, FindsItsWayAroundRefusedPoints) {
  // Everything right of a line that passes close to the minimum is refused.
  const auto objective = make_objective({.residuals = Support::values}, [](auto x, Request) -> tl::expected<Evaluation, Refusal> {
    if (x[0] + x[1] > 2.2) return tl::make_unexpected(Refusal{"overloaded"});
    return Evaluation{.residuals = rosenbrock(x)};
  });
  for (const AlgorithmInfo& info : algorithms()) {
    const Solution solution = solve(two_variables(), *objective, info.algorithm, smooth_options());
    EXPECT_LT(solution.value, info.scope == Scope::global ? 0.1 : 1.0) << info.name << " " << format(solution.termination);
    EXPECT_LE(solution.point[0] + solution.point[1], 2.2) << info.name;
  }
}

TEST(Solve, TakesANumberThatIsNotFiniteForARefusal) {
  const auto objective = make_residual_objective([](auto x) { return std::vector<double>{std::sqrt(x[0] + 2.0) - 1.5, x[1]}; });
  const Solution solution = solve(two_variables(), *objective, Algorithm::ceres_lm, smooth_options());
  EXPECT_THAT(solution.point, ElementsAre(DoubleNear(0.25, 1e-6), DoubleNear(0.0, 1e-6)));
  Problem bad_start = two_variables();
  bad_start.variables[0].initial = -3.0;
  EXPECT_EQ(solve(bad_start, *objective, Algorithm::ceres_lm).termination.reason, Reason::refused_start);
}

TEST(Solve, KeepsTheEvaluationLimitExactly) {
  for (const AlgorithmInfo& info : algorithms()) {
    long calls = 0;
    const auto objective = make_residual_objective([&](auto x) {
      ++calls;
      return rosenbrock(x);
    });
    SolveOptions options = smooth_options();
    options.tolerances = {.value = 0.0, .step = 0.0, .gradient = 0.0};
    options.limits.evaluations = 23;
    const Solution solution = solve(two_variables(), *objective, info.algorithm, options);
    EXPECT_EQ(calls, 23) << info.name;
    EXPECT_EQ(solution.counts.total(), 23) << info.name;
    EXPECT_EQ(solution.termination.reason, Reason::evaluation_limit) << info.name;
    EXPECT_EQ(solution.termination.limit, "evaluations") << info.name;
    EXPECT_EQ(solution.reproducibility, Reproducibility::deterministic) << info.name;
  }
}

TEST(Solve, StopsAtTheTargetValue) {
  SolveOptions options = smooth_options();
  options.limits.target_value = 0.5;
  for (const AlgorithmInfo& info : algorithms()) {
    const auto objective = make_residual_objective(rosenbrock);
    const Solution solution = solve(two_variables(), *objective, info.algorithm, options);
    EXPECT_EQ(solution.termination.reason, Reason::target_reached) << info.name;
    EXPECT_LE(solution.value, 0.5) << info.name;
  }
}

TEST(Solve, StopsAfterTheIterationLimit) {
  SolveOptions options = smooth_options();
  options.limits.iterations = 3;
  const auto objective = make_residual_objective(rosenbrock);
  const Solution solution = solve(two_variables(), *objective, Algorithm::ceres_lm, options);
  EXPECT_EQ(solution.iterations, 3);
  EXPECT_EQ(solution.termination.limit, "iterations");
}

TEST(Solve, MarksAResultThatTheClockEndedAsMachineDependent) {
  const auto objective = make_residual_objective([](auto x) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return rosenbrock(x);
  });
  SolveOptions options = smooth_options();
  options.limits.seconds = 0.02;
  for (const Algorithm algorithm : {Algorithm::ceres_lm, Algorithm::crs2}) {
    const Solution solution = solve(two_variables(), *objective, algorithm, options);
    EXPECT_EQ(solution.termination.reason, Reason::time_limit) << name(algorithm);
    EXPECT_EQ(solution.reproducibility, Reproducibility::machine_dependent);
    EXPECT_TRUE(solution.has_point());
  }
}

TEST(Solve, EndsWithTheBestPointWhenCancelled) {
  for (const AlgorithmInfo& info : algorithms()) {
    std::stop_source source;
    int calls = 0;
    const auto objective = make_residual_objective([&](auto x) {
      if (++calls == 15) source.request_stop();
      return rosenbrock(x);
    });
    const Solution solution = solve(two_variables(), *objective, info.algorithm, smooth_options(), {.cancel = source.get_token()});
    EXPECT_EQ(solution.termination.reason, Reason::cancelled) << info.name;
    EXPECT_EQ(calls, 15) << info.name;
    EXPECT_LE(solution.value, solution.initial_value) << info.name;
  }
}

TEST(Solve, TellsTheObserverEveryIterationOfATraceWithFallingValues) {
  for (const Algorithm algorithm : {Algorithm::ceres_lm, Algorithm::bobyqa}) {
    std::vector<double> values;
    const Hooks hooks{.observe = [&](const IterationRecord& record) { values.push_back(record.value); }};
    const auto objective = make_residual_objective(rosenbrock);
    const Solution solution = solve(two_variables(), *objective, algorithm, smooth_options(), hooks);
    EXPECT_EQ(values.size(), solution.trace.size());
    EXPECT_TRUE(std::is_sorted(values.rbegin(), values.rend())) << name(algorithm);
    EXPECT_NEAR(values.back(), solution.value, 1e-12);
  }
}

TEST(Solve, RobustLossesIgnoreAnOutlier) {
  // A line through five points, one of them far off.
  const auto objective = make_residual_objective([](auto x) {
    const std::vector<double> y{1.0, 3.0, 5.0, 50.0, 9.0};
    std::vector<double> residuals;
    for (std::size_t i = 0; i < y.size(); ++i) residuals.push_back(y[i] - x[0] - x[1] * static_cast<double>(i));
    return residuals;
  });
  Problem problem{{{.name = "offset", .initial = 0.5}, {.name = "slope", .initial = 1.5}}};
  SolveOptions options = smooth_options();
  EXPECT_GT(solve(problem, *objective, Algorithm::ceres_lm, options).point[1], 4.0);
  for (const auto& [kind, tolerance] : {std::pair{LossKind::huber, 0.3}, {LossKind::cauchy, 0.05}, {LossKind::tukey, 1e-4}}) {
    options.loss = {kind, kind == LossKind::tukey ? 5.0 : 0.2};
    const Solution solution = solve(problem, *objective, Algorithm::ceres_lm, options);
    EXPECT_NEAR(solution.point[1], 2.0, tolerance) << name(kind);
    double value = 0.0;
    for (const double residual : solution.residuals) value += loss_value(options.loss, residual);
    EXPECT_NEAR(solution.value, value, 1e-12 * value);
  }
}

TEST(Solve, TheSameSeedGivesTheSameBits) {
  for (const AlgorithmInfo& info : algorithms()) {
    SolveOptions options = smooth_options();
    options.limits.evaluations = 300;
    const auto objective = make_residual_objective(rosenbrock);
    const Solution first = solve(two_variables(), *objective, info.algorithm, options);
    const Solution second = solve(two_variables(), *objective, info.algorithm, options);
    EXPECT_EQ(first.point, second.point) << info.name;
    EXPECT_EQ(first.value, second.value) << info.name;
    EXPECT_EQ(first.counts, second.counts) << info.name;
  }
}

/// What a discrete-event simulation looks like to an optimiser: a smooth function with steps of about 1e-3 in every residual at
/// small scales, and derivatives that know nothing of them and are a few percent off.
class SteppedObjective final : public Objective {
 public:
  Capabilities capabilities() const override { return {.residuals = Support::values_and_derivatives}; }

  tl::expected<Evaluation, Refusal> evaluate(std::span<const double> x, Request) override {
    Evaluation result;
    for (int row = 0; row < 20; ++row) {
      const double t = 0.1 * row;
      const double a = std::exp(x[0] - t);
      const double b = std::exp(x[1]) * t / (1.0 + t * std::exp(x[2]));
      const double step = std::sin(997.0 * x[0] + 13.0 * row) + std::sin(1009.0 * x[1] + 7.0 * row) + std::sin(887.0 * x[2] + row);
      const double measured = std::exp(-t) + 2.0 * t / (1.0 + 3.0 * t);
      result.residuals.push_back(a + b - measured + 1e-3 * step);
      const double off = 1.0 + 0.05 * std::sin(5.0 * row + 40.0 * x[0]);
      result.jacobian.insert(result.jacobian.end(), {off * a, off * b, -off * b * t * std::exp(x[2]) / (1.0 + t * std::exp(x[2]))});
    }
    return result;
  }
};

TEST(Solve, LevenbergMarquardtReachesTheNoiseFloorOfASteppedObjectiveFromRandomStarts) {
  int reached = 0;
  core::RandomEngine random = core::make_stream({.seed = 1, .experiment_id = "stepped", .purpose = core::StreamPurpose::noise});
  for (int trial = 0; trial < 40; ++trial) {
    Problem problem;
    for (const char* variable : {"a", "b", "c"}) {
      const double initial = 4.0 * core::uniform01(random) - 2.0;
      problem.variables.push_back({.name = variable, .lower = -4.0, .initial = initial, .upper = 4.0});
    }
    SteppedObjective objective;
    // 20 residuals with three steps of mean square 0.5e-6 each leave 3e-5.
    reached += solve(problem, objective, Algorithm::ceres_lm).value < 6e-5;
  }
  EXPECT_GE(reached, 38);
}

TEST(Solve, TakesFiniteDifferencesInPlaceOfDerivativesWhenTold) {
  const auto objective =
      make_objective({.residuals = Support::values_and_derivatives}, [](auto x, Request) { return rosenbrock_with_derivatives(x); });
  SolveOptions options = smooth_options();
  options.finite_differences.use = FiniteDifferences::Use::always;
  const Solution solution = solve(two_variables(), *objective, Algorithm::ceres_lm, options);
  EXPECT_THAT(solution.point, Each(DoubleNear(1.0, 1e-6)));
  EXPECT_EQ(solution.counts.derivatives, 0);
}

TEST(Pipeline, HandsTheBestPointFromStageToStage) {
  SolveOptions coarse = smooth_options();
  coarse.limits.evaluations = 200;
  const std::vector<Stage> stages{{Algorithm::crs2, coarse}, {Algorithm::ceres_lm, smooth_options()}};
  const auto objective = make_residual_objective(rosenbrock);
  const PipelineSolution result = solve_pipeline(two_variables(), *objective, stages);
  ASSERT_EQ(result.stages.size(), 2U);
  EXPECT_EQ(result.stages[1].initial_value, result.stages[0].value);
  EXPECT_THAT(result.final().point, Each(DoubleNear(1.0, 1e-9)));
  EXPECT_EQ(result.counts().total(), result.stages[0].counts.total() + result.stages[1].counts.total());
}

TEST(Pipeline, EndsWhereAStartIsRefused) {
  const auto objective = make_objective({.residuals = Support::values}, [](auto, Request) -> tl::expected<Evaluation, Refusal> {
    return tl::make_unexpected(Refusal{"no"});
  });
  const std::vector<Stage> stages{{Algorithm::crs2}, {Algorithm::ceres_lm}};
  const PipelineSolution result = solve_pipeline(two_variables(), *objective, stages);
  EXPECT_EQ(result.stages.size(), 1U);
  EXPECT_EQ(result.final().termination.reason, Reason::refused_start);
}

TEST(Algorithms, EveryNameIsFoundAndAMisspelledOneIsCorrected) {
  for (const std::string_view word : algorithm_names()) EXPECT_EQ(name(*parse_algorithm(word)), word);
  const auto parsed = parse_algorithm("ceres_ml", {"study.yaml", 3, 5});
  ASSERT_FALSE(parsed);
  EXPECT_THAT(core::format(parsed.error()), AllOf(HasSubstr("study.yaml:3:5"), HasSubstr("ceres_lm")));
}

}  // namespace
}  // namespace rooftune::opt
