#include "rooftune/eval/peers.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>

namespace rooftune::eval {
namespace {

using domain::kSummaryStage;
using domain::Metric;
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
  auto peers = published("vidur", "20", 150.0);
  const auto comparisons = compare_with_peers(two_runs(), peers);
  ASSERT_EQ(comparisons.size(), 1U);
  EXPECT_THAT(comparisons[0].experiments, ElementsAre("20"));
  EXPECT_EQ(comparisons[0].unanswered, 1U) << "run 17";
  for (std::size_t i = 0; i < kPeerMetrics.size(); ++i) {
    EXPECT_NEAR(comparisons[0].theirs[i]->mean_percent, 50, 1e-9);
    EXPECT_NEAR(comparisons[0].ours[i]->mean_percent, 20, 1e-9);
  }
}

TEST(PeerComparison, HasMeansAndMedians) {
  auto peers = published("vidur", "17", 150.0);
  std::ranges::copy(published("vidur", "20", 110.0), std::back_inserter(peers));
  Evaluation evaluation = two_runs();
  evaluation.cases.push_back(evaluation.cases.back());  // the second run twice: errors of 10, 20 and 20 %
  const auto comparisons = compare_with_peers(evaluation, peers);
  EXPECT_NEAR(comparisons[0].ours[0]->mean_percent, 50.0 / 3, 1e-9);
  EXPECT_NEAR(comparisons[0].ours[0]->median_percent, 20, 1e-9);
  EXPECT_NEAR(comparisons[0].theirs[0]->median_percent, 10, 1e-9);
}

TEST(PeerComparison, ComparesWhatAPeerPredicts) {
  auto peers = published("aiconfigurator", "17", 150.0);
  std::erase_if(peers, [](const domain::PeerPrediction& row) { return row.metric == Metric::e2e_mean; });
  const auto comparisons = compare_with_peers(two_runs(), peers);
  ASSERT_EQ(comparisons.size(), 1U);
  EXPECT_FALSE(comparisons[0].theirs[0]);
  EXPECT_FALSE(comparisons[0].ours[0]);
  EXPECT_TRUE(comparisons[0].theirs[1]);
}

TEST(PeerComparison, LeavesOutRunsWithoutOneOfTheMetricsThatThePeerPredicts) {
  auto peers = published("vidur", "17", 150.0);
  peers.pop_back();
  std::ranges::copy(published("vidur", "20", 150.0), std::back_inserter(peers));
  EXPECT_THAT(compare_with_peers(two_runs(), peers)[0].experiments, ElementsAre("20"));
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
  EXPECT_NEAR(comparisons[0].theirs[0]->mean_percent, 20.0, 1e-9);
  EXPECT_NEAR(comparisons[0].measurements_differ_percent, 25.0, 1e-9);
}

}  // namespace
}  // namespace rooftune::eval
