#pragma once

#include <algorithm>

#include "scheduler.hpp"

/// What the second KV tier changes in scheduling.
namespace rooftune::sim {

/// Begins to read what the GPU's memory has lost of a prompt. The blocks for it are taken at once; the engine goes on with
/// others until they are filled, and the link to the host serves one request after the other.
template <Features kFeatures>
Blocked Scheduler<kFeatures>::try_load(Slot& slot, std::int32_t hit, double now_us, double load_us_per_block) {
  const OnHost& host = on_host_[slot.number];
  const std::int32_t there = offload_->blocks_of(host.chain, std::min(host.tokens, slot.to_compute - 1));
  const std::int32_t missing = there - hit;
  if (missing <= 0) return Blocked::no;
  if (missing + cache_.idle_blocks(slot.chain, hit) > cache_.free_blocks()) return Blocked::by_blocks;
  begin_loading(slot, hit, missing, now_us, load_us_per_block);
  slot.computed = there * block_.tokens();
  counters_.loaded_tokens += std::int64_t{missing} * block_.tokens();
  return Blocked::by_loading;
}

/// The same of a prompt that was computed elsewhere: all of it but the last token, which is computed here once more.
template <Features kFeatures>
Blocked Scheduler<kFeatures>::try_fetch(Slot& slot, std::int32_t hit, double now_us, double load_us_per_block) {
  const std::int32_t tokens = slot.to_compute - 1;
  const auto missing = static_cast<std::int32_t>(block_.holding(tokens)) - hit;
  if (missing + cache_.idle_blocks(slot.chain, hit) > cache_.free_blocks()) return Blocked::by_blocks;
  begin_loading(slot, hit, missing, now_us, load_us_per_block);
  slot.computed = tokens;
  counters_.loaded_tokens += tokens - std::int64_t{hit} * block_.tokens();
  return Blocked::by_loading;
}

/// Blocks for what comes are taken at once; the link serves one request after the other.
template <Features kFeatures>
void Scheduler<kFeatures>::begin_loading(Slot& slot, std::int32_t hit, std::int32_t missing, double now_us, double load_us_per_block) {
  OnHost& host = on_host_[slot.number];
  take_lease(slot, hit);
  cache_.extend(slot.lease, missing, hit);
  coming_blocks_ -= missing;
  slot.loaded = true;
  host.loading_blocks = missing;
  host.loaded_us = (loading_.size > 0 ? loaded_us(loading_.last()) : now_us) + missing * load_us_per_block;
  waiting_.remove(slot);
  loading_.append(slot);
  ++began_loading_;
}

template <Features kFeatures>
void Scheduler<kFeatures>::take_loaded(std::int64_t step) {
  Slot& slot = loading_.first();
  drop_ending(step);
  grow_decodes(decided_before(step));
  cache_.extend(slot.lease, 0, static_cast<std::int32_t>(block_.full(std::min(slot.chain_tokens, slot.computed))));
  loading_.remove(slot);
  Slot* place = &waiting_.first();
  while (place != &waiting_.ends && place->loaded) place = place->next;
  waiting_.insert_before(*place, slot);
}

template <Features kFeatures>
bool Scheduler<kFeatures>::give_back_loaded() {
  Slot* slot = &waiting_.last();
  while (slot != &waiting_.ends && !slot->loaded) slot = slot->previous;
  if (slot == &waiting_.ends) return false;
  see_fullness();
  give_back_blocks(*slot, block_.holding(slot->computed), slot->computed);
  slot->loaded = false;
  return true;
}

template <Features kFeatures>
void Scheduler<kFeatures>::offload_preempted(Slot& slot, std::int64_t tokens) {
  OnHost& host = on_host_[slot.number];
  if (slot.planned->extends_chain) {
    host.tokens = slot.planned->prompt_tokens + slot.generated;
    return offload_->store(host.chain, static_cast<std::int32_t>(tokens), static_cast<std::int32_t>(tokens));
  }
  const std::int64_t chain_blocks = block_.full(std::min<std::int64_t>(host.tokens, tokens));
  host.chain =
      offload_->store_preempted(host.chain, static_cast<std::int32_t>(chain_blocks), static_cast<std::int32_t>(block_.full(tokens)));
  if (offload_->is_continuation(host.chain)) host.tokens = slot.planned->prompt_tokens + slot.generated;
}

}  // namespace rooftune::sim
