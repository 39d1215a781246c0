#include "scheduler.hpp"

#include <algorithm>

#include "scheduler_offload.hpp"
#include "scheduler_reserve.hpp"

namespace rooftune::sim {

template <Features kFeatures>
Scheduler<kFeatures>::Scheduler(const EngineSetup& setup, std::span<const PrefixChain> chains, EngineCounters& counters, bool observed,
                                Stepping stepping)
    : setup_(setup),
      block_(setup.block_tokens),
      cache_(setup.kv_blocks, block_, chains, setup.prefix_caching, setup.free_unhashed_first),
      counters_(counters),
      observed_(observed),
      decode_blocks_(block_),
      ahead_(setup.async_scheduling ? 1 : 0) {
  ROOFTUNE_EXPECTS(!setup.growth_reserve || (setup.stages == 1 && setup.offload_blocks == 0 && !setup.fetches_prompts));
  counters_.kv_blocks = counters_.least_free_blocks = setup.kv_blocks;
  if (setup.speculation.draft_tokens > 0) {
    drafted_.emplace(setup.speculation, block_, setup.max_model_len, setup.async_scheduling, stepping);
    tokens_per_decode_ = drafted_->tokens_per_decode();
  }
  if (setup.offload_blocks > 0 && setup.prefix_caching) offload_.emplace(setup.offload_blocks, block_, chains);
  const auto batch = static_cast<std::size_t>(std::min(setup.max_num_seqs, 4096));
  prefilling_.reserve(batch);
  preempted_.reserve(batch);
  finishing_.reserve(2 * batch);
  if (setup.growth_reserve) retractable_.reserve(batch);
}

template <Features kFeatures>
[[gnu::flatten]] void Scheduler<kFeatures>::decide(std::int64_t step, StepPlan& plan, double now_us, double load_us_per_block) {
  blocked_ = Blocked::no;
  admitted_ = began_loading_ = 0;
  preempted_.clear();
  drop_ending(step);
  if (prompts_alone() && decide_prompts(step, plan, now_us, load_us_per_block)) {
    if (observed()) write_down(step, plan);
    return;
  }
  decodes_ = growing();
  if (prompts_alone()) ahead_ = two_in_flight() ? 1 : 0;
  if (secure_blocks(step, plan)) {
    blocked_ = Blocked::for_a_step;
  } else if (waiting_.size > 0 && !prompts_alone()) {
    admit(step, plan, now_us, load_us_per_block);
  }
  if (observed()) write_down(step, plan);
}

/// Chunks of prompts under way, and newcomers, before the decodes take their next step, which is that one. False: there are none, or
/// none finds room, and what keeps the first that waits is said.
template <Features kFeatures>
bool Scheduler<kFeatures>::decide_prompts(std::int64_t step, StepPlan& plan, double now_us, double load_us_per_block) {
  if (prefilling_.empty() && waiting_.size == 0) return false;
  decodes_ = 0;
  if (!prefilling_.empty() && coming_blocks_ > cache_.free_blocks()) grow_decodes(step);
  // Who completes decodes from that step on: as if this one were the step before it.
  const std::int64_t as_if = step - 1;
  std::int64_t left = budget_of_prompts();
  std::size_t kept = 0;
  for (Slot* const slot : prefilling_) {
    const std::int64_t chunk = chunk_of_running(*slot, left);
    const bool has_room = coming_blocks_ <= cache_.free_blocks() || blocks_of(*slot, chunk) <= cache_.free_blocks();
    if (chunk > 0 && has_room) {
      take_chunk(*slot, chunk, as_if, plan);
      left -= chunk;
    }
    if (slot->finish_step == kNoStep) prefilling_[kept++] = slot;
  }
  prefilling_.resize(kept);
  if (waiting_.size > 0) admit(as_if, plan, now_us, load_us_per_block);
  plan.is_of_prompts_alone = !plan.chunks.empty();
  if (plan.is_of_prompts_alone) ahead_ = 0;
  return plan.is_of_prompts_alone;
}

/// Requests that end with the step that runs take no more blocks.
template <Features kFeatures>
void Scheduler<kFeatures>::drop_all_ending(std::int64_t step) {
  finishing_.for_each_at(step - 1, [&](Slot& slot) {
    if (slot.grows) stop_growing(slot, step);
  });
}

/// Running requests take their tokens and blocks. True: the pool ran out, and somebody was preempted.
template <Features kFeatures>
bool Scheduler<kFeatures>::secure_scarce(std::int64_t step, StepPlan& plan) {
  const std::int64_t budget = budget_of_prompts();
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
    if (taken_in(step) + prompt_blocks > cache_.free_blocks()) {
      if (!reserves()) return secure_in_order(step, plan);
      retract(step);
      decodes_ = growing();
      return taken_in(step) <= cache_.free_blocks() || secure_in_order(step, plan);  // prompts wait for the next step
    }
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
template <Features kFeatures>
bool Scheduler<kFeatures>::secure_in_order(std::int64_t step, StepPlan& plan) {
  see_fullness();
  std::int64_t left = budget_of_prompts();
  for (Slot* slot = &running_.first(); slot != &running_.ends; slot = slot->next) {
    const bool prefills = slot->finish_step == kNoStep;
    const std::int64_t chunk = prefills ? chunk_of_running(*slot, left) : 0;
    const std::int64_t grown = slot->grows ? blocks_before(*slot, step + 1) - blocks_before(*slot, step) : 0;
    const std::int64_t blocks = prefills ? blocks_of(*slot, chunk) : grown;
    while (slot->running && blocks > cache_.free_blocks()) {
      // One that runs alone would only preempt itself again and again while others wait with blocks that were read back, so
      // those give theirs first.
      if (!loads() || running_.size > 1 || !give_back_loaded()) preempt(running_.last(), step);
    }
    if (!slot->running) break;  // the last one itself
    if (chunk > 0) take_chunk(*slot, chunk, step, plan);
    if (grown > 0) {
      cache_.grow(grown);
      coming_blocks_ -= grown;
    }
    left -= chunk;
  }
  (void)(drafts() ? drafted_->tell_until(step + 1) : decode_blocks_.tell_until(step + 1));  // taken above
  std::erase_if(prefilling_, [](const Slot* slot) { return slot->finish_step != kNoStep; });
  return !preempted_.empty();
}

/// How many tokens of its prompt a running request computes next.
template <Features kFeatures>
std::int64_t Scheduler<kFeatures>::chunk_of_running(const Slot& slot, std::int64_t budget) const {
  return std::clamp<std::int64_t>(budget, 0, most_tokens(slot.to_compute - slot.computed));
}

/// And one that is admitted, of so many. Without chunking a prompt runs whole or not at all; one that is longer than the whole
/// budget could never start, and runs alone.
template <Features kFeatures>
std::int64_t Scheduler<kFeatures>::chunk_of_newcomer(std::int64_t tokens, std::int64_t budget) const {
  tokens = most_tokens(tokens);
  if (tokens <= budget) return tokens;
  if (!setup_.chunked_prefill) return budget < setup_.max_num_batched_tokens ? 0 : tokens;
  return std::max<std::int64_t>(0, budget);
}

/// A request computes the next `chunk` tokens of its prompt in that step, and takes blocks for them.
template <Features kFeatures>
void Scheduler<kFeatures>::take_chunk(Slot& slot, std::int64_t chunk, std::int64_t step, StepPlan& plan) {
  const std::int64_t done = slot.computed + chunk;
  const std::int64_t blocks = block_.holding(done) - slot.lease.chain_blocks - slot.lease.private_blocks;
  coming_blocks_ -= blocks;
  const std::int64_t full_chain_blocks = block_.full(std::min<std::int64_t>(slot.chain_tokens, done));
  cache_.extend(slot.lease, static_cast<std::int32_t>(blocks), static_cast<std::int32_t>(full_chain_blocks));
  const bool completes = done == slot.to_compute;
  plan.chunks.push_back({.slot = &slot, .completes = completes});
  plan.prefills.push_back({.context_tokens = slot.computed, .new_tokens = chunk});
  slot.computed = static_cast<std::int32_t>(done);
  if (completes) complete_prompt(slot, step);
}

/// Its prompt is complete with that step: it decodes from the next one on.
template <Features kFeatures>
void Scheduler<kFeatures>::complete_prompt(Slot& slot, std::int64_t step) {
  slot.context_offset = slot.to_compute - (step + 1);
  const std::int64_t tokens = slot.output_tokens - slot.generated - 1;
  slot.finish_step = step + (drafts() ? drafted_->begin(slot.number, step + 1, slot.to_compute, tokens) : tokens);
  const bool wants_one_token = slot.finish_step == step;
  if (wants_one_token && prompts_alone()) return;  // end_prompt, when its step is done, which has no number
  finishing_.push({.finish_step = slot.finish_step, .slot = &slot});
  if (wants_one_token) return;
  start_growing(slot, step + 1);
}

template <Features kFeatures>
void Scheduler<kFeatures>::admit(std::int64_t step, StepPlan& plan, double now_us, double load_us_per_block) {
  if (reserves()) {
    if (!has_seat()) {
      blocked_ = Blocked::by_seats;
      return;
    }
    if (is_full_) {
      blocked_ = Blocked::by_blocks;
      return;
    }
    see_reserve(prompts_alone() ? step + 1 : step, plan);
  }
  std::int64_t budget = budget_of_prompts();
  for (const latency::PrefillChunk& prefill : plan.prefills) budget -= prefill.new_tokens;
  while (waiting_.size > 0) {
    Slot& slot = waiting_.first();
    blocked_ = has_seat() ? try_admit(slot, step, budget, plan, now_us, load_us_per_block) : Blocked::by_seats;
    if (blocked_ == Blocked::by_loading) {
      blocked_ = Blocked::no;  // the next one may start meanwhile
      continue;
    }
    if (blocked_ != Blocked::no) return;
  }
}

template <Features kFeatures>
Blocked Scheduler<kFeatures>::try_admit(Slot& slot, std::int64_t step, std::int64_t& budget, StepPlan& plan, double now_us,
                                        double load_us_per_block) {
  // What the pool has not been told yet matters where it pushes out what is looked up now.
  const bool pushes_nothing_out =
      cache_.has_blank(coming_blocks_ + slot.most_blocks) || cache_.has_blank(most_untold_until(step + 1) + slot.most_blocks);
  if (!pushes_nothing_out) grow_decodes(step + 1);
  // At least the last token is computed, whatever is cached.
  std::int32_t hit = 0;
  if (!slot.loaded) {
    const auto whole_blocks = static_cast<std::int32_t>(block_.full(std::min(slot.chain_tokens, slot.to_compute - 1)));
    hit = cache_.resident_among(slot.chain, whole_blocks);
    if (kAll && setup_.speculation.recomputes_last_hit && hit > 0) --hit;
    if (fetches() && slot.preemptions == 0 && slot.to_compute > 1) {
      grow_decodes(step + 1);
      return try_fetch(slot, hit, now_us, load_us_per_block);
    }
    const bool misses = hit < whole_blocks || slot.preemptions > 0;
    if (offload_ && misses && hit < block_.full(std::min(on_host_[slot.number].tokens, slot.to_compute - 1))) {
      grow_decodes(step + 1);
      const Blocked blocked = try_load(slot, hit, now_us, load_us_per_block);
      if (blocked != Blocked::no) return blocked;
    }
  }
  const std::int32_t there = slot.loaded ? slot.computed : hit * block_.tokens();
  const std::int64_t chunk = chunk_of_newcomer(slot.to_compute - there, budget);
  if (chunk <= 0) return Blocked::for_a_step;
  if (reserves()) {
    grow_decodes(step + 1);
    is_full_ = !has_room_to_generate(slot, hit, there);
    if (is_full_) return Blocked::by_blocks;
  }
  const bool step_is_empty = decodes_ == 0 && plan.chunks.empty();
  const std::int64_t kept_free = step_is_empty ? 0 : watermark_blocks();
  if (coming_blocks_ + slot.most_blocks + kept_free > cache_.free_blocks()) {
    grow_decodes(step + 1);
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
  ++admitted_;
  budget -= chunk;
  take_chunk(slot, chunk, step, plan);
  if (there + chunk < slot.to_compute) prefilling_.push_back(&slot);
  if (reserves()) reserve_for(slot);
  return Blocked::no;
}

template <Features kFeatures>
void Scheduler<kFeatures>::take_lease(Slot& slot, std::int32_t blocks) {
  slot.lease = cache_.acquire(slot.chain, blocks);
  coming_blocks_ += slot.most_blocks - blocks;
}

/// vLLM's recompute preemption: the request gives its blocks back and waits in front (SGLang: behind all others). Its full blocks
/// stay cached until they are needed, so it may find some of them again. What it computes in a step that runs still comes out of that.
template <Features kFeatures>
void Scheduler<kFeatures>::preempt(Slot& slot, std::int64_t step) {
  ROOFTUNE_EXPECTS(slot.running);
  std::int64_t held = block_.holding(slot.computed);
  std::int64_t hashed_tokens = slot.computed;
  if (slot.finish_step == kNoStep) {
    std::erase(prefilling_, &slot);
  } else {
    const std::int64_t in_cache = context_before(slot, step);
    held = blocks_before(slot, step);
    hashed_tokens = std::max<std::int64_t>(slot.to_compute, two_in_flight() ? in_cache - 1 : in_cache);
    if (drafts()) {
      slot.generated += static_cast<std::int32_t>(1 + drafted_->got_before(slot.number, step));
      drafted_->interrupt(slot.number, step);
    } else {
      slot.generated = static_cast<std::int32_t>(slot.output_tokens - (slot.finish_step - (step - 1)));
    }
    if (slot.grows) stop_growing(slot, step);
    if (slot.finish_step >= step) {
      finishing_.erase(slot);
      slot.finish_step = kNoStep;
    }
  }
  if (reserves()) hashed_tokens = std::min<std::int64_t>(hashed_tokens, slot.to_compute);  // what was a prompt is kept
  if (offload_) offload_preempted(slot, hashed_tokens);
  slot.to_compute = slot.planned->prompt_tokens + slot.generated;
  give_back_blocks(slot, held, hashed_tokens);
  slot.running = false;
  ++slot.preemptions;
  ++counters_.preemptions;
  running_.remove(slot);
  is_full_ = false;
  if (reserves()) {
    waiting_.append(slot);
  } else {
    waiting_.prepend(slot);
  }
  preempted_.push_back(&slot);
}

/// A request that starts again later. Its full blocks keep their content until they are needed.
template <Features kFeatures>
void Scheduler<kFeatures>::give_back_blocks(Slot& slot, std::int64_t held, std::int64_t hashed_tokens) {
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

template <Features kFeatures>
void Scheduler<kFeatures>::see_fullness(std::int64_t step, std::int64_t until) {
  drop_ending(step);
  grow_decodes(until);
  see_fullness();
}

template <Features kFeatures>
std::int64_t Scheduler<kFeatures>::steps_before_full(std::int64_t step, std::int64_t steps) {
  const std::int64_t decided = decided_before(step);
  drop_ending(decided);
  grow_decodes(decided + 1);
  const std::int64_t free = cache_.free_blocks();
  if (untold_until(decided + steps) <= free) return steps;
  std::int64_t fits = 1;
  for (std::int64_t too_many = steps; too_many - fits > 1;) {
    const std::int64_t middle = fits + (too_many - fits) / 2;
    (untold_until(decided + middle) <= free ? fits : too_many) = middle;
  }
  return fits;
}

/// The step request by request, for an observer.
template <Features kFeatures>
void Scheduler<kFeatures>::write_down(std::int64_t step, StepPlan& plan) {
  drop_ending(step);
  grow_decodes(plan.is_of_prompts_alone ? step : step + 1);
  plan.kv_blocks_in_use = cache_.total_blocks() - cache_.free_blocks();
  plan.requests.clear();
  std::size_t chunk = 0;
  for (const Slot* slot = &running_.first(); slot != &running_.ends; slot = slot->next) {
    if (chunk < plan.chunks.size() && plan.chunks[chunk].slot == slot) {
      const latency::PrefillChunk& prefill = plan.prefills[chunk++];
      plan.requests.push_back({.request = slot->planned,
                               .computed_tokens = static_cast<std::int32_t>(prefill.context_tokens),
                               .new_tokens = static_cast<std::int32_t>(prefill.new_tokens)});
    } else if (!plan.is_of_prompts_alone && slot->finish_step != kNoStep && slot->finish_step >= step) {
      const auto in_cache = static_cast<std::int32_t>(context_before(*slot, step));
      plan.requests.push_back(
          {.request = slot->planned, .computed_tokens = in_cache, .new_tokens = static_cast<std::int32_t>(tokens_per_decode_)});
    }
  }
}

template class Scheduler<Features::usual>;
template class Scheduler<Features::all>;

}  // namespace rooftune::sim
