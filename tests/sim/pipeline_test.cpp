#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <vector>

#include "rooftune/core/derivative.hpp"
#include "rooftune/sim/simulate.hpp"
#include "support/example_targets.hpp"
#include "workloads.hpp"

/// Pipeline stages: what can be followed by hand, an oracle that walks every batch from stage to stage, and laws.
namespace rooftune::sim {
namespace {

using cases::EngineRun;
using cases::LinearStepTime;
using cases::Pool;
using cases::RandomCase;
using cases::RandomCases;

EngineSetup stages_of(int stages) {
  EngineSetup setup;
  setup.stages = stages;
  setup.kv_blocks = 1000;
  setup.max_num_batched_tokens = 100;
  return setup;
}

RequestPlan plan_of(std::vector<PlannedRequest> requests) {
  RequestPlan plan;
  plan.stages.push_back({.requests = std::move(requests)});
  return plan;
}

EngineRun run(const EngineSetup& setup, const RequestPlan& plan) {
  LinearStepTime<> times({.base_us = 1000.0, .per_prefill_token_us = 10.0});
  return cases::run_engine(setup, plan, times);
}

TEST(Pipeline, OneRequestIsNoFasterOnMoreStages) {
  for (const int stages : {2, 4}) {
    const EngineRun result = run(stages_of(stages), plan_of({{.prompt_tokens = 100, .output_tokens = 3}}));
    EXPECT_DOUBLE_EQ(result.requests[0].first_token_us, 2000.0);
    EXPECT_DOUBLE_EQ(result.requests[0].finished_us, 4000.0);
  }
}

TEST(Pipeline, BatchesFollowEachOtherThroughTheStages) {
  // Each prompt takes the whole budget, so two batches are in flight: 2000 us each, 1000 on each stage.
  const EngineRun result =
      run(stages_of(2), plan_of({{.prompt_tokens = 100, .output_tokens = 2}, {.prompt_tokens = 100, .output_tokens = 2}}));
  EXPECT_DOUBLE_EQ(result.requests[0].first_token_us, 2000.0);
  EXPECT_DOUBLE_EQ(result.requests[1].first_token_us, 3000.0);
  // The first one's decode (500 on each stage) begins at 2000, when the first stage is free, and waits for the second until 3000.
  EXPECT_DOUBLE_EQ(result.requests[0].finished_us, 3500.0);
  EXPECT_DOUBLE_EQ(result.requests[1].finished_us, 4000.0);
  EXPECT_EQ(result.counters.steps, 4);
}

TEST(Pipeline, RequestsThatFitIntoOneBatchStayInIt) {
  const EngineRun result =
      run(stages_of(2), plan_of({{.prompt_tokens = 50, .output_tokens = 3}, {.prompt_tokens = 50, .output_tokens = 3}}));
  EXPECT_EQ(result.counters.steps, 3) << "one batch at a time: the other stage is idle";
  EXPECT_DOUBLE_EQ(result.requests[1].finished_us, 2000.0 + 2 * 1000.0);
}

TEST(Pipeline, WhoComesWhileABatchIsInFlightWaitsForIt) {
  const EngineRun result =
      run(stages_of(2),
          plan_of({{.prompt_tokens = 100, .output_tokens = 2}, {.arrival_us = 300.0, .prompt_tokens = 90, .output_tokens = 1}}));
  // At 2000 the decode of the first and the prompt of the second go together: 1000 + 900.
  EXPECT_DOUBLE_EQ(result.requests[1].first_token_us, 3900.0);
  EXPECT_DOUBLE_EQ(result.requests[0].finished_us, 3900.0);
}

TEST(Pipeline, ChunksOfOnePromptFollowEachOther) {
  const EngineRun result = run(stages_of(2), plan_of({{.prompt_tokens = 200, .output_tokens = 1}}));
  EXPECT_DOUBLE_EQ(result.requests[0].first_token_us, 3000.0) << "two chunks of 2000 us, the second one stage behind the first";
}

/// Every batch from stage to stage, every request and its blocks on its own. No prefix is reused.
class Oracle {
 public:
  Oracle(const EngineSetup& setup, const cases::LinearTimes& times, const std::vector<PlannedRequest>& planned)
      : setup_(setup), times_(times), free_(static_cast<std::size_t>(setup.stages), 0.0) {
    for (const PlannedRequest& request : planned) all_.push_back({.planned = request});
  }

  struct Request {
    PlannedRequest planned;
    int computed = 0;
    int generated = 0;
    int in_flight = 0;
    bool decodes = false;
    double first_us = -1.0;
    double end_us = -1.0;
  };
  std::vector<Request> serve() {
    std::size_t next = 0;
    double now = 0.0;
    while (true) {
      for (; next < all_.size() && all_[next].planned.arrival_us <= now; ++next) {
        if (is_served(all_[next])) waiting_.push_back(&all_[next]);
      }
      if (waiting_.empty() && running_.empty()) {
        if (next == all_.size()) return all_;
        now = all_[next].planned.arrival_us;
        continue;
      }
      if (std::ssize(batches_) < setup_.stages && schedule(now)) continue;
      Batch done = batches_.front();
      batches_.pop_front();
      now = std::max(now, done.end_us);
      for (Request* request : done.members) --request->in_flight;
      for (Request* request : done.yielding) {
        ++request->generated;
        if (request->first_us < 0.0) request->first_us = now;
        if (request->generated < request->planned.output_tokens) continue;
        request->end_us = now;
        request->computed = 0;
        std::erase(running_, request);
      }
    }
  }
  int preemptions = 0;

 private:
  struct Batch {
    std::vector<Request*> members;
    std::vector<Request*> yielding;
    double end_us = 0.0;
  };
  [[nodiscard]] long blocks(long tokens) const { return (tokens + setup_.block_tokens - 1) / setup_.block_tokens; }
  [[nodiscard]] bool is_served(const Request& request) const {
    const long tokens = request.planned.prompt_tokens + request.planned.output_tokens;
    return tokens <= setup_.max_model_len && blocks(tokens - 1) <= setup_.kv_blocks;
  }
  [[nodiscard]] long free_blocks() const {
    long free = setup_.kv_blocks;
    for (const Request& request : all_) free -= blocks(request.computed);
    return free;
  }
  [[nodiscard]] static long left(const Request& request) {
    return request.planned.prompt_tokens + request.generated - request.computed;
  }

  bool schedule(double now) {
    Batch batch;
    double prefill_tokens = 0.0;
    double prefill_context = 0.0;
    double decodes = 0.0;
    double context = 0.0;
    long budget = setup_.max_num_batched_tokens;
    bool preempted = false;
    const auto compute = [&](Request& request, long tokens) {
      if (request.decodes) {
        decodes += 1.0;
        context += request.computed;
      } else {
        prefill_tokens += static_cast<double>(tokens);
        prefill_context += request.computed;
      }
      request.computed += static_cast<int>(tokens);
      budget -= tokens;
      ++request.in_flight;
      batch.members.push_back(&request);
      if (left(request) == 0) {
        request.decodes = true;
        batch.yielding.push_back(&request);
      }
    };
    const auto chunk = [&](long tokens) {
      return setup_.long_prefill_token_threshold > 0 ? std::min<long>(tokens, setup_.long_prefill_token_threshold) : tokens;
    };
    const std::vector<Request*> before = running_;
    for (Request* request : before) {
      if (std::ranges::find(running_, request) == running_.end() || left(*request) == 0 || budget == 0) continue;
      const long tokens = std::min(chunk(left(*request)), budget);
      bool gone = false;
      while (blocks(request->computed + tokens) - blocks(request->computed) > free_blocks() && !gone) {
        Request* victim = nullptr;
        for (Request* other : running_) victim = other->in_flight == 0 ? other : victim;
        gone = victim == nullptr || victim == request;
        if (victim == nullptr) break;
        std::erase(running_, victim);
        waiting_.push_front(victim);
        victim->computed = 0;
        victim->decodes = false;
        preempted = true;
        ++preemptions;
      }
      if (!gone) compute(*request, tokens);
    }
    while (!preempted && !waiting_.empty() && budget > 0 && std::ssize(running_) < setup_.max_num_seqs) {
      Request& request = *waiting_.front();
      long tokens = chunk(left(request));
      if (tokens > budget) {
        if (!setup_.chunked_prefill && budget < setup_.max_num_batched_tokens) break;
        if (setup_.chunked_prefill) tokens = budget;
      }
      const long kept_free = batch.members.empty() && batches_.empty() ? 0 : setup_.watermark_blocks;
      if (blocks(setup_.reserve_full_isl ? left(request) : tokens) + kept_free > free_blocks()) break;
      waiting_.pop_front();
      running_.push_back(&request);
      compute(request, tokens);
    }
    if (batch.members.empty()) return false;
    const double us = times_.base_us + times_.per_prefill_token_us * prefill_tokens + times_.per_decode_us * decodes +
                      times_.per_context_token_us * context + times_.per_prefill_context_token_us * prefill_context;
    double at = now;
    for (double& free : free_) free = at = std::max(at, free) + us / setup_.stages;
    batch.end_us = at;
    batches_.push_back(batch);
    return true;
  }

  EngineSetup setup_;
  cases::LinearTimes times_;
  std::vector<Request> all_;
  std::deque<Request*> waiting_;
  std::vector<Request*> running_;
  std::deque<Batch> batches_;
  std::vector<double> free_;
};

TEST(Pipeline, DoesWhatTheOracleDoes) {
  RandomCases random(41, "pipelines");
  int preemptions = 0;
  for (int i = 0; i < 400; ++i) {
    RandomCase drawn = random.draw(i % 2 == 0 ? Pool::ample : Pool::tight);
    drawn.setup.stages = random.between(2, 5);
    drawn.setup.prefix_caching = false;
    drawn.plan.concurrency = 0;
    StagePlan& stage = drawn.plan.stages[0];
    for (PlannedRequest& request : stage.requests) request.follows = false;
    std::ranges::stable_sort(stage.requests, {}, &PlannedRequest::arrival_us);
    drawn.plan.stages.resize(1);
    LinearStepTime<> times(drawn.times);
    const EngineRun result = cases::run_engine(drawn.setup, drawn.plan, times);
    Oracle oracle(drawn.setup, drawn.times, stage.requests);
    const auto expected = oracle.serve();
    std::size_t next = 0;
    for (const Oracle::Request& request : expected) {
      if (request.end_us < 0.0) continue;
      ASSERT_LT(next, result.requests.size()) << "case " << i;
      const RequestEvent& event = result.requests[next++];
      ASSERT_NEAR(event.first_token_us, request.first_us, 1e-9 * request.first_us) << "case " << i << ", request " << event.index;
      ASSERT_NEAR(event.finished_us, request.end_us, 1e-9 * request.end_us) << "case " << i << ", request " << event.index;
    }
    ASSERT_EQ(next, result.requests.size());
    ASSERT_EQ(result.counters.preemptions, oracle.preemptions) << "case " << i;
    preemptions += oracle.preemptions;
  }
  EXPECT_GT(preemptions, 100);
}

TEST(Pipeline, EveryRequestEndsOnceAndTokensAreConserved) {
  RandomCases random(42, "pipelines");
  for (int i = 0; i < 300; ++i) {
    RandomCase drawn = random.draw(i % 2 == 0 ? Pool::ample : Pool::tight);
    drawn.setup.stages = random.between(2, 5);
    LinearStepTime<> times(drawn.times);
    const EngineRun result = cases::run_engine(drawn.setup, drawn.plan, times, Stepping::closed_form, 0.0, 0.0, drawn.turnaround_us);
    std::int64_t requests = 0;
    std::int64_t generated = 0;
    for (const StagePlan& stage : drawn.plan.stages) requests += std::ssize(stage.requests);
    ASSERT_EQ(result.finished() + result.rejected(), requests) << "case " << i;
    for (const RequestEvent& event : result.requests) {
      ASSERT_LT(event.arrival_us, event.first_token_us);
      ASSERT_LE(event.first_token_us, event.finished_us);
      generated += event.output_tokens;
    }
    ASSERT_EQ(result.counters.generated_tokens, generated);
    ASSERT_GE(result.counters.least_free_blocks, 0);
  }
}

/// A load that fills the pipeline, served by a real model's step times.
double e2e_us(int stages, const params::Resolved<double>& parameters, core::Dual<core::kNarrowWidth>* with_derivative = nullptr) {
  const domain::ModelSpec model = examples::llama_3_1_70b();
  const domain::GpuSpec gpu = examples::h100();
  domain::Experiment experiment;
  experiment.id = "pipeline";
  experiment.deployment = examples::deployment(model, gpu, 2);
  experiment.deployment.pp = stages;
  experiment.deployment.settings.total_kv_blocks = 20000;
  domain::Workload& workload = experiment.workload;
  workload.prompt.mean_tokens = 575;
  workload.output.mean_tokens = 100;
  workload.arrival.process = domain::ArrivalProcess::closed_loop;
  workload.arrival.concurrency = 32;
  workload.stages = {{.rate = {}, .duration = {}, .num_requests = 300}};
  const RequestPlan plan = make_request_plan(experiment, 1, 0);
  const Scenario scenario{.experiment = experiment, .model = model, .gpu = gpu, .plan = plan};
  if (with_derivative != nullptr) {
    auto dual = parameters.as<core::Dual<core::kNarrowWidth>>();
    dual[params::parameter("physics.weight_bandwidth_fraction")].v[0] = 1.0;
    const auto prediction = simulate<core::Dual<core::kNarrowWidth>>("physics", scenario, dual, {});
    with_derivative[0] = prediction.summary.e2e_mean_us;
    with_derivative[1] = prediction.summary.ttft_mean_us;
  }
  return simulate<double>("physics", scenario, parameters, {}).summary.e2e_mean_us;
}

TEST(Pipeline, DerivativesOfTtftAndE2eAgreeWithSymmetricDifferencesInClosedLoops) {
  const params::ParameterId id = params::parameter("physics.weight_bandwidth_fraction");
  params::Resolved<double> parameters;
  core::Dual<core::kNarrowWidth> dual[2];
  const double value = e2e_us(2, parameters, dual);
  EXPECT_DOUBLE_EQ(dual[0].a, value);
  const double start = parameters[id];
  constexpr double kStep = 0.01;
  parameters[id] = start * (1.0 + kStep);
  core::Dual<core::kNarrowWidth> up[2];
  static_cast<void>(e2e_us(2, parameters, up));
  parameters[id] = start * (1.0 - kStep);
  core::Dual<core::kNarrowWidth> down[2];
  static_cast<void>(e2e_us(2, parameters, down));
  for (int kind : {0, 1}) {
    const double expected = (up[kind].a - down[kind].a) / (2.0 * kStep);
    EXPECT_NEAR(dual[kind].v[0] * start, expected, 0.05 * std::abs(expected)) << (kind == 0 ? "E2E" : "TTFT");
  }
}

}  // namespace
}  // namespace rooftune::sim
