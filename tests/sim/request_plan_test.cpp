#include "rooftune/sim/request_plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace rooftune::sim {
namespace {

using domain::ArrivalProcess;
using domain::Experiment;
using domain::PromptPattern;

/// Two stages of the shipped kind: 100 prompts in turn, ten groups with a common system prompt.
Experiment cycled() {
  Experiment experiment;
  experiment.id = "17";
  domain::Workload& workload = experiment.workload;
  workload.pattern = PromptPattern::cycled;
  workload.distinct_prompts = 100;
  workload.prompt_groups = 10;
  workload.system_prompt_tokens = 100;
  workload.prompt.mean_tokens = 575;
  workload.prompt_spread_fraction = 0.03;
  workload.output.mean_tokens = 248;
  workload.arrival.process = ArrivalProcess::conditioned_poisson;
  workload.stages = {{.rate = {2.5}, .duration = {600.0}, .num_requests = 1500},
                     {.rate = {6.0}, .duration = {600.0}, .num_requests = 3600}};
  return experiment;
}

Experiment with_process(ArrivalProcess process, int requests) {
  Experiment experiment = cycled();
  experiment.workload.arrival.process = process;
  experiment.workload.stages = {{.rate = {5.0}, .duration = {requests / 5.0}, .num_requests = requests}};
  return experiment;
}

std::vector<double> gaps_us(const StagePlan& stage) {
  std::vector<double> gaps;
  double last = 0.0;
  for (const PlannedRequest& request : stage.requests) {
    gaps.push_back(request.arrival_us - last);
    last = request.arrival_us;
  }
  return gaps;
}

struct Moments {
  double mean = 0.0;
  double variation = 0.0;  ///< standard deviation / mean
};
Moments moments(const std::vector<double>& values) {
  double sum = 0.0;
  double squares = 0.0;
  for (const double value : values) {
    sum += value;
    squares += value * value;
  }
  const double mean = sum / static_cast<double>(values.size());
  return {.mean = mean, .variation = std::sqrt(std::max(0.0, squares / static_cast<double>(values.size()) - mean * mean)) / mean};
}

TEST(RequestPlan, HoldsEveryRequestOfEveryStage) {
  const RequestPlan plan = make_request_plan(cycled(), 1, 0);
  ASSERT_EQ(plan.stages.size(), 2U);
  EXPECT_EQ(plan.stages[0].requests.size(), 1500U);
  EXPECT_EQ(plan.stages[1].requests.size(), 3600U);
  EXPECT_DOUBLE_EQ(plan.stages[1].requests_per_us, 6e-6);
  EXPECT_EQ(plan.concurrency, 0);
}

TEST(RequestPlan, EndsConditionedArrivalsWithTheStage) {
  const RequestPlan plan = make_request_plan(cycled(), 1, 0);
  for (const StagePlan& stage : plan.stages) {
    EXPECT_NEAR(stage.requests.back().arrival_us, 600e6, 1.0);
    EXPECT_GT(stage.requests.front().arrival_us, 0.0);  // the first one comes after a gap
    EXPECT_TRUE(std::ranges::is_sorted(stage.requests, {}, &PlannedRequest::arrival_us));
    EXPECT_NEAR(moments(gaps_us(stage)).variation, 1.0, 0.06);
  }
}

TEST(RequestPlan, DrawsGapsOfTheNamedProcess) {
  const auto of = [](const Experiment& experiment) { return moments(gaps_us(make_request_plan(experiment, 3, 0).stages[0])); };
  const Moments poisson = of(with_process(ArrivalProcess::poisson, 40000));
  EXPECT_NEAR(poisson.mean, 2e5, 3e3);
  EXPECT_NEAR(poisson.variation, 1.0, 0.02);
  const Moments constant = of(with_process(ArrivalProcess::constant, 1000));
  EXPECT_NEAR(constant.mean, 2e5, 1e-3);
  EXPECT_NEAR(constant.variation, 0.0, 1e-4);
  Experiment bursty = with_process(ArrivalProcess::gamma, 40000);
  bursty.workload.arrival.gamma_coefficient_of_variation = 2.0;
  const Moments gamma = of(bursty);
  EXPECT_NEAR(gamma.mean, 2e5, 8e3);
  EXPECT_NEAR(gamma.variation, 2.0, 0.08);
}

TEST(RequestPlan, RepeatsPromptsInTurnAndBeginsAgainInEveryStage) {
  const RequestPlan plan = make_request_plan(cycled(), 1, 0);
  const auto& first = plan.stages[0].requests;
  const auto& second = plan.stages[1].requests;
  for (std::size_t i = 0; i < 250; ++i) {
    EXPECT_EQ(first[i].chain, first[i % 100].chain);
    EXPECT_EQ(second[i].chain, first[i % 100].chain);
    EXPECT_EQ(second[i].prompt_tokens, first[i % 100].prompt_tokens);
    EXPECT_EQ(first[i].chain_tokens, first[i].prompt_tokens);
    EXPECT_EQ(first[i].output_tokens, 248);
  }
}

TEST(RequestPlan, SpreadsPromptLengthsUniformlyInTheirRange) {
  const RequestPlan plan = make_request_plan(cycled(), 1, 0);
  std::vector<double> lengths;
  for (std::size_t i = 0; i < 100; ++i) lengths.push_back(plan.stages[0].requests[i].prompt_tokens);
  EXPECT_THAT(lengths, testing::Each(testing::AllOf(testing::Ge(566.0), testing::Le(584.0))));
  EXPECT_NEAR(moments(lengths).mean, 575.0, 2.0);
  EXPECT_NEAR(moments(lengths).variation, 0.03 / std::sqrt(12.0), 0.002);
}

TEST(RequestPlan, PutsTenPromptsUnderEachSystemPrompt) {
  const RequestPlan plan = make_request_plan(cycled(), 1, 0);
  ASSERT_EQ(plan.chains.size(), 110U);
  std::vector<int> children(10, 0);
  for (std::size_t i = 10; i < 110; ++i) {
    EXPECT_EQ(plan.chains[i].parent_tokens, 100);
    ++children[static_cast<std::size_t>(plan.chains[i].parent)];
  }
  EXPECT_THAT(children, testing::Each(10));
}

TEST(RequestPlan, DependsOnSeedExperimentStageAndReplicateAlone) {
  const Experiment experiment = cycled();
  const auto arrivals = [](const RequestPlan& plan, std::size_t stage) { return gaps_us(plan.stages[stage]); };
  const RequestPlan plan = make_request_plan(experiment, 7, 0);
  EXPECT_EQ(arrivals(plan, 1), arrivals(make_request_plan(experiment, 7, 0), 1));
  EXPECT_NE(arrivals(plan, 1), arrivals(make_request_plan(experiment, 8, 0), 1));
  EXPECT_NE(arrivals(plan, 1), arrivals(make_request_plan(experiment, 7, 1), 1));
  Experiment other = experiment;
  other.id = "18";
  EXPECT_NE(arrivals(plan, 1), arrivals(make_request_plan(other, 7, 0), 1));
  // Another first stage changes nothing in the second, and other output lengths nothing in the arrivals.
  Experiment changed = experiment;
  changed.workload.stages[0].num_requests = 3;
  changed.workload.output = {.mean_tokens = 100, .standard_deviation_tokens = 20};
  EXPECT_EQ(arrivals(plan, 1), arrivals(make_request_plan(changed, 7, 0), 1));
}

TEST(RequestPlan, ClipsDrawnLengths) {
  Experiment experiment = with_process(ArrivalProcess::poisson, 20000);
  experiment.workload.pattern = PromptPattern::unique;
  experiment.workload.prompt_groups = 0;
  experiment.workload.prompt = {.mean_tokens = 500, .standard_deviation_tokens = 200, .min_tokens = 100, .max_tokens = 900};
  experiment.workload.output = {.mean_tokens = 50, .standard_deviation_tokens = 10};
  const RequestPlan plan = make_request_plan(experiment, 1, 0);
  std::vector<double> outputs;
  for (const PlannedRequest& request : plan.stages[0].requests) {
    ASSERT_GE(request.prompt_tokens, 100);
    ASSERT_LE(request.prompt_tokens, 900);
    ASSERT_EQ(request.chain_tokens, 100);  // one system prompt for all
    outputs.push_back(request.output_tokens);
  }
  EXPECT_EQ(plan.chains.size(), 1U);
  EXPECT_NEAR(moments(outputs).mean, 50.0, 0.3);
  EXPECT_NEAR(moments(outputs).variation, 0.2, 0.01);
}

TEST(RequestPlan, GrowsConversationsFromTurnToTurn) {
  Experiment experiment = with_process(ArrivalProcess::constant, 6);
  experiment.workload.pattern = PromptPattern::conversations;
  experiment.workload.turns_per_conversation = 3;
  experiment.workload.prompt = {.mean_tokens = 40};
  experiment.workload.output = {.mean_tokens = 10};
  const RequestPlan plan = make_request_plan(experiment, 1, 0);
  std::vector<int> prompts;
  std::vector<int> chains;
  for (const PlannedRequest& request : plan.stages[0].requests) {
    prompts.push_back(request.prompt_tokens);
    chains.push_back(request.chain);
    EXPECT_TRUE(request.extends_chain);
  }
  EXPECT_THAT(prompts, testing::ElementsAre(40, 90, 140, 40, 90, 140));
  EXPECT_THAT(chains, testing::ElementsAre(0, 0, 0, 1, 1, 1));
}

TEST(RequestPlan, KeepsAsManyClientsAsTheClosedLoopHas) {
  Experiment experiment = with_process(ArrivalProcess::closed_loop, 50);
  experiment.workload.arrival.concurrency = 8;
  const RequestPlan plan = make_request_plan(experiment, 1, 0);
  EXPECT_EQ(plan.concurrency, 8);
  EXPECT_EQ(plan.stages[0].requests.size(), 50U);
  EXPECT_EQ(plan.stages[0].requests_per_us, 0.0);
}

TEST(RequestPlan, DrawsTheLengthsThatNumpyDraws) {
  // numpy.random.RandomState(0).randint(819, 1025, 40), then the outputs; the first four as published with InferenceX's recipes.
  Experiment experiment = with_process(ArrivalProcess::closed_loop, 40);
  experiment.workload.pattern = PromptPattern::unique;
  experiment.workload.system_prompt_tokens = 0;
  experiment.workload.prompt = {.min_tokens = 819, .max_tokens = 1024, .shape = domain::LengthShape::uniform};
  experiment.workload.output = experiment.workload.prompt;
  experiment.workload.numpy_seed = 0;
  const RequestPlan plan = make_request_plan(experiment, 7, 3);
  std::vector<int> prompts;
  for (int i = 0; i < 4; ++i) prompts.push_back(plan.stages[0].requests[static_cast<std::size_t>(i)].prompt_tokens);
  EXPECT_THAT(prompts, testing::ElementsAre(991, 866, 936, 1011));
  for (const PlannedRequest& request : plan.stages[0].requests) {
    EXPECT_THAT(request.prompt_tokens, testing::AllOf(testing::Ge(819), testing::Le(1024)));
    EXPECT_THAT(request.output_tokens, testing::AllOf(testing::Ge(819), testing::Le(1024)));
  }
}

TEST(RequestPlan, SpreadsUniformLengthsOverTheirWholeRange) {
  Experiment experiment = with_process(ArrivalProcess::poisson, 4000);
  experiment.workload.pattern = PromptPattern::unique;
  experiment.workload.system_prompt_tokens = 0;
  experiment.workload.prompt = {.min_tokens = 10, .max_tokens = 13, .shape = domain::LengthShape::uniform};
  const RequestPlan plan = make_request_plan(experiment, 1, 0);
  std::array<int, 4> counts{};
  for (const PlannedRequest& request : plan.stages[0].requests) ++counts.at(static_cast<std::size_t>(request.prompt_tokens - 10));
  for (const int count : counts) EXPECT_NEAR(count, 1000, 120);
}

TEST(RequestPlan, StartsClientsOneAfterTheOtherUnderARamp) {
  Experiment experiment = with_process(ArrivalProcess::closed_loop, 10);
  experiment.workload.arrival = {.process = ArrivalProcess::closed_loop,
                                 .concurrency = 3,
                                 .start = domain::ClientStart::ramp,
                                 .ramp = {10.0},
                                 .turnaround_us = 250.0};
  const RequestPlan plan = make_request_plan(experiment, 1, 0);
  EXPECT_EQ(plan.turnaround_us, 250.0);
  std::vector<double> waits;
  for (const PlannedRequest& request : plan.stages[0].requests) waits.push_back(request.arrival_us);
  EXPECT_THAT(waits, testing::ElementsAre(0.0, 5e6, 10e6, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0));
}

TEST(RequestPlan, GivesAStageItsOwnClients) {
  Experiment experiment = with_process(ArrivalProcess::closed_loop, 10);
  experiment.workload.arrival.concurrency = 4;
  experiment.workload.stages = {{.rate = {}, .duration = {}, .num_requests = 10},
                                {.rate = {}, .duration = {}, .num_requests = 20, .concurrency = 16}};
  const RequestPlan plan = make_request_plan(experiment, 1, 0);
  EXPECT_EQ(plan.clients(plan.stages[0]), 4);
  EXPECT_EQ(plan.clients(plan.stages[1]), 16);
  EXPECT_EQ(plan.concurrency, 16);
}

TEST(RequestPlan, EndsAClosedLoopAfterItsDuration) {
  Experiment experiment = with_process(ArrivalProcess::closed_loop, 10);
  experiment.workload.arrival.concurrency = 256;
  experiment.workload.output.mean_tokens = 128;
  experiment.workload.stages = {{.rate = {}, .duration = {300.0}, .num_requests = 0}};
  const RequestPlan plan = make_request_plan(experiment, 1, 0);
  EXPECT_EQ(plan.stages[0].send_until_us, 300e6);
  EXPECT_GT(plan.stages[0].requests.size(), 256U * 100U);  // far more than any engine serves in that time
}

TEST(RequestPlan, RaisesTheRateFromRequestToRequest) {
  Experiment experiment = with_process(ArrivalProcess::poisson, 20000);
  domain::Arrival& arrival = experiment.workload.arrival;
  arrival.rate_ramp = domain::RateRamp::linear;
  arrival.first_rate = {1.0};
  arrival.last_rate = {9.0};
  experiment.workload.stages = {{.rate = domain::mean_rate(arrival, 20000), .duration = {}, .num_requests = 20000}};
  const std::vector<double> gaps = gaps_us(make_request_plan(experiment, 1, 0).stages[0]);
  const auto mean_gap = [&](std::size_t from, std::size_t to) {
    double sum = 0.0;
    for (std::size_t i = from; i < to; ++i) sum += gaps[i];
    return sum / static_cast<double>(to - from) * 1e-6;
  };
  EXPECT_NEAR(mean_gap(0, 500), 1.0 / 1.1, 0.15);
  EXPECT_NEAR(mean_gap(9750, 10250), 1.0 / 5.0, 0.03);
  EXPECT_NEAR(mean_gap(19500, 20000), 1.0 / 8.9, 0.02);
  arrival.rate_ramp = domain::RateRamp::exponential;
  EXPECT_NEAR(domain::ramped_rate(arrival, 1, 3).value, 3.0, 1e-12);
}

TEST(RequestPlan, WarmsUpWithTheFirstPromptOrWithTheNext) {
  Experiment experiment = with_process(ArrivalProcess::closed_loop, 10);
  experiment.workload.pattern = PromptPattern::unique;
  experiment.workload.system_prompt_tokens = 0;
  experiment.workload.arrival.concurrency = 4;
  experiment.workload.warm_up = domain::WarmUp{.requests = 8, .concurrency = 4, .prompt = domain::WarmUp::Prompt::first};
  const RequestPlan plan = make_request_plan(experiment, 1, 0);
  ASSERT_TRUE(plan.warm_up.has_value());
  EXPECT_EQ(plan.warm_up->concurrency, 4);
  ASSERT_EQ(plan.warm_up->requests.size(), 8U);
  const PlannedRequest& first = plan.stages[0].requests.front();
  for (const PlannedRequest& request : plan.warm_up->requests) {
    EXPECT_EQ(request.prompt_tokens, first.prompt_tokens);
    EXPECT_EQ(request.chain, first.chain);
    EXPECT_EQ(request.chain_tokens, first.prompt_tokens);
  }
  EXPECT_EQ(plan.stages[0].requests[1].chain, -1);
  experiment.workload.warm_up->prompt = domain::WarmUp::Prompt::next;
  const RequestPlan next = make_request_plan(experiment, 1, 0);
  EXPECT_EQ(next.warm_up->requests.size(), 8U);
  EXPECT_EQ(next.warm_up->requests.front().chain, -1);
  EXPECT_EQ(next.stages[0].requests.front().chain, -1);
}

TEST(RequestPlan, SendsTheTurnsOfASessionOneAfterTheOther) {
  Experiment experiment = with_process(ArrivalProcess::closed_loop, 5);
  experiment.workload.pattern = PromptPattern::conversations;
  experiment.workload.turns = domain::LengthDistribution{.mean_tokens = 3};
  experiment.workload.think_time = {.mean = {2.0}, .shape = domain::ThinkTime::Shape::constant};
  experiment.workload.system_prompt_tokens = 100;
  experiment.workload.prompt_groups = 1;
  experiment.workload.prompt = {.mean_tokens = 140};
  experiment.workload.output = {.mean_tokens = 10};
  const RequestPlan plan = make_request_plan(experiment, 1, 0);
  std::vector<int> prompts;
  std::vector<bool> follows;
  std::vector<double> waits_us;
  for (const PlannedRequest& request : plan.stages[0].requests) {
    prompts.push_back(request.prompt_tokens);
    follows.push_back(request.follows);
    waits_us.push_back(request.arrival_us);
  }
  EXPECT_THAT(prompts, testing::ElementsAre(140, 190, 240, 140, 190));
  EXPECT_THAT(follows, testing::ElementsAre(false, true, true, false, true));
  EXPECT_THAT(waits_us, testing::ElementsAre(0.0, 2e6, 2e6, 0.0, 2e6));
  EXPECT_EQ(plan.chains[1].parent, 0);
  EXPECT_EQ(plan.chains[1].parent_tokens, 100);
}

TEST(RequestPlan, TakesTheTurnsOfAConversationFromATable) {
  Experiment experiment = with_process(ArrivalProcess::closed_loop, 4);
  experiment.workload.arrival.concurrency = 2;
  experiment.workload.trace = {{.input_tokens = 50, .output_tokens = 5, .conversation = 7},
                               {.input_tokens = 70, .output_tokens = 6, .conversation = 3},
                               {.arrival_s = 0.5, .input_tokens = 90, .output_tokens = 7, .conversation = 7},
                               {.input_tokens = 20, .output_tokens = 8}};
  const RequestPlan plan = make_request_plan(experiment, 1, 0);
  const auto& requests = plan.stages[0].requests;
  ASSERT_EQ(requests.size(), 4U);
  EXPECT_EQ(requests[0].prompt_tokens, 50);
  EXPECT_EQ(requests[1].prompt_tokens, 90);
  EXPECT_TRUE(requests[1].follows);
  EXPECT_EQ(requests[1].arrival_us, 0.5e6);
  EXPECT_EQ(requests[1].chain, requests[0].chain);
  EXPECT_EQ(requests[2].prompt_tokens, 70);
  EXPECT_FALSE(requests[2].follows);
  EXPECT_EQ(requests[3].chain, -1);
  EXPECT_EQ(requests[3].prompt_tokens, 20);
}

TEST(RequestPlan, ReplaysATraceInOrderOfArrival) {
  Experiment experiment = cycled();
  experiment.workload.arrival.process = ArrivalProcess::trace;
  experiment.workload.stages.resize(2);
  experiment.workload.trace = {
      {.stage = 0, .arrival_s = 2.0, .input_tokens = 50, .output_tokens = 5, .prefix_group = 1, .shared_prefix_tokens = 80},
      {.stage = 0, .arrival_s = 1.0, .input_tokens = 70, .output_tokens = 6},
      {.stage = 1, .arrival_s = 0.5, .input_tokens = 90, .output_tokens = 7, .prefix_group = 0, .shared_prefix_tokens = 32}};
  const RequestPlan plan = make_request_plan(experiment, 1, 0);
  EXPECT_EQ(plan.chains.size(), 2U);
  ASSERT_EQ(plan.stages[0].requests.size(), 2U);
  EXPECT_EQ(plan.stages[0].requests[0].prompt_tokens, 70);
  EXPECT_EQ(plan.stages[0].requests[0].chain, -1);
  EXPECT_EQ(plan.stages[0].requests[1].arrival_us, 2e6);
  EXPECT_EQ(plan.stages[0].requests[1].chain_tokens, 50);
  EXPECT_EQ(plan.stages[1].requests[0].chain, 0);
  EXPECT_EQ(plan.stages[1].requests[0].chain_tokens, 32);
}

}  // namespace
}  // namespace rooftune::sim
