#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/core/derivative.hpp"
#include "rooftune/core/random.hpp"
#include "rooftune/sim/simulate.hpp"
#include "support/example_targets.hpp"

/// Prefill and decode apart (docs/prefill_and_decode.md).
namespace rooftune::sim {
namespace {

using testing::HasSubstr;

class Finished final : public Observer {
 public:
  void on_finished(const RequestEvent& event) override { events.push_back(event); }
  [[nodiscard]] std::vector<RequestEvent> in_order() const {
    std::vector<RequestEvent> sorted = events;
    std::ranges::sort(sorted, {}, &RequestEvent::index);
    return sorted;
  }
  std::vector<RequestEvent> events;
};

/// Llama-2-7B on engines of one H100. A token of its cache has 524288 bytes.
class PrefillDecode : public testing::Test {
 protected:
  PrefillDecode() {
    experiment_.deployment = examples::deployment(model_, gpu_, 1);
    experiment_.deployment.settings.total_kv_blocks = 20001;
    experiment_.deployment.settings.max_model_len = 4096;
    experiment_.measured.measured_at = domain::MeasuredAt::server;  // no front end
    plan_.stages.emplace_back();
    set("engine.kv_transfer_GBs", 1e30);  // no time of a request is later by what its blocks take
    set("engine.kv_transfer_start_us", 0.0);
  }
  void set(std::string_view id, double value) { parameters_[params::parameter(id)] = value; }
  void split(int prefill, int decode) {
    experiment_.deployment.prefill_decode = domain::PrefillDecode{.prefill = {.engines = prefill}, .decode = {.engines = decode}};
  }
  void send(int requests, double mean_gap_us) {
    core::RandomEngine random = core::make_stream({.seed = 5, .experiment_id = "apart", .purpose = core::StreamPurpose::noise});
    double at_us = 0.0;
    for (int i = 0; i < requests; ++i) {
      at_us += 2.0 * mean_gap_us * core::uniform01(random);
      plan_.stages.front().requests.push_back({.arrival_us = at_us,
                                               .prompt_tokens = 100 + static_cast<std::int32_t>(1000 * core::uniform01(random)),
                                               .output_tokens = 1 + static_cast<std::int32_t>(200 * core::uniform01(random))});
    }
  }
  [[nodiscard]] Scenario scenario() const { return {.experiment = experiment_, .model = model_, .gpu = gpu_, .plan = plan_}; }
  [[nodiscard]] std::vector<RequestEvent> served(Stepping stepping = Stepping::closed_form) const {
    Finished finished;
    (void)simulate<double>("physics", scenario(), parameters_, {.stepping = stepping, .observer = &finished});
    return finished.in_order();
  }
  /// One engine by itself.
  [[nodiscard]] std::vector<RequestEvent> served_by(const EngineSetup& setup, const StagePlan& stage) const {
    Finished finished;
    domain::Experiment alone = experiment_;
    alone.deployment.prefill_decode.reset();
    const auto step_time =
        make_step_time<double>("physics", {.experiment = alone, .model = model_, .gpu = gpu_, .plan = plan_}, parameters_);
    Engine<double> engine(setup, plan_.chains, *step_time, {.observer = &finished});
    (void)engine.run_stage(stage, 0, 0.0);
    return finished.in_order();
  }
  /// Compares every request with what it is where engines know nothing of each other: `prefill_engine` names the one that computes a
  /// prompt, and one decode engine gets the requests as they leave.
  template <class PrefillEngine>
  void expect_in_series(PrefillEngine prefill_engine) const {
    const std::vector<RequestEvent> apart = served();
    const std::vector<PlannedRequest>& requests = plan_.stages.front().requests;
    const EngineSetup decode = make_engine_setup(scenario(), parameters_);
    EngineSetup prefill = decode;
    prefill.fetches_prompts = false;
    std::vector<double> prefilled_us(requests.size());
    for (int engine = 0; engine < experiment_.deployment.prefill_decode->prefill.engines; ++engine) {
      StagePlan prompts;
      std::vector<std::size_t> own;
      for (std::size_t i = 0; i < requests.size(); ++i) {
        if (prefill_engine(i) != engine) continue;
        own.push_back(i);
        prompts.requests.push_back(requests[i]);
        prompts.requests.back().output_tokens = 1;
      }
      const std::vector<RequestEvent> first = served_by(prefill, prompts);
      for (std::size_t i = 0; i < own.size(); ++i) prefilled_us[own[i]] = first[i].finished_us;
    }
    // The second engine gets the requests as they leave the first.
    std::vector<std::size_t> order(requests.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::ranges::stable_sort(order, {}, [&](std::size_t i) { return prefilled_us[i]; });
    StagePlan handed;
    for (const std::size_t i : order) {
      handed.requests.push_back(requests[i]);
      handed.requests.back().arrival_us = prefilled_us[i];
    }
    const std::vector<RequestEvent> second = served_by(decode, handed);
    ASSERT_EQ(apart.size(), requests.size());
    ASSERT_EQ(second.size(), requests.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
      const RequestEvent& whole = apart[order[i]];
      EXPECT_NEAR(whole.arrival_us, requests[order[i]].arrival_us, 1e-6);
      EXPECT_NEAR(whole.first_token_us, second[i].first_token_us, 1e-6 * second[i].first_token_us) << i;
      EXPECT_NEAR(whole.finished_us, second[i].finished_us, 1e-6 * second[i].finished_us) << i;
    }
  }
  [[nodiscard]] std::string refused() const { return refusal("physics", scenario()).value_or(""); }

  domain::GpuSpec gpu_ = examples::h100();
  domain::ModelSpec model_ = examples::llama_2_7b();
  domain::Experiment experiment_;
  RequestPlan plan_;
  params::Resolved<double> parameters_;
};

TEST_F(PrefillDecode, AFreeLinkMakesTwoEnginesInSeries) {
  send(300, 60000.0);
  split(1, 1);
  EXPECT_TRUE(make_engine_setup(scenario(), parameters_).fetches_prompts);
  expect_in_series([](std::size_t) { return 0; });
}

/// Who comes at one moment is in one step, as in one engine.
TEST_F(PrefillDecode, RequestsThatComeTogetherAreServedTogether) {
  send(300, 60000.0);
  std::vector<PlannedRequest>& requests = plan_.stages.front().requests;
  for (std::size_t i = 0; i < requests.size(); ++i) requests[i].arrival_us = requests[i - i % 5].arrival_us;
  split(1, 1);
  expect_in_series([](std::size_t) { return 0; });
}

/// Two engines have two prompts and one when three more come during the steps that run. Whoever is on the way counts, so that they go
/// to the second engine, to the first, whose turn it is, and to the second.
TEST_F(PrefillDecode, RequestsOnTheirWayToABusyEngineCount) {
  for (const double arrival_us : {0.0, 0.0, 0.0, 1000.0, 2000.0, 3000.0}) {
    plan_.stages.front().requests.push_back({.arrival_us = arrival_us, .prompt_tokens = 2000, .output_tokens = 20});
  }
  split(2, 1);
  expect_in_series([](std::size_t i) { return static_cast<int>(i % 2); });
}

TEST_F(PrefillDecode, CountsWhatIsRefusedByItsReason) {
  send(3, 60000.0);
  std::vector<PlannedRequest>& requests = plan_.stages.front().requests;
  requests[0].prompt_tokens = 5000;  // beyond max_model_len
  requests[1].prompt_tokens = 3000;  // beyond the pool
  experiment_.deployment.settings.total_kv_blocks = 101;
  split(1, 1);
  const Prediction<double> prediction = simulate<double>("physics", scenario(), parameters_, {});
  EXPECT_EQ(prediction.summary.rejected, 2);
  EXPECT_EQ(prediction.counters.rejected, 2);
  EXPECT_EQ(prediction.counters.rejected_by_length, 1);
}

/// By hand: one request of 801 tokens and 3 of output, on idle engines. The prompt takes a step; after the start cost its 800 tokens
/// come over the link, 50 blocks of 16 x 524288 B at 1 GB/s; their last token is computed anew and yields the first one; two steps
/// more.
TEST_F(PrefillDecode, OneRequestTakesTheSumOfItsParts) {
  split(1, 1);
  plan_.stages.front().requests.push_back({.arrival_us = 0.0, .prompt_tokens = 801, .output_tokens = 3});
  set("engine.kv_transfer_GBs", 1.0);
  set("engine.kv_transfer_start_us", 700.0);
  set("engine.prefill_pool_factor", 2.0);
  set("engine.decode_pool_factor", 3.0);
  const RequestEvent request = served().front();
  domain::Experiment alone = experiment_;
  alone.deployment.prefill_decode.reset();
  const auto model =
      make_step_time<double>("physics", {.experiment = alone, .model = model_, .gpu = gpu_, .plan = plan_}, parameters_);
  const auto prefill_us = [&](std::int64_t context, std::int64_t tokens) {
    const std::vector<latency::PrefillChunk> chunks{{.context_tokens = context, .new_tokens = tokens}};
    latency::Batch batch;
    batch.prefills = chunks;
    return model->duration_us(batch);
  };
  const auto decode_us = [&](std::int64_t context) {
    latency::Batch batch;
    batch.decode_requests = 1;
    batch.decode_context_tokens = context;
    return model->duration_us(batch);
  };
  const double moved_us = 50.0 * 16.0 * 524288.0 / 1e3;
  const double first_us = 2.0 * prefill_us(0, 801) + 700.0 + moved_us + 3.0 * prefill_us(800, 1);
  EXPECT_NEAR(request.first_token_us, first_us, 1e-6 * first_us);
  EXPECT_NEAR(request.finished_us, first_us + 3.0 * (decode_us(801) + decode_us(802)), 1e-6 * first_us);
}

TEST_F(PrefillDecode, EveryRequestOfAClosedLoopEndsOnce) {
  send(200, 0.0);
  for (PlannedRequest& request : plan_.stages.front().requests) request.arrival_us = 0.0;
  plan_.concurrency = 24;
  plan_.turnaround_us = 1000.0;
  split(2, 3);
  const std::vector<RequestEvent> apart = served();
  ASSERT_EQ(apart.size(), 200U);
  std::vector<double> starts;
  std::vector<double> ends;
  for (std::size_t i = 0; i < apart.size(); ++i) {
    EXPECT_EQ(apart[i].index, static_cast<std::int64_t>(i));
    EXPECT_EQ(apart[i].output_tokens, plan_.stages.front().requests[i].output_tokens);
    EXPECT_LT(apart[i].arrival_us, apart[i].first_token_us);
    starts.push_back(apart[i].arrival_us);
    ends.push_back(apart[i].finished_us);
  }
  // Never more in flight than there are clients.
  std::ranges::sort(starts);
  std::ranges::sort(ends);
  for (std::size_t i = 24; i < starts.size(); ++i) EXPECT_GE(starts[i], ends[i - 24]);
  const std::vector<RequestEvent> again = served();
  for (std::size_t i = 0; i < apart.size(); ++i) EXPECT_EQ(apart[i].finished_us, again[i].finished_us);
}

TEST_F(PrefillDecode, PlainSteppingGivesTheSame) {
  send(200, 30000.0);
  split(1, 2);
  set("engine.kv_transfer_GBs", 30.0);
  set("engine.kv_transfer_start_us", 2000.0);
  const std::vector<RequestEvent> closed = served();
  const std::vector<RequestEvent> plain = served(Stepping::plain);
  ASSERT_EQ(closed.size(), plain.size());
  for (std::size_t i = 0; i < closed.size(); ++i) {
    EXPECT_NEAR(closed[i].finished_us, plain[i].finished_us, 1e-7 * plain[i].finished_us);
  }
}

/// The derivative of the mean E2E in the logarithm of a parameter, as it rides along and by difference.
struct Slope {
  double carried = 0.0;
  double by_difference = 0.0;
};

class PrefillDecodeDerivatives : public PrefillDecode {
 protected:
  [[nodiscard]] Slope slope(std::string_view parameter, double step) {
    using Dual = core::Dual<core::kNarrowWidth>;
    const params::ParameterId id = params::parameter(parameter);
    params::Resolved<Dual> dual = parameters_.as<Dual>();
    dual[id].v[0] = dual[id].a;
    const auto at = [&](double factor) {
      params::Resolved<double> moved = parameters_;
      moved[id] *= factor;
      return simulate<double>("physics", scenario(), moved, {}).summary.e2e_mean_us;
    };
    return {.carried = simulate<Dual>("physics", scenario(), dual, {}).summary.e2e_mean_us.v[0],
            .by_difference = (at(std::exp(step)) - at(std::exp(-step))) / (2.0 * step)};
  }
};

TEST_F(PrefillDecodeDerivatives, AreExactWhereEveryRequestIsAlone) {
  send(20, 2e7);
  split(1, 1);
  set("engine.kv_transfer_GBs", 5.0);
  set("engine.kv_transfer_start_us", 3000.0);
  for (const std::string_view id :
       {"engine.prefill_pool_factor", "engine.decode_pool_factor", "engine.kv_transfer_GBs", "engine.kv_transfer_start_us"}) {
    const Slope found = slope(id, 1e-3);
    EXPECT_NEAR(found.carried, found.by_difference, 1e-3 * std::abs(found.by_difference)) << id;
  }
}

TEST_F(PrefillDecodeDerivatives, FollowTheEnginesInSeriesInAClosedLoop) {
  send(400, 0.0);
  for (PlannedRequest& request : plan_.stages.front().requests) {
    request.arrival_us = 0.0;
    request.output_tokens = 150;
  }
  plan_.concurrency = 8;
  plan_.turnaround_us = 1000.0;
  split(1, 1);
  const Slope found = slope("engine.decode_pool_factor", 0.05);
  EXPECT_NEAR(found.carried, found.by_difference, 0.05 * found.by_difference);
}

TEST_F(PrefillDecode, WhatIsNotSimulatedIsRefusedByName) {
  split(1, 1);
  EXPECT_EQ(refused(), "");
  experiment_.deployment.dp = 2;
  EXPECT_THAT(refused(), HasSubstr("replicas"));
  experiment_.deployment.dp = 1;
  experiment_.deployment.pp = 2;
  EXPECT_THAT(refused(), HasSubstr("pipeline stages"));
  experiment_.deployment.pp = 1;
  experiment_.workload.pattern = domain::PromptPattern::conversations;
  EXPECT_THAT(refused(), HasSubstr("conversations"));
  experiment_.workload.pattern = domain::PromptPattern::unique;
  experiment_.deployment.settings.cpu_offload = true;
  experiment_.deployment.settings.cpu_kv_blocks = 100;
  EXPECT_THAT(refused(), HasSubstr("KV offload"));
  experiment_.deployment.settings.cpu_offload = false;
  experiment_.deployment.settings.speculative = domain::Speculation{.method = "mtp", .num_speculative_tokens = 1};
  EXPECT_THAT(refused(), HasSubstr("speculative decoding"));
  experiment_.deployment.settings.speculative.reset();
  experiment_.deployment.prefill_decode->prefill.tp = 5;
  EXPECT_THAT(refused(), HasSubstr("tp 5 does not divide"));
}

}  // namespace
}  // namespace rooftune::sim
