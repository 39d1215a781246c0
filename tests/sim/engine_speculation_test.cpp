#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "rooftune/core/derivative.hpp"
#include "rooftune/sim/engine.hpp"
#include "workloads.hpp"

/// Speculative decoding: steps that yield several tokens of a request (docs/speculation.md).
namespace rooftune::sim {
namespace {

using cases::EngineRun;
using cases::LinearStepTime;
using cases::LinearTimes;
using cases::Pool;
using cases::RandomCase;
using cases::RandomCases;

EngineRun run(const RandomCase& drawn, Stepping stepping = Stepping::closed_form) {
  LinearStepTime<> times(drawn.times);
  return cases::run_engine(drawn.setup, drawn.plan, times, stepping, 0.0, drawn.load_us_per_block, drawn.turnaround_us);
}

SpeculationSetup drafting(std::int32_t tokens, double acceptance) {
  SpeculationSetup speculation{.draft_tokens = tokens};
  double share = 1.0;
  for (std::int32_t i = 0; i < tokens; ++i) speculation.acceptance.push_back(share *= acceptance);
  return speculation;
}

/// A random engine that drafts, under a random load.
RandomCase drafting_case(RandomCases& random, Pool pool) {
  RandomCase drawn = random.chance(0.25) ? random.draw_offloading(pool, Pool::tight) : random.draw(pool);
  SpeculationSetup speculation{.draft_tokens = random.between(1, 5)};
  speculation.lookahead_tokens = random.chance(0.5) ? speculation.draft_tokens : 0;
  speculation.recomputes_last_hit = random.chance(0.5);
  double share = 1.0;
  for (std::int32_t i = 0; i < speculation.draft_tokens; ++i) speculation.acceptance.push_back(share *= random.uniform(0.2, 1.0));
  drawn.setup.speculation = speculation;
  drawn.setup.max_num_batched_tokens =
      std::max(drawn.setup.max_num_batched_tokens, drawn.setup.max_num_seqs * (1 + speculation.draft_tokens));
  for (StagePlan& stage : drawn.plan.stages) {
    for (PlannedRequest& request : stage.requests) request.draw = static_cast<std::uint32_t>(random.between(0, 1 << 30));
  }
  return drawn;
}

/// By hand: a prompt of 32 tokens takes one step of 1000 us; of the ten tokens that follow, three come with each step.
TEST(EngineSpeculation, EverythingAcceptedGivesDraftPlusOneTokensAStep) {
  EngineSetup setup{.kv_blocks = 100, .async_scheduling = false, .speculation = drafting(2, 1.0)};
  RequestPlan plan;
  plan.stages.push_back({.requests = {{.prompt_tokens = 32, .output_tokens = 11}}});
  for (const Stepping stepping : {Stepping::closed_form, Stepping::plain}) {
    LinearStepTime<> times = cases::constant_steps(1000.0);
    const EngineRun result = cases::run_engine(setup, plan, times, stepping);
    EXPECT_EQ(result.counters.steps, 1 + 4);  // the last one is needed for a single token
    EXPECT_DOUBLE_EQ(result.requests.front().first_token_us, 1000.0);
    EXPECT_DOUBLE_EQ(result.requests.front().finished_us, 5000.0);
    EXPECT_DOUBLE_EQ(result.stages.front().tpot_sum_us, 400.0);  // 4000 us for ten tokens
  }
}

/// By hand: k = 2, all accepted, 0.5 us for a token of context. Steps begin with 32, 35, 38 and 41 tokens in the cache.
TEST(EngineSpeculation, ContextGrowsByWhatIsAccepted) {
  EngineSetup setup{.kv_blocks = 100, .async_scheduling = false, .speculation = drafting(2, 1.0)};
  RequestPlan plan;
  plan.stages.push_back({.requests = {{.prompt_tokens = 32, .output_tokens = 13}}});
  for (const Stepping stepping : {Stepping::closed_form, Stepping::plain}) {
    LinearStepTime<> times({.base_us = 1000.0, .per_context_token_us = 0.5});
    const EngineRun result = cases::run_engine(setup, plan, times, stepping);
    EXPECT_DOUBLE_EQ(result.requests.front().finished_us, 5 * 1000.0 + 0.5 * (32 + 35 + 38 + 41));
  }
}

/// By hand, blocks of 16: the prompt's 16 tokens fill one. The last of five decode steps begins with 16 + 12 of them, computes 3
/// positions and keeps 2 slots for drafts: 33 tokens, three blocks.
TEST(EngineSpeculation, StepsTakeBlocksForAllPositionsAndTheLookahead) {
  EngineSetup setup{.kv_blocks = 100, .async_scheduling = false, .speculation = drafting(2, 1.0)};
  setup.speculation.lookahead_tokens = 2;
  RequestPlan plan;
  plan.stages.push_back({.requests = {{.prompt_tokens = 16, .output_tokens = 1 + 15}}});
  LinearStepTime<> times = cases::constant_steps(1000.0);
  EXPECT_EQ(cases::run_engine(setup, plan, times).counters.least_free_blocks, 100 - 3);
  setup.speculation.lookahead_tokens = 0;  // 31 tokens
  EXPECT_EQ(cases::run_engine(setup, plan, times).counters.least_free_blocks, 100 - 2);
  setup.async_scheduling = true;  // 16 + 9, and twice 3: the step before counts as if all were accepted
  EXPECT_EQ(cases::run_engine(setup, plan, times).counters.least_free_blocks, 100 - 2);
  setup.kv_blocks = 2;  // but nobody knows beforehand: 31 tokens and twice 2
  EXPECT_EQ(cases::run_engine(setup, plan, times).rejected(), 1);
  setup.kv_blocks = 3;
  EXPECT_EQ(cases::run_engine(setup, plan, times).finished(), 1);
}

TEST(EngineSpeculation, NothingAcceptedIsTheEngineWithoutDrafts) {
  RandomCases random(61, "nothing accepted");
  for (int i = 0; i < 300; ++i) {
    RandomCase drawn = random.draw(Pool::ample);
    drawn.setup.max_num_batched_tokens = 100000;  // the budget and the pool are what drafts take beside time
    const EngineRun without = run(drawn);
    drawn.setup.speculation = drafting(random.between(1, 4), 0.0);
    const EngineRun with = run(drawn);
    ASSERT_EQ(without.requests.size(), with.requests.size());
    ASSERT_EQ(without.counters.steps, with.counters.steps);
    for (std::size_t k = 0; k < with.requests.size(); ++k) {
      ASSERT_EQ(without.requests[k].arrival_us, with.requests[k].arrival_us) << "case " << i;
      ASSERT_NEAR(without.requests[k].first_token_us, with.requests[k].first_token_us, 1e-9 * with.requests[k].first_token_us);
      ASSERT_NEAR(without.requests[k].finished_us, with.requests[k].finished_us, 1e-9 * with.requests[k].finished_us);
    }
  }
}

TEST(EngineSpeculation, TokensAreConservedAndNobodyIsLost) {
  RandomCases random(62, "drafts conserve");
  for (int i = 0; i < 600; ++i) {
    const RandomCase drawn = drafting_case(random, i % 3 == 0 ? Pool::ample : Pool::tight);
    const EngineRun result = run(drawn, i % 2 == 0 ? Stepping::closed_form : Stepping::plain);
    std::size_t planned = 0;
    std::int64_t generated = 0;
    for (const StagePlan& stage : drawn.plan.stages) planned += stage.requests.size();
    ASSERT_EQ(static_cast<std::size_t>(result.finished() + result.rejected()), planned) << "case " << i;
    for (const RequestEvent& event : result.requests) {
      generated += event.output_tokens;
      ASSERT_LE(event.first_token_us, event.finished_us);
      ASSERT_EQ(event.first_token_us == event.finished_us, event.output_tokens == 1);
    }
    ASSERT_EQ(result.counters.generated_tokens, generated);
    ASSERT_GE(result.counters.least_free_blocks, 0);
  }
}

/// All blocks return: a last request that needs the whole pool runs at once, without a preemption.
TEST(EngineSpeculation, AllBlocksReturn) {
  RandomCases random(63, "drafts return blocks");
  for (int i = 0; i < 300; ++i) {
    RandomCase drawn = drafting_case(random, Pool::tight);
    const std::int32_t k = drawn.setup.speculation.draft_tokens;
    const auto whole = static_cast<std::int32_t>(drawn.setup.kv_blocks) * drawn.setup.block_tokens;
    drawn.setup.max_model_len = std::max(whole + 1, 300);
    drawn.setup.max_num_batched_tokens = whole + 12 * (k + 1);
    drawn.setup.long_prefill_token_threshold = 0;
    const std::int32_t beyond = 2 * k + drawn.setup.speculation.lookahead_tokens;
    if (whole <= beyond + 1) continue;
    drawn.plan.stages.push_back({.requests = {{.prompt_tokens = whole - beyond, .output_tokens = 1}}});
    const EngineRun result = run(drawn, i % 2 == 0 ? Stepping::closed_form : Stepping::plain);
    ASSERT_EQ(result.requests.back().prompt_tokens, whole - beyond) << "case " << i;
    ASSERT_EQ(result.requests.back().preemptions, 0);
  }
}

/// Mean tokens of a decode step are 1 + the sum of the shares.
TEST(EngineSpeculation, TheMeanAcceptedLengthComesOut) {
  EngineSetup setup{.kv_blocks = 100000, .max_model_len = 100000, .speculation = {.draft_tokens = 3, .acceptance = {0.8, 0.5, 0.4}}};
  RequestPlan plan;
  StagePlan& stage = plan.stages.emplace_back();
  constexpr int kRequests = 100;
  constexpr int kTokens = 2000;
  for (std::uint32_t i = 0; i < kRequests; ++i) {
    stage.requests.push_back({.arrival_us = 1e9 * i, .prompt_tokens = 16, .output_tokens = 1 + kTokens, .draw = i});
  }
  LinearStepTime<> times = cases::constant_steps(1000.0);
  const EngineRun result = cases::run_engine(setup, plan, times);
  const auto decode_steps = static_cast<double>(result.counters.steps - kRequests);
  EXPECT_NEAR(kRequests * kTokens / decode_steps, 2.7, 0.02);
  std::vector<double> e2e_us = result.stages.front().e2e_us;  // and requests end at different steps
  std::ranges::sort(e2e_us);
  EXPECT_GT(e2e_us.back() - e2e_us.front(), 20 * 1000.0);
}

/// By how much the mean E2E of a stage differs between the closed form and plain stepping: mean and worst over random engines.
struct Difference {
  double mean = 0.0;
  double worst = 0.0;
};
Difference closed_against_plain(Pool pool) {
  RandomCases random(64, "drafts closed form");
  Difference difference;
  int compared = 0;
  for (int i = 0; i < 300; ++i) {
    const RandomCase drawn = drafting_case(random, pool);
    const EngineRun closed = run(drawn);
    const EngineRun plain = run(drawn, Stepping::plain);
    EXPECT_EQ(closed.finished(), plain.finished()) << "case " << i;
    for (std::size_t stage = 0; stage < closed.stages.size(); ++stage) {
      if (closed.stages[stage].finished == 0) continue;
      const double own = std::abs(closed.stages[stage].e2e_sum_us / plain.stages[stage].e2e_sum_us - 1.0);
      difference.worst = std::max(difference.worst, own);
      difference.mean += own;
      ++compared;
    }
  }
  difference.mean /= compared;
  return difference;
}

/// The closed form's straight line against what every step accepted. The number of steps is the same; their contexts are a few tokens
/// apart, which are a large part of these small workloads, and where the pool is full decide who is preempted.
TEST(EngineSpeculation, ClosedFormAgreesWithPlainStepping) {
  const Difference ample = closed_against_plain(Pool::ample);
  EXPECT_LT(ample.mean, 1e-3);
  EXPECT_LT(ample.worst, 0.01);
  const Difference tight = closed_against_plain(Pool::tight);
  EXPECT_LT(tight.mean, 5e-3);
  EXPECT_LT(tight.worst, 0.25);
}

/// Where nothing queues for blocks and context is a small part of a step, as in serving.
TEST(EngineSpeculation, ClosedFormAgreesWithPlainSteppingAtServingSizes) {
  EngineSetup setup{.kv_blocks = 40000,
                    .max_num_seqs = 256,
                    .max_num_batched_tokens = 8192,
                    .max_model_len = 8192,
                    .speculation = {.draft_tokens = 3, .lookahead_tokens = 3, .acceptance = {0.8, 0.6, 0.4}}};
  RequestPlan plan;
  StagePlan& stage = plan.stages.emplace_back();
  for (std::uint32_t i = 0; i < 400; ++i) {
    stage.requests.push_back({.arrival_us = 1e5 * i, .prompt_tokens = 1000, .output_tokens = 500, .draw = i});
  }
  const LinearTimes serving{.base_us = 8000.0, .per_prefill_token_us = 30.0, .per_decode_us = 20.0, .per_context_token_us = 0.03};
  LinearStepTime<> closed_times(serving);
  LinearStepTime<> plain_times(serving);
  const EngineRun closed = cases::run_engine(setup, plan, closed_times);
  const EngineRun plain = cases::run_engine(setup, plan, plain_times, Stepping::plain);
  EXPECT_LT(closed_times.pieces, plain_times.pieces / 2);
  EXPECT_NEAR(closed.stages.front().e2e_sum_us, plain.stages.front().e2e_sum_us, 1e-4 * plain.stages.front().e2e_sum_us);
  EXPECT_NEAR(closed.stages.front().tpot_sum_us, plain.stages.front().tpot_sum_us, 1e-4 * plain.stages.front().tpot_sum_us);
  EXPECT_NEAR(closed.stages.front().ttft_sum_us, plain.stages.front().ttft_sum_us, 3e-3 * plain.stages.front().ttft_sum_us);
}

TEST(EngineSpeculation, TheSameRunGivesTheSameBits) {
  RandomCases random(65, "drafts bits");
  for (int i = 0; i < 100; ++i) {
    const RandomCase drawn = drafting_case(random, Pool::tight);
    const EngineRun first = run(drawn);
    const EngineRun second = run(drawn);
    for (std::size_t stage = 0; stage < first.stages.size(); ++stage) {
      ASSERT_EQ(first.stages[stage].e2e_us, second.stages[stage].e2e_us);
    }
  }
}

/// A model with derivatives: base and slope of a step.
template <class Scalar>
class Differentiable final : public latency::StepTime<Scalar> {
 public:
  Differentiable(Scalar base_us, Scalar per_context_token_us) : base_us_(base_us), per_context_token_us_(per_context_token_us) {}
  [[nodiscard]] latency::StepPiece<Scalar> piece(const latency::Batch& batch) override {
    Scalar us = base_us_ + static_cast<double>(batch.decode_context_tokens) * per_context_token_us_;
    for (const latency::PrefillChunk& chunk : batch.prefills) us += static_cast<double>(chunk.new_tokens) * 0.01 * base_us_;
    return {.duration_us = us,
            .slope_us_per_token = per_context_token_us_,
            .valid_steps = batch.prefills.empty() ? latency::kEveryStep : 1};
  }
  [[nodiscard]] latency::StepBreakdown breakdown(const latency::Batch& batch) override {
    return {.total_us = core::value_of(piece(batch).duration_us), .terms = {}, .bound = "test"};
  }

 private:
  Scalar base_us_;
  Scalar per_context_token_us_;
};

/// With the draws fixed, the steps of every request are fixed, and so a closed loop in which nobody waits has exact derivatives.
TEST(EngineSpeculation, DerivativesAreThoseOfFixedDraws) {
  using Dual = core::Dual<core::kNarrowWidth>;
  EngineSetup setup{.kv_blocks = 40000,
                    .max_num_seqs = 64,
                    .max_num_batched_tokens = 8192,
                    .max_model_len = 8192,
                    .speculation = {.draft_tokens = 2, .acceptance = {0.7, 0.4}}};
  RequestPlan plan;
  plan.concurrency = 8;
  StagePlan& stage = plan.stages.emplace_back();
  for (std::uint32_t i = 0; i < 400; ++i) stage.requests.push_back({.prompt_tokens = 100, .output_tokens = 200, .draw = i});
  const auto e2e_us = [&](double base, double slope) {
    Differentiable<double> model(base, slope);
    Engine<double> engine(setup, plan.chains, model, {.turnaround_us = 500.0});
    return engine.run_stage(plan.stages.front(), plan.concurrency, 0.0).e2e_sum_us;
  };
  Dual base(5000.0);
  base.v[0] = 5000.0;  // in logarithms
  Dual slope(0.5);
  slope.v[1] = 0.5;
  Differentiable<Dual> model(base, slope);
  Engine<Dual> engine(setup, plan.chains, model, {.turnaround_us = Dual(500.0)});
  const Dual sum = engine.run_stage(plan.stages.front(), plan.concurrency, 0.0).e2e_sum_us;
  constexpr double kStep = 0.02;
  const double by_base = (e2e_us(5000.0 * std::exp(kStep), 0.5) - e2e_us(5000.0 * std::exp(-kStep), 0.5)) / (2.0 * kStep);
  const double by_slope = (e2e_us(5000.0, 0.5 * std::exp(kStep)) - e2e_us(5000.0, 0.5 * std::exp(-kStep))) / (2.0 * kStep);
  EXPECT_NEAR(sum.v[0], by_base, 0.02 * by_base);
  EXPECT_NEAR(sum.v[1], by_slope, 0.02 * by_slope);
}

}  // namespace
}  // namespace rooftune::sim
