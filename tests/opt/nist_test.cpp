#include <gtest/gtest.h>

#include <cmath>
#include <iostream>

#include "nist_conformance.hpp"

namespace rooftune::opt {
namespace {

TEST(NistData, CertifiedParametersGiveTheCertifiedSumOfSquares) {
  ASSERT_EQ(nist_problems().size(), 27U);
  for (const NistProblem& problem : nist_problems()) {
    if (problem.name == "lanczos1") continue;  // see NistProblem
    double sum = 0.0;
    for (const auto& observation : problem.observations) {
      sum += std::pow(problem.residual(problem.certified.data(), observation, nullptr), 2.0);
    }
    EXPECT_NEAR(sum / problem.residual_sum_of_squares, 1.0, 2e-10) << problem.name;
  }
}

TEST(NistData, AFitOfLanczos1ReachesItsSumOfSquares) {
  const NistOutcome outcome = fit_nist(nist_problem("lanczos1"), 1, Algorithm::ceres_lm, Support::values_and_derivatives);
  EXPECT_NEAR(outcome.sum_of_squares / 1.4307867721e-25, 1.0, 1e-6);
}

NistSummary fit_all(Algorithm algorithm, Support support) {
  NistSummary summary;
  for (const NistProblem& problem : nist_problems()) {
    for (const std::size_t start : {0U, 1U}) {
      const NistOutcome outcome = fit_nist(problem, start, algorithm, support);
      summary.add(outcome);
      if (outcome.parameter_digits >= 4.0 && outcome.error_digits >= 4.0) continue;
      std::cout << name(algorithm) << ": " << problem.name << " from start " << start + 1 << ": " << outcome.parameter_digits
                << " digits, standard errors " << outcome.error_digits << "\n";
    }
  }
  std::cout << name(algorithm) << ": " << summary.solved << " of " << summary.total << " solved, " << summary.average_digits()
            << " digits on average, standard errors of " << summary.errors_right << " right to 4 digits\n";
  return summary;
}

TEST(NistConformance, LevenbergMarquardtWithDerivativesSolvesAll) {
  const NistSummary summary = fit_all(Algorithm::ceres_lm, Support::values_and_derivatives);
  EXPECT_EQ(summary.solved, 54);
  EXPECT_EQ(summary.errors_right, 54);
  EXPECT_GE(summary.average_digits(), 10.0);
}

TEST(NistConformance, LevenbergMarquardtWithoutDerivativesSolvesAll) {
  const NistSummary summary = fit_all(Algorithm::ceres_lm, Support::values);
  EXPECT_EQ(summary.solved, 54);
  EXPECT_EQ(summary.errors_right, 54);
  EXPECT_GE(summary.average_digits(), 9.5);
}

TEST(NistConformance, DoglegSolvesAllButTwo) {
  const NistSummary summary = fit_all(Algorithm::ceres_dogleg, Support::values_and_derivatives);
  EXPECT_GE(summary.solved, 52);
  EXPECT_GE(summary.errors_right, 53);
  EXPECT_GE(summary.average_digits(), 9.5);
}

}  // namespace
}  // namespace rooftune::opt
