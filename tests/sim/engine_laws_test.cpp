#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "latency/synthetic_tables.hpp"
#include "rooftune/core/parallel_map.hpp"
#include "rooftune/latency/catalogue.hpp"
#include "rooftune/sim/engine_releases.hpp"
#include "support/example_targets.hpp"
#include "workloads.hpp"

/// What holds for every workload.
namespace rooftune::sim {
namespace {

using cases::EngineRun;
using cases::LinearStepTime;
using cases::Pool;
using cases::RandomCase;
using cases::RandomCases;

constexpr int kCases = 600;

RandomCase draw(RandomCases& random, int index) {
  if (index % 4 == 3) return random.draw_offloading(Pool::tight, random.chance(0.5) ? Pool::ample : Pool::tight);
  return random.draw(index % 4 == 0 ? Pool::ample : Pool::tight);
}

EngineRun run(const RandomCase& drawn, Stepping stepping = Stepping::closed_form) {
  LinearStepTime<> times(drawn.times);
  return cases::run_engine(drawn.setup, drawn.plan, times, stepping, 0.0, drawn.load_us_per_block, drawn.turnaround_us);
}

/// Stages kept, requests that arrive together in another order.
RequestPlan with_equal_arrivals_shuffled(RequestPlan plan, RandomCases& random) {
  for (StagePlan& stage : plan.stages) {
    for (std::size_t i = 1; i < stage.requests.size(); ++i) {
      const bool follows = stage.requests[i].follows || stage.requests[i - 1].follows ||
                           (i + 1 < stage.requests.size() && stage.requests[i + 1].follows);
      if (!follows && stage.requests[i].arrival_us == stage.requests[i - 1].arrival_us && random.chance(0.5)) {
        std::swap(stage.requests[i], stage.requests[i - 1]);
      }
    }
  }
  return plan;
}

TEST(EngineLaws, EveryRequestEndsOnceAndTokensAreConserved) {
  RandomCases random(11, "conservation");
  for (int i = 0; i < kCases; ++i) {
    const RandomCase drawn = draw(random, i);
    const EngineRun result = run(drawn);
    std::size_t next = 0;
    std::int64_t prompt_tokens = 0;
    std::int64_t generated = 0;
    for (std::size_t stage = 0; stage < drawn.plan.stages.size(); ++stage) {
      const auto& requests = drawn.plan.stages[stage].requests;
      const StageRecord<double>& record = result.stages[stage];
      ASSERT_EQ(record.finished + record.rejected, std::ssize(requests)) << "case " << i;
      ASSERT_EQ(std::ssize(record.ttft_us), record.finished);
      for (std::int64_t k = 0; k < record.finished; ++k) {
        const RequestEvent& event = result.requests[next++];
        const PlannedRequest& planned = requests[static_cast<std::size_t>(event.index)];
        ASSERT_EQ(event.prompt_tokens, planned.prompt_tokens);
        ASSERT_EQ(event.output_tokens, planned.output_tokens);
        ASSERT_LT(event.arrival_us, event.first_token_us);
        ASSERT_LE(event.first_token_us, event.finished_us);
        ASSERT_EQ(event.first_token_us == event.finished_us, event.output_tokens == 1);
        ASSERT_LT(event.cached_tokens, event.prompt_tokens);
        prompt_tokens += event.prompt_tokens;
        generated += event.output_tokens;
        if (k > 0) {
          ASSERT_LT(result.requests[next - 2].index, event.index);  // each once
        }
      }
      ASSERT_NEAR(std::accumulate(record.e2e_us.begin(), record.e2e_us.end(), 0.0), record.e2e_sum_us,
                  1e-9 * record.e2e_sum_us + 1e-6);
    }
    ASSERT_EQ(next, result.requests.size());
    ASSERT_EQ(result.counters.generated_tokens, generated);
    ASSERT_GE(result.counters.prompt_tokens, prompt_tokens);  // more after preemptions
    if (result.counters.preemptions == 0) {
      ASSERT_EQ(result.counters.prompt_tokens, prompt_tokens);
    }
  }
}

TEST(EngineLaws, BlocksNeverExceedThePoolAndAllReturn) {
  RandomCases random(12, "blocks");
  for (int i = 0; i < kCases; ++i) {
    const RandomCase drawn = random.draw(Pool::tight);
    const EngineRun result = run(drawn);
    ASSERT_GE(result.counters.least_free_blocks, 0);
    // A last request that needs the whole pool runs at once, without a preemption, when everything has returned.
    RandomCase then = drawn;
    const auto whole = static_cast<std::int32_t>(drawn.setup.kv_blocks) * drawn.setup.block_tokens;
    then.setup.max_model_len = whole + 1;
    then.setup.max_num_batched_tokens = whole + 1;
    then.setup.long_prefill_token_threshold = 0;
    then.plan.stages.push_back({.requests = {{.prompt_tokens = whole, .output_tokens = 1}}});
    const EngineRun longer = run(then);
    ASSERT_EQ(longer.requests.back().prompt_tokens, whole) << "case " << i;
    ASSERT_EQ(longer.requests.back().preemptions, 0);
    ASSERT_EQ(longer.counters.least_free_blocks, 0);
  }
}

TEST(EngineLaws, OrderOfEqualArrivalsDoesNotMatterToTotals) {
  RandomCases random(13, "order");
  for (int i = 0; i < kCases; ++i) {
    RandomCase drawn = draw(random, i);
    const EngineRun before = run(drawn);
    drawn.plan = with_equal_arrivals_shuffled(std::move(drawn.plan), random);
    const EngineRun after = run(drawn);
    ASSERT_EQ(before.finished(), after.finished());
    ASSERT_EQ(before.rejected(), after.rejected());
    ASSERT_EQ(before.counters.generated_tokens, after.counters.generated_tokens);
  }
}

TEST(EngineLaws, TheSameRunGivesTheSameBits) {
  RandomCases random(14, "bits");
  for (int i = 0; i < 200; ++i) {
    const RandomCase drawn = draw(random, i);
    const EngineRun first = run(drawn);
    const EngineRun second = run(drawn);
    for (std::size_t stage = 0; stage < first.stages.size(); ++stage) {
      ASSERT_EQ(first.stages[stage].ttft_us, second.stages[stage].ttft_us);
      ASSERT_EQ(first.stages[stage].e2e_us, second.stages[stage].e2e_us);
    }
  }
}

TEST(EngineLaws, EnginesSideBySideShareNothing) {
  RandomCases random(16, "side by side");
  for (int i = 0; i < 20; ++i) {
    const RandomCase drawn = draw(random, i);
    const EngineRun alone = run(drawn);
    const auto together = core::parallel_map<EngineRun>(8, {.value = 4}, [&](std::size_t) { return run(drawn); });
    for (const EngineRun& result : together) {
      for (std::size_t stage = 0; stage < alone.stages.size(); ++stage) {
        ASSERT_EQ(alone.stages[stage].e2e_us, result.stages[stage].e2e_us);
      }
    }
  }
}

/// A load that a real model can serve: lengths and rates of the shipped experiments, a hundred requests.
RandomCase draw_for_models(RandomCases& random) {
  RandomCase drawn;
  drawn.setup.kv_blocks = random.between(600, 4000);
  drawn.setup.max_num_seqs = random.between(4, 64);
  drawn.setup.max_num_batched_tokens = random.between(256, 2048);
  drawn.setup.async_scheduling = random.chance(0.7);
  drawn.plan.chains.resize(20);
  StagePlan& stage = drawn.plan.stages.emplace_back();
  const double gap_us = random.uniform(2e4, 4e5);
  double arrival_us = 0.0;
  for (int i = 0; i < 100; ++i) {
    arrival_us += random.uniform(0.0, 2.0 * gap_us);
    const std::int32_t prompt = i % 20;
    stage.requests.push_back({.arrival_us = arrival_us,
                              .prompt_tokens = 300 + 37 * prompt,
                              .output_tokens = random.between(1, 400),
                              .chain = prompt,
                              .chain_tokens = 300 + 37 * prompt});
  }
  stage.requests_per_us = 1.0 / gap_us;
  return drawn;
}

struct ModelUnderTest {
  domain::ModelSpec model;
  int tp = 1;
};

std::vector<ModelUnderTest> models() {
  return {{examples::llama_2_7b(), 1}, {examples::llama_3_1_70b(), 4}, {examples::llama_4_scout_fp8(), 2}};
}

/// The models of the catalogue that the target has everything for.
std::vector<std::string_view> models_for(const latency::Target& target) {
  std::vector<std::string_view> names;
  for (const latency::ModelEntry& entry : latency::step_time_models()) {
    if (!latency::unsupported_reason(entry.name, target)) names.push_back(entry.name);
  }
  return names;
}

params::Resolved<double> plausible_parameters() {
  params::Resolved<double> parameters;
  parameters[params::parameter("blackbox.step_us")] = 7000.0;
  parameters[params::parameter("blackbox.per_prefill_token_us")] = 20.0;
  parameters[params::parameter("blackbox.per_decode_us")] = 60.0;
  return parameters;
}

TEST(EngineLaws, ClosedFormEqualsPlainSteppingForEveryModel) {
  RandomCases random(15, "closed form");
  const domain::GpuSpec gpu = examples::h100();
  int compared = 0;
  for (int i = 0; i < 40; ++i) {
    const RandomCase drawn = draw_for_models(random);
    for (const auto& [model, tp] : models()) {
      const domain::Deployment deployment = settle(examples::deployment(model, gpu, tp), model, gpu).deployment;
      const kernels::KernelTables tables(examples::synthetic_kernels(model));
      const latency::Target target{.model = model, .gpu = gpu, .deployment = deployment, .tables = &tables};
      for (const std::string_view name : models_for(target)) {
        const auto closed_times = latency::make_step_time<double>(name, target, plausible_parameters());
        const auto plain_times = latency::make_step_time<double>(name, target, plausible_parameters());
        const EngineRun closed = cases::run_engine(drawn.setup, drawn.plan, *closed_times, Stepping::closed_form);
        const EngineRun plain = cases::run_engine(drawn.setup, drawn.plan, *plain_times, Stepping::plain);
        ASSERT_EQ(closed.counters.steps, plain.counters.steps) << name << " case " << i;
        ASSERT_EQ(closed.counters.preemptions, plain.counters.preemptions) << name << " case " << i;
        ASSERT_LE(closed.counters.advances, closed.counters.steps);
        for (std::size_t k = 0; k < closed.requests.size(); ++k) {
          ASSERT_NEAR(closed.requests[k].first_token_us, plain.requests[k].first_token_us, 1e-9 * plain.requests[k].first_token_us)
              << name;
          ASSERT_NEAR(closed.requests[k].finished_us, plain.requests[k].finished_us, 1e-9 * plain.requests[k].finished_us) << name;
          ++compared;
        }
      }
    }
  }
  EXPECT_GT(compared, 30000);
}

/// Scheduling anomalies exist (a faster engine batches differently), but on the whole they stay below 2 % of the mean.
TEST(EngineLaws, MoreBandwidthNeverMakesARunSlowerBeyondScheduling) {
  RandomCases random(16, "bandwidth");
  const domain::GpuSpec gpu = examples::h100();
  for (int i = 0; i < 60; ++i) {
    const RandomCase drawn = draw_for_models(random);
    for (const auto& [model, tp] : models()) {
      const domain::Deployment deployment = examples::deployment(model, gpu, tp);
      const latency::Target target{.model = model, .gpu = gpu, .deployment = deployment};
      for (const std::string_view name : {"physics", "roofline_v1"}) {
        params::Resolved<double> parameters;
        const auto slow = latency::make_step_time<double>(name, target, parameters);
        parameters[params::parameter("hardware.BwPeakTBs")] *= 1.1;
        const auto fast = latency::make_step_time<double>(name, target, parameters);
        const double slow_us = cases::run_engine(drawn.setup, drawn.plan, *slow).stages[0].e2e_sum_us;
        const double fast_us = cases::run_engine(drawn.setup, drawn.plan, *fast).stages[0].e2e_sum_us;
        EXPECT_LE(fast_us, 1.02 * slow_us) << name << " " << model.name << " case " << i;
      }
    }
  }
}

TEST(EngineLaws, AdvancesLongDecodesInFewPieces) {
  LinearStepTime<> times({.base_us = 1000.0, .per_context_token_us = 0.1});
  RequestPlan plan;
  plan.stages.push_back({.requests = {{.prompt_tokens = 100, .output_tokens = 3000}}});
  EngineSetup setup;
  setup.kv_blocks = 1000;
  const EngineRun result = cases::run_engine(setup, plan, times);
  EXPECT_EQ(result.counters.steps, 3000);
  EXPECT_EQ(result.counters.advances, 2);
  EXPECT_EQ(times.pieces, 2);
}

}  // namespace
}  // namespace rooftune::sim
