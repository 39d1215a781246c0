#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "rooftune/core/contract.hpp"
#include "rooftune/sim/block_size.hpp"
#include "rooftune/sim/request_plan.hpp"

namespace rooftune::sim {

/// The blocks that one request holds.
struct KvLease {
  std::int32_t chain = -1;
  std::int32_t chain_blocks = 0;    ///< leading blocks held on the chain and its ancestors together
  std::int32_t private_blocks = 0;  ///< the blocks after these, which nobody else can reuse
};

/// The paged KV cache with prefix reuse, as runs of blocks instead of single blocks.
///
/// vLLM hashes full blocks in a chain, keeps freed blocks in a least-recently-used queue until they are needed, and frees
/// the blocks of a request last block first. Hence what stays resident of a chain of blocks is always a prefix of it, and
/// the LRU queue consists of runs of blocks of one chain. Storing runs makes every operation cost O(1) per request instead
/// of O(blocks). tests/sim/block_pool.hpp is the block-by-block reference.
/// In a header because the engine's loop gains a lot from inlining it.
///
/// Known differences:
///   - of two requests that compute the same blocks at the same time, the second gives its own back at once;
///   - when requests hold a chain to different depths, all up to the deepest stays in use until the last of them ends;
///   - generated tokens become reusable when their request ends or is preempted, not block by block as they fill.
class KvCache {
 public:
  KvCache(std::int64_t total_blocks, BlockSize block, std::span<const PrefixChain> chains, bool reuse);

  [[nodiscard]] std::int64_t total_blocks() const { return total_blocks_; }
  /// Blocks that can be handed out now: never used, or cached and not in use.
  [[nodiscard]] std::int64_t free_blocks() const { return free_blocks_; }

  /// How many leading whole blocks of a prompt's first `chain_tokens` tokens are resident.
  [[nodiscard]] std::int32_t resident_blocks(std::int32_t chain, std::int32_t chain_tokens) const;
  /// Of the first `blocks` blocks of the path, which are resident, those that are free now and stop being free when they are
  /// acquired.
  [[nodiscard]] std::int64_t idle_blocks(std::int32_t chain, std::int32_t blocks) const;

  /// A lease on the first `blocks` blocks of the path, which are resident.
  [[nodiscard]] KvLease acquire(std::int32_t chain, std::int32_t blocks);
  /// Allocates `blocks` more, evicting the least recently used. The first `full_chain_blocks` blocks of the prompt, which lie
  /// on the path and are full now, become reusable by others. The caller has checked free_blocks().
  void extend(KvLease& lease, std::int32_t blocks, std::int32_t full_chain_blocks);
  /// Allocates `blocks` private blocks whose owner is accounted for by the caller (decode growth of a whole batch).
  void grow(std::int64_t blocks) {
    if (blocks > 0) take(blocks);
  }
  /// Returns the blocks of a request that ended: `grown_blocks` more than the lease knows of were allocated through `grow`.
  /// The first `full_chain_blocks` blocks become reusable by others (a conversation that goes on).
  void release(KvLease lease, std::int64_t grown_blocks, std::int32_t full_chain_blocks = 0);
  /// Returns the blocks of a preempted request. The first `full_blocks` keep their content until they are needed. Returns the
  /// chain on which the request finds them again: its old one, or a continuation of that for itself alone.
  [[nodiscard]] std::int32_t release_preempted(KvLease lease, std::int64_t grown_blocks, std::int32_t full_blocks);
  [[nodiscard]] bool is_continuation(std::int32_t chain) const { return chain >= 0 && chain_at(chain).continuation; }

 private:
  struct alignas(32) Chain {
    std::int32_t parent = -1;
    std::int32_t parent_blocks = 0;  ///< blocks of the path above this chain
    std::int32_t resident = 0;       ///< own blocks present, counted after parent_blocks
    std::int32_t held = 0;           ///< of these, the leading ones in use; the others lie in the free queue
    std::int32_t holders = 0;        ///< leases that hold some of it
    std::uint32_t newest = 0;        ///< its run in the free queue that follows the held blocks, if any
    bool continuation = false;       ///< of one preempted request
  };
  /// Blocks of a chain that were freed together, in the free queue. A chain's runs lie in the order of its blocks: the newer a
  /// run, the nearer to the chain's start, so that the queue takes a chain from its end. Where a run has lost its blocks to
  /// whoever holds the chain again, it stays behind, empty.
  struct Run {
    std::int64_t blank = 0;  ///< blocks without reusable content that lie before it
    std::int32_t blocks = 0;
    std::int32_t chain = -1;
    std::uint32_t older = 0;  ///< the chain's run before this one, if any
  };

  [[nodiscard]] std::int32_t add_chain(const Chain& chain);
  void take(std::int64_t blocks);
  void evict(std::int64_t& blocks);
  void see_first_blank();
  void publish(KvLease& lease, std::int32_t full_chain_blocks);
  void hold(Chain& chain, std::int32_t blocks);
  void let_go(const KvLease& lease);
  void forget(std::int32_t continuation);
  void free_blank(std::int64_t blocks) {
    free_blocks_ += blocks;
    last_blank_ += blocks;
  }
  void free_run(std::int32_t chain, std::int32_t blocks);
  void make_room();
  [[nodiscard]] Chain& chain_at(std::int32_t id) { return chains_[static_cast<std::size_t>(id)]; }
  [[nodiscard]] const Chain& chain_at(std::int32_t id) const { return chains_[static_cast<std::size_t>(id)]; }
  [[nodiscard]] Run& run_at(std::uint32_t position) { return runs_[position & mask_]; }

  std::int64_t total_blocks_;
  std::int64_t free_blocks_ = 0;
  BlockSize block_;
  bool reuse_;
  std::vector<Chain> chains_;
  std::vector<std::int32_t> spare_chains_;
  /// The free queue, a ring: positions from head_ to before tail_, each in the slot that its last bits name.
  std::vector<Run> runs_;
  std::uint32_t mask_ = 0;
  std::uint32_t head_ = 0;
  std::uint32_t tail_ = 0;
  std::int64_t first_blank_ = 0;  ///< blocks without reusable content before its first run
  std::int64_t last_blank_ = 0;   ///< and after its last one
};

inline KvCache::KvCache(std::int64_t total_blocks, BlockSize block, std::span<const PrefixChain> chains, bool reuse)
    : total_blocks_(total_blocks), block_(block), reuse_(reuse) {
  chains_.reserve(chains.size());
  for (const PrefixChain& chain : chains) {
    const std::int64_t parent_blocks = chain.parent < 0 ? 0 : block_.full(chain.parent_tokens);
    (void)add_chain({.parent = chain.parent, .parent_blocks = static_cast<std::int32_t>(parent_blocks)});
  }
  runs_.resize(std::bit_ceil(2 * chains.size() + 64));
  mask_ = static_cast<std::uint32_t>(runs_.size()) - 1;
  free_blank(total_blocks);
}

inline std::int32_t KvCache::add_chain(const Chain& chain) {
  if (spare_chains_.empty()) {
    chains_.push_back(chain);
    return static_cast<std::int32_t>(chains_.size()) - 1;
  }
  const std::int32_t id = spare_chains_.back();
  spare_chains_.pop_back();
  chain_at(id) = chain;
  return id;
}

inline std::int32_t KvCache::resident_blocks(std::int32_t chain, std::int32_t chain_tokens) const {
  if (!reuse_) return 0;
  auto end = static_cast<std::int32_t>(block_.full(chain_tokens));
  std::int32_t id = chain;
  for (; id >= 0 && chain_at(id).resident == 0; id = chain_at(id).parent) end = std::min(end, chain_at(id).parent_blocks);
  // A chain has resident blocks only while everything above it is resident.
  return id < 0 ? 0 : std::min(end, chain_at(id).parent_blocks + chain_at(id).resident);
}

inline std::int64_t KvCache::idle_blocks(std::int32_t chain, std::int32_t blocks) const {
  std::int64_t idle = 0;
  std::int32_t end = blocks;
  for (std::int32_t id = chain; id >= 0; id = chain_at(id).parent) {
    const Chain& own = chain_at(id);
    idle += std::max(0, end - own.parent_blocks - own.held);
    end = std::min(end, own.parent_blocks);
  }
  return idle;
}

inline KvLease KvCache::acquire(std::int32_t chain, std::int32_t blocks) {
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
inline void KvCache::hold(Chain& chain, std::int32_t blocks) {
  while (chain.held < blocks) {
    Run& run = run_at(chain.newest);
    const std::int32_t taken = std::min(blocks - chain.held, run.blocks);
    run.blocks -= taken;
    chain.held += taken;
    free_blocks_ -= taken;
    if (run.blocks == 0) chain.newest = run.older;
  }
}

inline void KvCache::extend(KvLease& lease, std::int32_t blocks, std::int32_t full_chain_blocks) {
  take(blocks);
  lease.private_blocks += blocks;
  publish(lease, full_chain_blocks);
}

/// Private blocks continue the deepest chain whose end the lease stands at; ancestors first.
inline void KvCache::publish(KvLease& lease, std::int32_t full_chain_blocks) {
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
      free_blank(moved);
    } else {
      own.resident += moved;
      own.held += moved;
    }
    lease.chain_blocks += moved;
    lease.private_blocks -= moved;
  }
}

inline void KvCache::release(KvLease lease, std::int64_t grown_blocks, std::int32_t full_chain_blocks) {
  lease.private_blocks += static_cast<std::int32_t>(grown_blocks);
  publish(lease, full_chain_blocks);
  // Last block first: what nobody can reuse goes to the queue before the chain, the chain before its ancestors.
  free_blank(lease.private_blocks);
  while (is_continuation(lease.chain)) {
    const std::int32_t parent = chain_at(lease.chain).parent;
    lease.chain_blocks = std::min(lease.chain_blocks, chain_at(lease.chain).parent_blocks);
    forget(lease.chain);
    lease.chain = parent;
  }
  let_go(lease);
}

inline std::int32_t KvCache::release_preempted(KvLease lease, std::int64_t grown_blocks, std::int32_t full_blocks) {
  lease.private_blocks += static_cast<std::int32_t>(grown_blocks);
  const bool continues = reuse_ && full_blocks > lease.chain_blocks && lease.private_blocks > 0;
  if (continues && !is_continuation(lease.chain)) {
    lease.chain = add_chain({.parent = lease.chain, .parent_blocks = lease.chain_blocks, .continuation = true});
  }
  if (continues) publish(lease, full_blocks);
  free_blank(lease.private_blocks);
  let_go(lease);
  return lease.chain;
}

/// What nobody holds any more joins the free queue, leaf first.
inline void KvCache::let_go(const KvLease& lease) {
  std::int32_t end = lease.chain_blocks;
  for (std::int32_t id = lease.chain; id >= 0; id = chain_at(id).parent) {
    Chain& own = chain_at(id);
    if (end <= own.parent_blocks) continue;
    end = own.parent_blocks;
    if (--own.holders > 0) continue;
    free_run(id, own.held);
    own.held = 0;
  }
}

/// The request that alone knew this chain has ended: its blocks hold nothing that anybody could look up.
inline void KvCache::forget(std::int32_t continuation) {
  const Chain& own = chain_at(continuation);
  std::uint32_t position = own.newest;
  for (std::int32_t left = own.resident - own.held; left > 0;) {
    Run& run = run_at(position);
    left -= run.blocks;
    run.blank += std::exchange(run.blocks, 0);
    position = run.older;
  }
  free_blank(own.held);
  spare_chains_.push_back(continuation);
}

inline void KvCache::take(std::int64_t blocks) {
  ROOFTUNE_EXPECTS(blocks <= free_blocks_);
  free_blocks_ -= blocks;
  if (blocks > first_blank_) see_first_blank();
  while (blocks > first_blank_) {
    blocks -= std::exchange(first_blank_, 0);
    evict(blocks);
    see_first_blank();
  }
  first_blank_ -= blocks;
}

/// Takes up to `blocks` from the oldest run, which has some.
inline void KvCache::evict(std::int64_t& blocks) {
  Run& oldest = run_at(head_);
  const auto taken = static_cast<std::int32_t>(std::min<std::int64_t>(blocks, oldest.blocks));
  oldest.blocks -= taken;
  blocks -= taken;
  chain_at(oldest.chain).resident -= taken;
}

/// What lies before the oldest run that has any blocks.
inline void KvCache::see_first_blank() {
  for (; head_ != tail_ && run_at(head_).blocks == 0; ++head_) first_blank_ += run_at(head_).blank;
  first_blank_ += std::exchange(head_ == tail_ ? last_blank_ : run_at(head_).blank, 0);
}

/// Freed blocks go to the end of the queue.
inline void KvCache::free_run(std::int32_t chain, std::int32_t blocks) {
  if (blocks == 0) return;
  free_blocks_ += blocks;
  if (tail_ - head_ > mask_) make_room();
  Chain& own = chain_at(chain);
  run_at(tail_) = {.blank = std::exchange(last_blank_, 0), .blocks = blocks, .chain = chain, .older = own.newest};
  own.newest = tail_++;
}

/// Leaves empty runs out, and doubles the ring where that does not help much.
inline void KvCache::make_room() {
  const auto live = static_cast<std::size_t>(std::ranges::count_if(runs_, [](const Run& run) { return run.blocks > 0; }));
  std::vector<Run> kept(2 * live > runs_.size() ? 2 * runs_.size() : runs_.size());
  std::uint32_t end = 0;
  std::int64_t blank = 0;
  for (std::uint32_t position = head_; position != tail_; ++position) {
    Run run = run_at(position);
    blank += run.blank;
    if (run.blocks == 0) continue;
    run.blank = std::exchange(blank, 0);
    run.older = std::exchange(chain_at(run.chain).newest, end);
    kept[end++] = run;
  }
  last_blank_ += blank;
  runs_ = std::move(kept);
  mask_ = static_cast<std::uint32_t>(runs_.size()) - 1;
  head_ = 0;
  tail_ = end;
}

}  // namespace rooftune::sim
