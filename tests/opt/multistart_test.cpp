#include "rooftune/opt/multistart.hpp"

#include <gmock/gmock.h>

#include <atomic>
#include <cmath>
#include <numbers>
#include <set>

#include "certified_problems.hpp"

namespace rooftune::opt {
namespace {

using testing::DoubleNear;
using testing::Each;
using testing::HasSubstr;

/// Rastrigin's function as residuals: a minimum 0 at the origin among some hundred local ones.
std::vector<double> rastrigin(std::span<const double> x) {
  std::vector<double> residuals;
  for (const double xi : x) residuals.push_back(std::sqrt(10.0 + xi * xi - 10.0 * std::cos(2.0 * std::numbers::pi * xi)));
  return residuals;
}

Problem wide_box() {
  return {{{.name = "a", .lower = -4.5, .initial = 3.1, .upper = 4.0}, {.name = "b", .lower = -4.5, .initial = -2.9, .upper = 4.0}}};
}

std::unique_ptr<Objective> make_rastrigin(std::size_t) { return make_residual_objective(rastrigin); }

std::vector<Stage> least_squares() { return {{Algorithm::ceres_lm, smooth_options()}}; }

TEST(MultiStart, FindsTheBestOfManyMinimaAndListsThemAll) {
  const MultiStartSolution result = solve_multistart(wide_box(), make_rastrigin, least_squares(), {.starts = 64, .seed = 3});
  ASSERT_NE(result.best(), nullptr);
  EXPECT_THAT(result.best()->solution.point, Each(DoubleNear(0.0, 1e-4)));
  EXPECT_EQ(result.starts.size(), 64U);
  EXPECT_EQ(result.starts[0].start, initial_point(wide_box()));
  const std::vector<std::size_t> order = result.waterfall();
  for (std::size_t i = 1; i < order.size(); ++i) {
    EXPECT_LE(result.starts[order[i - 1]].solution.value, result.starts[order[i]].solution.value);
  }
}

void expect_same(const MultiStartSolution& a, const MultiStartSolution& b) {
  ASSERT_EQ(a.starts.size(), b.starts.size());
  for (std::size_t i = 0; i < a.starts.size(); ++i) {
    EXPECT_EQ(a.starts[i].start, b.starts[i].start);
    EXPECT_EQ(a.starts[i].fate, b.starts[i].fate);
    EXPECT_EQ(a.starts[i].solution.point, b.starts[i].solution.point);
    EXPECT_EQ(a.starts[i].solution.value, b.starts[i].solution.value);
    EXPECT_EQ(a.starts[i].counts, b.starts[i].counts);
  }
  EXPECT_EQ(a.best()->index, b.best()->index);
}

TEST(MultiStart, GivesTheSameBitsForOneTwoAndFourThreads) {
  SolveOptions random = smooth_options();
  random.limits.evaluations = 150;
  const std::vector<Stage> stages{{Algorithm::crs2, random}, {Algorithm::isres, random}, {Algorithm::ceres_lm, smooth_options()}};
  MultiStartOptions options{.starts = 12, .seed = 5, .candidates_per_start = 2, .pruning = {.first_evaluations = 40, .finalists = 5}};
  options.threads = {1};
  const MultiStartSolution one = solve_multistart(wide_box(), make_rastrigin, stages, options);
  for (const int threads : {2, 4}) {
    options.threads = {threads};
    expect_same(one, solve_multistart(wide_box(), make_rastrigin, stages, options));
  }
}

TEST(MultiStart, PruningLeavesTheFinalistsAndSpendsLess) {
  MultiStartOptions options{.starts = 32, .seed = 3};
  const MultiStartSolution all = solve_multistart(wide_box(), make_rastrigin, least_squares(), options);
  options.pruning = {.first_evaluations = 12, .kept_fraction = 0.5, .finalists = 4};
  const MultiStartSolution pruned = solve_multistart(wide_box(), make_rastrigin, least_squares(), options);
  EXPECT_EQ(
      std::count_if(pruned.starts.begin(), pruned.starts.end(), [](const StartOutcome& s) { return s.fate == StartFate::finished; }),
      4);
  EXPECT_LT(pruned.counts().total(), all.counts().total());
  EXPECT_LE(pruned.best()->solution.value, 2.0);
}

TEST(MultiStart, BetterCandidatesBecomeTheStarts) {
  const MultiStartSolution plain = solve_multistart(wide_box(), make_rastrigin, least_squares(), {.starts = 8, .seed = 3});
  const MultiStartSolution screened =
      solve_multistart(wide_box(), make_rastrigin, least_squares(), {.starts = 8, .seed = 3, .candidates_per_start = 8});
  EXPECT_EQ(screened.screening_evaluations, 56);
  const auto worst = [](const MultiStartSolution& result) {
    double value = 0.0;
    for (std::size_t i = 1; i < result.starts.size(); ++i) value = std::max(value, result.starts[i].solution.initial_value);
    return value;
  };
  EXPECT_LT(worst(screened), worst(plain));
}

TEST(MultiStart, MakesOneObjectiveForEachStart) {
  std::atomic<int> made = 0;
  const auto factory = [&](std::size_t start) {
    ++made;
    return make_rastrigin(start);
  };
  EXPECT_NE(solve_multistart(wide_box(), factory, least_squares(), {.starts = 7}).best(), nullptr);
  EXPECT_EQ(made, 7);
}

TEST(MultiStart, ReportsRefusedStartsBesideTheOthers) {
  const auto factory = [](std::size_t) {
    return make_objective({.residuals = Support::values}, [](auto x, Request) -> tl::expected<Evaluation, Refusal> {
      if (x[0] > 0.0) return tl::make_unexpected(Refusal{"saturated"});
      return Evaluation{.residuals = rastrigin(x)};
    });
  };
  const MultiStartSolution result = solve_multistart(wide_box(), factory, least_squares(), {.starts = 16, .seed = 3});
  EXPECT_EQ(result.starts[0].solution.termination.reason, Reason::refused_start);
  ASSERT_NE(result.best(), nullptr);
  EXPECT_LE(result.best()->solution.point[0], 0.0);
  EXPECT_EQ(result.starts[result.waterfall().back()].solution.termination.reason, Reason::refused_start);
}

TEST(MultiStart, SaysWhichVariableHasNoBoxToDrawFrom) {
  Problem problem = wide_box();
  problem.variables[1].upper = std::numeric_limits<double>::infinity();
  const MultiStartSolution result = solve_multistart(problem, make_rastrigin, least_squares(), {.starts = 3});
  EXPECT_EQ(result.best(), nullptr);
  EXPECT_THAT(result.starts[2].solution.termination.detail, HasSubstr("'b' has no finite bounds"));
  const MultiStartSolution boxed =
      solve_multistart(problem, make_rastrigin, least_squares(), {.starts = 3, .box = {{-1.0, 1.0}, {-1.0, 1.0}}});
  EXPECT_NE(boxed.best(), nullptr);
}

TEST(MultiStart, EqualMinimaAreDecidedByTheLowerIndex) {
  const auto factory = [](std::size_t) {
    return make_residual_objective([](auto x) { return std::vector<double>{x[0] * x[0] - 1.0, 1e-3 * x[1], 1e-2}; });
  };
  const MultiStartSolution result = solve_multistart(wide_box(), factory, least_squares(), {.starts = 12, .seed = 1});
  EXPECT_EQ(result.best()->index, 0U);
}

TEST(MultiStart, ACancelledSearchIsMarked) {
  std::stop_source source;
  source.request_stop();
  const MultiStartSolution result =
      solve_multistart(wide_box(), make_rastrigin, least_squares(), {.starts = 3}, {.cancel = source.get_token()});
  EXPECT_EQ(result.reproducibility, Reproducibility::machine_dependent);
}

TEST(SampleStarts, EveryLayerOfEveryVariableHoldsOnePoint) {
  // True of a Latin hypercube by construction, and of the first 2^k points of a digitally shifted Sobol sequence: a typing error
  // in its polynomials or directions would show here.
  const std::vector<Interval> box(21, Interval{-1.0, 3.0});
  constexpr std::size_t kPoints = 256;
  for (const StartSampling sampling : {StartSampling::latin_hypercube, StartSampling::sobol}) {
    const auto points = sample_starts(box, kPoints, sampling, 11);
    for (std::size_t d = 0; d < box.size(); ++d) {
      std::set<int> layers;
      for (const auto& point : points) layers.insert(static_cast<int>((point[d] + 1.0) / 4.0 * kPoints));
      EXPECT_EQ(layers.size(), kPoints) << name(sampling) << " dimension " << d;
    }
  }
}

TEST(SampleStarts, NoTwoSobolDimensionsAreTheSame) {
  const auto points = sample_starts(std::vector<Interval>(21, Interval{0.0, 1.0}), 256, StartSampling::sobol, 0);
  for (std::size_t a = 0; a < 21; ++a) {
    for (std::size_t b = a + 1; b < 21; ++b) {
      double sum = 0.0;
      for (const auto& point : points) sum += (point[a] - 0.5) * (point[b] - 0.5);
      EXPECT_LT(std::abs(sum / 256.0 * 12.0), 0.35) << a << " " << b;
    }
  }
}

TEST(SampleStarts, TheSeedAloneDecides) {
  const std::vector<Interval> box(3, Interval{0.0, 1.0});
  EXPECT_EQ(sample_starts(box, 10, StartSampling::sobol, 4), sample_starts(box, 10, StartSampling::sobol, 4));
  EXPECT_NE(sample_starts(box, 10, StartSampling::sobol, 4), sample_starts(box, 10, StartSampling::sobol, 5));
}

}  // namespace
}  // namespace rooftune::opt
