#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "rooftune/core/derivative.hpp"
#include "rooftune/sim/simulate.hpp"
#include "support/example_targets.hpp"

/// How clients drive the engine. Every step takes 10 ms, whatever it does, and requests join the next one.
namespace rooftune::sim {
namespace {

using testing::ElementsAre;

constexpr double kStepUs = 10000.0;
/// What the smallest prices that the registry allows add to a step.
constexpr double kNearlyUs = 5.0;

class Finished final : public Observer {
 public:
  void on_finished(const RequestEvent& event) override { events.push_back(event); }
  void on_rejected(const RejectionEvent& event) override { rejected.push_back(event); }

  std::vector<RequestEvent> events;
  std::vector<RejectionEvent> rejected;
};

domain::Experiment closed_loop(int clients, int requests, int output_tokens = 1) {
  domain::Experiment experiment;
  experiment.id = "clients";
  experiment.deployment = examples::deployment(examples::llama_2_7b(), examples::h100(), 1);
  experiment.deployment.settings.total_kv_blocks = 4000;
  experiment.deployment.settings.async_scheduling = false;
  experiment.measured.measured_at = domain::MeasuredAt::server;
  domain::Workload& workload = experiment.workload;
  workload.prompt.mean_tokens = 32;
  workload.output.mean_tokens = output_tokens;
  workload.arrival = {.process = domain::ArrivalProcess::closed_loop, .concurrency = clients, .turnaround_us = 1000.0};
  workload.stages = {{.rate = {}, .duration = {}, .num_requests = requests}};
  return experiment;
}

Prediction<double> run(const domain::Experiment& experiment, Observer* observer) {
  const domain::ModelSpec model = examples::llama_2_7b();
  const domain::GpuSpec gpu = examples::h100();
  params::Resolved<double> parameters;
  parameters[params::parameter("blackbox.step_us")] = kStepUs;
  parameters[params::parameter("blackbox.per_prefill_token_us")] = 0.001;
  parameters[params::parameter("blackbox.per_decode_us")] = 0.001;
  const RequestPlan plan = make_request_plan(experiment, 1, 0);
  const Scenario scenario{.experiment = experiment, .model = model, .gpu = gpu, .plan = plan};
  return simulate<double>("blackbox", scenario, parameters, {.percentiles = Percentiles::compute, .observer = observer});
}

std::vector<double> arrivals_us(const Finished& finished) {
  std::vector<double> times;
  for (const RequestEvent& event : finished.events) times.push_back(event.arrival_us);
  return times;
}

testing::Matcher<double> near(double value_us) { return testing::DoubleNear(value_us, kNearlyUs); }

TEST(Clients, SendTheNextRequestATurnaroundAfterTheReply) {
  Finished finished;
  run(closed_loop(1, 3), &finished);
  EXPECT_THAT(arrivals_us(finished), ElementsAre(near(0), near(11000), near(22000)));
}

TEST(Clients, StartTogetherOrOverARamp) {
  Finished together;
  run(closed_loop(3, 3), &together);
  EXPECT_THAT(arrivals_us(together), ElementsAre(near(0), near(0), near(0)));
  domain::Experiment experiment = closed_loop(3, 3);
  experiment.workload.arrival.start = domain::ClientStart::ramp;
  experiment.workload.arrival.ramp = {0.1};
  Finished ramped;
  run(experiment, &ramped);
  EXPECT_THAT(arrivals_us(ramped), ElementsAre(near(0), near(50000), near(100000)));
}

TEST(Clients, SendNothingAfterTheStagesDuration) {
  domain::Experiment experiment = closed_loop(2, 0);
  experiment.workload.stages = {{.rate = {}, .duration = {0.1}, .num_requests = 0}};
  Finished finished;
  const Prediction<double> prediction = run(experiment, &finished);
  EXPECT_EQ(prediction.summary.finished, 20);  // both at 0, 11, 22 ... 99 ms
  EXPECT_NEAR(finished.events.back().arrival_us, 99000.0, 60.0);
}

TEST(Clients, WaitForTheReplyAndThinkBeforeTheNextTurn) {
  domain::Experiment experiment = closed_loop(1, 5);
  experiment.workload.pattern = domain::PromptPattern::conversations;
  experiment.workload.turns = domain::LengthDistribution{.mean_tokens = 3};
  experiment.workload.think_time = {.mean = {0.5}, .shape = domain::ThinkTime::Shape::constant};
  Finished finished;
  run(experiment, &finished);
  EXPECT_THAT(arrivals_us(finished), ElementsAre(near(0), near(511000), near(1022000), near(1033000), near(1544000)));
  EXPECT_THAT(finished.events, testing::Each(testing::Field(&RequestEvent::stage, 0)));
  // The second turn finds the first one's prompt, in whole blocks.
  EXPECT_EQ(finished.events[1].cached_tokens, 32);
  EXPECT_EQ(finished.events[3].cached_tokens, 0);
}

TEST(Clients, ComeWithTheirConversationsInAnOpenLoopToo) {
  domain::Experiment experiment = closed_loop(1, 4);
  experiment.workload.pattern = domain::PromptPattern::conversations;
  experiment.workload.turns = domain::LengthDistribution{.mean_tokens = 2};
  experiment.workload.arrival = {.process = domain::ArrivalProcess::constant};
  experiment.workload.stages = {{.rate = {10.0}, .duration = {0.2}, .num_requests = 4}};
  Finished finished;
  run(experiment, &finished);
  // Conversations begin at 100 and 200 ms; turns follow a turnaround (of the config: 1 ms) after the reply.
  EXPECT_THAT(arrivals_us(finished), ElementsAre(near(100000), near(111000), near(200000), near(211000)));
}

TEST(Clients, WarmUpBeforeTheFirstStageAndInNoRecord) {
  domain::Experiment experiment = closed_loop(2, 4);
  experiment.workload.prompt = {.mean_tokens = 64};
  experiment.workload.warm_up = domain::WarmUp{.requests = 4, .concurrency = 2, .prompt = domain::WarmUp::Prompt::first};
  Finished finished;
  const Prediction<double> prediction = run(experiment, &finished);
  ASSERT_EQ(prediction.stages.size(), 1U);
  EXPECT_EQ(prediction.summary.finished, 4);
  ASSERT_EQ(finished.events.size(), 4U);
  EXPECT_EQ(finished.events.front().stage, 0);
  EXPECT_EQ(finished.events.front().cached_tokens, 48);  // of 64, at least the last token is computed
  EXPECT_EQ(finished.events.back().cached_tokens, 0);
}

TEST(Clients, GoOnAfterARefusal) {
  domain::Experiment experiment = closed_loop(1, 3);
  experiment.deployment.settings.max_model_len = 100;
  experiment.workload.trace = {
      {.input_tokens = 32, .output_tokens = 1}, {.input_tokens = 200, .output_tokens = 1}, {.input_tokens = 32, .output_tokens = 1}};
  Finished finished;
  const Prediction<double> prediction = run(experiment, &finished);
  EXPECT_EQ(prediction.summary.rejected, 1);
  EXPECT_EQ(finished.rejected.size(), 1U);
  EXPECT_THAT(arrivals_us(finished), ElementsAre(near(0), near(12000)));
}

TEST(Clients, HaveMediansBesideMeans) {
  domain::Experiment experiment = closed_loop(1, 3);
  experiment.workload.trace = {
      {.input_tokens = 8, .output_tokens = 2}, {.input_tokens = 8, .output_tokens = 2}, {.input_tokens = 8, .output_tokens = 11}};
  const domain::Latencies latencies = run(experiment, nullptr).summary.latencies;
  EXPECT_NEAR(*latencies[domain::Metric::e2e_median], 20.0, 0.1);
  EXPECT_NEAR(*latencies[domain::Metric::e2e_mean], 50.0, 0.1);
  EXPECT_NEAR(*latencies[domain::Metric::tpot_median], 10.0, 0.1);
}

TEST(Clients, GiveEveryReplicaItsShareAndKeepConversationsTogether) {
  domain::Experiment experiment = closed_loop(4, 12);
  experiment.deployment.dp = 2;
  experiment.workload.pattern = domain::PromptPattern::conversations;
  experiment.workload.turns = domain::LengthDistribution{.mean_tokens = 3};
  Finished finished;
  const Prediction<double> prediction = run(experiment, &finished);
  EXPECT_EQ(prediction.summary.finished, 12);
  // Turns of 32, 65 and 98 tokens find 0, 32 and 64 of them wherever their conversation lies.
  std::int64_t cached = 0;
  for (const RequestEvent& event : finished.events) cached += event.cached_tokens;
  EXPECT_EQ(cached, 4 * (32 + 64));
}

/// Derivatives of a closed loop's latencies against symmetric differences: nothing random stands between.
TEST(Clients, CarryDerivatives) {
  const domain::Experiment experiment = closed_loop(8, 64, 20);
  const domain::ModelSpec model = examples::llama_2_7b();
  const domain::GpuSpec gpu = examples::h100();
  const RequestPlan plan = make_request_plan(experiment, 1, 0);
  const Scenario scenario{.experiment = experiment, .model = model, .gpu = gpu, .plan = plan};
  const auto with = [](double step_us) {
    params::Resolved<double> parameters;
    parameters[params::parameter("blackbox.step_us")] = step_us;
    return parameters;
  };
  constexpr double kBy = 1.0;
  const auto up = simulate<double>("blackbox", scenario, with(kStepUs + kBy), {}).summary;
  const auto down = simulate<double>("blackbox", scenario, with(kStepUs - kBy), {}).summary;
  using Scalar = core::Dual<core::kNarrowWidth>;
  params::Resolved<Scalar> parameters = with(kStepUs).as<Scalar>();
  parameters[params::parameter("blackbox.step_us")].v[0] = 1.0;
  const auto derived = simulate<Scalar>("blackbox", scenario, parameters, {}).summary;
  EXPECT_NEAR(derived.ttft_mean_us.v[0], (up.ttft_mean_us - down.ttft_mean_us) / (2.0 * kBy), 0.02);
  EXPECT_NEAR(derived.e2e_mean_us.v[0], (up.e2e_mean_us - down.e2e_mean_us) / (2.0 * kBy), 0.1);
  EXPECT_NEAR(derived.tpot_mean_us.v[0], (up.tpot_mean_us - down.tpot_mean_us) / (2.0 * kBy), 0.01);
}

}  // namespace
}  // namespace rooftune::sim
