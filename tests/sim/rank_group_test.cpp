#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "rooftune/core/derivative.hpp"
#include "rooftune/domain/gpus.hpp"
#include "rooftune/latency/operators.hpp"
#include "rooftune/sim/engine_releases.hpp"
#include "rooftune/sim/simulate.hpp"
#include "support/example_targets.hpp"
#include "workloads.hpp"

/// Data-parallel ranks that step together: what can be followed by hand, what holds for every workload, and derivatives.
namespace rooftune::sim {
namespace {

using cases::EngineRun;
using cases::LinearStepTime;
using cases::Pool;
using cases::RandomCase;
using cases::RandomCases;

EngineSetup ranks_of(int ranks) {
  EngineSetup setup;
  setup.ranks = ranks;
  setup.kv_blocks = 100;
  setup.async_scheduling = false;
  return setup;
}

/// 1000 us, and 10 for each token of a prompt, 100 for each decode: of one rank.
LinearStepTime<> times() { return LinearStepTime<>({.base_us = 1000.0, .per_prefill_token_us = 10.0, .per_decode_us = 100.0}); }

RequestPlan plan_of(std::vector<PlannedRequest> requests, int concurrency = 0) {
  RequestPlan plan;
  plan.concurrency = concurrency;
  plan.stages.push_back({.requests = std::move(requests)});
  return plan;
}

EngineRun run(const EngineSetup& setup, const RequestPlan& plan, Stepping stepping = Stepping::closed_form) {
  LinearStepTime<> own = times();
  return cases::run_engine(setup, plan, own, stepping);
}

TEST(RankGroup, StepsAtThePaceOfTheSlowestRank) {
  // The first request goes to rank 0, the second to rank 1: 0 has one waiting.
  const EngineRun result =
      run(ranks_of(2), plan_of({{.prompt_tokens = 10, .output_tokens = 3}, {.prompt_tokens = 100, .output_tokens = 2}}));
  // 1000 + 10 x 10 and 1000 + 10 x 100: both wait for the longer prompt.
  EXPECT_DOUBLE_EQ(result.requests[0].first_token_us, 2000.0);
  EXPECT_DOUBLE_EQ(result.requests[1].first_token_us, 2000.0);
  // A decode on each rank: 1100.
  EXPECT_DOUBLE_EQ(result.requests[1].finished_us, 3100.0);
  EXPECT_DOUBLE_EQ(result.requests[0].finished_us, 4200.0);
  EXPECT_EQ(result.counters.steps, 6) << "three of each rank, one of them for nobody";
  EXPECT_DOUBLE_EQ(result.counters.batch_time_us, 2 * 2000.0 + 2 * 1100.0 + 1100.0);
}

TEST(RankGroup, ARequestThatComesDuringAStepForNobodyJoinsTheNextOne) {
  const EngineRun result =
      run(ranks_of(2),
          plan_of({{.prompt_tokens = 10, .output_tokens = 20}, {.arrival_us = 1500.0, .prompt_tokens = 50, .output_tokens = 1}}));
  // Rank 1 has computed a token for nobody since 1100; the prompt of 50 begins at 2200 and holds both ranks up until 3700.
  EXPECT_DOUBLE_EQ(result.requests[1].first_token_us, 3700.0);
  EXPECT_DOUBLE_EQ(result.requests[0].finished_us, 1100.0 + 1100.0 + 1500.0 + 17 * 1100.0);
}

TEST(RankGroup, BalancesByTheCountsThatWerePublishedLast) {
  // Four requests at once go to ranks 0, 1, 0, 1. At 100 ms it is published that each has two running. One that comes then goes to
  // rank 0, where it counts as waiting (4), so that the next two go to rank 1 (2 + 4 against 2 + 4: the lower, then 1).
  std::vector<PlannedRequest> requests(4, {.prompt_tokens = 10, .output_tokens = 200});
  for (int i = 0; i < 3; ++i) requests.push_back({.arrival_us = 150e3 + i, .prompt_tokens = 10, .output_tokens = 200});
  const RequestPlan plan = plan_of(requests);
  class Steps final : public Observer {
   public:
    [[nodiscard]] bool wants_steps() const override { return true; }
    void on_step(const StepEvent& event) override { decodes[event.start_us].push_back(event.batch.decode_requests); }
    std::map<double, std::vector<std::int64_t>> decodes;
  } steps;
  LinearStepTime<> own = times();
  Engine<double> engine(ranks_of(2), plan.chains, own, {.observer = &steps});
  static_cast<void>(engine.run_stage(plan.stages[0], 0, 0.0));
  const auto at_100_ms = std::prev(steps.decodes.lower_bound(100e3));
  const auto at_200_ms = std::prev(steps.decodes.lower_bound(200e3));
  EXPECT_EQ(at_100_ms->second, (std::vector<std::int64_t>{2, 2}));
  EXPECT_EQ(at_200_ms->second, (std::vector<std::int64_t>{4, 3}));
}

TEST(RankGroup, DealsClientsOfAClosedLoopAnewForEveryRequest) {
  std::vector<PlannedRequest> requests(12, {.prompt_tokens = 10, .output_tokens = 5});
  const EngineRun result = run(ranks_of(3), plan_of(requests, 3));
  EXPECT_EQ(result.finished(), 12);
  // One request on each rank, four times over: 1100 for the prompt, four decodes of 1100.
  EXPECT_DOUBLE_EQ(result.stages[0].last_finish_us, 4 * 5500.0);
}

RandomCase draw(RandomCases& random) {
  RandomCase drawn = random.draw(random.chance(0.5) ? Pool::ample : Pool::tight);
  drawn.setup.ranks = random.between(2, 4);
  drawn.setup.prompts_alone = random.chance(0.3);
  if (drawn.setup.prompts_alone) drawn.setup.growth_reserve.emplace();
  return drawn;
}

EngineRun run(const RandomCase& drawn, Stepping stepping) {
  LinearStepTime<> own(drawn.times);
  return cases::run_engine(drawn.setup, drawn.plan, own, stepping, 0.0, 0.0, drawn.turnaround_us);
}

TEST(RankGroup, EveryRequestEndsOnceAndTokensAreConserved) {
  RandomCases random(31, "ranks");
  for (int i = 0; i < 300; ++i) {
    const RandomCase drawn = draw(random);
    const EngineRun result = run(drawn, Stepping::closed_form);
    std::int64_t requests = 0;
    std::int64_t generated = 0;
    for (const StagePlan& stage : drawn.plan.stages) requests += std::ssize(stage.requests);
    ASSERT_EQ(result.finished() + result.rejected(), requests) << "case " << i;
    ASSERT_EQ(std::ssize(result.requests), result.finished());
    for (std::size_t k = 0; k < result.requests.size(); ++k) {
      const RequestEvent& event = result.requests[k];
      const PlannedRequest& planned =
          drawn.plan.stages[static_cast<std::size_t>(event.stage)].requests[static_cast<std::size_t>(event.index)];
      ASSERT_EQ(event.prompt_tokens, planned.prompt_tokens);
      ASSERT_EQ(event.output_tokens, planned.output_tokens);
      ASSERT_LT(event.arrival_us, event.first_token_us);
      ASSERT_LE(event.first_token_us, event.finished_us);
      generated += event.output_tokens;
    }
    ASSERT_EQ(result.counters.generated_tokens, generated);
    ASSERT_GE(result.counters.least_free_blocks, 0);
    ASSERT_EQ(result.counters.steps % drawn.setup.ranks, 0) << "every rank steps as often";
  }
}

TEST(RankGroup, ClosedFormEqualsPlainStepping) {
  RandomCases random(32, "ranks in closed form");
  std::int64_t saved = 0;
  for (int i = 0; i < 300; ++i) {
    const RandomCase drawn = draw(random);
    const EngineRun closed = run(drawn, Stepping::closed_form);
    const EngineRun plain = run(drawn, Stepping::plain);
    ASSERT_EQ(closed.counters.steps, plain.counters.steps) << "case " << i;
    ASSERT_EQ(closed.counters.preemptions, plain.counters.preemptions) << "case " << i;
    ASSERT_EQ(closed.requests.size(), plain.requests.size());
    for (std::size_t k = 0; k < closed.requests.size(); ++k) {
      ASSERT_NEAR(closed.requests[k].first_token_us, plain.requests[k].first_token_us, 1e-9 * plain.requests[k].first_token_us);
      ASSERT_NEAR(closed.requests[k].finished_us, plain.requests[k].finished_us, 1e-9 * plain.requests[k].finished_us);
    }
    saved += plain.counters.advances - closed.counters.advances;
  }
  EXPECT_GT(saved, 0);
}

TEST(RankGroup, NoStepIsShorterThanAnyRankTakes) {
  class Pace final : public Observer {
   public:
    explicit Pace(const cases::LinearTimes& times) : times_(times) {}
    [[nodiscard]] bool wants_steps() const override { return true; }
    void on_step(const StepEvent& event) override {
      // Ranks begin a step together and take as long as each other.
      if (event.start_us == start_us_) {
        ASSERT_EQ(event.duration_us, duration_us_);
      }
      start_us_ = event.start_us;
      duration_us_ = event.duration_us;
      const double own_us = core::value_of(times_.piece(event.batch).duration_us);
      ASSERT_GE(event.duration_us, own_us - 1e-9);
      slowest += own_us == event.duration_us ? 1 : 0;
    }
    int slowest = 0;

   private:
    LinearStepTime<> times_;
    double start_us_ = -1.0;
    double duration_us_ = 0.0;
  };
  RandomCases random(33, "pace");
  int slowest = 0;
  for (int i = 0; i < 100; ++i) {
    const RandomCase drawn = draw(random);
    LinearStepTime<> own(drawn.times);
    Pace pace(drawn.times);
    Engine<double> engine(drawn.setup, drawn.plan.chains, own, {.turnaround_us = drawn.turnaround_us, .observer = &pace});
    double start_us = 0.0;
    for (const StagePlan& stage : drawn.plan.stages)
      start_us = engine.run_stage(stage, drawn.plan.concurrency, start_us).last_finish_us;
    slowest += pace.slowest;
  }
  EXPECT_GT(slowest, 1000);
}

TEST(RankGroup, OfferedRequestsEndAsPlannedOnesDo) {
  RandomCases random(34, "offers");
  for (int i = 0; i < 100; ++i) {
    RandomCase drawn = draw(random);
    drawn.plan.concurrency = 0;
    if (std::ranges::any_of(drawn.plan.stages[0].requests, &PlannedRequest::follows)) continue;
    const StagePlan& stage = drawn.plan.stages[0];
    LinearStepTime<> own(drawn.times);
    Engine<double> planned(drawn.setup, drawn.plan.chains, own, {});
    Engine<double> offered(drawn.setup, drawn.plan.chains, own, {});
    const StageRecord<double> expected = planned.run_stage(stage, 0, 0.0);
    offered.begin_stage(0.0, 0.0, stage.requests.size());
    for (const PlannedRequest& request : stage.requests) {
      offered.run_to(request.arrival_us);
      offered.offer(request);
    }
    const StageRecord<double> record = offered.end_stage();
    ASSERT_EQ(record.finished, expected.finished) << "case " << i;
    ASSERT_NEAR(record.e2e_sum_us, expected.e2e_sum_us, 1e-9 * expected.e2e_sum_us) << "case " << i;
  }
}

/// A mixture of experts on data-parallel ranks, under a closed loop or at a rate.
struct Served {
  domain::ModelSpec model = examples::llama_4_scout_fp8();
  domain::GpuSpec gpu = examples::h100();
  domain::Experiment experiment;

  explicit Served(int ranks, int concurrency, int output_tokens = 100, int requests = 400) {
    experiment.id = "ranks";
    experiment.deployment = examples::deployment(model, gpu, 2);
    experiment.deployment.settings.data_parallel_size = ranks;
    experiment.deployment.settings.enable_expert_parallel = true;
    experiment.deployment.settings.total_kv_blocks = 20000;
    experiment.deployment = settle(experiment.deployment, model, gpu).deployment;
    domain::Workload& workload = experiment.workload;
    workload.prompt.mean_tokens = 575;
    workload.output.mean_tokens = output_tokens;
    workload.arrival.process = domain::ArrivalProcess::closed_loop;
    workload.arrival.concurrency = concurrency;
    workload.stages = {{.rate = {}, .duration = {}, .num_requests = requests}};
  }
  [[nodiscard]] Prediction<double> predict(const params::Resolved<double>& parameters) const {
    const RequestPlan plan = make_request_plan(experiment, 1, 0);
    return simulate<double>("physics", {.experiment = experiment, .model = model, .gpu = gpu, .plan = plan}, parameters, {});
  }
};

TEST(RankGroup, OfADenseModelIsAsManyReplicas) {
  const domain::ModelSpec dense = examples::llama_2_7b();
  const domain::GpuSpec gpu = examples::h100();
  domain::Deployment deployment = examples::deployment(dense, gpu, 1);
  deployment.settings.data_parallel_size = 4;
  const domain::Deployment settled = settle(deployment, dense, gpu).deployment;
  EXPECT_EQ(settled.dp, 4);
  EXPECT_EQ(settled.settings.data_parallel_size, 1);
  EXPECT_EQ(domain::gpus(settled), 4);
  const domain::ModelSpec experts = examples::llama_4_scout_fp8();
  EXPECT_EQ(settle(deployment, experts, gpu).deployment.settings.data_parallel_size, 4);
}

TEST(RankGroup, HoldsTheExpertsOnce) {
  const Served one(1, 8);
  const Served four(4, 8);
  const double alone = latency::weight_bytes_of_one_gpu(one.model, one.experiment.deployment);
  const double shared = latency::weight_bytes_of_one_gpu(four.model, four.experiment.deployment);
  const domain::Experts& experts = *four.model.experts();
  const double expert_bytes =
      four.model.moe_layers() * experts.count * domain::elements(experts) * experts.stored.bytes;  // all of them, on 2 GPUs or on 8
  EXPECT_NEAR(alone - shared, expert_bytes / 2 - expert_bytes / 8, 1e-6 * alone);
}

TEST(RankGroup, RefusesWhatNobodyPrices) {
  Served run(4, 8);
  const RequestPlan plan = make_request_plan(run.experiment, 1, 0);
  const Scenario scenario{.experiment = run.experiment, .model = run.model, .gpu = run.gpu, .plan = plan};
  EXPECT_EQ(refusal("physics", scenario), std::nullopt);
  EXPECT_NE(refusal("roofline_v1", scenario).value_or("").find("data-parallel ranks (use physics or kernels)"), std::string::npos);
  run.experiment.deployment.pp = 2;
  EXPECT_NE(refusal("physics", scenario).value_or("").find("pipeline stages of 4 data-parallel ranks"), std::string::npos);
  run.experiment.deployment.pp = 1;
  run.experiment.deployment.settings.cpu_offload = true;
  EXPECT_NE(refusal("physics", scenario).value_or("").find("a second KV tier"), std::string::npos);
}

/// Elasticities against symmetric differences of 1 %.
void expect_derivatives(const Served& run, double kv_bandwidth_fraction, double absolute, double relative) {
  using core::Dual;
  using core::kNarrowWidth;
  struct Free {
    const char* id;
    double value;
  };
  const std::vector<Free> free{{"physics.t_step_us", 300.0},           {"physics.moe_fp8_weight_bandwidth_fraction", 0.7},
                               {"physics.allreduce_us", 8.0},          {"physics.kv_bandwidth_fraction", kv_bandwidth_fraction},
                               {"physics.moe_fp8_gemm_fraction", 0.2}, {"engine.expert_popularity_exponent", 0.5}};
  const auto at = [&](std::size_t shifted, double factor) {
    params::Resolved<double> parameters;
    for (std::size_t i = 0; i < free.size(); ++i)
      parameters[params::parameter(free[i].id)] = free[i].value * (i == shifted ? factor : 1.0);
    return parameters;
  };
  auto dual = at(free.size(), 1.0).as<Dual<kNarrowWidth>>();
  for (std::size_t i = 0; i < free.size(); ++i) dual[params::parameter(free[i].id)].v[static_cast<int>(i)] = free[i].value;
  const RequestPlan plan = make_request_plan(run.experiment, 1, 0);
  const auto prediction = simulate<Dual<kNarrowWidth>>(
      "physics", {.experiment = run.experiment, .model = run.model, .gpu = run.gpu, .plan = plan}, dual, {});
  const auto value = run.predict(at(0, 1.0));
  EXPECT_DOUBLE_EQ(prediction.summary.e2e_mean_us.a, value.summary.e2e_mean_us);
  for (std::size_t i = 0; i < free.size(); ++i) {
    constexpr double kStep = 0.01;
    const auto up = run.predict(at(i, 1.0 + kStep));
    const auto down = run.predict(at(i, 1.0 - kStep));
    const auto compare = [&](const Dual<kNarrowWidth>& got, double high, double low, const char* what) {
      const double expected = (high - low) / (2.0 * kStep) / got.a;
      const double elasticity = got.v[static_cast<int>(i)] / got.a;
      EXPECT_NEAR(elasticity, expected, absolute + relative * std::abs(expected)) << free[i].id << ' ' << what;
    };
    compare(prediction.summary.e2e_mean_us, up.summary.e2e_mean_us, down.summary.e2e_mean_us, "E2E");
    compare(prediction.summary.tpot_mean_us, up.summary.tpot_mean_us, down.summary.tpot_mean_us, "TPOT");
  }
}

TEST(RankGroup, DerivativesAgreeWithSymmetricDifferencesInClosedLoops) { expect_derivatives(Served(4, 24), 0.75, 0.02, 0.05); }

/// Stretches of thousands of steps, in which what the cache takes outgrows the rest of the step.
TEST(RankGroup, DerivativesHoldWhatAStretchGrowsBy) { expect_derivatives(Served(4, 3, 3000, 9), 0.02, 1e-3, 2e-3); }

}  // namespace
}  // namespace rooftune::sim
