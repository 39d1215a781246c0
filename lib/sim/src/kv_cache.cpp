#include "rooftune/sim/kv_cache.hpp"

#include <algorithm>

#include "rooftune/core/contract.hpp"

namespace rooftune::sim {

KvCache::KvCache(std::int64_t total_blocks, BlockSize block, std::span<const PrefixChain> chains, bool reuse)
    : total_blocks_(total_blocks), block_(block), reuse_(reuse) {
  chains_.reserve(chains.size());
  for (const PrefixChain& chain : chains) {
    const std::int64_t parent_blocks = chain.parent < 0 ? 0 : block_.full(chain.parent_tokens);
    (void)add_chain({.parent = chain.parent, .parent_blocks = static_cast<std::int32_t>(parent_blocks)});
  }
  runs_.reserve(chains.size() + 64);
  spare_runs_.reserve(chains.size() + 64);
  push_free(-1, total_blocks);
}

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

std::int32_t KvCache::resident_blocks(std::int32_t chain, std::int32_t chain_tokens) const {
  if (!reuse_) return 0;
  auto limit = static_cast<std::int32_t>(block_.full(chain_tokens));
  for (std::int32_t id = chain; id >= 0; id = chain_at(id).parent) {
    const Chain& own = chain_at(id);
    // A chain has resident blocks only while everything above it is resident.
    if (own.resident > 0) return std::min(limit, own.parent_blocks + own.resident);
    limit = std::min(limit, own.parent_blocks);
  }
  return 0;
}

std::int64_t KvCache::idle_blocks(std::int32_t chain, std::int32_t blocks) const {
  std::int64_t idle = 0;
  std::int32_t end = blocks;
  for (std::int32_t id = chain; reuse_ && id >= 0; id = chain_at(id).parent) {
    const Chain& own = chain_at(id);
    idle += std::max(0, end - own.parent_blocks - own.held);
    end = std::min(end, own.parent_blocks);
  }
  return idle;
}

KvLease KvCache::acquire(std::int32_t chain, std::int32_t blocks) {
  if (!reuse_) return {};
  std::int32_t end = blocks;
  for (std::int32_t id = chain; id >= 0; id = chain_at(id).parent) {
    Chain& own = chain_at(id);
    if (end <= own.parent_blocks) continue;
    ++own.holders;
    hold(own, end - own.parent_blocks);
    end = own.parent_blocks;
  }
  return {.chain = chain, .chain_blocks = blocks, .private_blocks = 0};
}

/// Takes the chain's leading blocks out of the free queue, as far as they are not in use already.
void KvCache::hold(Chain& chain, std::int32_t blocks) {
  while (chain.held < blocks) {
    const std::int32_t id = chain.newest;
    Run& run = run_at(id);
    const std::int64_t taken = std::min<std::int64_t>(blocks - chain.held, run.blocks);
    run.blocks -= taken;
    chain.held += static_cast<std::int32_t>(taken);
    free_blocks_ -= taken;
    if (run.blocks == 0) unlink(id);
  }
}

void KvCache::extend(KvLease& lease, std::int32_t blocks, std::int32_t full_chain_blocks) {
  take(blocks);
  lease.private_blocks += blocks;
  publish(lease, full_chain_blocks);
}

/// Private blocks continue the deepest chain whose end the lease stands at; ancestors first.
void KvCache::publish(KvLease& lease, std::int32_t full_chain_blocks) {
  if (lease.chain < 0) return;
  while (lease.private_blocks > 0 && lease.chain_blocks < full_chain_blocks) {
    std::int32_t id = lease.chain;
    std::int32_t end = full_chain_blocks;
    while (chain_at(id).parent_blocks > lease.chain_blocks) {
      end = std::min(end, chain_at(id).parent_blocks);
      id = chain_at(id).parent;
    }
    Chain& own = chain_at(id);
    if (lease.chain_blocks == own.parent_blocks) ++own.holders;
    const std::int32_t first = lease.chain_blocks - own.parent_blocks;
    std::int32_t moved = std::min(lease.private_blocks, end - lease.chain_blocks);
    if (own.resident > first) {
      // Somebody else has computed the same: those serve both.
      moved = std::min(moved, own.resident - first);
      hold(own, first + moved);
      push_free(-1, moved);
    } else {
      own.resident += moved;
      own.held += moved;
    }
    lease.chain_blocks += moved;
    lease.private_blocks -= moved;
  }
}

void KvCache::release(KvLease lease, std::int64_t grown_blocks, std::int32_t full_chain_blocks) {
  lease.private_blocks += static_cast<std::int32_t>(grown_blocks);
  publish(lease, full_chain_blocks);
  // Last block first: what nobody can reuse goes to the queue before the chain, the chain before its ancestors.
  push_free(-1, lease.private_blocks);
  while (is_continuation(lease.chain)) {
    const std::int32_t parent = chain_at(lease.chain).parent;
    lease.chain_blocks = std::min(lease.chain_blocks, chain_at(lease.chain).parent_blocks);
    forget(lease.chain);
    lease.chain = parent;
  }
  let_go(lease);
}

std::int32_t KvCache::release_preempted(KvLease lease, std::int64_t grown_blocks, std::int32_t full_blocks) {
  lease.private_blocks += static_cast<std::int32_t>(grown_blocks);
  const bool continues = reuse_ && full_blocks > lease.chain_blocks && lease.private_blocks > 0;
  if (continues && !is_continuation(lease.chain)) {
    lease.chain = add_chain({.parent = lease.chain, .parent_blocks = lease.chain_blocks, .continuation = true});
  }
  if (continues) publish(lease, full_blocks);
  push_free(-1, lease.private_blocks);
  let_go(lease);
  return lease.chain;
}

/// What nobody holds any more joins the free queue, leaf first.
void KvCache::let_go(const KvLease& lease) {
  std::int32_t end = lease.chain_blocks;
  for (std::int32_t id = lease.chain; id >= 0; id = chain_at(id).parent) {
    Chain& own = chain_at(id);
    if (end <= own.parent_blocks) continue;
    end = own.parent_blocks;
    if (--own.holders > 0) continue;
    push_free(id, own.held);
    own.held = 0;
  }
}

/// The request that alone knew this chain has ended: its blocks hold nothing that anybody could look up.
void KvCache::forget(std::int32_t continuation) {
  Chain& own = chain_at(continuation);
  for (std::int32_t id = own.newest; id >= 0;) {
    Run& run = run_at(id);
    id = run.older;
    run.chain = run.newer = run.older = -1;
  }
  push_free(-1, own.held);
  spare_chains_.push_back(continuation);
}

void KvCache::take(std::int64_t blocks) {
  ROOFTUNE_EXPECTS(blocks <= free_blocks_);
  free_blocks_ -= blocks;
  while (blocks > 0) {
    Run& oldest = run_at(head_);
    const std::int64_t taken = std::min(blocks, oldest.blocks);
    oldest.blocks -= taken;
    blocks -= taken;
    if (oldest.chain >= 0) chain_at(oldest.chain).resident -= static_cast<std::int32_t>(taken);
    if (oldest.blocks == 0) unlink(head_);
  }
}

/// Freed blocks go to the end of the queue.
void KvCache::push_free(std::int32_t chain, std::int64_t blocks) {
  if (blocks == 0) return;
  free_blocks_ += blocks;
  if (chain < 0 && tail_ >= 0 && run_at(tail_).chain < 0) {
    run_at(tail_).blocks += blocks;
    return;
  }
  std::int32_t id = 0;
  if (spare_runs_.empty()) {
    id = static_cast<std::int32_t>(runs_.size());
    runs_.emplace_back();
  } else {
    id = spare_runs_.back();
    spare_runs_.pop_back();
  }
  Run& run = run_at(id);
  run = {.chain = chain, .previous = tail_, .blocks = blocks};
  if (tail_ >= 0) run_at(tail_).next = id;
  tail_ = id;
  if (head_ < 0) head_ = id;
  if (chain >= 0) {
    Chain& own = chain_at(chain);
    run.older = own.newest;
    if (own.newest >= 0) run_at(own.newest).newer = id;
    own.newest = id;
  }
}

/// Takes an empty run out of the queue and out of its chain.
void KvCache::unlink(std::int32_t id) {
  const Run& gone = run_at(id);
  if (gone.previous >= 0) run_at(gone.previous).next = gone.next;
  if (gone.next >= 0) run_at(gone.next).previous = gone.previous;
  if (head_ == id) head_ = gone.next;
  if (tail_ == id) tail_ = gone.previous;
  if (gone.chain >= 0) {
    if (gone.older >= 0) run_at(gone.older).newer = gone.newer;
    if (gone.newer >= 0) {
      run_at(gone.newer).older = gone.older;
    } else {
      chain_at(gone.chain).newest = gone.older;
    }
  }
  spare_runs_.push_back(id);
}

}  // namespace rooftune::sim
