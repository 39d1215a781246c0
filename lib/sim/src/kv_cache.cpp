#include "kv_cache.hpp"

/// What few requests ask of the KV cache; what all of them do is in the header.
namespace rooftune::sim {

std::int32_t KvCache::add_chain(const Chain& chain) {
  if (spare_chains_.empty()) {
    chains_.push_back(chain);
    return static_cast<std::int32_t>(chains_.size()) - 1;
  }
  const std::int32_t id = spare_chains_.back();
  spare_chains_.pop_back();
  chain_at(id) = chain;
  return id;
}

std::int64_t KvCache::idle_blocks(std::int32_t chain, std::int32_t blocks) const {
  std::int64_t idle = 0;
  std::int32_t end = blocks;
  for (std::int32_t id = chain; id >= 0; id = chain_at(id).parent) {
    const Chain& own = chain_at(id);
    idle += std::max(0, end - own.parent_blocks - own.held);
    end = std::min(end, own.parent_blocks);
  }
  return idle;
}

/// So many leases hold the chain's leading `blocks`, and others more.
void KvCache::enter_below(Chain& chain, std::int32_t blocks, std::int32_t holders) {
  std::int32_t* place = &chain.shallower;
  while (*place >= 0 && depth_at(*place).blocks > blocks) place = &depth_at(*place).shallower;
  if (*place >= 0 && depth_at(*place).blocks == blocks) {
    depth_at(*place).holders += holders;
    return;
  }
  const Depth depth{.blocks = blocks, .holders = holders, .shallower = *place};
  if (spare_depth_ < 0) {
    *place = static_cast<std::int32_t>(depths_.size());
    depths_.push_back(depth);
  } else {
    *place = std::exchange(spare_depth_, depth_at(spare_depth_).shallower);
    depth_at(*place) = depth;
  }
}

void KvCache::leave_below(Chain& chain, std::int32_t blocks) {
  std::int32_t* place = &chain.shallower;
  while (depth_at(*place).blocks != blocks) place = &depth_at(*place).shallower;
  if (--depth_at(*place).holders == 0) unlink(*place);
}

/// Takes the depth out of the list in which `place` leads to it.
void KvCache::unlink(std::int32_t& place) {
  const std::int32_t unused = place;
  place = std::exchange(depth_at(unused).shallower, spare_depth_);
  spare_depth_ = unused;
}

/// A lease that held the chain's leading `from` blocks, all that are resident, has filled the next ones.
void KvCache::deepen(Chain& chain, std::int32_t from, std::int32_t to) {
  const std::int32_t others = from > 0 ? chain.holders - 1 : 0;
  if (others > 0) enter_below(chain, from, others);
  chain.resident = chain.held = to;
  chain.holders = 1;
}

void KvCache::move_to_chain(KvLease& lease, std::int32_t full_chain_blocks) {
  while (lease.private_blocks > 0 && lease.chain_blocks < full_chain_blocks) {
    std::int32_t id = lease.chain;
    std::int32_t end = full_chain_blocks;
    while (chain_at(id).parent_blocks > lease.chain_blocks) {
      end = std::min(end, chain_at(id).parent_blocks);
      id = chain_at(id).parent;
    }
    Chain& own = chain_at(id);
    const std::int32_t first = lease.chain_blocks - own.parent_blocks;
    if (own.resident > first) {
      // It has computed once more what is there. That serves both as soon as it has more to add.
      const std::int32_t all_there = resident_until(lease.chain, full_chain_blocks);
      if (all_there >= std::min(full_chain_blocks, lease.chain_blocks + lease.private_blocks)) return;
      const std::int32_t there = std::min(own.resident, end - own.parent_blocks) - first;
      enter(own, first + there);
      if (first > 0) leave(id, first);
      free_blank(there, 0);
      lease.chain_blocks += there;
      lease.private_blocks -= there;
      continue;
    }
    const std::int32_t moved = std::min(lease.private_blocks, end - lease.chain_blocks);
    deepen(own, first, first + moved);
    lease.chain_blocks += moved;
    lease.private_blocks -= moved;
  }
}

std::int32_t KvCache::release_preempted(KvLease lease, std::int64_t grown_blocks, std::int32_t full_blocks) {
  lease.private_blocks += static_cast<std::int32_t>(grown_blocks);
  const bool continues = reuse_ && full_blocks > lease.chain_blocks && lease.private_blocks > 0;
  if (continues && !is_continuation(lease.chain)) {
    lease.chain = add_chain({.parent = lease.chain, .parent_blocks = lease.chain_blocks, .continuation = true});
  }
  if (continues) publish(lease, full_blocks);
  free_private(lease, full_blocks);
  let_go(lease);
  return lease.chain;
}

void KvCache::release_unfinished(KvLease lease, std::int64_t grown_blocks, std::int32_t full_blocks) {
  lease.private_blocks += static_cast<std::int32_t>(grown_blocks);
  publish(lease, full_blocks);
  free_private(lease, full_blocks);
  let_go(lease);
}

/// The lease without what only its owner knew of its path: that ends with it.
KvLease KvCache::without_continuations(KvLease lease) {
  while (is_continuation(lease.chain)) {
    const std::int32_t parent = chain_at(lease.chain).parent;
    lease.chain_blocks = std::min(lease.chain_blocks, chain_at(lease.chain).parent_blocks);
    forget(lease.chain);
    lease.chain = parent;
  }
  return lease;
}

/// The request that alone knew this chain has ended: its blocks hold nothing that anybody could look up.
void KvCache::forget(std::int32_t continuation) {
  const Chain& own = chain_at(continuation);
  std::uint32_t position = own.newest;
  for (std::int32_t left = own.resident - own.held; left > 0;) {
    Run& run = run_at(position);
    left -= run.blocks;
    run.blank += std::exchange(run.blocks, 0);
    position = run.older;
  }
  free_blank(own.held, 0);
  spare_chains_.push_back(continuation);
}

/// Leaves empty runs out, and doubles the ring where that does not help much.
void KvCache::make_room() {
  const auto live = static_cast<std::size_t>(std::ranges::count_if(runs_, [](const Run& run) { return run.blocks > 0; }));
  std::vector<Run> kept(2 * live > runs_.size() ? 2 * runs_.size() : runs_.size());
  std::uint32_t end = 0;
  std::int64_t blank = 0;
  for (std::uint32_t position = head_; position != tail_; ++position) {
    Run run = run_at(position);
    blank += run.blank;
    if (run.blocks == 0) continue;
    run.blank = static_cast<std::int32_t>(std::exchange(blank, 0));
    run.older = std::exchange(chain_at(run.chain).newest, end);
    kept[end++] = run;
  }
  last_blank_ += blank;
  runs_ = std::move(kept);
  mask_ = static_cast<std::uint32_t>(runs_.size()) - 1;
  head_ = 0;
  tail_ = end;
}

/// So many are taken, more than lie blank before the first run: how many of those that do then.
std::int64_t KvCache::evict_for(std::int64_t blocks) {
  see_first_blank();
  while (blocks > first_blank_) {
    blocks -= std::exchange(first_blank_, 0);
    evict(blocks);
    see_first_blank();
  }
  return blocks;
}

/// Takes up to `blocks` from the oldest run, which has some.
void KvCache::evict(std::int64_t& blocks) {
  Run& oldest = run_at(head_);
  const auto taken = static_cast<std::int32_t>(std::min<std::int64_t>(blocks, oldest.blocks));
  oldest.blocks -= taken;
  blocks -= taken;
  chain_at(oldest.chain).resident -= taken;
}

/// What lies before the oldest run that has any blocks.
void KvCache::see_first_blank() {
  for (; head_ != tail_ && run_at(head_).blocks == 0; ++head_) first_blank_ += run_at(head_).blank;
  first_blank_ += head_ == tail_ ? std::exchange(last_blank_, 0) : std::exchange(run_at(head_).blank, 0);
}

}  // namespace rooftune::sim
