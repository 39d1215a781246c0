#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "decode_blocks.hpp"
#include "finish_queue.hpp"
#include "kv_cache.hpp"
#include "offload_tier.hpp"
#include "request.hpp"
#include "rooftune/core/contract.hpp"
#include "rooftune/sim/engine.hpp"

namespace rooftune::sim {

/// What one step computes of one prompt.
struct Chunk {
  Slot* slot = nullptr;
  std::int32_t context_tokens = 0;
  std::int32_t new_tokens = 0;
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
  std::vector<Planned> requests;      ///< all of them, where an observer wants them
  std::int64_t kv_blocks_in_use = 0;  ///< likewise
};

/// What keeps the first waiting request waiting: nothing, something that may pass with any step, a lack of blocks, which ends
/// with a request's last step at the earliest, a lack of seats, which ends when one has left, or blocks of it that are being
/// read back from the host's memory, for which it does not wait in the queue.
enum class Blocked { no, for_a_step, by_blocks, by_seats, by_loading };

/// Decides what a step does, as vLLM's scheduler does:
///   1. Running requests, in order of admission, take a token each, or the next chunk of their prompt, and the blocks for
///      it. When the pool is empty, the last admitted one is preempted: it gives its blocks back and waits in front.
///   2. Unless one was, waiting requests are admitted in order while seats, the budget of tokens and blocks last.
/// Where two steps are in flight, a step is decided while the one before it runs. Requests that end in that one keep seat and
/// blocks until its end, but take part in nothing any more.
///
/// Knows values alone: no derivatives, no clock but the one it is told. What every step needs is in this header, for the
/// compiler to make one loop of it with the engine's; what is rare is in scheduler.cpp.
class Scheduler {
 public:
  Scheduler(const EngineSetup& setup, std::span<const PrefixChain> chains, EngineCounters& counters, bool observed);

  /// A request that can never run is refused: why, or nothing.
  [[nodiscard]] std::optional<RejectionReason> refusal(const PlannedRequest& request) const;
  void enqueue(Slot& slot, const PlannedRequest& request);

  /// Decides that step, which is the next one to be decided. `now_us`: the time at which it is. False: all go on as they did.
  bool decide(std::int64_t step, StepPlan& plan, double now_us, double load_us_per_block);
  /// Of the last decision that changed something.
  [[nodiscard]] std::span<Slot* const> admitted() const { return admitted_; }
  [[nodiscard]] std::span<Slot* const> preempted() const { return preempted_; }
  /// How many of the last in loading() began to load.
  [[nodiscard]] int began_loading() const { return began_loading_; }
  [[nodiscard]] Blocked blocked() const { return blocked_; }
  void unblock() { blocked_ = Blocked::no; }

  /// The step at whose end the next running request finishes.
  [[nodiscard]] std::int64_t next_finish() const { return finishing_.next_step(); }
  /// Of `steps` steps, how many come before anything but time can change a decision, all decided with the first.
  [[nodiscard]] std::int64_t steps_before_finish_or_full(std::int64_t step, std::int64_t steps);
  void before_finishing(std::int64_t step);
  /// Who finishes next, of those who did before that step: its blocks go back.
  Slot& finish_next(std::int64_t step);

  [[nodiscard]] SlotList& running() { return running_; }
  [[nodiscard]] SlotList& waiting() { return waiting_; }
  [[nodiscard]] SlotList& loading() { return loading_; }
  [[nodiscard]] double loaded_us(const Slot& slot) const { return on_host_[slot.number].loaded_us; }
  [[nodiscard]] std::int64_t loading_blocks(const Slot& slot) const { return on_host_[slot.number].loading_blocks; }
  /// The first loading request waits in front of those that came after it: its blocks are there.
  void take_loaded(std::int64_t step);
  /// The last of the waiting requests that hold blocks read back gives them up: others need the room. False: there is none.
  bool give_back_loaded();

 private:
  /// What a request has in the host's memory.
  struct OnHost {
    std::int32_t chain = -1;  ///< and how many of its tokens lie there
    std::int32_t tokens = 0;
    std::int64_t loading_blocks = 0;
    double loaded_us = 0.0;  ///< when those are read back
  };

  // --- a decision, in order ---
  void drop_ending(std::int64_t step);
  bool secure_blocks(std::int64_t step, StepPlan& plan);
  bool secure_in_order(std::int64_t step, StepPlan& plan);
  void admit(std::int64_t step, StepPlan& plan, double now_us, double load_us_per_block);

  // --- verbs ---
  Blocked try_admit(Slot& slot, std::int64_t step, std::int64_t budget, StepPlan& plan, double now_us, double load_us_per_block);
  Blocked try_load(Slot& slot, std::int32_t hit, double now_us, double load_us_per_block);
  void take_chunk(Slot& slot, std::int64_t chunk, std::int64_t step, StepPlan& plan);
  void complete_prompt(Slot& slot, std::int64_t step);
  void take_lease(Slot& slot, std::int32_t blocks);
  void preempt(Slot& slot, std::int64_t step);
  void give_back_blocks(Slot& slot, std::int64_t held, std::int64_t hashed_tokens);
  void offload_finished(const Slot& slot, std::int64_t tokens);
  void offload_preempted(Slot& slot, std::int64_t tokens);
  void write_down(std::int64_t step, StepPlan& plan);

  [[nodiscard]] std::int64_t chunk_of_running(const Slot& slot, std::int64_t budget) const;
  [[nodiscard]] std::int64_t chunk_of_newcomer(std::int64_t tokens, std::int64_t budget) const;
  [[nodiscard]] std::int64_t blocks_of(const Slot& slot, std::int64_t chunk) const {
    return block_.holding(slot.computed + chunk) - block_.holding(slot.computed);
  }
  [[nodiscard]] bool has_seat() const { return running_.size < setup_.max_num_seqs; }
  [[nodiscard]] bool two_in_flight() const { return setup_.async_scheduling; }
  /// When that step begins, those before this one are decided.
  [[nodiscard]] std::int64_t decided_before(std::int64_t step) const { return two_in_flight() ? step + 1 : step; }
  /// The pool as it is when it has been told everything.
  void see_fullness() { counters_.least_free_blocks = std::min(counters_.least_free_blocks, cache_.free_blocks()); }
  /// Tells the pool what the decoding requests take in all steps before that one. Those that end earlier have been dropped.
  void grow_decodes(std::int64_t until) {
    const std::int64_t blocks = decode_blocks_.tell_until(until);
    cache_.grow(blocks);
    coming_blocks_ -= blocks;
  }
  /// Whether the pool surely has the blocks for all decodes before that step.
  [[nodiscard]] bool has_room_until(std::int64_t step) const {
    return coming_blocks_ <= cache_.free_blocks() || decode_blocks_.most_untold_until(step) <= cache_.free_blocks();
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
  std::int64_t decodes_ = 0;        ///< in the step that is decided
  std::int64_t coming_blocks_ = 0;  ///< of the pool, that those who hold some will take at most
  std::uint32_t tickets_ = 0;
  std::vector<OnHost> on_host_;  ///< by number of the slot

  Blocked blocked_ = Blocked::no;
  int began_loading_ = 0;
  std::vector<Slot*> admitted_;
  std::vector<Slot*> preempted_;
};

inline Scheduler::Scheduler(const EngineSetup& setup, std::span<const PrefixChain> chains, EngineCounters& counters, bool observed)
    : setup_(setup),
      block_(setup.block_tokens),
      cache_(setup.kv_blocks, block_, chains, setup.prefix_caching, setup.free_unhashed_first),
      counters_(counters),
      observed_(observed),
      decode_blocks_(block_) {
  counters_.kv_blocks = counters_.least_free_blocks = setup.kv_blocks;
  if (setup.offload_blocks > 0 && setup.prefix_caching) offload_.emplace(setup.offload_blocks, block_, chains);
  const auto batch = static_cast<std::size_t>(std::min(setup.max_num_seqs, 4096));
  prefilling_.reserve(batch);
  admitted_.reserve(batch);
  preempted_.reserve(batch);
  finishing_.reserve(2 * batch);
}

inline std::optional<RejectionReason> Scheduler::refusal(const PlannedRequest& request) const {
  if (request.output_tokens < 1 || request.prompt_tokens + std::int64_t{request.output_tokens} > setup_.max_model_len) {
    return RejectionReason::model_length;
  }
  if (block_.holding(request.prompt_tokens + request.output_tokens - 1) > cache_.total_blocks()) return RejectionReason::kv_pool;
  return std::nullopt;
}

/// A request that is not refused joins the waiting queue.
inline void Scheduler::enqueue(Slot& slot, const PlannedRequest& request) {
  slot.output_tokens = request.output_tokens;
  slot.to_compute = request.prompt_tokens;
  slot.most_blocks = static_cast<std::int32_t>(block_.holding(request.prompt_tokens + request.output_tokens - 1));
  slot.chain = request.chain;
  slot.chain_tokens = request.chain_tokens;
  if (offload_) {
    if (on_host_.size() <= slot.number) on_host_.resize(slot.number + 1);
    on_host_[slot.number] = {.chain = request.chain, .tokens = request.chain_tokens};
  }
  waiting_.append(slot);
}

inline bool Scheduler::decide(std::int64_t step, StepPlan& plan, double now_us, double load_us_per_block) {
  blocked_ = Blocked::no;
  const bool waits = waiting_.size > 0;
  const bool changes = waits || !prefilling_.empty() || !has_room_until(step + 1);
  if (changes) {
    admitted_.clear();
    preempted_.clear();
    began_loading_ = 0;
    drop_ending(step);
    decodes_ = decode_blocks_.requests();
    if (secure_blocks(step, plan)) {
      blocked_ = Blocked::for_a_step;
    } else if (waits) {
      admit(step, plan, now_us, load_us_per_block);
    }
  }
  if (observed_) write_down(step, plan);
  return changes;
}

/// Requests that end with the step that runs take no more blocks.
inline void Scheduler::drop_ending(std::int64_t step) {
  if (finishing_.next_step() >= step) return;
  finishing_.for_each_at(step - 1, [&](Slot& slot) {
    if (!slot.grows) return;
    slot.grows = false;
    decode_blocks_.remove(slot.context_offset, step);
  });
}

/// Running requests take their tokens and blocks. True: the pool ran out, and somebody was preempted.
inline bool Scheduler::secure_blocks(std::int64_t step, StepPlan& plan) {
  const std::int64_t budget = setup_.max_num_batched_tokens - decodes_;
  std::int64_t prompt_blocks = 0;
  std::int64_t left = budget;
  for (const Slot* const slot : prefilling_) {
    const std::int64_t chunk = chunk_of_running(*slot, left);
    prompt_blocks += blocks_of(*slot, chunk);
    left -= chunk;
  }
  const bool ample = coming_blocks_ <= cache_.free_blocks() || (prompt_blocks == 0 && has_room_until(step + 1));
  if (!ample) {
    grow_decodes(step);
    if (decode_blocks_.taken_in(step) + prompt_blocks > cache_.free_blocks()) return secure_in_order(step, plan);
  }
  left = budget;
  std::size_t kept = 0;
  for (Slot* const slot : prefilling_) {
    const std::int64_t chunk = chunk_of_running(*slot, left);
    left -= chunk;
    if (chunk > 0) take_chunk(*slot, chunk, step, plan);
    if (slot->finish_step == kNoStep) prefilling_[kept++] = slot;
  }
  prefilling_.resize(kept);
  return false;
}

/// The same, one request after the other: there are not enough blocks for all. The pool knows of all steps before this one.
inline bool Scheduler::secure_in_order(std::int64_t step, StepPlan& plan) {
  see_fullness();
  std::int64_t left = setup_.max_num_batched_tokens - decodes_;
  for (Slot* slot = &running_.first(); slot != &running_.ends; slot = slot->next) {
    const bool prefills = slot->finish_step == kNoStep;
    const std::int64_t chunk = prefills ? chunk_of_running(*slot, left) : 0;
    const bool full = slot->grows && block_.rest(step + slot->context_offset) == 0;
    const std::int64_t blocks = prefills ? blocks_of(*slot, chunk) : std::int64_t{full};
    while (slot->running && blocks > cache_.free_blocks()) {
      // One that runs alone would only preempt itself again and again while others wait with blocks that were read back, so
      // those give theirs first.
      if (!offload_ || running_.size > 1 || !give_back_loaded()) preempt(running_.last(), step);
    }
    if (!slot->running) break;  // the last one itself
    if (chunk > 0) take_chunk(*slot, chunk, step, plan);
    if (full) {
      cache_.grow(1);
      --coming_blocks_;
    }
    left -= chunk;
  }
  (void)decode_blocks_.tell_until(step + 1);  // taken above
  std::erase_if(prefilling_, [](const Slot* slot) { return slot->finish_step != kNoStep; });
  return !preempted_.empty();
}

/// How many tokens of its prompt a running request computes next.
inline std::int64_t Scheduler::chunk_of_running(const Slot& slot, std::int64_t budget) const {
  std::int64_t tokens = slot.to_compute - slot.computed;
  if (setup_.long_prefill_token_threshold > 0) tokens = std::min<std::int64_t>(tokens, setup_.long_prefill_token_threshold);
  return std::clamp<std::int64_t>(budget, 0, tokens);
}

/// And one that is admitted, of so many. Without chunking a prompt runs whole or not at all; one that is longer than the whole
/// budget could never start, and runs alone.
inline std::int64_t Scheduler::chunk_of_newcomer(std::int64_t tokens, std::int64_t budget) const {
  if (setup_.long_prefill_token_threshold > 0) tokens = std::min<std::int64_t>(tokens, setup_.long_prefill_token_threshold);
  if (tokens <= budget) return tokens;
  if (!setup_.chunked_prefill) return budget < setup_.max_num_batched_tokens ? 0 : tokens;
  return std::max<std::int64_t>(0, budget);
}

/// A request computes the next `chunk` tokens of its prompt in that step, and takes blocks for them.
inline void Scheduler::take_chunk(Slot& slot, std::int64_t chunk, std::int64_t step, StepPlan& plan) {
  const std::int64_t done = slot.computed + chunk;
  const std::int64_t blocks = block_.holding(done) - slot.lease.chain_blocks - slot.lease.private_blocks;
  coming_blocks_ -= blocks;
  const std::int64_t full_chain_blocks = block_.full(std::min<std::int64_t>(slot.chain_tokens, done));
  cache_.extend(slot.lease, static_cast<std::int32_t>(blocks), static_cast<std::int32_t>(full_chain_blocks));
  const bool completes = done == slot.to_compute;
  plan.chunks.push_back(
      {.slot = &slot, .context_tokens = slot.computed, .new_tokens = static_cast<std::int32_t>(chunk), .completes = completes});
  slot.computed = static_cast<std::int32_t>(done);
  if (completes) complete_prompt(slot, step);
}

/// Its prompt is complete with that step: it decodes from the next one on.
inline void Scheduler::complete_prompt(Slot& slot, std::int64_t step) {
  slot.context_offset = slot.to_compute - (step + 1);
  slot.finish_step = step + slot.output_tokens - slot.generated - 1;
  finishing_.push({.finish_step = slot.finish_step, .slot = &slot});
  if (slot.finish_step == step) return;  // it wanted one token
  slot.grows = true;
  decode_blocks_.add(slot.context_offset, step + 1);
}

inline void Scheduler::admit(std::int64_t step, StepPlan& plan, double now_us, double load_us_per_block) {
  if (!has_seat()) {
    blocked_ = Blocked::by_seats;
    return;
  }
  grow_decodes(step + 1);
  std::int64_t budget = setup_.max_num_batched_tokens - decodes_;
  for (const Chunk& chunk : plan.chunks) budget -= chunk.new_tokens;
  while (waiting_.size > 0) {
    Slot& slot = waiting_.first();
    blocked_ = has_seat() ? try_admit(slot, step, budget, plan, now_us, load_us_per_block) : Blocked::by_seats;
    if (blocked_ == Blocked::by_loading) {
      blocked_ = Blocked::no;  // the next one may start meanwhile
      continue;
    }
    if (blocked_ != Blocked::no) return;
    budget -= plan.chunks.back().new_tokens;
  }
}

inline Blocked Scheduler::try_admit(Slot& slot, std::int64_t step, std::int64_t budget, StepPlan& plan, double now_us,
                                    double load_us_per_block) {
  // At least the last token is computed, whatever is cached.
  std::int32_t hit = 0;
  if (!slot.loaded) {
    hit = cache_.resident_blocks(slot.chain, std::min(slot.chain_tokens, slot.to_compute - 1));
    if (offload_ && hit < block_.full(std::min(on_host_[slot.number].tokens, slot.to_compute - 1))) {
      const Blocked blocked = try_load(slot, hit, now_us, load_us_per_block);
      if (blocked != Blocked::no) return blocked;
    }
  }
  const std::int32_t there = slot.loaded ? slot.computed : hit * block_.tokens();
  const std::int64_t chunk = chunk_of_newcomer(slot.to_compute - there, budget);
  if (chunk <= 0) return Blocked::for_a_step;
  const bool step_is_empty = decodes_ == 0 && plan.chunks.empty();
  const std::int64_t kept_free = step_is_empty ? 0 : setup_.watermark_blocks;
  if (coming_blocks_ + slot.most_blocks + kept_free > cache_.free_blocks()) {
    const std::int64_t tokens = setup_.reserve_full_isl ? slot.to_compute : there + chunk;
    const std::int64_t blocks = block_.holding(tokens) - block_.full(there);
    if (blocks + cache_.idle_blocks(slot.chain, hit) + kept_free > cache_.free_blocks()) {
      // When what it hits is evicted meanwhile, its first chunk, and with it what it needs to start, may become smaller; or it
      // takes less to read that back first.
      const bool is_cut = !setup_.reserve_full_isl && chunk_of_newcomer(slot.to_compute, budget) < slot.to_compute;
      return hit > 0 && (offload_ || is_cut) ? Blocked::for_a_step : Blocked::by_blocks;
    }
  }
  waiting_.remove(slot);
  if (!slot.loaded) take_lease(slot, hit);
  slot.loaded = false;
  slot.running = true;
  slot.ticket = ++tickets_;
  slot.computed = there;
  if (slot.preemptions == 0) slot.cached = there;
  counters_.cached_tokens += there;
  counters_.prompt_tokens += slot.to_compute;
  running_.append(slot);
  admitted_.push_back(&slot);
  take_chunk(slot, chunk, step, plan);
  if (slot.finish_step == kNoStep) prefilling_.push_back(&slot);
  return Blocked::no;
}

inline void Scheduler::take_lease(Slot& slot, std::int32_t blocks) {
  slot.lease = cache_.acquire(slot.chain, blocks);
  coming_blocks_ += slot.most_blocks - blocks;
}

/// vLLM's recompute preemption: the request gives its blocks back and waits in front. Its full blocks stay cached until they are
/// needed, so it may find some of them again. What it computes in a step that runs still comes out of that.
inline void Scheduler::preempt(Slot& slot, std::int64_t step) {
  ROOFTUNE_EXPECTS(slot.running);
  std::int64_t held = block_.holding(slot.computed);
  std::int64_t hashed_tokens = slot.computed;
  if (slot.finish_step == kNoStep) {
    std::erase(prefilling_, &slot);
  } else {
    const std::int64_t in_cache = step + slot.context_offset;
    held = block_.holding(in_cache);
    hashed_tokens = std::max<std::int64_t>(slot.to_compute, two_in_flight() ? in_cache - 1 : in_cache);
    slot.generated = static_cast<std::int32_t>(slot.output_tokens - (slot.finish_step - (step - 1)));
    if (slot.grows) decode_blocks_.remove(slot.context_offset, step);
    slot.grows = false;
    if (slot.finish_step >= step) {
      finishing_.erase(slot);
      slot.finish_step = kNoStep;
    }
  }
  if (offload_) offload_preempted(slot, hashed_tokens);
  slot.to_compute = slot.planned->prompt_tokens + slot.generated;
  give_back_blocks(slot, held, hashed_tokens);
  slot.running = false;
  ++slot.preemptions;
  ++counters_.preemptions;
  running_.remove(slot);
  waiting_.prepend(slot);
  preempted_.push_back(&slot);
}

/// A request that starts again later. Its full blocks keep their content until they are needed.
inline void Scheduler::give_back_blocks(Slot& slot, std::int64_t held, std::int64_t hashed_tokens) {
  const std::int64_t leased = std::int64_t{slot.lease.chain_blocks} + slot.lease.private_blocks;
  const auto hashed_blocks = static_cast<std::int32_t>(block_.full(hashed_tokens));
  coming_blocks_ -= slot.most_blocks - held;
  if (slot.planned->extends_chain && slot.chain >= 0) {
    cache_.release_unfinished(slot.lease, held - leased, hashed_blocks);
    slot.chain_tokens = slot.to_compute;
  } else {
    slot.chain = cache_.release_preempted(slot.lease, held - leased, hashed_blocks);
    if (cache_.is_continuation(slot.chain)) slot.chain_tokens = slot.to_compute;
  }
  slot.lease = {};
  slot.computed = 0;
}

inline Slot& Scheduler::finish_next(std::int64_t step) {
  Slot& slot = finishing_.pop();
  const std::int64_t in_cache = slot.finish_step + 1 + slot.context_offset;
  if (slot.grows) decode_blocks_.remove(slot.context_offset, slot.finish_step + 1);
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
  cache_.release(slot.lease, slot.most_blocks - leased, hashed_blocks, published);
  return slot;
}

/// Before requests that finished give their blocks back: how full the pool is with all that was decided.
inline void Scheduler::before_finishing(std::int64_t step) {
  const std::int64_t until = decided_before(step);
  if (cache_.free_blocks() - decode_blocks_.most_untold_until(until) >= counters_.least_free_blocks) return;
  drop_ending(step);
  counters_.least_free_blocks = std::min(counters_.least_free_blocks, cache_.free_blocks() - decode_blocks_.untold_until(until));
}

inline std::int64_t Scheduler::steps_before_finish_or_full(std::int64_t step, std::int64_t steps) {
  std::int64_t to_finish = finishing_.next_step() - step + 1;
  // While its last step runs, the one after it is decided without it: that may be empty, and the watermark does not hold.
  if (blocked_ == Blocked::by_blocks && setup_.watermark_blocks > 0 && to_finish > 1) --to_finish;
  steps = std::min(steps, to_finish);
  const std::int64_t decided = decided_before(step);
  if (has_room_until(decided + steps)) return steps;
  drop_ending(decided);
  grow_decodes(decided + 1);
  const std::int64_t free = cache_.free_blocks();
  if (decode_blocks_.untold_until(decided + steps) <= free) return steps;
  std::int64_t fits = 1;
  for (std::int64_t too_many = steps; too_many - fits > 1;) {
    const std::int64_t middle = fits + (too_many - fits) / 2;
    (decode_blocks_.untold_until(decided + middle) <= free ? fits : too_many) = middle;
  }
  return fits;
}

}  // namespace rooftune::sim
