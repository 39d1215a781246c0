#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "oracle.hpp"
#include "workloads.hpp"

namespace rooftune::sim {
namespace {

using cases::EngineRun;
using cases::LinearStepTime;
using cases::Pool;
using cases::RandomCase;
using cases::RandomCases;

constexpr double kGapUs = 12345.0;

oracle::Result run_oracle(const RandomCase& drawn) {
  LinearStepTime<> times(drawn.times);
  return oracle::Oracle(drawn.setup, drawn.plan.chains, times, drawn.load_us_per_block, drawn.turnaround_us).run(drawn.plan, kGapUs);
}

EngineRun run_engine(const RandomCase& drawn, Stepping stepping) {
  LinearStepTime<> times(drawn.times);
  return cases::run_engine(drawn.setup, drawn.plan, times, stepping, kGapUs, drawn.load_us_per_block, drawn.turnaround_us);
}

std::vector<RequestEvent> in_order(const oracle::Result& result) {
  cases::Recorder recorder;
  recorder.finished = result.finished;
  return recorder.in_order();
}

/// The first difference between two runs, or an empty text.
std::string first_difference(const std::vector<RequestEvent>& engine, const std::vector<RequestEvent>& oracle) {
  if (engine.size() != oracle.size())
    return "finished " + std::to_string(engine.size()) + ", expected " + std::to_string(oracle.size());
  const auto differs = [](double a, double b) { return std::abs(a - b) > 1e-9 * std::max(std::abs(a), std::abs(b)); };
  for (std::size_t i = 0; i < engine.size(); ++i) {
    const RequestEvent& a = engine[i];
    const RequestEvent& b = oracle[i];
    const std::string name = "request " + std::to_string(a.stage) + "/" + std::to_string(a.index);
    if (a.stage != b.stage || a.index != b.index)
      return name + " instead of " + std::to_string(b.stage) + "/" + std::to_string(b.index);
    if (differs(a.first_token_us, b.first_token_us))
      return name + " first token " + std::to_string(a.first_token_us) + ", expected " + std::to_string(b.first_token_us);
    if (differs(a.finished_us, b.finished_us))
      return name + " finished " + std::to_string(a.finished_us) + ", expected " + std::to_string(b.finished_us);
    if (a.preemptions != b.preemptions || a.cached_tokens != b.cached_tokens) return name + " preemptions or cached tokens";
  }
  return "";
}

TEST(EngineAgainstOracle, IsExactWhileThePoolNeverFills) {
  RandomCases random(1);
  for (int i = 0; i < 1000; ++i) {
    const RandomCase drawn = random.draw(Pool::ample);
    const oracle::Result expected = run_oracle(drawn);
    for (const Stepping stepping : {Stepping::closed_form, Stepping::plain}) {
      const EngineRun run = run_engine(drawn, stepping);
      ASSERT_EQ(first_difference(run.requests, in_order(expected)), "")
          << "case " << i << (stepping == Stepping::plain ? " plain" : "");
      ASSERT_EQ(run.counters.steps, expected.steps) << "case " << i;
      ASSERT_EQ(run.rejected(), expected.rejected) << "case " << i;
      ASSERT_EQ(run.counters.cached_tokens, expected.cached_tokens) << "case " << i;
    }
  }
}

/// Random workloads, `change`d, half of them under pressure: exact wherever none of KvCache's known differences may have mattered.
template <class Change>
void expect_exact(std::uint64_t seed, const Change& change) {
  RandomCases random(seed);
  int exact = 0;
  std::int64_t preemptions = 0;
  for (int i = 0; i < 1500; ++i) {
    RandomCase drawn = random.draw(i % 2 == 0 ? Pool::ample : Pool::tight);
    change(drawn.setup, random);
    const oracle::Result expected = run_oracle(drawn);
    if (expected.in_doubt > 0) continue;
    ++exact;
    preemptions += expected.preemptions;
    for (const Stepping stepping : {Stepping::closed_form, Stepping::plain}) {
      const EngineRun run = run_engine(drawn, stepping);
      ASSERT_EQ(first_difference(run.requests, in_order(expected)), "")
          << "case " << i << (stepping == Stepping::plain ? " plain" : "");
      ASSERT_EQ(run.counters.steps, expected.steps) << "case " << i;
      ASSERT_EQ(run.counters.preemptions, expected.preemptions) << "case " << i;
      ASSERT_EQ(run.rejected(), expected.rejected) << "case " << i;
    }
  }
  EXPECT_GT(exact, 900);
  EXPECT_GT(preemptions, 100);
}

TEST(EngineAgainstOracle, IsExactWherePromptsAreComputedAlone) {
  expect_exact(71, [](EngineSetup& setup, RandomCases& /*random*/) {
    setup.prompts_alone = true;
    setup.async_scheduling = false;
  });
}

/// As SGLang decides, one step at a time or with two in flight.
TEST(EngineAgainstOracle, IsExactWithAReserveForTokensToCome) {
  expect_exact(73, [](EngineSetup& setup, RandomCases& random) {
    setup.prompts_alone = true;
    setup.growth_reserve = GrowthReserve{.first_share = random.uniform(0.0, 1.0),
                                         .least_share = 0.0,
                                         .falling_steps = random.between(1, 100),
                                         .most_tokens = random.between(1, 60),
                                         .headroom_tokens = random.between(0, 20)};
  });
}

/// Under pressure the engine is exact as long as none of KvCache's known differences occurs.
TEST(EngineAgainstOracle, IsExactUnderPressureWhereNoneOfTheKnownDifferencesMatters) {
  RandomCases random(2);
  int exact = 0;
  std::int64_t preemptions = 0;
  std::int64_t evictions = 0;
  for (int i = 0; i < 2000; ++i) {
    const RandomCase drawn = random.draw(Pool::tight);
    const oracle::Result expected = run_oracle(drawn);
    const EngineRun run = run_engine(drawn, Stepping::closed_form);
    ASSERT_EQ(run.finished(), static_cast<std::int64_t>(expected.finished.size())) << "case " << i;
    if (expected.in_doubt > 0) continue;
    ++exact;
    preemptions += expected.preemptions;
    evictions += expected.evictions;
    ASSERT_EQ(first_difference(run.requests, in_order(expected)), "") << "case " << i;
    ASSERT_EQ(run.counters.cached_tokens, expected.cached_tokens) << "case " << i;
    ASSERT_EQ(run.counters.least_free_blocks, expected.least_free) << "case " << i;
  }
  EXPECT_GT(exact, 700);
  EXPECT_GT(preemptions, 5000);
  EXPECT_GT(evictions, 50000);
}

/// With the host's memory as a second tier, too, while that does not fill either.
TEST(EngineAgainstOracle, IsExactWithBlocksReadBackFromTheHost) {
  RandomCases random(4);
  int exact = 0;
  std::int64_t loaded_tokens = 0;
  std::int64_t preemptions = 0;
  std::int64_t given_back = 0;
  for (int i = 0; i < 1200; ++i) {
    const RandomCase drawn = random.draw_offloading(Pool::tight, Pool::ample);
    const oracle::Result expected = run_oracle(drawn);
    for (const Stepping stepping : {Stepping::closed_form, Stepping::plain}) {
      const EngineRun run = run_engine(drawn, stepping);
      ASSERT_EQ(run.finished(), static_cast<std::int64_t>(expected.finished.size())) << "case " << i;
      if (expected.in_doubt > 0) continue;
      ++exact;
      loaded_tokens += expected.loaded_tokens;
      preemptions += expected.preemptions;
      given_back += expected.given_back;
      ASSERT_EQ(first_difference(run.requests, in_order(expected)), "") << "case " << i;
      ASSERT_EQ(run.counters.loaded_tokens, expected.loaded_tokens) << "case " << i;
      ASSERT_EQ(run.counters.cached_tokens, expected.cached_tokens) << "case " << i;
    }
  }
  EXPECT_GT(exact, 500);
  EXPECT_GT(loaded_tokens, 50000);
  EXPECT_GT(preemptions, 1000);
  EXPECT_GT(given_back, 0);
}

/// With them, the two differ request by request, not on the whole.
TEST(EngineAgainstOracle, AgreesOnTheWholeWhereItIsNotExact) {
  RandomCases random(3);
  double engine_us = 0.0;
  double oracle_us = 0.0;
  std::int64_t engine_preemptions = 0;
  std::int64_t oracle_preemptions = 0;
  std::int64_t engine_hits = 0;
  std::int64_t oracle_hits = 0;
  for (int i = 0; i < 2000; ++i) {
    const RandomCase drawn = random.draw(Pool::tight);
    const oracle::Result expected = run_oracle(drawn);
    if (expected.in_doubt == 0) continue;
    const EngineRun run = run_engine(drawn, Stepping::closed_form);
    for (const RequestEvent& event : run.requests) engine_us += event.finished_us - event.arrival_us;
    for (const RequestEvent& event : expected.finished) oracle_us += event.finished_us - event.arrival_us;
    engine_preemptions += run.counters.preemptions;
    oracle_preemptions += expected.preemptions;
    engine_hits += run.counters.cached_tokens;
    oracle_hits += expected.cached_tokens;
  }
  EXPECT_NEAR(engine_us / oracle_us, 1.0, 0.01);
  EXPECT_NEAR(static_cast<double>(engine_preemptions) / static_cast<double>(oracle_preemptions), 1.0, 0.1);
  EXPECT_NEAR(static_cast<double>(engine_hits) / static_cast<double>(oracle_hits), 1.0, 0.03);
}

/// Where the host's memory fills, which of its blocks were used last is known less exactly.
TEST(EngineAgainstOracle, AgreesOnTheWholeWhereTheHostsMemoryFills) {
  RandomCases random(5);
  double engine_us = 0.0;
  double oracle_us = 0.0;
  std::int64_t engine_loaded = 0;
  std::int64_t oracle_loaded = 0;
  std::int64_t host_evictions = 0;
  for (int i = 0; i < 600; ++i) {
    const RandomCase drawn = random.draw_offloading(Pool::tight, Pool::tight);
    const oracle::Result expected = run_oracle(drawn);
    const EngineRun run = run_engine(drawn, Stepping::closed_form);
    ASSERT_EQ(run.finished(), static_cast<std::int64_t>(expected.finished.size())) << "case " << i;
    for (const RequestEvent& event : run.requests) engine_us += event.finished_us - event.arrival_us;
    for (const RequestEvent& event : expected.finished) oracle_us += event.finished_us - event.arrival_us;
    engine_loaded += run.counters.loaded_tokens;
    oracle_loaded += expected.loaded_tokens;
    host_evictions += expected.host_evictions;
  }
  EXPECT_GT(host_evictions, 10000);
  EXPECT_NEAR(engine_us / oracle_us, 1.0, 0.02);
  EXPECT_NEAR(static_cast<double>(engine_loaded) / static_cast<double>(oracle_loaded), 1.0, 0.1);
}

}  // namespace
}  // namespace rooftune::sim
