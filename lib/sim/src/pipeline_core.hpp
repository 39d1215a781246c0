#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "clients.hpp"
#include "kv_cache.hpp"
#include "records.hpp"
#include "rooftune/core/contract.hpp"
#include "rooftune/core/derivative.hpp"
#include "rooftune/latency/step_time.hpp"
#include "rooftune/sim/engine.hpp"
#include "stretch.hpp"

namespace rooftune::sim {

/// An engine whose layers lie on several pipeline stages, as vLLM runs it (vllm/v1/engine/core.py, step_with_batch_queue): up to as
/// many batches as stages are in flight. While there is room for another one, whoever has nothing in flight is scheduled at once:
/// who runs already first, then newcomers, within the token budget. When nobody is left to schedule, or the pipeline is full, the
/// engine waits for the oldest batch, and whoever comes meanwhile waits with it. So batches are as uneven as arrivals and budgets
/// make them, and a single one, which all requests that fit together are in, leaves every other stage idle.
///
/// A batch passes the stages in order, a stage takes an equal share of what the step-time model says of it (all layers, hops
/// included), and a stage that is busy is waited for. Every batch is an event of its own; the clock carries its derivative along its
/// path, without the corrections that one engine makes (docs/adr/0041).
///
/// Known difference: vLLM may preempt a request that is in flight; here one of the others is taken, or who needs blocks waits.
template <class Scalar>
class PipelineCore {
 public:
  PipelineCore(const EngineSetup& setup, std::span<const PrefixChain> chains, latency::StepTime<Scalar>& step_time,
               const EngineOptions<Scalar>& options)
      : setup_(setup),
        options_(options),
        step_time_(step_time),
        block_(setup.block_tokens),
        cache_(setup.kv_blocks, block_, chains, setup.prefix_caching, setup.free_unhashed_first),
        free_at_(static_cast<std::size_t>(setup.stages), Scalar(0.0)) {
    counters.kv_blocks = counters.least_free_blocks = setup.kv_blocks;
  }

  void begin_stage(const StagePlan& plan, int concurrency, double start_us) {
    open_stage(plan, start_us);
    clients_.begin(plan, concurrency, now_us());
    record_.first_arrival_us = clients_.next_us() < kNever ? clients_.next_us() : now_us();
  }
  void begin_routed_stage(double start_us, double requests_per_us, std::size_t most_requests) {
    routed_.requests.clear();
    routed_.requests.reserve(most_requests);  // requests point into it
    routed_.requests_per_us = requests_per_us;
    open_stage(routed_, start_us);
    clients_.begin(routed_, 0, now_us());
    record_.first_arrival_us = kNever;
  }
  void offer(const PlannedRequest& request) {
    ROOFTUNE_EXPECTS(routed_.requests.size() < routed_.requests.capacity());
    routed_.requests.push_back(request);
    if (!request.follows) record_.first_arrival_us = std::min(record_.first_arrival_us, stage_start_us_ + request.arrival_us);
    clients_.plan_grew();
  }
  void run_to(double horizon_us);
  StageRecord<Scalar> end_stage();
  [[nodiscard]] std::int64_t in_flight() const { return std::ssize(waiting_) + std::ssize(running_); }
  [[nodiscard]] bool out_of_events() const { return counters.advances > options_.max_events; }

  EngineCounters counters;

 private:
  static constexpr double kNever = std::numeric_limits<double>::infinity();

  struct Request {
    const PlannedRequest* planned = nullptr;
    Scalar arrival{0.0};
    std::optional<Scalar> first_token{};
    KvLease lease{};
    std::int32_t chain = -1;
    std::int32_t chain_tokens = 0;
    std::int32_t computed = 0;   ///< tokens that are in the cache when all that was scheduled is done
    std::int32_t generated = 0;  ///< tokens that came out
    std::int32_t batches = 0;    ///< in flight, that it is in
    std::int32_t cached = 0;
    std::int32_t preemptions = 0;
    bool decodes = false;  ///< its prompt, and what it computes again, is complete

    [[nodiscard]] std::int32_t tokens() const { return planned->prompt_tokens + generated; }
  };
  /// A batch in the pipeline.
  struct InFlight {
    std::vector<Request*> members;
    std::vector<Request*> yielding;  ///< of these, who gets a token out of it
    Scalar done{0.0};
  };

  void open_stage(const StagePlan& plan, double start_us);
  void take_arrivals();
  void arrive(const Clients::Sent& sent);
  bool schedule();
  void schedule_running();
  void admit();
  bool try_admit(Request& request);
  bool make_room(const Request& request, std::int64_t blocks);
  void compute(Request& request, std::int64_t tokens);
  void preempt(Request& request);
  void run(InFlight&& batch);
  void take_results();
  void finish(Request& request);
  void answer(const PlannedRequest& request);
  void see_fullness() { counters.least_free_blocks = std::min(counters.least_free_blocks, cache_.free_blocks()); }
  [[nodiscard]] std::int64_t chunk_of(std::int64_t tokens) const {
    return setup_.long_prefill_token_threshold > 0 ? std::min<std::int64_t>(tokens, setup_.long_prefill_token_threshold) : tokens;
  }
  [[nodiscard]] std::int64_t blocks_for(const Request& request, std::int64_t tokens) const {
    return block_.holding(request.computed + tokens) - request.lease.chain_blocks - request.lease.private_blocks;
  }
  [[nodiscard]] static Scalar later(const Scalar& a, const Scalar& b) { return core::value_of(a) >= core::value_of(b) ? a : b; }
  [[nodiscard]] double now_us() const { return core::value_of(now_); }
  [[nodiscard]] std::int64_t index_of(const PlannedRequest& request) const { return &request - plan_->requests.data(); }

  EngineSetup setup_;
  EngineOptions<Scalar> options_;
  latency::StepTime<Scalar>& step_time_;
  BlockSize block_;
  KvCache cache_;
  Clients clients_;

  Scalar now_{0.0};
  std::vector<Scalar> free_at_;  ///< when each stage is done with what was given to it
  std::deque<InFlight> pipeline_;
  std::deque<Request> requests_;
  std::vector<Request*> spare_;
  std::vector<Request*> running_;  ///< in order of admission
  std::deque<Request*> waiting_;
  std::vector<Scalar> replies_;  ///< of clients who have something on its way
  std::vector<std::int64_t> spare_replies_;

  // The batch that is being made.
  InFlight coming_;
  std::vector<latency::PrefillChunk> prefills_;
  std::vector<std::int64_t> contexts_;
  std::int64_t context_sum_ = 0;
  std::int64_t budget_ = 0;
  bool preempted_ = false;

  const StagePlan* plan_ = nullptr;
  StagePlan routed_;
  double stage_start_us_ = 0.0;
  int stage_index_ = -1;
  StageRecord<Scalar> record_;
};

template <class Scalar>
void PipelineCore<Scalar>::open_stage(const StagePlan& plan, double start_us) {
  plan_ = &plan;
  ++stage_index_;
  record_ = {};
  if (start_us > now_us()) now_ = Scalar(start_us);
  stage_start_us_ = now_us();
}

/// Runs every batch that is done before the horizon.
template <class Scalar>
void PipelineCore<Scalar>::run_to(double horizon_us) {
  while (!out_of_events()) {
    take_arrivals();
    if (in_flight() == 0) {
      if (clients_.next_us() >= horizon_us) return;
      now_ = Scalar(clients_.next_us());
      if (const std::int64_t reply = clients_.next_reply(); reply != Clients::kFixed) {
        const Scalar& at = replies_[static_cast<std::size_t>(reply)];
        now_ = at + (clients_.next_us() - core::value_of(at));
      }
      continue;
    }
    if (std::ssize(pipeline_) < setup_.stages) {
      if (now_us() >= horizon_us) return;
      if (schedule()) continue;
    }
    ROOFTUNE_EXPECTS(!pipeline_.empty());
    if (core::value_of(pipeline_.front().done) >= horizon_us) return;
    take_results();
  }
}

template <class Scalar>
void PipelineCore<Scalar>::take_arrivals() {
  while (clients_.next_us() <= now_us()) arrive(clients_.take());
}

template <class Scalar>
void PipelineCore<Scalar>::arrive(const Clients::Sent& sent) {
  const PlannedRequest& planned = *sent.request;
  Scalar arrival(sent.at_us);
  if (sent.reply != Clients::kFixed) {
    const Scalar& at = replies_[static_cast<std::size_t>(sent.reply)];
    arrival = at + (sent.at_us - core::value_of(at));
    spare_replies_.push_back(sent.reply);
  }
  std::optional<RejectionReason> refusal;
  if (planned.output_tokens < 1 || planned.prompt_tokens + std::int64_t{planned.output_tokens} > setup_.max_model_len)
    refusal = RejectionReason::model_length;
  else if (block_.holding(planned.prompt_tokens + planned.output_tokens - 1) > cache_.total_blocks())
    refusal = RejectionReason::kv_pool;
  if (refusal) {
    ++record_.rejected;
    ++counters.rejected;
    if (*refusal == RejectionReason::model_length) ++counters.rejected_by_length;
    if (options_.observer != nullptr) {
      options_.observer->on_rejected({.stage = stage_index_,
                                      .index = index_of(planned),
                                      .arrival_us = sent.at_us,
                                      .prompt_tokens = planned.prompt_tokens,
                                      .output_tokens = planned.output_tokens,
                                      .reason = *refusal});
    }
    answer(planned);
    return;
  }
  if (spare_.empty()) spare_.push_back(&requests_.emplace_back());
  Request& request = *spare_.back();
  spare_.pop_back();
  request = {.planned = &planned, .arrival = arrival, .chain = planned.chain, .chain_tokens = planned.chain_tokens};
  waiting_.push_back(&request);
  record_.longest_queue = std::max(record_.longest_queue, std::ssize(waiting_));
}

/// Makes a batch of whoever can be scheduled and gives it to the first stage. False: there is nobody.
template <class Scalar>
bool PipelineCore<Scalar>::schedule() {
  coming_ = {};
  prefills_.clear();
  contexts_.clear();
  context_sum_ = 0;
  budget_ = setup_.max_num_batched_tokens;
  preempted_ = false;
  schedule_running();
  if (!preempted_) admit();
  if (coming_.members.empty()) return false;
  see_fullness();
  run(std::move(coming_));
  return true;
}

template <class Scalar>
void PipelineCore<Scalar>::schedule_running() {
  for (std::size_t i = 0; i < running_.size() && budget_ > 0; ++i) {
    Request& request = *running_[i];
    const std::int64_t left = request.tokens() - request.computed;
    if (left <= 0) continue;  // its token is in flight
    const std::int64_t tokens = std::min(chunk_of(left), budget_);
    if (make_room(request, blocks_for(request, tokens))) compute(request, tokens);
    if (i < running_.size() && running_[i] != &request) --i;  // it was preempted itself
  }
}

/// Preempts from the end until the request has its blocks. False: it has not, or was preempted itself.
template <class Scalar>
bool PipelineCore<Scalar>::make_room(const Request& request, std::int64_t blocks) {
  while (blocks > cache_.free_blocks()) {
    const auto victim = std::find_if(running_.rbegin(), running_.rend(), [](const Request* other) { return other->batches == 0; });
    if (victim == running_.rend()) return false;
    Request& last = **victim;
    preempt(last);
    if (&last == &request) return false;
  }
  return true;
}

template <class Scalar>
void PipelineCore<Scalar>::preempt(Request& request) {
  preempted_ = true;
  ++counters.preemptions;
  ++request.preemptions;
  const auto hashed_blocks = static_cast<std::int32_t>(block_.full(request.computed));
  if (request.planned->extends_chain && request.chain >= 0) {
    cache_.release_unfinished(request.lease, 0, hashed_blocks);
    request.chain_tokens = request.tokens();
  } else {
    request.chain = cache_.release_preempted(request.lease, 0, hashed_blocks);
    if (cache_.is_continuation(request.chain)) request.chain_tokens = request.tokens();
  }
  request.lease = {};
  request.computed = 0;
  request.decodes = false;
  std::erase(running_, &request);
  waiting_.push_front(&request);
}

template <class Scalar>
void PipelineCore<Scalar>::admit() {
  while (!waiting_.empty() && budget_ > 0 && std::ssize(running_) < setup_.max_num_seqs) {
    if (!try_admit(*waiting_.front())) return;
  }
}

template <class Scalar>
bool PipelineCore<Scalar>::try_admit(Request& request) {
  // At least the last token is computed, whatever is cached.
  const std::int64_t whole_blocks = block_.full(std::min(request.chain_tokens, request.tokens() - 1));
  const std::int32_t hit = cache_.resident_among(request.chain, static_cast<std::int32_t>(whole_blocks));
  const std::int32_t there = hit * block_.tokens();
  std::int64_t tokens = chunk_of(request.tokens() - there);
  if (tokens > budget_) {
    // Without chunking a prompt runs whole, or, where it is longer than the whole budget, alone.
    if (!setup_.chunked_prefill && budget_ < setup_.max_num_batched_tokens) return false;
    if (setup_.chunked_prefill) tokens = budget_;
  }
  const std::int64_t until = setup_.reserve_full_isl ? request.tokens() : there + tokens;
  const std::int64_t kept_free = coming_.members.empty() && pipeline_.empty() ? 0 : setup_.watermark_blocks;
  const std::int64_t blocks = block_.holding(until) - hit;
  if (blocks + cache_.idle_blocks(request.chain, hit) + kept_free > cache_.free_blocks()) return false;
  waiting_.pop_front();
  running_.push_back(&request);
  request.lease = cache_.acquire(request.chain, hit);
  request.computed = there;
  if (request.preemptions == 0) request.cached = there;
  counters.cached_tokens += there;
  counters.prompt_tokens += request.tokens();
  compute(request, tokens);
  return true;
}

/// The coming batch computes so many tokens of the request, for which there is room.
template <class Scalar>
void PipelineCore<Scalar>::compute(Request& request, std::int64_t tokens) {
  const std::int64_t done = request.computed + tokens;
  const std::int64_t full_chain_blocks = block_.full(std::min<std::int64_t>(request.chain_tokens, done));
  cache_.extend(request.lease, static_cast<std::int32_t>(blocks_for(request, tokens)), static_cast<std::int32_t>(full_chain_blocks));
  if (request.decodes) {
    context_sum_ += request.computed;
    contexts_.push_back(request.computed);
  } else {
    prefills_.push_back({.context_tokens = request.computed, .new_tokens = tokens});
  }
  request.computed = static_cast<std::int32_t>(done);
  budget_ -= tokens;
  ++request.batches;
  coming_.members.push_back(&request);
  if (done < request.tokens()) return;
  request.decodes = true;
  coming_.yielding.push_back(&request);
}

/// A batch goes through the stages, each of which may be busy with the one before it.
template <class Scalar>
void PipelineCore<Scalar>::run(InFlight&& batch) {
  latency::Batch seen;
  seen.prefills = prefills_;
  seen.decode_requests = std::ssize(contexts_);
  seen.decode_context_tokens = context_sum_;
  if (step_time_.wants_decode_contexts()) {
    seen.decode_contexts = contexts_;
    seen.decode_max_context_tokens = contexts_.empty() ? 0 : *std::ranges::max_element(contexts_);
  }
  Scalar whole = step_time_.piece(seen).duration_us;
  if (const double us = of_this_world(core::value_of(whole)); us != core::value_of(whole)) whole = Scalar(us);
  const Scalar share = whole * (1.0 / setup_.stages);
  const double start_us = std::max(now_us(), core::value_of(free_at_.front()));
  Scalar at = now_;
  for (Scalar& free : free_at_) free = at = later(at, free) + share;
  batch.done = at;
  if (options_.observer != nullptr && options_.observer->wants_steps()) {
    options_.observer->on_step({.start_us = start_us,
                                .duration_us = core::value_of(at) - start_us,
                                .batch = seen,
                                .waiting = std::ssize(waiting_),
                                .kv_blocks_in_use = cache_.total_blocks() - cache_.free_blocks()});
  }
  ++counters.steps;
  ++counters.advances;
  counters.largest_batch = std::max(counters.largest_batch, std::ssize(batch.members));
  counters.busy_us += core::value_of(share);
  counters.batch_time_us += core::value_of(share) * static_cast<double>(batch.members.size());
  pipeline_.push_back(std::move(batch));
}

/// The oldest batch leaves the pipeline.
template <class Scalar>
void PipelineCore<Scalar>::take_results() {
  const InFlight batch = std::move(pipeline_.front());
  pipeline_.pop_front();
  now_ = later(now_, batch.done);
  for (Request* const request : batch.members) --request->batches;
  for (Request* const request : batch.yielding) {
    ++request->generated;
    if (!request->first_token) request->first_token = now_;
    if (request->generated == request->planned->output_tokens) finish(*request);
  }
}

template <class Scalar>
void PipelineCore<Scalar>::finish(Request& request) {
  const PlannedRequest& planned = *request.planned;
  std::erase(running_, &request);
  const auto hashed_blocks = static_cast<std::int32_t>(block_.full(request.computed));
  cache_.release(request.lease, 0, hashed_blocks, planned.extends_chain ? hashed_blocks : 0);
  if (index_of(planned) >= options_.warm_up_requests) {
    const Scalar ttft = *request.first_token - request.arrival;
    const Scalar e2e = now_ - request.arrival;
    Scalar tpot(0.0);
    ++record_.finished;
    record_.ttft_sum_us += ttft;
    record_.e2e_sum_us += e2e;
    record_.prompt_tokens += planned.prompt_tokens;
    record_.output_tokens += planned.output_tokens;
    if (planned.output_tokens > 1) {
      tpot = (now_ - *request.first_token) * (1.0 / (planned.output_tokens - 1));
      record_.tpot_sum_us += tpot;
    } else {
      ++record_.single_token;
    }
    if (options_.keep_latencies) {
      sim::keep_latencies(record_, options_.front_end, planned.prompt_tokens, planned.output_tokens, core::value_of(ttft),
                          core::value_of(e2e), core::value_of(tpot));
    }
  } else {
    ++record_.warm_up;
    record_.warm_up_output_tokens += planned.output_tokens;
  }
  if (options_.observer != nullptr) {
    options_.observer->on_finished({.stage = stage_index_,
                                    .index = index_of(planned),
                                    .arrival_us = core::value_of(request.arrival),
                                    .first_token_us = core::value_of(*request.first_token),
                                    .finished_us = now_us(),
                                    .prompt_tokens = planned.prompt_tokens,
                                    .cached_tokens = request.cached,
                                    .output_tokens = planned.output_tokens,
                                    .preemptions = request.preemptions});
  }
  spare_.push_back(&request);
  answer(planned);
}

/// A request has its reply: whoever waited for that may go on.
template <class Scalar>
void PipelineCore<Scalar>::answer(const PlannedRequest& request) {
  if (!clients_.goes_on_after(request)) return;
  if (spare_replies_.empty()) {
    spare_replies_.push_back(std::ssize(replies_));
    replies_.emplace_back();
  }
  const std::int64_t reply = spare_replies_.back();
  spare_replies_.pop_back();
  replies_[static_cast<std::size_t>(reply)] = now_ + options_.turnaround_us;
  if (!clients_.free(request, now_us(), core::value_of(options_.turnaround_us), reply)) spare_replies_.push_back(reply);
}

template <class Scalar>
StageRecord<Scalar> PipelineCore<Scalar>::end_stage() {
  add_front_end(record_, options_.front_end);
  record_.last_finish_us = now_us();
  counters.longest_queue = std::max(counters.longest_queue, record_.longest_queue);
  counters.generated_tokens += record_.output_tokens + record_.warm_up_output_tokens;
  return std::move(record_);
}

}  // namespace rooftune::sim
