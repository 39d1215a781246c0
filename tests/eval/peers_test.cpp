#include "rooftune/eval/peers.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rooftune::eval {
namespace {

using domain::kSummaryStage;
using domain::Metric;
using testing::DoubleNear;
using testing::ElementsAre;
using testing::IsEmpty;

/// Two runs; ours are 10 % high in the first and 20 % low in the second, in every metric.
Evaluation two_runs() {
  Evaluation evaluation;
  for (const auto& [id, factor] : {std::pair{"17", 1.1}, std::pair{"20", 0.8}}) {
    for (const Metric metric : kPeerMetrics) {
      evaluation.rows.push_back(
          {.experiment = id, .stage = kSummaryStage, .metric = metric, .predicted_ms = factor * 100.0, .measured_ms = 100.0});
    }
    CaseReport& report = evaluation.cases.emplace_back();
    report.experiment = id;
  }
  return evaluation;
}

std::vector<domain::PeerPrediction> published(const std::string& simulator, const std::string& experiment, double predicted_ms,
                                              double measured_ms = 100.0) {
  std::vector<domain::PeerPrediction> rows;
  for (const Metric metric : kPeerMetrics) {
    rows.push_back({.simulator = simulator,
                    .experiment = experiment,
                    .stage = kSummaryStage,
                    .metric = metric,
                    .predicted_ms = predicted_ms,
                    .measured_ms = measured_ms});
  }
  return rows;
}

TEST(PeerComparison, AveragesOverTheRunsThatBothPredict) {
  const auto comparisons = compare_with_peers(two_runs(), published("vidur", "20", 150.0));
  ASSERT_EQ(comparisons.size(), 1U);
  EXPECT_THAT(comparisons[0].experiments, ElementsAre("20"));
  EXPECT_THAT(comparisons[0].theirs_percent, ElementsAre(DoubleNear(50, 1e-9), DoubleNear(50, 1e-9), DoubleNear(50, 1e-9)));
  EXPECT_THAT(comparisons[0].ours_percent, ElementsAre(DoubleNear(20, 1e-9), DoubleNear(20, 1e-9), DoubleNear(20, 1e-9)));
}

TEST(PeerComparison, LeavesOutRunsWithoutOneOfTheMetrics) {
  auto peers = published("vidur", "17", 150.0);
  peers.pop_back();
  EXPECT_THAT(compare_with_peers(two_runs(), peers), IsEmpty());
}

TEST(PeerComparison, LeavesOutOverloadedRunsAndStages) {
  Evaluation evaluation = two_runs();
  evaluation.cases[1].aggregated = false;
  auto peers = published("vidur", "20", 150.0);
  EXPECT_THAT(compare_with_peers(evaluation, peers), IsEmpty());
  for (domain::PeerPrediction& row : peers) row = {row.simulator, "17", 0, row.metric, row.predicted_ms, row.measured_ms};
  EXPECT_THAT(compare_with_peers(evaluation, peers), IsEmpty());
}

TEST(PeerComparison, JudgesAPeerAgainstTheMeasurementThatItWasPublishedBeside) {
  const auto comparisons = compare_with_peers(two_runs(), published("vidur", "17", 150.0, 125.0));
  ASSERT_EQ(comparisons.size(), 1U);
  EXPECT_NEAR(comparisons[0].theirs_percent[0], 20.0, 1e-9);
  EXPECT_NEAR(comparisons[0].measurements_differ_percent, 25.0, 1e-9);
}

}  // namespace
}  // namespace rooftune::eval
