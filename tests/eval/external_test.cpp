#include "rooftune/eval/external.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <memory>
#include <string>
#include <utility>

#include "rooftune/eval/evaluate.hpp"
#include "rooftune/eval/residuals.hpp"
#include "support/simulated_runs.hpp"

namespace rooftune::eval {
namespace {

using domain::Metric;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

constexpr core::ThreadCount kOneThread{1};

params::Config truth() { return examples::config_with("physics", {}); }

/// Answers twice what was measured, but fails on one experiment: the first `failures` times, counted over all calls.
class Fake final : public ExternalSimulator {
 public:
  Fake(std::string fails_on, int failures, std::shared_ptr<std::atomic<int>> calls)
      : fails_on_(std::move(fails_on)), failures_(failures), calls_(std::move(calls)) {}

  [[nodiscard]] std::string identity() const override { return "fake"; }
  [[nodiscard]] ExternalOutcome predict(const Case& item, std::uint64_t /*seed*/, const params::Config& /*config*/,
                                        const std::stop_token& /*cancel*/) const override {
    const int call = ++*calls_;
    if (item.experiment.id == fails_on_ && call <= failures_) return tl::unexpected(std::string("broken"));
    std::vector<domain::Latencies> rows{item.experiment.measured.summary};
    rows.insert(rows.end(), item.experiment.measured.stages.begin(), item.experiment.measured.stages.end());
    for (domain::Latencies& row : rows) {
      for (const Metric metric : {Metric::ttft_mean, Metric::e2e_mean}) row[metric] = 2.0 * *row[metric];
    }
    return rows;
  }

 private:
  std::string fails_on_;
  int failures_;
  std::shared_ptr<std::atomic<int>> calls_;
};

class FailurePolicies : public testing::Test {
 protected:
  /// Two runs, of which the simulator fails on "b" so often.
  Dataset dataset(FailurePolicy policy, int failures) {
    const auto model = examples::llama_2_7b();
    Dataset result = examples::dataset_of(
        examples::measured({examples::unmeasured_run("a", model, 1, {1.0}), examples::unmeasured_run("b", model, 1, {2.0})}, truth()),
        truth());
    result.external = std::make_shared<ExternalRuns>(std::make_unique<Fake>("b", failures, calls_));
    result.failures = std::make_shared<Failures>(policy);
    return result;
  }

  static Residuals residuals(const Dataset& dataset) {
    return ResidualFunction(dataset, truth(), {}, {}, kOneThread)(std::vector<double>{}, Derivatives::no);
  }

  std::shared_ptr<std::atomic<int>> calls_ = std::make_shared<std::atomic<int>>(0);
  static constexpr int kAlways = 1'000'000;
};

TEST_F(FailurePolicies, LeaveAlonePredictionsThatSucceed) {
  const Dataset data = dataset({}, 0);
  const Residuals result = residuals(data);
  ASSERT_FALSE(result.refusal);
  ASSERT_THAT(result.values, SizeIs(4));
  for (const double value : result.values) EXPECT_NEAR(value, std::log(2.0), 1e-12);
  EXPECT_EQ(data.failures->count(), 0);
}

TEST_F(FailurePolicies, AbortEndsTheRunAtTheFirstFailure) {
  const Dataset data = dataset({.on_failure = OnFailure::abort}, kAlways);
  const Residuals result = residuals(data);
  ASSERT_TRUE(result.refusal);
  EXPECT_THAT(*result.refusal, HasSubstr("experiment 'b': broken"));
  EXPECT_TRUE(data.failures->aborted().stop_requested());
  EXPECT_EQ(data.failures->count(), 1);
  const int calls = *calls_;
  EXPECT_TRUE(residuals(data).refusal);
  EXPECT_EQ(*calls_, calls) << "nothing is simulated after the end";
  EXPECT_EQ(data.failures->count(), 1);
}

TEST_F(FailurePolicies, RetryTriesAgainAndCountsWhatFailed) {
  const Dataset data = dataset({.on_failure = OnFailure::retry, .retries = 2}, 3);  // call 1 is of "a"
  EXPECT_FALSE(residuals(data).refusal);
  EXPECT_EQ(*calls_, 4);
  EXPECT_EQ(data.failures->count(), 2);
  EXPECT_FALSE(data.failures->aborted().stop_requested());
}

TEST_F(FailurePolicies, RetryEndsTheRunWhenEveryTryFailed) {
  const Dataset data = dataset({.on_failure = OnFailure::retry, .retries = 2}, kAlways);
  EXPECT_TRUE(residuals(data).refusal);
  EXPECT_EQ(data.failures->count(), 3);
  EXPECT_TRUE(data.failures->aborted().stop_requested());
}

TEST_F(FailurePolicies, PenaliseGivesTheFailedExperimentAStatedResidual) {
  const Dataset data = dataset({.on_failure = OnFailure::penalise, .penalty = 5.0}, kAlways);
  const Residuals result = residuals(data);
  ASSERT_FALSE(result.refusal);
  ASSERT_THAT(result.values, SizeIs(4));
  EXPECT_NEAR(result.values[0], std::log(2.0), 1e-12);
  EXPECT_NEAR(result.values[2], 5.0, 1e-12);
  EXPECT_NEAR(result.values[3], 5.0, 1e-12);
  EXPECT_THAT(result.failures, ElementsAre("experiment 'b': broken"));
  EXPECT_FALSE(data.failures->aborted().stop_requested());
}

TEST_F(FailurePolicies, PenaliseWhatTheSimulatorDoesNotSay) {
  const Dataset data = dataset({.on_failure = OnFailure::penalise, .penalty = 5.0}, 0);
  ObjectiveSpec objective;
  objective.metrics = {{Metric::tpot_mean, 1.0}};
  Dataset unsaid = data;
  for (Case& item : unsaid.cases) item.experiment.measured.summary[Metric::tpot_mean] = 10.0;
  class Silent final : public ExternalSimulator {
    [[nodiscard]] std::string identity() const override { return "silent"; }
    [[nodiscard]] ExternalOutcome predict(const Case&, std::uint64_t, const params::Config&, const std::stop_token&) const override {
      return std::vector<domain::Latencies>(2);
    }
  };
  unsaid.external = std::make_shared<ExternalRuns>(std::make_unique<Silent>());
  const Residuals result = ResidualFunction(unsaid, truth(), {}, objective, kOneThread)(std::vector<double>{}, Derivatives::no);
  ASSERT_THAT(result.failures, SizeIs(2));
  EXPECT_THAT(result.failures[0], HasSubstr("the simulator gives no tpot_mean_ms"));
  for (const double value : result.values) EXPECT_GT(value, 1.0) << "what is not predicted must not look perfect";
}

TEST_F(FailurePolicies, SkipTurnsThePointDownAndGoesOn) {
  const Dataset data = dataset({.on_failure = OnFailure::skip}, 2);
  EXPECT_THAT(residuals(data).refusal, testing::Optional(std::string("experiment 'b': broken")));
  EXPECT_EQ(data.failures->count(), 1);
  EXPECT_FALSE(data.failures->aborted().stop_requested());
  EXPECT_FALSE(residuals(data).refusal) << "another point may succeed";
}

TEST_F(FailurePolicies, EvaluationsHaveNoRowsOfFailedExperiments) {
  const Dataset data = dataset({.on_failure = OnFailure::skip}, kAlways);
  const Evaluation evaluation = evaluate(data, truth(), {.threads = kOneThread, .stepping = sim::Stepping::closed_form});
  EXPECT_THAT(evaluation.failures, ElementsAre("experiment 'b': broken"));
  EXPECT_FALSE(evaluation.rows.empty());
  for (const auto& row : evaluation.rows) EXPECT_EQ(row.experiment, "a");
}

/// Two runs on the built-in simulation, of which "b" needs more events than "a", and the limit lies between.
class EventLimit : public testing::Test {
 protected:
  static Dataset dataset(const FailurePolicy& policy) {
    const auto model = examples::llama_2_7b();
    Dataset result = examples::dataset_of(
        examples::measured({examples::unmeasured_run("a", model, 1, {1.0}), examples::unmeasured_run("b", model, 1, {1.0, 2.0})},
                           truth()),
        truth());
    result.failures = std::make_shared<Failures>(policy);
    return result;
  }

  static std::int64_t events_of(const Case& item, std::int64_t limit, bool expect_out_of_events) {
    const auto prediction =
        sim::simulate<double>("physics", item.scenario(*item.plan(0)), params::resolve(truth(), item.experiment.deployment, item.gpu),
                              {.stepping = sim::Stepping::closed_form,
                               .percentiles = sim::Percentiles::skip,
                               .observer = nullptr,
                               .warm_up_requests = 0,
                               .max_events = limit});
    EXPECT_EQ(prediction.out_of_events, expect_out_of_events);
    return prediction.counters.advances;
  }

  static FailurePolicy between(OnFailure on_failure) {
    const Dataset data = dataset({});
    const std::int64_t fewer = events_of(data.cases[0], 1'000'000, false);
    const std::int64_t more = events_of(data.cases[1], 1'000'000, false);
    EXPECT_GT(more, fewer + 100);
    return {.on_failure = on_failure, .retries = 2, .penalty = 5.0, .max_events = (fewer + more) / 2};
  }

  static Residuals residuals(const Dataset& dataset, Derivatives derivatives = Derivatives::no, double give_up_above = kNeverGiveUp,
                             int threads = 1) {
    const params::FreeParameter bandwidth = params::make_free(params::parameter("physics.weight_bandwidth_fraction"));
    const std::vector<double> point{params::to_transformed(bandwidth, 0.7)};
    return ResidualFunction(dataset, truth(), {bandwidth}, {}, {threads})(point, derivatives, give_up_above);
  }

  static std::string words(const FailurePolicy& policy) {
    return "experiment 'b': more than " + std::to_string(policy.max_events) + " events (failures.max_events)";
  }
};

TEST_F(EventLimit, IsReachedByWhatNeedsOneEventMore) {
  const Dataset data = dataset({});
  const std::int64_t needed = events_of(data.cases[1], 1'000'000, false);
  EXPECT_EQ(events_of(data.cases[1], needed, false), needed);
  events_of(data.cases[1], needed - 1, true);
}

TEST_F(EventLimit, ChangesNothingBelowIt) {
  EXPECT_EQ(residuals(dataset({}), Derivatives::yes).jacobian,
            residuals(dataset({.on_failure = OnFailure::skip, .retries = 2, .penalty = 3.0, .max_events = 100'000}), Derivatives::yes)
                .jacobian);
}

TEST_F(EventLimit, SkipTurnsThePointDownAndCountsIt) {
  const FailurePolicy policy = between(OnFailure::skip);
  for (const Derivatives derivatives : {Derivatives::no, Derivatives::yes}) {
    const Dataset data = dataset(policy);
    EXPECT_THAT(residuals(data, derivatives).refusal, testing::Optional(words(policy)));
    EXPECT_EQ(data.failures->count(), 1);
    EXPECT_FALSE(data.failures->aborted().stop_requested());
  }
}

TEST_F(EventLimit, AbortEndsTheRun) {
  const Dataset data = dataset(between(OnFailure::abort));
  EXPECT_TRUE(residuals(data).refusal);
  EXPECT_TRUE(data.failures->aborted().stop_requested());
}

TEST_F(EventLimit, PenaliseGivesTheFailedExperimentAStatedResidualWithoutASlope) {
  const FailurePolicy policy = between(OnFailure::penalise);
  const Dataset data = dataset(policy);
  const Residuals result = residuals(data, Derivatives::yes);
  ASSERT_FALSE(result.refusal);
  ASSERT_THAT(result.values, SizeIs(6));
  ASSERT_THAT(result.jacobian, SizeIs(6));
  const double weight = std::sqrt(0.5);  // two stages share the weight of one experiment
  for (std::size_t row = 0; row < 2; ++row) EXPECT_NE(result.jacobian[row], 0.0);
  for (std::size_t row = 2; row < 6; ++row) {
    EXPECT_NEAR(result.values[row], weight * policy.penalty, 1e-12);
    EXPECT_EQ(result.jacobian[row], 0.0);
  }
  EXPECT_THAT(result.failures, SizeIs(1));
  EXPECT_EQ(data.failures->count(), 1);
}

TEST_F(EventLimit, DoesNotMatterAtPointsThatAreHopelessWithoutTheFailedExperiment) {
  for (const int threads : {1, 2}) {
    const Dataset data = dataset(between(OnFailure::abort));
    EXPECT_TRUE(residuals(data, Derivatives::no, 1e-9, threads).given_up);
    EXPECT_EQ(data.failures->count(), 0) << "whether it was simulated depends on the threads";
    EXPECT_FALSE(data.failures->aborted().stop_requested());
  }
}

TEST_F(EventLimit, EvaluationsHaveNoRowsOfWhatExceedsIt) {
  const FailurePolicy policy = between(OnFailure::skip);
  const Evaluation evaluation = evaluate(dataset(policy), truth(), {.threads = kOneThread, .stepping = sim::Stepping::closed_form});
  EXPECT_THAT(evaluation.failures, ElementsAre(words(policy)));
  EXPECT_FALSE(evaluation.rows.empty());
  for (const auto& row : evaluation.rows) EXPECT_EQ(row.experiment, "a");
}

}  // namespace
}  // namespace rooftune::eval
