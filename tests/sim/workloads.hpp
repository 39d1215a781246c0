#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string_view>
#include <vector>

#include "rooftune/core/random.hpp"
#include "rooftune/latency/step_time.hpp"
#include "rooftune/sim/engine.hpp"
#include "rooftune/sim/request_plan.hpp"

namespace rooftune::sim::cases {

/// step = base + P per prefill token + D per decode + C per token of context, of decodes and, apart, of prefills.
struct LinearTimes {
  double base_us = 0.0;
  double per_prefill_token_us = 0.0;
  double per_decode_us = 0.0;
  double per_context_token_us = 0.0;
  double per_prefill_context_token_us = 0.0;
};

template <class Scalar = double>
class LinearStepTime : public latency::StepTime<Scalar> {
 public:
  explicit LinearStepTime(const LinearTimes& times) : times_(times) {}

  [[nodiscard]] latency::StepPiece<Scalar> piece(const latency::Batch& batch) override {
    ++pieces;
    double prefill_tokens = 0.0;
    double prefill_context = 0.0;
    for (const latency::PrefillChunk& chunk : batch.prefills) {
      prefill_tokens += static_cast<double>(chunk.new_tokens);
      prefill_context += static_cast<double>(chunk.context_tokens);
    }
    const double us = times_.base_us + times_.per_prefill_token_us * prefill_tokens +
                      times_.per_decode_us * static_cast<double>(batch.decode_requests) +
                      times_.per_context_token_us * static_cast<double>(batch.decode_context_tokens) +
                      times_.per_prefill_context_token_us * prefill_context;
    return {.duration_us = Scalar(us),
            .slope_us_per_token = Scalar(times_.per_context_token_us),
            .valid_steps = batch.prefills.empty() ? latency::kEveryStep : 1};
  }
  [[nodiscard]] latency::StepBreakdown breakdown(const latency::Batch& batch) override {
    return {.total_us = core::value_of(piece(batch).duration_us), .terms = {}, .bound = "test"};
  }

  std::int64_t pieces = 0;  ///< how often it was asked

 private:
  LinearTimes times_;
};

/// A model whose every step takes as long.
inline LinearStepTime<> constant_steps(double us) { return LinearStepTime<>({.base_us = us}); }

/// Keeps every finished request.
class Recorder final : public Observer {
 public:
  void on_finished(const RequestEvent& event) override { finished.push_back(event); }
  /// The finished requests by stage and index.
  [[nodiscard]] std::vector<RequestEvent> in_order() const {
    std::vector<RequestEvent> sorted = finished;
    std::ranges::sort(sorted, {}, [](const RequestEvent& event) { return std::pair(event.stage, event.index); });
    return sorted;
  }
  std::vector<RequestEvent> finished;
};

/// What a run of the engine over all stages of a plan gives.
struct EngineRun {
  std::vector<StageRecord<double>> stages;
  std::vector<RequestEvent> requests;  ///< by stage and index
  EngineCounters counters;

  [[nodiscard]] std::int64_t finished() const {
    return std::accumulate(stages.begin(), stages.end(), std::int64_t{0},
                           [](auto sum, const auto& stage) { return sum + stage.finished; });
  }
  [[nodiscard]] std::int64_t rejected() const {
    return std::accumulate(stages.begin(), stages.end(), std::int64_t{0},
                           [](auto sum, const auto& stage) { return sum + stage.rejected; });
  }
};

inline EngineRun run_engine(const EngineSetup& setup, const RequestPlan& plan, latency::StepTime<double>& step_time,
                            Stepping stepping = Stepping::closed_form, double gap_us = 0.0, double load_us_per_block = 0.0,
                            double turnaround_us = 0.0) {
  Recorder recorder;
  Engine<double> engine(setup, plan.chains, step_time,
                        {.turnaround_us = turnaround_us,
                         .load_us_per_block = load_us_per_block,
                         .observer = &recorder,
                         .stepping = stepping,
                         .keep_latencies = true});
  EngineRun run;
  double start_us = 0.0;
  for (const StagePlan& stage : plan.stages) {
    run.stages.push_back(engine.run_stage(stage, plan.concurrency, start_us));
    start_us = run.stages.back().last_finish_us + gap_us;
  }
  run.requests = recorder.in_order();
  run.counters = engine.counters();
  return run;
}

/// How much the random workloads of a test press on the KV pool.
enum class Pool { ample, tight };

/// A reproducible random engine under a reproducible random load: small numbers, so that every rule is met often.
struct RandomCase {
  EngineSetup setup;
  RequestPlan plan;
  LinearTimes times;
  double load_us_per_block = 0.0;
  double turnaround_us = 0.0;
};

class RandomCases {
 public:
  explicit RandomCases(std::uint64_t seed, std::string_view purpose = "engine")
      : random_(core::make_stream({.seed = seed, .experiment_id = purpose, .purpose = core::StreamPurpose::noise})) {}

  [[nodiscard]] std::int32_t between(std::int32_t lowest, std::int32_t highest) {
    return lowest + static_cast<std::int32_t>(core::uniform01(random_) * static_cast<double>(highest - lowest + 1));
  }
  [[nodiscard]] bool chance(double probability) { return core::uniform01(random_) < probability; }
  [[nodiscard]] double uniform(double lowest, double highest) { return lowest + (highest - lowest) * core::uniform01(random_); }

  /// The same with the host's memory as a second tier.
  [[nodiscard]] RandomCase draw_offloading(Pool pool, Pool host) {
    RandomCase drawn = draw(pool);
    EngineSetup& setup = drawn.setup;
    setup.prefix_caching = true;
    setup.offload_blocks = host == Pool::ample ? 100000 : between(50, 600) / setup.block_tokens + 1;
    drawn.load_us_per_block = uniform(0.0, 100.0) * setup.block_tokens;
    return drawn;
  }

  [[nodiscard]] RandomCase draw(Pool pool) {
    RandomCase drawn;
    EngineSetup& setup = drawn.setup;
    constexpr std::int32_t kBlockTokens[] = {1, 4, 8, 16};
    setup.block_tokens = kBlockTokens[between(0, 3)];
    setup.max_num_seqs = between(1, 12);
    setup.max_num_batched_tokens = std::max(setup.max_num_seqs, between(4, 150));
    setup.max_model_len = 300;
    setup.long_prefill_token_threshold = chance(0.3) ? between(3, 40) : 0;
    setup.chunked_prefill = chance(0.85);
    setup.prefix_caching = chance(0.7);
    setup.async_scheduling = chance(0.6);
    setup.reserve_full_isl = chance(0.4);
    setup.free_unhashed_first = chance(0.4);
    setup.watermark_blocks = chance(0.2) ? between(1, 3) : 0;
    setup.kv_blocks = pool == Pool::ample ? 30000 / setup.block_tokens : between(150, 900) / setup.block_tokens + 1;
    drawn.times = {.base_us = uniform(500.0, 5000.0),
                   .per_prefill_token_us = uniform(0.0, 50.0),
                   .per_decode_us = uniform(0.0, 300.0),
                   .per_context_token_us = chance(0.7) ? uniform(0.0, 5.0) : 0.0};
    draw_plan(drawn.plan, setup);
    if (chance(0.5)) drawn.turnaround_us = uniform(0.0, 2.0 * drawn.times.base_us);
    return drawn;
  }

 private:
  /// Some prompts alone, some in families with a common beginning, some that grow from turn to turn.
  void draw_plan(RequestPlan& plan, const EngineSetup& setup) {
    plan.concurrency = chance(0.2) ? between(1, 10) : 0;
    const std::int32_t families = between(0, 4);
    for (std::int32_t family = 0; family < families; ++family) plan.chains.push_back({});
    std::vector<std::int32_t> prompt_of(plan.chains.size(), 0);
    const std::int32_t leaves = families > 0 ? between(0, 8) : 0;
    for (std::int32_t leaf = 0; leaf < leaves; ++leaf) {
      plan.chains.push_back({.parent = between(0, families - 1), .parent_tokens = between(0, 60)});
      prompt_of.push_back(std::max(plan.chains.back().parent_tokens, 1) + between(0, 60));
    }
    const double mean_gap_us = uniform(500.0, 60000.0);
    const bool converses = chance(0.3);
    const std::int32_t stages = between(1, 3);
    for (std::int32_t stage = 0; stage < stages; ++stage) {
      StagePlan& planned = plan.stages.emplace_back();
      double arrival_us = 0.0;
      const std::int32_t count = between(1, 40);
      for (std::int32_t i = 0; i < count; ++i) {
        if (!chance(0.15)) arrival_us += uniform(0.0, 2.0 * mean_gap_us);
        PlannedRequest request{.arrival_us = arrival_us, .prompt_tokens = between(1, 120), .output_tokens = between(1, 60)};
        if (plan.concurrency > 0) request.arrival_us = chance(0.3) ? uniform(0.0, mean_gap_us) : 0.0;
        if (chance(0.02)) request.output_tokens = 1000;  // longer than max_model_len
        if (chance(0.02)) request.prompt_tokens = setup.max_model_len + between(-1, 1);
        if (converses && chance(0.4)) {
          add_conversation(plan, planned, request, mean_gap_us);
          continue;
        }
        if (!prompt_of.empty() && chance(0.8)) {
          request.chain = between(0, static_cast<std::int32_t>(prompt_of.size()) - 1);
          if (request.chain >= families) request.prompt_tokens = prompt_of[static_cast<std::size_t>(request.chain)];
          request.chain_tokens = request.chain >= families ? request.prompt_tokens : std::min(request.prompt_tokens, between(0, 60));
        }
        planned.requests.push_back(request);
      }
    }
  }

  /// Turns that repeat all before them and add a little.
  void add_conversation(RequestPlan& plan, StagePlan& planned, PlannedRequest turn, double mean_gap_us) {
    turn.chain = static_cast<std::int32_t>(plan.chains.size());
    turn.extends_chain = true;
    turn.chain_tokens = turn.prompt_tokens;
    plan.chains.push_back({});
    planned.requests.push_back(turn);
    for (std::int32_t turns = between(0, 3); turns > 0; --turns) {
      turn.follows = true;
      turn.arrival_us = uniform(0.0, mean_gap_us);
      turn.prompt_tokens += turn.output_tokens + between(1, 30);
      turn.chain_tokens = turn.prompt_tokens;
      turn.output_tokens = between(1, 40);
      planned.requests.push_back(turn);
    }
  }

  core::RandomEngine random_;
};

}  // namespace rooftune::sim::cases
