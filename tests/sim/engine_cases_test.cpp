#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "rooftune/core/derivative.hpp"
#include "workloads.hpp"

/// Small runs that can be followed by hand. Every step takes 1000 us.
namespace rooftune::sim {
namespace {

using cases::EngineRun;
using testing::AllOf;
using testing::DoubleEq;
using testing::Each;
using testing::ElementsAre;
using testing::Gt;
using testing::Lt;
using testing::SizeIs;

EngineSetup synchronous() {
  EngineSetup setup;
  setup.kv_blocks = 1000;
  setup.async_scheduling = false;
  return setup;
}

EngineSetup asynchronous() {
  EngineSetup setup = synchronous();
  setup.async_scheduling = true;
  return setup;
}

PlannedRequest request(double arrival_us, std::int32_t prompt_tokens, std::int32_t output_tokens) {
  return {.arrival_us = arrival_us, .prompt_tokens = prompt_tokens, .output_tokens = output_tokens};
}

/// The same prompt whenever the chain is the same.
PlannedRequest request_on(std::int32_t chain, double arrival_us, std::int32_t prompt_tokens, std::int32_t output_tokens) {
  return {.arrival_us = arrival_us,
          .prompt_tokens = prompt_tokens,
          .output_tokens = output_tokens,
          .chain = chain,
          .chain_tokens = prompt_tokens};
}

RequestPlan one_stage(std::vector<PlannedRequest> requests, std::size_t chains = 0) {
  RequestPlan plan;
  plan.stages.push_back({.requests = std::move(requests)});
  plan.chains.resize(chains);
  return plan;
}

EngineRun run(const EngineSetup& setup, const RequestPlan& plan, double gap_us = 0.0) {
  auto times = cases::constant_steps(1000.0);
  return cases::run_engine(setup, plan, times, Stepping::closed_form, gap_us);
}

std::vector<double> first_tokens(const EngineRun& run) {
  std::vector<double> times;
  for (const RequestEvent& event : run.requests) times.push_back(event.first_token_us);
  return times;
}
std::vector<double> finishes(const EngineRun& run) {
  std::vector<double> times;
  for (const RequestEvent& event : run.requests) times.push_back(event.finished_us);
  return times;
}
std::vector<int> cached(const EngineRun& run) {
  std::vector<int> tokens;
  for (const RequestEvent& event : run.requests) tokens.push_back(event.cached_tokens);
  return tokens;
}

TEST(Engine, TakesARequestAtOnceWhenIdle) {
  for (const EngineSetup& setup : {synchronous(), asynchronous()}) {
    const EngineRun result = run(setup, one_stage({request(500.0, 10, 3)}));
    EXPECT_THAT(first_tokens(result), ElementsAre(DoubleEq(1500.0)));
    EXPECT_THAT(finishes(result), ElementsAre(DoubleEq(3500.0)));
    EXPECT_EQ(result.counters.steps, 3);
  }
}

TEST(Engine, EndsThoughAModelsStepsHaveNoEnd) {
  for (const double step_us : {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    EngineSetup pipeline = synchronous();
    pipeline.stages = 2;
    EngineSetup ranks = synchronous();
    ranks.ranks = 2;
    for (const EngineSetup& setup : {synchronous(), asynchronous(), pipeline, ranks}) {
      auto times = cases::constant_steps(step_us);
      const EngineRun result =
          cases::run_engine(setup, one_stage({request(0.0, 10, 3), request(500.0, 10, 3)}), times, Stepping::closed_form, 0.0);
      EXPECT_THAT(finishes(result), AllOf(SizeIs(2), Each(AllOf(Gt(1e15), Lt(1e17))))) << step_us;
    }
  }
}

TEST(Engine, LetsARequestThatArrivesInAStepJoinTheNextOneWhenSynchronous) {
  const EngineRun result = run(synchronous(), one_stage({request(0.0, 10, 5), request(500.0, 10, 2)}));
  EXPECT_THAT(first_tokens(result), ElementsAre(1000.0, 2000.0));
  EXPECT_THAT(finishes(result), ElementsAre(5000.0, 3000.0));
}

TEST(Engine, LetsItJoinTheStepAfterNextWhenTheSchedulerWorksAhead) {
  const EngineRun result = run(asynchronous(), one_stage({request(0.0, 10, 5), request(500.0, 10, 2)}));
  EXPECT_THAT(first_tokens(result), ElementsAre(1000.0, 3000.0));
  EXPECT_THAT(finishes(result), ElementsAre(5000.0, 4000.0));
}

/// An idle engine decides two steps at once: what does not fit into the first joins the second.
TEST(Engine, DecidesTwoStepsAtOnceWhenIdle) {
  EngineSetup setup = asynchronous();
  setup.max_num_batched_tokens = 64;
  const EngineRun result = run(setup, one_stage({request(0.0, 60, 5), request(0.0, 60, 5)}));
  EXPECT_THAT(first_tokens(result), ElementsAre(1000.0, 2000.0));
}

/// A prompt of five blocks would find room for its first chunk.
TEST(Engine, AdmitsAPromptOnlyWithRoomForAllOfItWhereTheReleaseReservesThat) {
  EngineSetup setup = synchronous();
  setup.kv_blocks = 7;
  setup.max_num_batched_tokens = 48;
  const RequestPlan plan = one_stage({request(0.0, 40, 2), request(0.0, 80, 1)});
  EXPECT_THAT(first_tokens(run(setup, plan)), ElementsAre(1000.0, 3000.0));
  setup.reserve_full_isl = true;
  EXPECT_THAT(first_tokens(run(setup, plan)), ElementsAre(1000.0, 4000.0));
}

/// Three blocks of five are taken; two more would leave none of the one that is to stay free.
TEST(Engine, LeavesTheWatermarkFreeUnlessTheStepIsEmpty) {
  EngineSetup setup = synchronous();
  setup.kv_blocks = 5;
  const RequestPlan plan = one_stage({request(0.0, 40, 5), request(500.0, 30, 1)});
  EXPECT_THAT(first_tokens(run(setup, plan)), ElementsAre(1000.0, 2000.0));
  setup.watermark_blocks = 1;
  EXPECT_THAT(first_tokens(run(setup, plan)), ElementsAre(1000.0, 6000.0));
}

/// The pool is full of two chains that ended: two hashed blocks of the first, then two of the second and the one that it had begun,
/// which is not hashed. A newcomer takes the block that was freed first, of the first chain; by that rule the one without a hash.
TEST(Engine, TakesBlocksWithoutAHashFirstWhereTheReleaseDoes) {
  EngineSetup setup = synchronous();
  setup.kv_blocks = 5;
  const RequestPlan plan =
      one_stage({request_on(0, 0.0, 32, 1), request_on(1, 9000.0, 40, 1), request(19000.0, 10, 1), request_on(0, 29000.0, 40, 1)}, 2);
  EXPECT_THAT(cached(run(setup, plan)), ElementsAre(0, 0, 0, 16));
  setup.free_unhashed_first = true;
  EXPECT_THAT(cached(run(setup, plan)), ElementsAre(0, 0, 0, 32));
}

/// While the first request runs its last step, the second one, which the pool has no more room for, is preempted; its token of
/// that step still comes.
TEST(Engine, BooksBlocksOneStepAheadWhereTwoAreInFlight) {
  EngineSetup setup = asynchronous();
  setup.kv_blocks = 4;
  setup.prefix_caching = false;
  // Both hold two blocks until their contexts fill 32 tokens, after six steps of decoding; the third block for the first one
  // is booked while the sixth runs.
  const EngineRun result = run(setup, one_stage({request(0.0, 26, 20), request(0.0, 26, 12)}));
  EXPECT_EQ(result.counters.preemptions, 1);
  EXPECT_DOUBLE_EQ(result.requests[0].finished_us, 20000.0);
  EXPECT_DOUBLE_EQ(result.requests[1].finished_us, 25000.0);
}

TEST(Engine, CountsAnArrivalAtTheEndOfAStepToThatStep) {
  const EngineRun result = run(synchronous(), one_stage({request(0.0, 10, 5), request(1000.0, 10, 2)}));
  EXPECT_THAT(first_tokens(result), ElementsAre(1000.0, 2000.0));
}

TEST(Engine, SplitsAPromptThatExceedsTheTokenBudget) {
  EngineSetup setup = synchronous();
  setup.max_num_batched_tokens = 64;
  EXPECT_THAT(first_tokens(run(setup, one_stage({request(0.0, 150, 1)}))), ElementsAre(3000.0));
  setup.long_prefill_token_threshold = 32;
  EXPECT_THAT(first_tokens(run(setup, one_stage({request(0.0, 150, 1)}))), ElementsAre(5000.0));
}

TEST(Engine, GivesDecodesTheirTokensBeforePrefills) {
  EngineSetup setup = synchronous();
  setup.max_num_batched_tokens = 64;
  // The second prompt takes 63, 63 and 4 tokens beside the decode of the first.
  const EngineRun result = run(setup, one_stage({request(0.0, 10, 9), request(500.0, 130, 1)}));
  EXPECT_THAT(first_tokens(result), ElementsAre(1000.0, 4000.0));
}

TEST(Engine, RunsAPromptWholeOrNotAtAllWithoutChunking) {
  EngineSetup setup = synchronous();
  setup.max_num_batched_tokens = 64;
  setup.chunked_prefill = false;
  // 60 and 30 tokens do not fit one step; 90 alone exceed the budget and still run.
  EXPECT_THAT(first_tokens(run(setup, one_stage({request(0.0, 60, 1), request(0.0, 30, 1)}))), ElementsAre(1000.0, 2000.0));
  EXPECT_THAT(first_tokens(run(setup, one_stage({request(0.0, 90, 1)}))), ElementsAre(1000.0));
}

TEST(Engine, SeatsNoMoreThanMaxNumSeqs) {
  for (EngineSetup setup : {synchronous(), asynchronous()}) {
    setup.max_num_seqs = 1;
    const EngineRun result = run(setup, one_stage({request(0.0, 10, 5), request(500.0, 10, 2)}));
    EXPECT_THAT(first_tokens(result), ElementsAre(1000.0, 6000.0));
    EXPECT_EQ(result.counters.largest_batch, 1);
  }
}

TEST(Engine, SkipsTheResidentBlocksOfAPromptButComputesItsLastToken) {
  // 40 tokens are two full blocks; of 48 the third is full too, but its last token has to be computed.
  EXPECT_THAT(cached(run(synchronous(), one_stage({request_on(0, 0.0, 40, 2), request_on(0, 9000.0, 40, 2)}, 1))), ElementsAre(0, 32));
  EXPECT_THAT(cached(run(synchronous(), one_stage({request_on(0, 0.0, 48, 2), request_on(0, 9000.0, 48, 2)}, 1))), ElementsAre(0, 32));
  EngineSetup without = synchronous();
  without.prefix_caching = false;
  EXPECT_THAT(cached(run(without, one_stage({request_on(0, 0.0, 40, 2), request_on(0, 9000.0, 40, 2)}, 1))), ElementsAre(0, 0));
}

TEST(Engine, FindsASystemPromptThatOtherPromptsShare) {
  RequestPlan plan = one_stage({request_on(1, 0.0, 100, 2), request_on(2, 9000.0, 100, 2)}, 1);
  plan.chains.push_back({.parent = 0, .parent_tokens = 70});
  plan.chains.push_back({.parent = 0, .parent_tokens = 70});
  EXPECT_THAT(cached(run(synchronous(), plan)), ElementsAre(0, 64));
}

TEST(Engine, EvictsTheLeastRecentlyUsedPromptFromItsEnd) {
  EngineSetup setup = synchronous();
  setup.kv_blocks = 10;
  // Three prompts of four blocks each: the third takes the two unused blocks and the last two of the first prompt.
  const EngineRun result = run(setup, one_stage({request_on(0, 0.0, 64, 1), request_on(1, 9000.0, 64, 1),
                                                 request_on(2, 19000.0, 64, 1), request_on(0, 29000.0, 65, 1)},
                                                3));
  EXPECT_THAT(cached(result), ElementsAre(0, 0, 0, 32));
}

TEST(Engine, PreemptsTheLastAdmittedRequestAndRecomputesIt) {
  EngineSetup setup = synchronous();
  setup.kv_blocks = 4;
  setup.prefix_caching = false;
  // Both hold two blocks until their contexts fill 32 tokens, after six steps; then the first one needs a third block.
  const EngineRun result = run(setup, one_stage({request(0.0, 26, 20), request(0.0, 26, 12)}));
  EXPECT_EQ(result.counters.preemptions, 1);
  EXPECT_EQ(result.requests[0].preemptions, 0);
  EXPECT_EQ(result.requests[1].preemptions, 1);
  EXPECT_DOUBLE_EQ(result.requests[0].finished_us, 20000.0);
  // It had seven tokens; the eighth comes with the recomputation of 26 + 7 tokens (three blocks) after the first has left.
  EXPECT_DOUBLE_EQ(result.requests[1].first_token_us, 1000.0);
  EXPECT_DOUBLE_EQ(result.requests[1].finished_us, 25000.0);
}

TEST(Engine, BeginsAStageWhenTheOneBeforeHasDrainedAndKeepsTheCache) {
  RequestPlan plan = one_stage({request_on(0, 0.0, 40, 5)}, 1);
  plan.stages.push_back({.requests = {request_on(0, 100.0, 40, 2)}});
  const EngineRun result = run(synchronous(), plan, 2000.0);
  EXPECT_THAT(finishes(result), ElementsAre(5000.0, 9100.0));
  EXPECT_THAT(cached(result), ElementsAre(0, 32));
  EXPECT_EQ(result.requests[1].stage, 1);
  EXPECT_EQ(result.requests[1].index, 0);
}

TEST(Engine, LetsAClosedLoopClientSendItsNextRequestWhenTheLastOneEnds) {
  RequestPlan plan = one_stage({request(0.0, 10, 3), request(0.0, 10, 5), request(0.0, 10, 2), request(0.0, 10, 2)});
  plan.concurrency = 2;
  const EngineRun result = run(synchronous(), plan);
  EXPECT_THAT(finishes(result), ElementsAre(3000.0, 5000.0, 5000.0, 7000.0));
  EXPECT_EQ(result.counters.largest_batch, 2);
}

TEST(Engine, LetsAClientTakeItsTimeBetweenReplyAndNextRequest) {
  RequestPlan plan = one_stage({request(0.0, 10, 3), request(0.0, 10, 9), request(250.0, 10, 2)});
  plan.concurrency = 2;
  auto times = cases::constant_steps(1000.0);
  // Free at 3000, sent at 4250 and so in the step from 5000 on.
  const EngineRun result = cases::run_engine(synchronous(), plan, times, Stepping::closed_form, 0.0, 0.0, 1000.0);
  EXPECT_DOUBLE_EQ(result.requests[2].arrival_us, 4250.0);
  EXPECT_DOUBLE_EQ(result.requests[2].first_token_us, 6000.0);
}

TEST(Engine, SendsNothingInAClosedLoopAfterItsTime) {
  RequestPlan plan = one_stage({request(0.0, 10, 3), request(0.0, 10, 3), request(0.0, 10, 3), request(0.0, 10, 3)});
  plan.concurrency = 1;
  plan.stages[0].send_until_us = 3000.0;
  EXPECT_EQ(run(synchronous(), plan).finished(), 2);
}

/// The second turn repeats the first one's prompt and reply; others are served meanwhile, in open and closed loops.
TEST(Engine, SendsTheTurnsOfAConversationAfterEachOther) {
  PlannedRequest first = request_on(0, 0.0, 20, 30);
  first.extends_chain = true;
  PlannedRequest second = request_on(0, 500.0, 60, 2);
  second.follows = true;
  for (const int concurrency : {0, 1}) {
    RequestPlan plan = one_stage({first, second, request(0.0, 10, 2)}, 1);
    plan.concurrency = concurrency;
    const EngineRun result = run(synchronous(), plan);
    ASSERT_EQ(result.finished(), 3);
    EXPECT_DOUBLE_EQ(result.requests[1].arrival_us, 30500.0);
    EXPECT_EQ(result.requests[1].cached_tokens, 48);
    EXPECT_DOUBLE_EQ(result.requests[2].arrival_us, concurrency == 0 ? 0.0 : 32500.0);
  }
}

TEST(Engine, LosesNoClientToARefusedRequest) {
  RequestPlan plan = one_stage({request(0.0, 9999, 3), request(0.0, 9999, 3), request(0.0, 9999, 3), request(0.0, 10, 2),
                                request(0.0, 10, 2), request(0.0, 9999, 2), request(0.0, 10, 2)});
  plan.concurrency = 2;
  const EngineRun result = run(synchronous(), plan);
  EXPECT_EQ(result.rejected(), 4);
  EXPECT_THAT(finishes(result), ElementsAre(2000.0, 2000.0, 4000.0));
}

TEST(Engine, RefusesWhatCanNeverRun) {
  EngineSetup setup = synchronous();
  setup.max_model_len = 100;
  setup.kv_blocks = 6;
  // Too long; seven blocks; six blocks.
  const EngineRun result = run(setup, one_stage({request(0.0, 100, 5), request(0.0, 90, 8), request(0.0, 90, 7)}));
  EXPECT_EQ(result.rejected(), 2);
  ASSERT_EQ(result.finished(), 1);
  EXPECT_EQ(result.requests[0].index, 2);
}

/// As vLLM's server does, and never an output cut in silence.
TEST(Engine, RefusesWhatExceedsTheModelLengthWithItsOutput) {
  EngineSetup setup = synchronous();
  setup.max_model_len = 100;
  const EngineRun result = run(setup, one_stage({request(0.0, 60, 41), request(0.0, 60, 40)}));
  EXPECT_EQ(result.counters.rejected_by_length, 1);
  ASSERT_EQ(result.finished(), 1);
  EXPECT_EQ(result.requests[0].output_tokens, 40);
}

TEST(Engine, ReusesAConversationUpToItsLastFullBlock) {
  PlannedRequest first = request_on(0, 0.0, 20, 30);
  first.extends_chain = true;
  // 20 + 30 tokens were exchanged, 49 of them are in the cache: three full blocks.
  const EngineRun result = run(synchronous(), one_stage({first, request_on(0, 50000.0, 60, 2)}, 1));
  EXPECT_THAT(cached(result), ElementsAre(0, 48));
}

/// A short prompt on a long chain needs room that only the chain's own end can give.
TEST(Engine, EvictsTheUnusedEndOfTheChainThatAPromptStartsOn) {
  EngineSetup setup = synchronous();
  setup.kv_blocks = 10;
  PlannedRequest brief = request(9000.0, 80, 1);
  brief.chain = 0;
  brief.chain_tokens = 16;
  const EngineRun result = run(setup, one_stage({request_on(0, 0.0, 150, 1), brief}, 1));
  EXPECT_THAT(cached(result), ElementsAre(0, 16));
}

TEST(Engine, CountsTimeQueueAndPool) {
  EngineSetup setup = synchronous();
  setup.max_num_seqs = 1;
  setup.kv_blocks = 50;
  const EngineRun result = run(setup, one_stage({request(0.0, 33, 2), request(0.0, 10, 1), request(0.0, 10, 1)}));
  EXPECT_DOUBLE_EQ(result.counters.busy_us, 4000.0);
  EXPECT_DOUBLE_EQ(result.counters.batch_time_us, 4000.0);
  EXPECT_EQ(result.counters.longest_queue, 3);
  EXPECT_EQ(result.counters.kv_blocks, 50);
  EXPECT_EQ(result.counters.least_free_blocks, 47);
  EXPECT_EQ(result.counters.generated_tokens, 4);
  EXPECT_EQ(result.counters.prompt_tokens, 53);
}

TEST(Engine, AddsTheFrontEndToWhatTheClientSees) {
  auto times = cases::constant_steps(1000.0);
  Engine<double> engine(
      synchronous(), {}, times,
      {.front_end = {.constant_us = 100.0, .per_prompt_token_us = 2.0, .per_output_token_us = 10.0}, .keep_latencies = true});
  const RequestPlan plan = one_stage({request(0.0, 50, 4), request(20000.0, 10, 1)});
  const StageRecord<double> record = engine.run_stage(plan.stages[0], 0, 0.0);
  EXPECT_THAT(record.ttft_us, ElementsAre(1210.0, 1130.0));
  EXPECT_THAT(record.e2e_us, ElementsAre(4240.0, 1130.0));
  EXPECT_DOUBLE_EQ(record.ttft_sum_us, 2340.0);
  EXPECT_DOUBLE_EQ(record.e2e_sum_us, 5370.0);
  EXPECT_DOUBLE_EQ(record.tpot_sum_us, 1010.0);
  EXPECT_EQ(record.single_token, 1);
}

class Rejections final : public Observer {
 public:
  void on_rejected(const RejectionEvent& event) override { seen.push_back(event); }
  std::vector<RejectionEvent> seen;
};

TEST(Engine, SaysWhyItRefusesARequest) {
  EngineSetup setup = synchronous();
  setup.kv_blocks = 10;
  setup.max_model_len = 300;
  auto times = cases::constant_steps(1000.0);
  Rejections rejections;
  Engine<double> engine(setup, {}, times, {.observer = &rejections});
  const RequestPlan plan = one_stage({request(0.0, 300, 5), request(0.0, 100, 5), request(10.0, 200, 5)});
  EXPECT_EQ(engine.run_stage(plan.stages[0], 0, 0.0).finished, 1);
  ASSERT_EQ(rejections.seen.size(), 2U);
  EXPECT_EQ(rejections.seen[0].reason, RejectionReason::model_length);
  EXPECT_EQ(rejections.seen[1].reason, RejectionReason::kv_pool);
  EXPECT_EQ(rejections.seen[1].index, 2);
  EXPECT_EQ(engine.counters().rejected, 2);
  EXPECT_EQ(engine.counters().rejected_by_length, 1);
}

TEST(Engine, LeavesTheWarmUpOutOfItsRecordOnly) {
  auto times = cases::constant_steps(1000.0);
  const RequestPlan plan = one_stage({request(0.0, 16, 3), request(50000.0, 16, 3), request(90000.0, 16, 5)});
  Engine<double> engine(synchronous(), {}, times, {.warm_up_requests = 2});
  const StageRecord<double> record = engine.run_stage(plan.stages[0], 0, 0.0);
  EXPECT_EQ(record.finished, 1);
  EXPECT_EQ(record.warm_up, 2);
  EXPECT_DOUBLE_EQ(record.e2e_sum_us, 5000.0);
  EXPECT_EQ(engine.counters().generated_tokens, 11);
}

/// What a router hands over when it comes gives what a plan known beforehand does.
TEST(Engine, ServesOffersAsItServesAPlan) {
  cases::RandomCases random(21, "offers");
  for (int i = 0; i < 200; ++i) {
    cases::RandomCase drawn = random.draw(i % 2 == 0 ? cases::Pool::ample : cases::Pool::tight);
    drawn.plan.concurrency = 0;
    for (StagePlan& stage : drawn.plan.stages) {
      // Nobody hands a turn over before its conversation has come that far.
      std::erase_if(stage.requests, [](const PlannedRequest& request) { return request.follows; });
      std::ranges::sort(stage.requests, {}, &PlannedRequest::arrival_us);
    }
    cases::LinearStepTime<> planned_times(drawn.times);
    cases::LinearStepTime<> offered_times(drawn.times);
    Engine<double> planned(drawn.setup, drawn.plan.chains, planned_times);
    Engine<double> offered(drawn.setup, drawn.plan.chains, offered_times);
    double start_us = 0.0;
    for (const StagePlan& stage : drawn.plan.stages) {
      const StageRecord<double> expected = planned.run_stage(stage, 0, start_us);
      offered.begin_stage(start_us, stage.requests_per_us, stage.requests.size());
      for (const PlannedRequest& request : stage.requests) {
        offered.run_to(start_us + request.arrival_us);
        offered.offer(request);
      }
      const StageRecord<double> record = offered.end_stage();
      ASSERT_EQ(record.finished, expected.finished) << "case " << i;
      ASSERT_NEAR(record.e2e_sum_us, expected.e2e_sum_us, 1e-9 * expected.e2e_sum_us) << "case " << i;
      ASSERT_NEAR(record.ttft_sum_us, expected.ttft_sum_us, 1e-9 * expected.ttft_sum_us) << "case " << i;
      start_us = expected.last_finish_us;
    }
    ASSERT_EQ(planned.counters().preemptions, offered.counters().preemptions) << "case " << i;
  }
}

/// Eight blocks on the GPU: the second prompt takes the first one's place, and of that the host still has all blocks. Three of
/// them make sense, because the last token is computed anyway.
RequestPlan evicted_and_wanted_again() {
  return one_stage({request_on(0, 0.0, 64, 2), request_on(1, 10000.0, 112, 2), request_on(0, 20000.0, 64, 2)}, 2);
}

TEST(Engine, ComputesAgainWhatTheGpuHasLost) {
  EngineSetup setup = synchronous();
  setup.kv_blocks = 8;
  const EngineRun result = run(setup, evicted_and_wanted_again());
  EXPECT_THAT(first_tokens(result), ElementsAre(1000.0, 11000.0, 21000.0));
  EXPECT_THAT(cached(result), ElementsAre(0, 0, 0));
}

TEST(Engine, ReadsItBackFromTheHost) {
  for (EngineSetup setup : {synchronous(), asynchronous()}) {
    setup.kv_blocks = 8;
    setup.offload_blocks = 100;
    auto times = cases::constant_steps(1000.0);
    const EngineRun result = cases::run_engine(setup, evicted_and_wanted_again(), times, Stepping::closed_form, 0.0, 200.0);
    EXPECT_THAT(first_tokens(result), ElementsAre(1000.0, 11000.0, 21600.0));
    EXPECT_THAT(cached(result), ElementsAre(0, 0, 48));
    EXPECT_EQ(result.counters.loaded_tokens, 48);
  }
}

TEST(Engine, ForgetsOnTheHostWhatWasNotUsedForLongest) {
  EngineSetup setup = synchronous();
  setup.kv_blocks = 8;
  setup.offload_blocks = 7;  // the second prompt alone
  auto times = cases::constant_steps(1000.0);
  const EngineRun result = cases::run_engine(setup, evicted_and_wanted_again(), times, Stepping::closed_form, 0.0, 200.0);
  EXPECT_THAT(cached(result), ElementsAre(0, 0, 0));
}

TEST(Engine, DerivesTheTimeThatReadingBackTakes) {
  using Scalar = core::Dual<core::kNarrowWidth>;
  EngineSetup setup = synchronous();
  setup.kv_blocks = 8;
  setup.offload_blocks = 100;
  cases::LinearStepTime<Scalar> times({.base_us = 1000.0});
  const RequestPlan plan = evicted_and_wanted_again();
  Engine<Scalar> engine(setup, plan.chains, times, {.load_us_per_block = Scalar(200.0, 0)});
  const StageRecord<Scalar> record = engine.run_stage(plan.stages[0], 0, 0.0);
  EXPECT_DOUBLE_EQ(record.ttft_sum_us.a, 3600.0);
  EXPECT_DOUBLE_EQ(record.ttft_sum_us.v[0], 3.0);  // blocks
}

/// A decodes when B comes at 2500: each prompt of 100 tokens takes 2000 us, a step of decodes 1000.
EngineRun two_prompts(bool alone, bool overlap = false) {
  EngineSetup setup{.kv_blocks = 1000, .max_num_batched_tokens = 100};
  setup.prompts_alone = alone;
  setup.async_scheduling = overlap;
  if (overlap) setup.growth_reserve.emplace();
  RequestPlan plan;
  plan.stages.push_back(
      {.requests = {{.prompt_tokens = 100, .output_tokens = 4}, {.arrival_us = 2500.0, .prompt_tokens = 99, .output_tokens = 2}}});
  cases::LinearStepTime<> times({.base_us = 1000.0, .per_prefill_token_us = 10.0});
  return cases::run_engine(setup, plan, times);
}

TEST(PromptsAlone, HoldUpTheDecodes) {
  // Together: A gets a token at 2000, 3000, with B's prompt at 4990, and at 5990.
  const EngineRun together = two_prompts(false);
  EXPECT_DOUBLE_EQ(together.requests[1].first_token_us, 4990.0);
  EXPECT_DOUBLE_EQ(together.requests[0].finished_us, 5990.0);
  // Alone: A gets nothing while B's prompt is computed.
  const EngineRun alone = two_prompts(true);
  EXPECT_DOUBLE_EQ(alone.requests[1].first_token_us, 4990.0);
  EXPECT_DOUBLE_EQ(alone.requests[1].finished_us, 5990.0);
  EXPECT_DOUBLE_EQ(alone.requests[0].finished_us, 6990.0);
  EXPECT_EQ(alone.counters.steps, together.counters.steps + 1);
}

/// What follows the step in which B comes was decided when that began: B's prompt is one step later.
TEST(PromptsAlone, AreDecidedWhileTheStepBeforeRuns) {
  const EngineRun overlapped = two_prompts(true, true);
  EXPECT_DOUBLE_EQ(overlapped.requests[1].first_token_us, 5990.0);
  EXPECT_DOUBLE_EQ(overlapped.requests[1].finished_us, 6990.0);
  EXPECT_DOUBLE_EQ(overlapped.requests[0].finished_us, 6990.0);
}

/// 30 and 10 tokens of prompt, 40 to generate each, on 100 tokens of cache.
EngineRun in_a_small_pool(const GrowthReserve& reserve) {
  EngineSetup setup{.kv_blocks = 100, .block_tokens = 1, .max_num_batched_tokens = 100};
  setup.prompts_alone = true;
  setup.growth_reserve = reserve;
  RequestPlan plan;
  plan.stages.push_back({.requests = {{.prompt_tokens = 30, .output_tokens = 40}, {.prompt_tokens = 10, .output_tokens = 40}}});
  cases::LinearStepTime<> times({.base_us = 1000.0});
  return cases::run_engine(setup, plan, times);
}

TEST(GrowthReserve, KeepsNewcomersOutUntilAllCanGoOn) {
  // The first one's 40 tokens count in full beside the second's 51: 91 of 70 free ones.
  const EngineRun run = in_a_small_pool({.first_share = 1.0, .least_share = 1.0});
  EXPECT_EQ(run.counters.preemptions, 0);
  EXPECT_GT(run.requests[1].first_token_us, run.requests[0].finished_us);
}

TEST(GrowthReserve, RetractsWhoGeneratedLeastAndOfThoseTheLongestPrompt) {
  const EngineRun run = in_a_small_pool({.first_share = 0.0, .least_share = 0.0, .most_tokens = 1});
  EXPECT_EQ(run.requests[0].preemptions, 1) << "both have generated as much";
  EXPECT_EQ(run.requests[1].preemptions, 0) << "whom vLLM would preempt: it was admitted last";
}

/// No step does both.
TEST(PromptsAlone, ShareNoStepWithDecodes) {
  struct Steps final : Observer {
    [[nodiscard]] bool wants_steps() const override { return true; }
    void on_step(const StepEvent& event) override {
      ++(event.batch.prefills.empty() ? decodes : prompts);
      mixed += !event.batch.prefills.empty() && event.batch.decode_requests > 0 ? 1 : 0;
    }
    int prompts = 0;
    int decodes = 0;
    int mixed = 0;
  };
  cases::RandomCases random(72, "prompts alone");
  Steps steps;
  for (int i = 0; i < 100; ++i) {
    cases::RandomCase drawn = random.draw(i % 2 == 0 ? cases::Pool::ample : cases::Pool::tight);
    drawn.setup.prompts_alone = true;
    drawn.setup.growth_reserve.emplace();
    cases::LinearStepTime<> times(drawn.times);
    Engine<double> engine(drawn.setup, drawn.plan.chains, times, {.turnaround_us = drawn.turnaround_us, .observer = &steps});
    double start_us = 0.0;
    for (const StagePlan& stage : drawn.plan.stages)
      start_us = engine.run_stage(stage, drawn.plan.concurrency, start_us).last_finish_us;
  }
  EXPECT_EQ(steps.mixed, 0);
  EXPECT_GT(steps.prompts, 100);
  EXPECT_GT(steps.decodes, 100);
}

}  // namespace
}  // namespace rooftune::sim
