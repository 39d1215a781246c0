#include "rooftune/plan/capacity.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rooftune/plan/apart.hpp"
#include "support/example_targets.hpp"

namespace rooftune::plan {
namespace {

using testing::Contains;
using testing::HasSubstr;

/// Steps of 10 ms whatever they hold, 8 requests at a time, 100 tokens each: an engine serves 8 requests a second.
class CapacityOfSlots : public testing::Test {
 protected:
  CapacityOfSlots() {
    config_.step_time_model = "blackbox";
    set("blackbox.step_us", 10000.0);
    for (const char* id : {"blackbox.per_prefill_token_us", "blackbox.per_decode_us", "frontend.constant_us",
                           "frontend.per_prompt_token_us", "frontend.per_output_token_us"}) {
      set(id, 0.0);
    }
    base_.model = examples::llama_2_7b();
    base_.gpu = examples::h100();
    base_.experiment.id = "slots";
    base_.experiment.deployment = examples::deployment(base_.model, base_.gpu, 1);
    base_.experiment.deployment.settings.max_num_seqs = 8;
    base_.experiment.deployment.settings.total_kv_blocks = 1000;
    base_.experiment.workload.prompt.mean_tokens = 64;
    base_.experiment.workload.output.mean_tokens = 100;
    options_.threads = {1};
  }

  void set(std::string_view id, double value) { config_.parameters[params::parameter(id)] = {.value = value, .standard_error = {}}; }
  [[nodiscard]] CapacityCase subject() const { return {.base = base_, .config = config_}; }

  params::Config config_;
  eval::Case base_;
  CapacityOptions options_;
};

TEST_F(CapacityOfSlots, EndsBelowTheRateThatTheSlotsAllow) {
  const Capacity capacity = find_capacity(subject(), options_);
  ASSERT_TRUE(capacity.best && capacity.beyond);
  EXPECT_GT(capacity.best->rate_per_s, 6.4);
  EXPECT_LT(capacity.best->rate_per_s, 8.4);
  EXPECT_THAT(capacity.beyond->missed, Contains("throughput"));
  EXPECT_LE(capacity.beyond->rate_per_s, 1.0101 * capacity.best->rate_per_s);
}

TEST_F(CapacityOfSlots, FallsAsTheObjectiveTightens) {
  double previous = 1e9;
  for (const double limit_ms : {2000.0, 400.0, 100.0}) {
    options_.objectives = {{.kind = LatencyKind::ttft, .statistic = LatencyStatistic::p90, .limit = {limit_ms}}};
    const Capacity capacity = find_capacity(subject(), options_);
    ASSERT_TRUE(capacity.best);
    EXPECT_LE(at(capacity.best->latency_ms, LatencyKind::ttft, LatencyStatistic::p90), limit_ms);
    EXPECT_LE(capacity.best->rate_per_s, previous);
    previous = capacity.best->rate_per_s;
  }
  EXPECT_LT(previous, 6.4);
}

TEST_F(CapacityOfSlots, IsEmptyWhereAnIdleEngineIsTooSlow) {
  options_.objectives = {{.kind = LatencyKind::tpot, .statistic = LatencyStatistic::mean, .limit = {9.0}}};
  const Capacity capacity = find_capacity(subject(), options_);
  EXPECT_FALSE(capacity.best);
  EXPECT_THAT(capacity.beyond->missed, Contains("tpot_mean"));
  EXPECT_FALSE(size_fleet(subject(), capacity, 10.0, options_));
}

TEST_F(CapacityOfSlots, SaysOfPoolsWithoutATpWhichTheyHave) {
  eval::Case pools = base_;
  pools.experiment.deployment.prefill_decode = {.prefill = {.engines = 1, .tp = 0}, .decode = {.engines = 2, .tp = 0}};
  options_.replicates = 1;
  const ApartAnswer answer = compare_apart(subject(), {.base = pools, .config = config_}, options_);
  EXPECT_EQ(answer.gpus, 3);
  EXPECT_EQ(answer.replicas_together, 3);
  EXPECT_EQ(answer.pools.prefill.tp, 1);
  EXPECT_EQ(answer.pools.decode.tp, 1);
}

TEST_F(CapacityOfSlots, SizesAFleetThatCarriesTheLoad) {
  const Capacity capacity = find_capacity(subject(), options_);
  const auto fleet = size_fleet(subject(), capacity, 20.0, options_);
  ASSERT_TRUE(fleet);
  EXPECT_EQ(fleet->replicas, 3);
  EXPECT_EQ(fleet->gpus, 3);
  EXPECT_TRUE(fleet->point.is_good());
}

TEST_F(CapacityOfSlots, ServesAClosedLoopAsFastAsItsClientsReturn) {
  const LoadPoint point = predict_concurrency(subject(), 4, options_);
  EXPECT_NEAR(at(point.latency_ms, LatencyKind::tpot, LatencyStatistic::mean), 10.0, 1e-6);
  const double e2e_s = 1e-3 * at(point.latency_ms, LatencyKind::e2e, LatencyStatistic::mean);
  EXPECT_NEAR(point.rate_per_s, 4.0 / e2e_s, 0.05 * 4.0 / e2e_s);
}

TEST_F(CapacityOfSlots, FindsTheMostClientsThatGetTheirTokens) {
  // 5 ms, and 1 ms for each decode: n clients get 1000 / (5 + n) tokens/s each while they have slots; waiting for one is no TPOT.
  set("blackbox.step_us", 5000.0);
  set("blackbox.per_decode_us", 1000.0);
  options_.replicates = 1;
  const auto most = find_most_clients(subject(), 100.0, options_);
  ASSERT_TRUE(most);
  EXPECT_GE(tokens_per_user(*most), 100.0);
  EXPECT_NEAR(most->concurrency, 5, 1);
  EXPECT_LT(tokens_per_user(predict_concurrency(subject(), most->concurrency + 1, options_)), 100.0);
  EXPECT_FALSE(find_most_clients(subject(), 200.0, options_)) << "one alone gets 167";
}

TEST_F(CapacityOfSlots, AsksForNoMoreClientsThanTheEngineRuns) {
  options_.replicates = 1;
  const auto most = find_most_clients(subject(), 1.0, options_);
  ASSERT_TRUE(most);
  EXPECT_EQ(most->concurrency, base_.experiment.deployment.settings.max_num_seqs);
}

TEST_F(CapacityOfSlots, SendsATableOfRequestsAgainUntilThereAreEnough) {
  for (const int tokens : {50, 150}) base_.experiment.workload.trace.push_back({.input_tokens = 64, .output_tokens = tokens});
  const LoadPoint point = predict_rate(subject(), 1.0, 1, options_);
  const double e2e_ms = at(point.latency_ms, LatencyKind::e2e, LatencyStatistic::mean);
  EXPECT_NEAR(e2e_ms, 1000.0, 20.0) << "the mean of 50 and of 150 tokens";
  EXPECT_EQ(prompts_text(base_.experiment.workload), "2 requests of a table in turn");
}

TEST_F(CapacityOfSlots, CountsRequestsWhereTheyComeInConversations) {
  domain::Workload& workload = base_.experiment.workload;
  workload.pattern = domain::PromptPattern::conversations;
  workload.turns = domain::LengthDistribution{.mean_tokens = 4};
  workload.output.mean_tokens = 10;
  const LoadPoint point = predict_rate(subject(), 2.0, 1, options_);
  EXPECT_NEAR(point.output_tokens_per_s, 2.0 * 10, 3.0) << "two requests a second, not two conversations";
  EXPECT_EQ(prompts_text(workload), "conversations of 4 turns");
}

TEST_F(CapacityOfSlots, SaysWhichShareTheEngineRefusesAndCountsItNotAsMissed) {
  for (const int tokens : {100, 100, 100, 5000}) {
    base_.experiment.workload.trace.push_back({.input_tokens = 64, .output_tokens = tokens});
  }
  base_.experiment.workload.stages = {{.rate = {1.0}, .duration = {4.0}, .num_requests = 4}};
  base_.experiment.workload.arrival.process = domain::ArrivalProcess::trace;
  base_.keep_plans(1, 1);
  EXPECT_DOUBLE_EQ(refused_share(base_), 0.25);
  const LoadPoint point = predict_rate(subject(), 1.0, 1, options_);
  EXPECT_EQ(point.rejected, point.rejected_by_length);
  EXPECT_GT(point.rejected, 0);
  EXPECT_TRUE(point.is_good()) << testing::PrintToString(point.missed);
}

TEST_F(CapacityOfSlots, KeepsTheTurnaroundOfMeasuredClients) {
  base_.experiment.workload.arrival = {.process = domain::ArrivalProcess::closed_loop, .turnaround_us = 1e6};
  const LoadPoint point = predict_concurrency(subject(), 4, options_);
  EXPECT_NEAR(point.rate_per_s, 4.0 / 2.0, 0.1) << "a second of work and one until the client is back";
}

TEST(WeightsText, NamesFormatsByTheirShareOfTheLayers) {
  EXPECT_EQ(weights_text(examples::llama_2_7b()), "bf16");
  domain::ModelSpec model = examples::llama_2_7b();
  const domain::Stored fp8{.format = domain::WeightFormat::fp8, .bytes = 1.0};
  for (domain::LayerGroup& group : model.groups) store(group.layer.ffn, fp8);
  EXPECT_EQ(weights_text(model), "fp8, bf16") << "the FFN has two thirds of the weights";
}

TEST_F(CapacityOfSlots, DoesNotDependOnTheNumberOfThreads) {
  const Capacity one = find_capacity(subject(), options_);
  options_.threads = {2};
  const Capacity two = find_capacity(subject(), options_);
  EXPECT_EQ(one.best->rate_per_s, two.best->rate_per_s);
  EXPECT_EQ(one.best->latency_ms, two.best->latency_ms);
}

TEST_F(CapacityOfSlots, SaysWhereAPointLeavesTheCalibratedDomain) {
  config_.domain.ranges["prompt_tokens"] = {.lowest = 500, .highest = 1000};
  LoadPoint point = predict_rate(subject(), 1.0, 1, options_);
  qualify(subject(), point, options_);
  ASSERT_EQ(point.domain_exits.size(), 1U);
  EXPECT_EQ(point.domain_exits[0].field, "prompt_tokens");
  EXPECT_FALSE(point.mean_interval[0]) << "this config knows no uncertainty";
}

TEST(LatencyObjectives, AreReadFromText) {
  EXPECT_EQ(parse_objective("ttft_p90=500"), (LatencyObjective{LatencyKind::ttft, LatencyStatistic::p90, {500.0}}));
  const auto misspelt = parse_objective("ttft_p9=500");
  ASSERT_FALSE(misspelt);
  EXPECT_THAT(core::format(misspelt.error()), HasSubstr("did you mean 'ttft_p9"));
  for (const char* text : {"ttft_p90", "ttft_p90=", "ttft_p90=0", "ttft_p90=-1", "ttft_p90=5s"})
    EXPECT_FALSE(parse_objective(text)) << text;
}

}  // namespace
}  // namespace rooftune::plan
