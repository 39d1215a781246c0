#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "rooftune/core/scalar.hpp"
#include "rooftune/latency/step_time.hpp"
#include "rooftune/sim/request_plan.hpp"

namespace rooftune::sim {

/// Speculative decoding: how much is drafted, and how much of it the model accepts.
struct SpeculationSetup {
  std::int32_t draft_tokens = 0;      ///< per step and request; 0: none
  std::int32_t lookahead_tokens = 0;  ///< for which a step takes KV slots beside, where the drafter writes into the same cache
  bool recomputes_last_hit = false;   ///< the last cached block of a prompt is computed again: the drafter wants hidden states
  std::vector<double> acceptance{};   ///< share of the steps that accept at least 1, 2, ... draft_tokens: falling
};

/// What SGLang keeps free for the tokens that requests may still generate, beside which it retracts requests where vLLM preempts
/// them: PrefillAdder and ScheduleBatch.retract_decode (docs/sglang.md).
struct GrowthReserve {
  /// Of the tokens that running requests may still generate, the share that is kept free: falling from the first to the least over so
  /// many steps of decodes, whenever the engine was idle or has retracted somebody.
  double first_share = 0.7;
  double least_share = 0.098;
  std::int32_t falling_steps = 600;
  std::int32_t most_tokens = 4096;    ///< of one request that count
  std::int32_t headroom_tokens = 20;  ///< for everybody who goes on after a retraction
};

/// Settings of one engine replica, resolved from the deployment and the engine switches. Of several ranks, each has them.
struct EngineSetup {
  std::int32_t ranks = 1;           ///< data-parallel ones that share their experts and so step together
  std::int32_t stages = 1;          ///< of a pipeline, as many batches in flight; not with ranks or a second KV tier
  std::int64_t kv_blocks = 0;       ///< that requests can have; vLLM's null block is not one of them
  std::int32_t block_tokens = 16;   ///< a power of two
  std::int64_t offload_blocks = 0;  ///< that the host's memory keeps beside; 0: none
  std::int32_t max_num_seqs = 128;
  std::int32_t max_num_batched_tokens = 2048;
  std::int32_t max_model_len = 4096;
  std::int32_t long_prefill_token_threshold = 0;  ///< 0: off
  bool chunked_prefill = true;
  bool prefix_caching = true;
  /// Two steps in flight: while step k runs, step k+1 is decided already. On by default from vLLM 0.14.
  bool async_scheduling = true;
  /// A request is admitted only if its whole prompt finds free blocks, not just its first chunk. On from vLLM 0.19.
  bool reserve_full_isl = false;
  /// Blocks that an admission must leave free, unless the step is empty.
  std::int64_t watermark_blocks = 0;
  /// Freed blocks without a hash (partly filled ones, or all where prefixes are not cached) are the next to be taken.
  bool free_unhashed_first = false;
  SpeculationSetup speculation{};
  /// While prompts can be computed, a step computes them alone and the decodes wait (SGLang); else they share every step. Not with
  /// pipeline stages, and with two steps in flight only beside a growth reserve.
  bool prompts_alone = false;
  std::optional<GrowthReserve> growth_reserve{};  ///< not with pipeline stages, a second KV tier or fetched prompts
  /// Prompts were computed elsewhere: all but the last token of one is fetched over a link (EngineOptions::load_us_per_block), one
  /// request after the other, and blocks are taken for it at once.
  bool fetches_prompts = false;
};

/// How decode-only stretches are advanced. Both give the same result up to rounding.
enum class Stepping { closed_form, plain };

/// One engine step as an observer sees it.
struct StepEvent {
  double start_us = 0.0;
  double duration_us = 0.0;
  const latency::Batch& batch;
  std::int64_t waiting = 0;
  std::int64_t kv_blocks_in_use = 0;
};

/// One finished request, all times in microseconds since the engine's start.
struct RequestEvent {
  int stage = 0;
  std::int64_t index = 0;  ///< within its stage
  double arrival_us = 0.0;
  double first_token_us = 0.0;
  double finished_us = 0.0;
  std::int32_t prompt_tokens = 0;
  std::int32_t cached_tokens = 0;
  std::int32_t output_tokens = 0;
  std::int32_t preemptions = 0;
};

/// Why an engine refuses a request: it could never run.
enum class RejectionReason {
  model_length,  ///< the prompt leaves no room for a token within max_model_len
  kv_pool,       ///< prompt and output need more blocks than the pool has
};
/// "longer than max_model_len" ...
[[nodiscard]] std::string_view rejection_text(RejectionReason reason);

/// One refused request.
struct RejectionEvent {
  int stage = 0;
  std::int64_t index = 0;
  double arrival_us = 0.0;
  std::int32_t prompt_tokens = 0;
  std::int32_t output_tokens = 0;
  RejectionReason reason = RejectionReason::model_length;
};

/// What one step computes for one request.
struct ScheduledTokens {
  std::int64_t index = 0;  ///< of the request within its stage
  std::int32_t computed_tokens = 0;
  std::int32_t new_tokens = 0;
};

/// One step as the scheduler decided it.
struct ScheduleEvent {
  int stage = 0;
  double start_us = 0.0;
  std::span<const ScheduledTokens> requests;  ///< running ones in order of admission, then those just admitted
  std::int64_t kv_blocks_in_use = 0;          ///< after scheduling
};

/// Watches a simulation. Watching steps turns closed-form advancing off.
class Observer {
 public:
  virtual ~Observer() = default;
  [[nodiscard]] virtual bool wants_steps() const { return false; }
  virtual void on_step(const StepEvent& /*event*/) {}
  /// Steps request by request: costs time in proportion to the batch.
  [[nodiscard]] virtual bool wants_schedules() const { return false; }
  virtual void on_schedule(const ScheduleEvent& /*event*/) {}
  virtual void on_finished(const RequestEvent& /*event*/) {}
  virtual void on_rejected(const RejectionEvent& /*event*/) {}
};

/// Client-side additions to the engine's latencies: before the queue, and per streamed token.
template <class Scalar>
struct FrontEnd {
  Scalar constant_us{0.0};
  Scalar per_prompt_token_us{0.0};
  Scalar per_output_token_us{0.0};
};

/// What a simulation is asked for beside the engine's settings.
template <class Scalar>
struct EngineOptions {
  FrontEnd<Scalar> front_end{};   ///< times outside the engine that the client sees; added to every recorded latency
  Scalar turnaround_us{0.0};      ///< from the end of a request to its client's next one
  Scalar load_us_per_block{0.0};  ///< to read one KV block back from the host's memory, or to fetch it from where it was computed
  Observer* observer = nullptr;   ///< outlives the engine
  Stepping stepping = Stepping::closed_form;
  bool keep_latencies = false;        ///< each request's in the records (24 bytes each)
  std::int64_t warm_up_requests = 0;  ///< the first so many of every stage are served, but left out of its record
  /// Gives up after so many advances (EngineCounters), over all stages: records are incomplete then.
  std::int64_t max_events = std::numeric_limits<std::int64_t>::max();
};

/// Latencies of one stage: sums over its finished requests (microseconds), those of the warm-up left out.
template <class Scalar>
struct StageRecord {
  std::int64_t finished = 0;
  std::int64_t warm_up = 0;  ///< finished, but not counted
  std::int64_t rejected = 0;
  std::int64_t single_token = 0;  ///< finished with one output token: they have no time per token
  Scalar ttft_sum_us{0.0};
  Scalar e2e_sum_us{0.0};
  Scalar tpot_sum_us{0.0};         ///< over requests with more than one output token
  std::int64_t prompt_tokens = 0;  ///< sums over the finished ones
  std::int64_t output_tokens = 0;
  std::int64_t warm_up_output_tokens = 0;
  double first_arrival_us = 0.0;
  double last_finish_us = 0.0;
  std::int64_t longest_queue = 0;
  /// Per finished request, kept only where percentiles or spreads are wanted; in order of completion.
  std::vector<double> ttft_us;
  std::vector<double> e2e_us;
  std::vector<double> tpot_us;  ///< of those with more than one output token
};

/// What happened inside, over all stages.
struct EngineCounters {
  std::int64_t steps = 0;
  std::int64_t advances = 0;  ///< stretches of steps that were advanced at once
  std::int64_t preemptions = 0;
  std::int64_t rejected = 0;            ///< for any reason
  std::int64_t rejected_by_length = 0;  ///< of these, RejectionReason::model_length
  std::int64_t prompt_tokens = 0;
  std::int64_t cached_tokens = 0;  ///< those loaded included
  std::int64_t loaded_tokens = 0;  ///< read back from the host's memory, or fetched from a prefill engine
  std::int64_t generated_tokens = 0;
  std::int64_t largest_batch = 0;
  std::int64_t longest_queue = 0;
  double busy_us = 0.0;
  std::int64_t kv_blocks = 0;          ///< in the pool
  std::int64_t least_free_blocks = 0;  ///< the fullest the pool ever was
  double batch_time_us = 0.0;          ///< integral of the number of running requests over time
};

/// Discrete-event simulation of one vLLM-like engine: continuous batching with chunked prefill, a paged KV cache with
/// prefix reuse, preemption by recompute and one step of admission lag. Cost is per event (arrival, first token,
/// completion), not per step: between events the batch only decodes, its step time is a linear piece, and many steps
/// advance in closed form.
///
/// With a derivative-carrying scalar every latency carries its derivative (infinitesimal perturbation analysis); the order
/// of events is decided by values. Three corrections make that unbiased enough to fit with (docs/adr/0007):
///   - an arrival is anchored inside the running step at its phase, so that only what happens after it counts;
///   - every request carries a mass: by how much the expected number of arrivals in its gap grows when steps take longer;
///   - a request that had to wait for room is anchored where the one was whose end made it.
///
/// Of several pipeline stages (pipeline_core.hpp) batches are events, one by one, and the clock's derivative is that of its path.
///
/// Of several data-parallel ranks (rank_group.hpp) each has its requests and its pool, and all step at the pace of the slowest. Their
/// derivatives know the first and the third correction: in open loops requests have no masses.
template <class Scalar>
class Engine {
 public:
  Engine(const EngineSetup& setup, std::span<const PrefixChain> chains, latency::StepTime<Scalar>& step_time,
         const EngineOptions<Scalar>& options = {});
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine();

  /// Whether it gave up (EngineOptions::max_events).
  [[nodiscard]] bool out_of_events() const;

  /// Runs one stage that starts at `start_us` (not before the engine has drained) to its last completion. The KV cache and
  /// its contents live on from stage to stage.
  [[nodiscard]] StageRecord<Scalar> run_stage(const StagePlan& plan, int concurrency, double start_us);

  // The same in pieces, for a router that decides when a request comes: between begin_stage and end_stage, run_to(t) runs
  // every step that ends before t, and offer() hands over a request that arrives at such a t. Offers come in order of time; the
  // turns of a conversation are offered together, one after the other.
  void begin_stage(double start_us, double requests_per_us, std::size_t most_requests);
  void run_to(double horizon_us);
  void offer(const PlannedRequest& request);
  /// The end of its next steps after which something may have happened (a request's end, above all), if nobody comes before; later
  /// than any time where there is nothing to do. Whoever comes afterwards must not come before the next planned arrival.
  [[nodiscard]] double next_event_us();
  /// Requests that have arrived and not finished.
  [[nodiscard]] std::int64_t in_flight() const;
  [[nodiscard]] StageRecord<Scalar> end_stage();

  [[nodiscard]] const EngineCounters& counters() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rooftune::sim
