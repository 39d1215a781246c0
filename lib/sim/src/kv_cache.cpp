#include "rooftune/sim/kv_cache.hpp"

#include <algorithm>

#include "rooftune/core/contract.hpp"

namespace rooftune::sim {

KvCache::KvCache(std::int64_t total_blocks, std::int32_t block_tokens, std::span<const PrefixChain> chains, bool reuse)
    : total_blocks_(total_blocks), free_blocks_(total_blocks), block_tokens_(block_tokens), reuse_(reuse) {
  chains_.reserve(chains.size());
  for (const PrefixChain& chain : chains) (void)add_chain(chain.parent, chain.parent_tokens);
  extents_.reserve(chains.size() + 64);
  spare_extents_.reserve(chains.size() + 64);
  push_free(-1, total_blocks);
}

std::int32_t KvCache::add_chain(std::int32_t parent, std::int32_t parent_tokens) {
  chains_.push_back({.parent = parent, .parent_blocks = parent < 0 ? 0 : parent_tokens / block_tokens_});
  return static_cast<std::int32_t>(chains_.size()) - 1;
}

std::int32_t KvCache::resident_blocks(std::int32_t chain, std::int32_t chain_tokens) const {
  if (!reuse_ || chain < 0) return 0;
  const Chain& own = chains_[static_cast<std::size_t>(chain)];
  std::int32_t resident = own.parent_blocks + own.resident;
  if (own.parent >= 0) {
    const std::int32_t above = resident_blocks(own.parent, own.parent_blocks * block_tokens_);
    if (above < own.parent_blocks) resident = above;
  }
  return std::min(resident, chain_tokens / block_tokens_);
}

std::int64_t KvCache::idle_blocks(std::int32_t chain) const {
  std::int64_t idle = 0;
  for (std::int32_t id = chain; reuse_ && id >= 0; id = chains_[static_cast<std::size_t>(id)].parent) {
    const Chain& own = chains_[static_cast<std::size_t>(id)];
    if (own.extent >= 0) idle += own.resident;
  }
  return idle;
}

KvLease KvCache::acquire(std::int32_t chain, std::int32_t blocks) {
  if (!reuse_) return {};
  for (std::int32_t id = chain; id >= 0;) {
    Chain& own = chains_[static_cast<std::size_t>(id)];
    ++own.holders;
    if (own.extent >= 0) {
      free_blocks_ -= own.resident;
      unlink(own.extent);
      own.extent = -1;
    }
    id = own.parent;
  }
  return {.chain = chain, .chain_blocks = blocks, .private_blocks = 0};
}

void KvCache::extend(KvLease& lease, std::int32_t blocks, std::int32_t chain_blocks_limit) {
  take(blocks);
  std::int32_t left = blocks;
  if (reuse_ && lease.chain >= 0 && lease.private_blocks == 0) {
    // Blocks on the path continue the deepest chain whose frontier the lease stands at; ancestors first.
    while (left > 0 && lease.chain_blocks < chain_blocks_limit) {
      std::int32_t id = lease.chain;
      while (chains_[static_cast<std::size_t>(id)].parent_blocks > lease.chain_blocks) id = chains_[static_cast<std::size_t>(id)].parent;
      Chain& own = chains_[static_cast<std::size_t>(id)];
      if (own.parent_blocks + own.resident != lease.chain_blocks) break;  // somebody else is computing these: keep duplicates
      std::int32_t end = chain_blocks_limit;
      for (std::int32_t below = lease.chain; below != id; below = chains_[static_cast<std::size_t>(below)].parent) {
        end = std::min(end, chains_[static_cast<std::size_t>(below)].parent_blocks);
      }
      const std::int32_t added = std::min(left, end - lease.chain_blocks);
      own.resident += added;
      lease.chain_blocks += added;
      left -= added;
    }
  }
  lease.private_blocks += left;
}

void KvCache::grow(std::int64_t blocks) { take(blocks); }

void KvCache::release(const KvLease& lease, std::int64_t grown_blocks, std::int64_t published_blocks) {
  std::int64_t anonymous = lease.private_blocks + grown_blocks;
  if (published_blocks > 0 && reuse_ && lease.chain >= 0) {
    Chain& own = chains_[static_cast<std::size_t>(lease.chain)];
    const bool at_frontier = own.parent_blocks + own.resident == lease.chain_blocks;
    if (at_frontier) {
      const std::int64_t added = std::min(published_blocks, anonymous);
      own.resident += static_cast<std::int32_t>(added);
      anonymous -= added;
    }
  }
  // Last block first: what nobody can reuse goes to the queue before the chain, the chain before its ancestors.
  if (anonymous > 0) {
    push_free(-1, anonymous);
    free_blocks_ += anonymous;
  }
  drop_holder(lease.chain);
}

void KvCache::release_as(const KvLease& lease, std::int64_t grown_blocks, std::int32_t own_chain, std::int64_t own_blocks) {
  const std::int64_t released = lease.private_blocks + grown_blocks;
  const std::int64_t kept = reuse_ ? std::clamp(own_blocks, std::int64_t{0}, released) : 0;
  if (released > kept) push_free(-1, released - kept);
  if (kept > 0) {
    chains_[static_cast<std::size_t>(own_chain)].resident = static_cast<std::int32_t>(kept);
    push_free(own_chain, kept);
  }
  free_blocks_ += released;
  drop_holder(lease.chain);
}

/// The chain and its ancestors lose one holder; a run that nobody holds any more joins the free queue, leaf first.
void KvCache::drop_holder(std::int32_t chain) {
  for (std::int32_t id = chain; id >= 0;) {
    Chain& own = chains_[static_cast<std::size_t>(id)];
    if (--own.holders == 0 && own.resident > 0) {
      push_free(id, own.resident);
      free_blocks_ += own.resident;
    }
    id = own.parent;
  }
}

void KvCache::take(std::int64_t blocks) {
  ROOFTUNE_EXPECTS(blocks <= free_blocks_);
  free_blocks_ -= blocks;
  while (blocks > 0) {
    Extent& oldest = extents_[static_cast<std::size_t>(head_)];
    const std::int64_t taken = std::min(blocks, oldest.blocks);
    oldest.blocks -= taken;
    blocks -= taken;
    if (oldest.chain >= 0) {
      Chain& own = chains_[static_cast<std::size_t>(oldest.chain)];
      own.resident -= static_cast<std::int32_t>(taken);
      if (oldest.blocks == 0) own.extent = -1;
    }
    if (oldest.blocks == 0) unlink(head_);
  }
}

void KvCache::push_free(std::int32_t chain, std::int64_t blocks) {
  if (chain < 0 && tail_ >= 0 && extents_[static_cast<std::size_t>(tail_)].chain < 0) {
    extents_[static_cast<std::size_t>(tail_)].blocks += blocks;
    return;
  }
  std::int32_t id = 0;
  if (spare_extents_.empty()) {
    id = static_cast<std::int32_t>(extents_.size());
    extents_.emplace_back();
  } else {
    id = spare_extents_.back();
    spare_extents_.pop_back();
  }
  extents_[static_cast<std::size_t>(id)] = {.chain = chain, .previous = tail_, .next = -1, .blocks = blocks};
  if (tail_ >= 0) extents_[static_cast<std::size_t>(tail_)].next = id;
  tail_ = id;
  if (head_ < 0) head_ = id;
  if (chain >= 0) chains_[static_cast<std::size_t>(chain)].extent = id;
}

void KvCache::unlink(std::int32_t id) {
  const Extent& gone = extents_[static_cast<std::size_t>(id)];
  if (gone.previous >= 0) extents_[static_cast<std::size_t>(gone.previous)].next = gone.next;
  if (gone.next >= 0) extents_[static_cast<std::size_t>(gone.next)].previous = gone.previous;
  if (head_ == id) head_ = gone.next;
  if (tail_ == id) tail_ = gone.previous;
  spare_extents_.push_back(id);
}

}  // namespace rooftune::sim
