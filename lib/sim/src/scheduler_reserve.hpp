#pragma once

#include <algorithm>

#include "scheduler.hpp"

/// What SGLang's scheduler does with a pool that fills: room is kept for tokens to come, and who generated least gives way.
namespace rooftune::sim {

/// Of a request that decodes. What comes out of steps in flight counts as come.
template <Features kFeatures>
std::int64_t Scheduler<kFeatures>::tokens_to_come(const Slot& slot, std::int64_t next) const {
  if (drafts()) return slot.output_tokens - slot.generated - 1 - drafted_->got_before(slot.number, next);
  return slot.finish_step - next + 1;
}

template <Features kFeatures>
double Scheduler<kFeatures>::reserve_share(std::int64_t next) const {
  const GrowthReserve& reserve = *setup_.growth_reserve;
  const double per_step = (reserve.first_share - reserve.least_share) / reserve.falling_steps;
  return std::max(reserve.least_share, share_ - per_step * static_cast<double>(next - share_step_));
}

/// Before newcomers are looked at: a share for those who decode, all for those whose prompts this step completes or goes on with.
template <Features kFeatures>
void Scheduler<kFeatures>::see_reserve(std::int64_t next, const StepPlan& plan) {
  const GrowthReserve& reserve = *setup_.growth_reserve;
  if (share_step_ < 0) {
    share_ = reserve.first_share;
    share_step_ = next;
  }
  const auto counted = [&](const Slot& slot) {
    return static_cast<double>(std::clamp<std::int64_t>(tokens_to_come(slot, next), 0, reserve.most_tokens));
  };
  double to_come = 0.0;
  for (const Slot* slot = &running_.first(); slot != &running_.ends; slot = slot->next) {
    if (slot->finish_step != kNoStep) to_come += counted(*slot);
  }
  reserved_tokens_ = 0.0;
  for (const Slot* const slot : prefilling_) reserve_for(*slot);
  for (const Chunk& chunk : plan.chunks) {
    if (!chunk.completes) continue;
    to_come -= counted(*chunk.slot);
    reserve_for(*chunk.slot);
  }
  reserved_tokens_ += reserve_share(next) * to_come;
}

/// Of what it has not computed or generated, all that counts.
template <Features kFeatures>
void Scheduler<kFeatures>::reserve_for(const Slot& slot) {
  reserved_tokens_ +=
      slot.to_compute - slot.computed + std::min(slot.output_tokens - slot.generated, setup_.growth_reserve->most_tokens);
}

/// For a newcomer's prompt and output, and a page. Alone it starts in any case.
template <Features kFeatures>
bool Scheduler<kFeatures>::has_room_to_generate(const Slot& slot, std::int32_t hit, std::int64_t there) const {
  if (running_.size == 0) return true;
  const std::int64_t tokens =
      slot.to_compute - there + block_.tokens() + std::min(slot.output_tokens - slot.generated, setup_.growth_reserve->most_tokens);
  const double room = static_cast<double>(cache_.free_blocks() * block_.tokens()) - reserved_tokens_;
  // What it finds in the cache cannot be evicted for it.
  const auto found = static_cast<double>(cache_.idle_blocks(slot.chain, hit) * block_.tokens());
  return static_cast<double>(tokens) < room && static_cast<double>(tokens) <= room - found;
}

/// Decodes give their blocks back until all others have some tokens' room: who generated least goes first, of those the longest
/// prompt, of those the last admitted.
template <Features kFeatures>
void Scheduler<kFeatures>::retract(std::int64_t step) {
  see_fullness();
  retractable_.clear();
  for (Slot* slot = &running_.first(); slot != &running_.ends; slot = slot->next) {
    if (slot->grows) retractable_.push_back(slot);
  }
  const auto got = [&](const Slot& slot) { return slot.output_tokens - tokens_to_come(slot, step); };
  std::ranges::sort(retractable_, [&](const Slot* a, const Slot* b) {
    if (got(*a) != got(*b)) return got(*a) > got(*b);
    if (a->planned->prompt_tokens != b->planned->prompt_tokens) return a->planned->prompt_tokens < b->planned->prompt_tokens;
    return a->ticket < b->ticket;
  });
  const std::int64_t headroom = setup_.growth_reserve->headroom_tokens;
  do {
    if (retractable_.size() <= 1) break;
    preempt(*retractable_.back(), step);
    retractable_.pop_back();
  } while (cache_.free_blocks() * block_.tokens() < headroom * std::ssize(retractable_));
  std::int64_t generated = 0;
  std::int64_t wanted = 0;
  for (const Slot* const slot : retractable_) {
    generated += got(*slot);
    wanted += slot->output_tokens;
  }
  const auto hoped_for = static_cast<double>(generated + headroom * std::ssize(retractable_));
  share_ = std::min(1.0, hoped_for / static_cast<double>(wanted + 1));
  share_step_ = step + 1;
}

}  // namespace rooftune::sim
