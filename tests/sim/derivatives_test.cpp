#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

#include "rooftune/core/derivative.hpp"
#include "rooftune/sim/simulate.hpp"
#include "support/example_targets.hpp"
#include "workloads.hpp"

/// Derivatives against symmetric differences of 2 %. One run's difference is noise (a request more or less in a batch), so
/// both are averaged over seeds: a derivative is that of the expected latency.
namespace rooftune::sim {
namespace {

using core::Dual;
using core::kNarrowWidth;

struct Free {
  const char* id;
  double value;
};
constexpr std::array<Free, 6> kFree{{{"physics.t_step_us", 300.0},
                                     {"physics.t_seq_us", 8.0},
                                     {"physics.gemm_fraction", 0.7},
                                     {"physics.weight_bandwidth_fraction", 0.8},
                                     {"physics.kv_bandwidth_fraction", 0.75},
                                     {"frontend.per_output_token_us", 40.0}}};
using Row = std::array<double, kFree.size()>;  ///< d log(latency) / d log(parameter)

struct Load {
  const char* name;
  domain::ModelSpec model;
  int tp = 1;
  double rate_per_s = 0.0;
  int output_tokens = 0;
  int max_num_seqs = 128;
  int concurrency = 0;  ///< closed loop
  const char* engine = "vllm";
};

domain::Experiment experiment_of(const Load& load, const domain::GpuSpec& gpu) {
  domain::Experiment experiment;
  experiment.id = load.name;
  experiment.deployment = examples::deployment(load.model, gpu, load.tp);
  experiment.deployment.engine = load.engine;
  experiment.deployment.settings.total_kv_blocks = 30000;
  experiment.deployment.settings.max_num_seqs = load.max_num_seqs;
  domain::Workload& workload = experiment.workload;
  workload.pattern = domain::PromptPattern::cycled;
  workload.distinct_prompts = 100;
  workload.prompt.mean_tokens = 575;
  workload.prompt_spread_fraction = 0.03;
  workload.output.mean_tokens = load.output_tokens;
  if (load.concurrency > 0) {
    workload.arrival.process = domain::ArrivalProcess::closed_loop;
    workload.arrival.concurrency = load.concurrency;
  }
  workload.stages = {{.rate = {load.rate_per_s}, .duration = {1500.0 / load.rate_per_s}, .num_requests = 1500}};
  return experiment;
}

params::Resolved<double> parameters_at(std::size_t shifted, double factor) {
  params::Resolved<double> parameters;
  for (std::size_t i = 0; i < kFree.size(); ++i) {
    parameters[params::parameter(kFree[i].id)] = kFree[i].value * (i == shifted ? factor : 1.0);
  }
  return parameters;
}

struct Rows {
  Row ttft{};
  Row e2e{};
};

Rows differences(const Scenario& scenario) {
  constexpr double kStep = 0.02;
  Rows rows;
  for (std::size_t i = 0; i < kFree.size(); ++i) {
    const auto up = simulate<double>("physics", scenario, parameters_at(i, std::exp(kStep)), {});
    const auto down = simulate<double>("physics", scenario, parameters_at(i, std::exp(-kStep)), {});
    rows.ttft[i] = (std::log(up.summary.ttft_mean_us) - std::log(down.summary.ttft_mean_us)) / (2.0 * kStep);
    rows.e2e[i] = (std::log(up.summary.e2e_mean_us) - std::log(down.summary.e2e_mean_us)) / (2.0 * kStep);
  }
  return rows;
}

Rows derivatives(const Scenario& scenario) {
  using Scalar = Dual<kNarrowWidth>;
  auto parameters = parameters_at(kFree.size(), 1.0).as<Scalar>();
  for (std::size_t i = 0; i < kFree.size(); ++i) parameters[params::parameter(kFree[i].id)].v[static_cast<int>(i)] = kFree[i].value;
  const auto prediction = simulate<Scalar>("physics", scenario, parameters, {});
  Rows rows;
  for (std::size_t i = 0; i < kFree.size(); ++i) {
    rows.ttft[i] = prediction.summary.ttft_mean_us.v[static_cast<int>(i)] / prediction.summary.ttft_mean_us.a;
    rows.e2e[i] = prediction.summary.e2e_mean_us.v[static_cast<int>(i)] / prediction.summary.e2e_mean_us.a;
  }
  return rows;
}

void add(Row& sum, const Row& row) {
  for (std::size_t i = 0; i < row.size(); ++i) sum[i] += row[i];
}

double relative_distance(const Row& a, const Row& b) {
  double distance = 0.0;
  double norm = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    distance += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  return std::sqrt(distance / norm);
}

struct Distances {
  double ttft = 0.0;
  double e2e = 0.0;
};

Distances distances(const Load& load) {
  const domain::GpuSpec gpu = examples::h100();
  const domain::Experiment experiment = experiment_of(load, gpu);
  Rows differentiated;
  Rows expected;
  for (std::uint64_t seed = 1; seed <= 32; ++seed) {
    const RequestPlan plan = make_request_plan(experiment, seed, 0);
    const Scenario scenario{.experiment = experiment, .model = load.model, .gpu = gpu, .plan = plan};
    const Rows one = derivatives(scenario);
    const Rows difference = differences(scenario);
    add(differentiated.ttft, one.ttft);
    add(differentiated.e2e, one.e2e);
    add(expected.ttft, difference.ttft);
    add(expected.e2e, difference.e2e);
  }
  return {.ttft = relative_distance(differentiated.ttft, expected.ttft), .e2e = relative_distance(differentiated.e2e, expected.e2e)};
}

/// What limits TTFT is the noise of the differences: a mean over fifty thousand waits for the end of a step moves by 0.03 in
/// d log / d log from one seed to the next. Mixtures of experts: their step time bends with the batch size, of which the
/// masses see the slope alone.
TEST(Derivatives, AgreeWithSymmetricDifferencesBelowSaturation) {
  for (const Load& load :
       {Load{.name = "light", .model = examples::llama_2_7b(), .tp = 1, .rate_per_s = 2.0, .output_tokens = 248},
        Load{.name = "busy", .model = examples::llama_2_7b(), .tp = 1, .rate_per_s = 8.0, .output_tokens = 248},
        Load{.name = "large", .model = examples::llama_3_1_70b(), .tp = 4, .rate_per_s = 6.0, .output_tokens = 248},
        Load{.name = "long", .model = examples::llama_3_1_70b(), .tp = 4, .rate_per_s = 1.0, .output_tokens = 1000}}) {
    const Distances distance = distances(load);
    EXPECT_LT(distance.e2e, 0.01) << load.name;
    EXPECT_LT(distance.ttft, 0.12) << load.name;
  }
  const Distances experts =
      distances({.name = "experts", .model = examples::llama_4_scout_fp8(), .tp = 2, .rate_per_s = 4.0, .output_tokens = 248});
  EXPECT_LT(experts.e2e, 0.06);
  EXPECT_LT(experts.ttft, 0.25);
}

/// With too few seats the queue grows through the whole run: arrivals are anchored where it began.
TEST(Derivatives, AgreeWithSymmetricDifferencesInOverload) {
  const Distances distance = distances(
      {.name = "overload", .model = examples::llama_2_7b(), .tp = 1, .rate_per_s = 8.0, .output_tokens = 248, .max_num_seqs = 8});
  EXPECT_LT(distance.e2e, 0.03);
  EXPECT_LT(distance.ttft, 0.03);
}

/// A client's next request comes with its reply, so that arrivals move with the clock.
TEST(Derivatives, AgreeWithSymmetricDifferencesInClosedLoops) {
  for (const Load& load :
       {Load{.name = "few", .model = examples::llama_2_7b(), .tp = 1, .rate_per_s = 1.0, .output_tokens = 248, .concurrency = 4},
        Load{.name = "many", .model = examples::llama_2_7b(), .tp = 1, .rate_per_s = 1.0, .output_tokens = 248, .concurrency = 64},
        Load{.name = "seats",
        .model = examples::llama_2_7b(),
        .tp = 1,
        .rate_per_s = 1.0,
        .output_tokens = 248,
        .max_num_seqs = 16,
        .concurrency = 64}}) {
    const Distances distance = distances(load);
    EXPECT_LT(distance.e2e, 0.02) << load.name;
    EXPECT_LT(distance.ttft, 0.05) << load.name;
  }
}

/// Where prompts are computed alone, their steps move the decodes, too.
TEST(Derivatives, AgreeWithSymmetricDifferencesOfSglang) {
  const Distances open = distances(
      {.name = "open", .model = examples::llama_2_7b(), .tp = 1, .rate_per_s = 8.0, .output_tokens = 248, .engine = "sglang"});
  EXPECT_LT(open.e2e, 0.01);
  EXPECT_LT(open.ttft, 0.12);
  const Distances closed = distances({.name = "closed",
                                      .model = examples::llama_2_7b(),
                                      .tp = 1,
                                      .rate_per_s = 1.0,
                                      .output_tokens = 248,
                                      .concurrency = 64,
                                      .engine = "sglang"});
  EXPECT_LT(closed.e2e, 0.02);
  EXPECT_LT(closed.ttft, 0.05);
}

/// The turnaround moves every request that follows a reply, and nothing else: two clients of one server.
TEST(Derivatives, FollowTheTurnaround) {
  using Scalar = Dual<kNarrowWidth>;
  cases::LinearStepTime<Scalar> times({.base_us = 1000.0});
  EngineSetup setup;
  setup.kv_blocks = 100;
  setup.async_scheduling = false;
  RequestPlan plan;
  plan.concurrency = 1;
  plan.stages.push_back({.requests = std::vector<PlannedRequest>(3, {.prompt_tokens = 10, .output_tokens = 3})});
  Engine<Scalar> engine(setup, {}, times, {.turnaround_us = Scalar(500.0, 0)});
  // Alone, a request never waits: its latency does not depend on when it comes.
  const StageRecord<Scalar> alone = engine.run_stage(plan.stages[0], 1, 0.0);
  EXPECT_DOUBLE_EQ(alone.ttft_sum_us.a, 3000.0);
  EXPECT_DOUBLE_EQ(alone.ttft_sum_us.v[0], 0.0);
  EXPECT_DOUBLE_EQ(alone.last_finish_us, 10000.0);
  // Beside a long one it waits for the end of the step that runs: the later it comes, the less.
  plan.stages[0].requests[0].output_tokens = 30;
  const double start_us = alone.last_finish_us;
  const StageRecord<Scalar> beside = engine.run_stage(plan.stages[0], 2, start_us);
  EXPECT_DOUBLE_EQ(beside.ttft_sum_us.a, 1000.0 + 1000.0 + 1500.0);
  EXPECT_DOUBLE_EQ(beside.ttft_sum_us.v[0], -1.0);
}

}  // namespace
}  // namespace rooftune::sim
