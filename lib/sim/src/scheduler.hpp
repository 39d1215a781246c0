#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "decode_blocks.hpp"
#include "drafted_decodes.hpp"
#include "features.hpp"
#include "finish_queue.hpp"
#include "kv_cache.hpp"
#include "offload_tier.hpp"
#include "request.hpp"
#include "rooftune/core/contract.hpp"
#include "rooftune/latency/step_time.hpp"
#include "rooftune/sim/engine.hpp"

namespace rooftune::sim {

/// A prompt of which one step computes a chunk.
struct Chunk {
  Slot* slot = nullptr;
  bool completes = false;  ///< the prompt: its first token comes at the step's end
};

/// One request of a step, for an observer.
struct Planned {
  const PlannedRequest* request = nullptr;
  std::int32_t computed_tokens = 0;
  std::int32_t new_tokens = 0;
};

/// What one step does beside its decodes.
struct StepPlan {
  std::vector<Chunk> chunks;
  std::vector<latency::PrefillChunk> prefills;  ///< their tokens, as a step-time model wants to see them
  std::vector<Planned> requests;                ///< all of them, where an observer wants them
  std::int64_t kv_blocks_in_use = 0;            ///< likewise
  bool is_of_prompts_alone = false;             ///< the decodes wait

  void reserve(std::size_t batch) {
    chunks.reserve(batch);
    prefills.reserve(batch);
  }
  void clear() {
    chunks.clear();
    prefills.clear();
    is_of_prompts_alone = false;
  }
};

/// What keeps the first waiting request waiting: nothing, something that may pass with any step, a lack of blocks, which ends
/// with a request's last step at the earliest, a lack of seats, which ends when one has left, or blocks of it that are being
/// read back from the host's memory, for which it does not wait in the queue.
enum class Blocked { no, for_a_step, by_blocks, by_seats, by_loading };

/// Decides what a step does, as vLLM's scheduler does:
///   1. Running requests, in order of admission, take a token each, or the next chunk of their prompt, and the blocks for
///      it. When the pool is empty, the last admitted one is preempted: it gives its blocks back and waits in front.
///   2. Unless one was, waiting requests are admitted in order while seats, the budget of tokens and blocks last.
/// Where prompts are computed alone (EngineSetup::prompts_alone), 2. comes before 1.: as long as prompts find room, steps hold nothing
/// else. Such a step has no number of its own, it comes before one of the decodes: numbers count the tokens that these get.
/// Where two steps are in flight, a step is decided while the one before it runs. Requests that end in that one keep seat and
/// blocks until its end, but take part in nothing any more.
///
/// Knows values alone: no derivatives, no clock but the one it is told. What every step asks is in this header, a few comparisons;
/// decisions are in scheduler.cpp, what the second KV tier adds to them in scheduler_offload.hpp, what SGLang's reserve for tokens to
/// come does in scheduler_reserve.hpp.
template <Features kFeatures>
class Scheduler {
 public:
  Scheduler(const EngineSetup& setup, std::span<const PrefixChain> chains, EngineCounters& counters, bool observed, Stepping stepping);

  /// Blocks of a request with its last token.
  [[nodiscard]] std::int64_t most_blocks(const PlannedRequest& request) const {
    const std::int64_t tokens = std::int64_t{request.prompt_tokens} + request.output_tokens - 1;
    return drafts() ? drafted_->most_blocks(tokens) : block_.holding(tokens);
  }
  /// A request that needs so many and can never run is refused: why, or nothing.
  [[nodiscard]] std::optional<RejectionReason> refusal(const PlannedRequest& request, std::int64_t most_blocks) const;
  /// There is one more slot.
  void add_slot() {
    if (loads()) on_host_.emplace_back();
  }
  /// The request of a slot that is not refused joins the waiting queue.
  void enqueue(Slot& slot);

  /// Whether that step, which is the next one to be decided, needs no decision: all go on as they did.
  [[nodiscard]] bool goes_on(std::int64_t step) {
    if (waiting_.size > 0 || observed() || !prefilling_.empty() || !has_room_until(step + 1)) return false;
    blocked_ = Blocked::no;
    if (prompts_alone()) ahead_ = two_in_flight() ? 1 : 0;
    return true;
  }
  /// Decides it. `now_us`: the time at which it is decided.
  void decide(std::int64_t step, StepPlan& plan, double now_us, double load_us_per_block);
  // Of the last decision:
  /// how many of the last in running() were admitted,
  [[nodiscard]] int admitted() const { return admitted_; }
  /// how many of the last in loading() began to load,
  [[nodiscard]] int began_loading() const { return began_loading_; }
  /// who was preempted,
  [[nodiscard]] std::span<Slot* const> preempted() const { return preempted_; }
  /// and what keeps the first in waiting().
  [[nodiscard]] Blocked blocked() const { return blocked_; }

  /// The step at whose end the next running request finishes.
  [[nodiscard]] std::int64_t next_finish() const { return finishing_.next_step(); }
  /// Of `steps` steps, how many come before anything but time can change a decision, all decided with the first.
  [[nodiscard]] std::int64_t steps_before_finish_or_full(std::int64_t step, std::int64_t steps) {
    std::int64_t to_finish = finishing_.next_step() - step + 1;
    // While its last step runs, the one after it is decided without it: that may be empty, and the watermark does not hold.
    if (blocked_ == Blocked::by_blocks && watermark_blocks() > 0 && to_finish > 1) --to_finish;
    steps = std::min(steps, to_finish);
    return has_room_until(decided_before(step) + steps) ? steps : steps_before_full(step, steps);
  }
  /// Before requests that finished give their blocks back: how full the pool is with all that was decided.
  void before_finishing(std::int64_t step) {
    // Most often there would be more than the least with all that anybody may still take.
    const std::int64_t spare = cache_.free_blocks() - counters_.least_free_blocks;
    if (coming_blocks_ <= spare) return;
    const std::int64_t until = decided_before(step);
    if (most_untold_until(until) > spare) see_fullness(step, until);
  }
  /// Where prompts are computed alone: one is complete, and wanted no more than the first token.
  void end_prompt(Slot& slot) { finishing_.push({.finish_step = slot.finish_step, .slot = &slot}); }
  /// Who finishes next, of those who did before that step: its blocks go back.
  Slot& finish_next(std::int64_t step);

  /// The tokens of a decoding request in the cache before that step.
  [[nodiscard]] std::int64_t context_before(const Slot& slot, std::int64_t step) const {
    return drafts() ? drafted_->context_before(slot.number, step) : step + slot.context_offset;
  }
  /// The same, where steps may yield several tokens.
  [[nodiscard]] ContextLine context_line(const Slot& slot) const { return drafted_->line(slot.number); }

  [[nodiscard]] SlotList& running() { return running_; }
  [[nodiscard]] SlotList& waiting() { return waiting_; }
  [[nodiscard]] SlotList& loading() { return loading_; }
  [[nodiscard]] double loaded_us(const Slot& slot) const { return on_host_[slot.number].loaded_us; }
  [[nodiscard]] std::int64_t loading_blocks(const Slot& slot) const { return on_host_[slot.number].loading_blocks; }
  /// The first loading request waits in front of those that came after it: its blocks are there.
  [[gnu::noinline]] void take_loaded(std::int64_t step);
  /// The last of the waiting requests that hold blocks read back gives them up: others need the room. False: there is none.
  [[gnu::noinline]] bool give_back_loaded();

 private:
  /// What a request has in the host's memory.
  struct OnHost {
    std::int32_t chain = -1;  ///< and how many of its tokens lie there
    std::int32_t tokens = 0;
    std::int64_t loading_blocks = 0;
    double loaded_us = 0.0;  ///< when those are read back
  };

  [[nodiscard, gnu::noinline]] std::int64_t steps_before_full(std::int64_t step, std::int64_t steps);
  [[gnu::noinline]] void see_fullness(std::int64_t step, std::int64_t until);

  // --- what the usual engine does not ask ---
  static constexpr bool kAll = kFeatures == Features::all;
  [[nodiscard]] bool drafts() const { return kAll && drafted_; }
  [[nodiscard]] bool reserves() const { return kAll && setup_.growth_reserve; }
  [[nodiscard]] bool prompts_alone() const { return kAll && setup_.prompts_alone; }
  [[nodiscard]] bool fetches() const { return kAll && setup_.fetches_prompts; }
  [[nodiscard]] bool observed() const { return kAll && observed_; }
  [[nodiscard]] std::int64_t watermark_blocks() const { return kAll ? setup_.watermark_blocks : 0; }
  /// Of one prompt, in one step.
  [[nodiscard]] std::int64_t most_tokens(std::int64_t tokens) const {
    return kAll && setup_.long_prefill_token_threshold > 0 ? std::min<std::int64_t>(tokens, setup_.long_prefill_token_threshold)
                                                           : tokens;
  }

  // --- a decision, in order ---
  void drop_ending(std::int64_t step) {
    if (finishing_.next_step() < step) drop_all_ending(step);
  }
  [[gnu::noinline]] void drop_all_ending(std::int64_t step);
  bool secure_blocks(std::int64_t step, StepPlan& plan) {
    return (!prefilling_.empty() || coming_blocks_ > cache_.free_blocks()) && secure_scarce(step, plan);
  }
  [[gnu::noinline]] bool secure_scarce(std::int64_t step, StepPlan& plan);
  [[gnu::noinline]] bool secure_in_order(std::int64_t step, StepPlan& plan);
  bool decide_prompts(std::int64_t step, StepPlan& plan, double now_us, double load_us_per_block);
  void admit(std::int64_t step, StepPlan& plan, double now_us, double load_us_per_block);

  // --- the decodes' blocks, with drafts or without ---
  void start_growing(Slot& slot, std::int64_t step);
  void stop_growing(Slot& slot, std::int64_t step);
  [[nodiscard]] std::int64_t blocks_before(const Slot& slot, std::int64_t step) const {
    return drafts() ? drafted_->blocks_before(slot.number, step) : block_.holding(step + slot.context_offset);
  }
  [[nodiscard]] std::int64_t growing() const { return drafts() ? drafted_->requests() : decode_blocks_.requests(); }
  [[nodiscard]] std::int64_t taken_in(std::int64_t step) const {
    return drafts() ? drafted_->taken_in(step) : decode_blocks_.taken_in(step);
  }
  [[nodiscard]] std::int64_t untold_until(std::int64_t step) const {
    return drafts() ? drafted_->untold_until(step) : decode_blocks_.untold_until(step);
  }
  [[nodiscard]] std::int64_t most_untold_until(std::int64_t step) const {
    return drafts() ? drafted_->most_untold_until(step) : decode_blocks_.most_untold_until(step);
  }
  /// Of the budget of a step's tokens, what its decodes leave.
  [[nodiscard]] std::int64_t budget_of_prompts() const {
    if (prompts_alone() && decodes_ > 0) return 0;
    return setup_.max_num_batched_tokens - decodes_ * (kAll ? tokens_per_decode_ : 1);
  }

  // --- verbs ---
  Blocked try_admit(Slot& slot, std::int64_t step, std::int64_t& budget, StepPlan& plan, double now_us, double load_us_per_block);
  [[gnu::noinline]] Blocked try_load(Slot& slot, std::int32_t hit, double now_us, double load_us_per_block);
  [[gnu::noinline]] Blocked try_fetch(Slot& slot, std::int32_t hit, double now_us, double load_us_per_block);
  [[gnu::noinline]] void begin_loading(Slot& slot, std::int32_t hit, std::int32_t missing, double now_us, double load_us_per_block);
  void take_chunk(Slot& slot, std::int64_t chunk, std::int64_t step, StepPlan& plan);
  void complete_prompt(Slot& slot, std::int64_t step);
  void take_lease(Slot& slot, std::int32_t blocks);
  [[gnu::noinline]] void preempt(Slot& slot, std::int64_t step);

  // --- the reserve for tokens to come; `next`: the next step of decodes ---
  [[nodiscard]] std::int64_t tokens_to_come(const Slot& slot, std::int64_t next) const;
  [[nodiscard]] double reserve_share(std::int64_t next) const;
  [[gnu::noinline]] void see_reserve(std::int64_t next, const StepPlan& plan);
  [[nodiscard]] bool has_room_to_generate(const Slot& slot, std::int32_t hit, std::int64_t there) const;
  [[gnu::noinline]] void reserve_for(const Slot& slot);
  [[gnu::noinline]] void retract(std::int64_t step);

  void give_back_blocks(Slot& slot, std::int64_t held, std::int64_t hashed_tokens);
  void offload_finished(const Slot& slot, std::int64_t tokens);
  [[gnu::noinline]] void offload_preempted(Slot& slot, std::int64_t tokens);
  void write_down(std::int64_t step, StepPlan& plan);

  [[nodiscard]] std::int64_t chunk_of_running(const Slot& slot, std::int64_t budget) const;
  [[nodiscard]] std::int64_t chunk_of_newcomer(std::int64_t tokens, std::int64_t budget) const;
  [[nodiscard]] std::int64_t blocks_of(const Slot& slot, std::int64_t chunk) const {
    return block_.holding(slot.computed + chunk) - block_.holding(slot.computed);
  }
  /// Whether blocks come from elsewhere.
  [[nodiscard]] bool loads() const { return offload_ || fetches(); }
  [[nodiscard]] bool has_seat() const { return running_.size < setup_.max_num_seqs; }
  [[nodiscard]] bool two_in_flight() const { return setup_.async_scheduling; }
  /// When that step begins, those before this one are decided.
  [[nodiscard]] std::int64_t decided_before(std::int64_t step) const { return step + ahead_; }
  /// The pool as it is when it has been told everything.
  void see_fullness() { counters_.least_free_blocks = std::min(counters_.least_free_blocks, cache_.free_blocks()); }
  /// Tells the pool what the decoding requests take in all steps before that one. Those that end earlier have been dropped.
  [[gnu::noinline]] void grow_decodes(std::int64_t until) {
    const std::int64_t blocks = drafts() ? drafted_->tell_until(until) : decode_blocks_.tell_until(until);
    cache_.grow(blocks);
    coming_blocks_ -= blocks;
  }
  /// Whether the pool surely has the blocks for all decodes before that step.
  [[nodiscard]] bool has_room_until(std::int64_t step) const {
    return coming_blocks_ <= cache_.free_blocks() || most_untold_until(step) <= cache_.free_blocks();
  }

  EngineSetup setup_;
  BlockSize block_;
  KvCache cache_;
  std::optional<OffloadTier> offload_;
  EngineCounters& counters_;
  bool observed_;

  SlotList running_;               ///< in order of admission
  SlotList waiting_;               ///< arrived, in order of service
  SlotList loading_;               ///< their blocks come from the host's memory, one request after the other
  std::vector<Slot*> prefilling_;  ///< running requests whose prompt is not complete
  FinishQueue<Slot> finishing_;
  DecodeBlocks decode_blocks_;
  std::optional<DraftedDecodes> drafted_;  ///< in its place, where tokens are drafted
  std::int64_t tokens_per_decode_ = 1;
  std::int64_t decodes_ = 0;        ///< in the step that is decided
  std::int64_t ahead_ = 0;          ///< steps of decodes that are decided beside the one that runs
  std::int64_t coming_blocks_ = 0;  ///< of the pool, that those who hold some will take at most
  std::uint32_t tickets_ = 0;
  double share_ = 0.0;            ///< of the reserve, before step share_step_
  std::int64_t share_step_ = -1;  ///< negative: it begins anew
  double reserved_tokens_ = 0.0;  ///< in the decision that is made
  bool is_full_ = false;          ///< nobody is admitted before somebody leaves
  std::vector<Slot*> retractable_;
  std::vector<OnHost> on_host_;  ///< by number of the slot

  Blocked blocked_ = Blocked::no;
  int admitted_ = 0;
  int began_loading_ = 0;
  std::vector<Slot*> preempted_;
};

template <Features kFeatures>
inline std::optional<RejectionReason> Scheduler<kFeatures>::refusal(const PlannedRequest& request, std::int64_t most_blocks) const {
  if (request.output_tokens < 1 || request.prompt_tokens + std::int64_t{request.output_tokens} > setup_.max_model_len) {
    return RejectionReason::model_length;
  }
  if (most_blocks > cache_.total_blocks()) return RejectionReason::kv_pool;
  return std::nullopt;
}

template <Features kFeatures>
inline void Scheduler<kFeatures>::enqueue(Slot& slot) {
  if (loads()) on_host_[slot.number] = {.chain = slot.chain, .tokens = slot.chain_tokens};
  if (drafts()) drafted_->enqueue(slot.number, slot.planned->draw);
  if (reserves() && running_.size == 0 && waiting_.size == 0) share_step_ = -1;
  waiting_.append(slot);
}

template <Features kFeatures>
void Scheduler<kFeatures>::start_growing(Slot& slot, std::int64_t step) {
  slot.grows = true;
  if (drafts()) {
    drafted_->add(slot.number, step);
  } else {
    decode_blocks_.add(slot.context_offset, step);
  }
}

template <Features kFeatures>
void Scheduler<kFeatures>::stop_growing(Slot& slot, std::int64_t step) {
  slot.grows = false;
  if (drafts()) {
    drafted_->remove(slot.number, step);
  } else {
    decode_blocks_.remove(slot.context_offset, step);
  }
}

template <Features kFeatures>
Slot& Scheduler<kFeatures>::finish_next(std::int64_t step) {
  Slot& slot = finishing_.pop();
  if (reserves()) is_full_ = false;
  const std::int64_t in_cache = context_before(slot, slot.finish_step + 1);
  if (slot.grows) stop_growing(slot, slot.finish_step + 1);
  if (offload_) offload_finished(slot, slot.running ? in_cache : 0);
  const auto hashed_blocks = static_cast<std::int32_t>(block_.full(in_cache));
  const std::int32_t published = slot.planned->extends_chain ? hashed_blocks : 0;
  if (!slot.running) {  // preempted in its last step
    waiting_.remove(slot);
    cache_.forget_continuation(slot.chain);
    return slot;
  }
  // What was taken before goes first.
  if (published > 0 || setup_.free_unhashed_first) {
    drop_ending(step);
    grow_decodes(decided_before(step));
  }
  running_.remove(slot);
  const std::int64_t leased = std::int64_t{slot.lease.chain_blocks} + slot.lease.private_blocks;
  std::int64_t held = slot.most_blocks;
  if (drafts()) {
    held = blocks_before(slot, slot.finish_step + 1);
    coming_blocks_ -= slot.most_blocks - held;
  }
  cache_.release(slot.lease, held - leased, hashed_blocks, published);
  return slot;
}

/// A request's blocks are copied to the host's memory: its prompt, and what it has generated, which nobody asks for unless its
/// conversation goes on. One that was preempted in its last step has no more than was copied then.
template <Features kFeatures>
void Scheduler<kFeatures>::offload_finished(const Slot& slot, std::int64_t tokens) {
  if (slot.preemptions > 0) offload_->forget(on_host_[slot.number].chain);
  if (tokens == 0) return;
  const auto all = static_cast<std::int32_t>(tokens);
  offload_->store(slot.planned->chain, slot.planned->extends_chain ? all : std::min(slot.planned->chain_tokens, all), all);
}

}  // namespace rooftune::sim
