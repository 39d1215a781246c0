#include "rooftune/sim/simulate.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "support/example_targets.hpp"

namespace rooftune::sim {
namespace {

/// What the router, the warm-up and the pool add around engines.
struct Served {
  domain::ModelSpec model = examples::llama_2_7b();
  domain::GpuSpec gpu = examples::h100();
  domain::Experiment experiment;
  RequestPlan plan;
  params::Resolved<double> parameters;

  Served() {
    experiment.deployment = examples::deployment(model, gpu, 1);
    experiment.deployment.settings.total_kv_blocks = 2000;
    plan.stages.emplace_back();
  }
  [[nodiscard]] Scenario scenario() const { return {.experiment = experiment, .model = model, .gpu = gpu, .plan = plan}; }
  [[nodiscard]] Prediction<double> simulate(Observer* observer = nullptr) const {
    return sim::simulate<double>("physics", scenario(), parameters, {.observer = observer});
  }
};

TEST(Simulate, GivesRequestsAllBlocksOfThePoolButVllmsNullBlock) {
  Served run;
  EXPECT_EQ(make_engine_setup(run.scenario(), run.parameters).kv_blocks, 1999);
  run.experiment.deployment.settings.total_kv_blocks.reset();
  const std::int64_t estimated = make_engine_setup(run.scenario(), run.parameters).kv_blocks;
  run.experiment.deployment.engine = "sglang";
  EXPECT_EQ(make_engine_setup(run.scenario(), run.parameters).kv_blocks, estimated + 1);
}

TEST(Simulate, RunsSglangsSchedulerWhereItIsKnown) {
  Served run;
  run.experiment.deployment.engine = "sglang";
  const EngineSetup own = make_engine_setup(run.scenario(), run.parameters);
  EXPECT_TRUE(own.prompts_alone && own.growth_reserve && own.async_scheduling);
  // The second KV tier is vLLM's.
  run.experiment.deployment.settings.cpu_offload = true;
  run.experiment.deployment.settings.cpu_kv_blocks = 100;
  const EngineSetup beside = make_engine_setup(run.scenario(), run.parameters);
  EXPECT_TRUE(beside.prompts_alone && !beside.growth_reserve && !beside.async_scheduling);
}

/// Conversations of four turns, each of which brings 320 new tokens; every second one is ten times as long.
RequestPlan conversations(int count) {
  RequestPlan plan;
  StagePlan& stage = plan.stages.emplace_back();
  for (int conversation = 0; conversation < count; ++conversation) {
    plan.chains.emplace_back();
    for (int turn = 0; turn < 4; ++turn) {
      PlannedRequest request{.arrival_us = turn == 0 ? 3e5 * conversation : 1e5,
                             .prompt_tokens = 320 + 640 * turn,
                             .output_tokens = conversation % 2 == 0 ? 320 : 32,
                             .chain = conversation,
                             .extends_chain = true,
                             .follows = turn > 0};
      request.chain_tokens = request.prompt_tokens;
      stage.requests.push_back(request);
    }
  }
  return plan;
}

class Finished final : public Observer {
 public:
  void on_finished(const RequestEvent& event) override { events.push_back(event); }
  std::vector<RequestEvent> events;
};

TEST(Simulate, RoutesConversationsByLoadAndKeepsThemWhereTheirBlocksAre) {
  Served run;
  run.plan = conversations(60);
  run.experiment.deployment.dp = 2;
  run.experiment.deployment.settings.total_kv_blocks = 8000;
  const Prediction<double> in_turn = run.simulate();
  const params::SwitchId router = params::switch_id("engine.router");
  run.parameters.choose(router, *params::find_choice(router, "least_loaded"));
  Finished finished;
  const Prediction<double> by_load = run.simulate(&finished);
  EXPECT_EQ(by_load.summary.finished, 240);
  EXPECT_LT(by_load.summary.e2e_mean_us, in_turn.summary.e2e_mean_us);  // in turn, one replica gets all the long ones
  for (const RequestEvent& event : finished.events) {
    if (event.index % 4 > 0) {
      EXPECT_GE(event.cached_tokens, event.prompt_tokens - 640 - 16) << event.index;
    }
  }
}

/// Counts what it sees, and of which stages.
class Watcher final : public Observer {
 public:
  [[nodiscard]] bool wants_schedules() const override { return true; }
  void on_schedule(const ScheduleEvent& event) override {
    ++schedules;
    last_stage = std::max(last_stage, event.stage);
    for (const ScheduledTokens& request : event.requests) last_index = std::max(last_index, request.index);
  }
  int schedules = 0;
  int last_stage = -1;
  std::int64_t last_index = -1;
};

TEST(Simulate, ShowsTheSchedulesAfterTheWarmUpOnly) {
  Served run;
  for (int i = 0; i < 3; ++i) {
    run.plan.stages[0].requests.push_back({.arrival_us = 1e6 * i, .prompt_tokens = 100, .output_tokens = 5});
  }
  Watcher without;
  (void)run.simulate(&without);
  run.plan.warm_up.emplace();
  run.plan.warm_up->concurrency = 4;
  run.plan.warm_up->requests.assign(8, {.prompt_tokens = 200, .output_tokens = 50});
  Watcher with;
  (void)run.simulate(&with);
  EXPECT_GT(without.schedules, 0);
  EXPECT_EQ(with.schedules, without.schedules);
  EXPECT_EQ(with.last_stage, 0);
  EXPECT_EQ(with.last_index, 2);
}

}  // namespace
}  // namespace rooftune::sim
