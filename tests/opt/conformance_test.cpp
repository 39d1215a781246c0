#include <gtest/gtest.h>

#include <algorithm>

#include "certified_problems.hpp"

namespace rooftune::opt {
namespace {

/// What an algorithm must reach: on how many of the certified problems its value comes within `tolerance` of the minimum.
struct Bar {
  double tolerance;
  int solved;
};

Bar bar_of(Algorithm algorithm) {
  switch (algorithm) {
    // All but Brown-Dennis, whose residuals stay so large that Gauss-Newton steps crawl along its valley.
    case Algorithm::ceres_lm:
    case Algorithm::ceres_dogleg: return {1e-9, 10};
    case Algorithm::bobyqa:
    case Algorithm::lbfgs:
    case Algorithm::mlsl: return {1e-9, 11};
    case Algorithm::crs2: return {1e-8, 11};
    // The rest are coarse by design: first looks and last resorts.
    case Algorithm::sbplx: return {1e-3, 8};
    case Algorithm::direct_l: return {1e-2, 6};
    case Algorithm::isres: return {1e-2, 8};
    case Algorithm::cobyla: return {2e-2, 6};
    case Algorithm::esch: return {5e-2, 6};
  }
  return {};
}

class Conformance : public testing::TestWithParam<Algorithm> {};

TEST_P(Conformance, ReachesKnownMinimaAsWellAsItsKindAllows) {
  const Bar bar = bar_of(GetParam());
  int solved = 0;
  std::string missed;
  for (const CertifiedProblem& certified : certified_problems()) {
    const auto objective = make_residual_objective(certified.residuals);
    const Solution solution = solve(certified.problem, *objective, GetParam(), smooth_options());
    const double above = excess(certified, solution);
    EXPECT_GE(above, -1e-9) << certified.name << ": below the certified minimum";
    if (above <= bar.tolerance) {
      ++solved;
    } else {
      missed += " " + certified.name;
    }
  }
  EXPECT_GE(solved, bar.solved) << "missed:" << missed;
}

INSTANTIATE_TEST_SUITE_P(EveryAlgorithm, Conformance, testing::ValuesIn([] {
                           std::vector<Algorithm> all;
                           for (const AlgorithmInfo& row : algorithms()) all.push_back(row.algorithm);
                           return all;
                         }()),
                         [](const auto& test) { return std::string(name(test.param)); });

}  // namespace
}  // namespace rooftune::opt
