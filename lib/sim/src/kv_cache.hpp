#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
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
/// A request that computes what is resident already (its last block, where its prompt ends with a whole one) keeps its own
/// copy, as in vLLM. Known differences:
///   - such copies are never looked up, also not after the block that was there first has gone, and they are given back at once
///     when their owner has more to add to the chain;
///   - generated tokens become reusable when their request ends or is preempted, not block by block as they fill.
class KvCache {
 public:
  /// `free_unhashed_first`: freed blocks without a hash are the next to be taken, not the last.
  KvCache(std::int64_t total_blocks, BlockSize block, std::span<const PrefixChain> chains, bool reuse, bool free_unhashed_first);

  [[nodiscard]] std::int64_t total_blocks() const { return total_blocks_; }
  /// Blocks that can be handed out now: never used, or cached and not in use.
  [[nodiscard]] std::int64_t free_blocks() const { return free_blocks_; }
  /// Whether so many can be taken without evicting anything.
  [[nodiscard]] bool has_blank(std::int64_t blocks) {
    if (blocks > first_blank_) see_first_blank();
    return blocks <= first_blank_;
  }

  /// How many of the path's first `end` blocks can be found.
  [[nodiscard]] std::int32_t resident_among(std::int32_t chain, std::int32_t end) const {
    return reuse_ ? resident_until(chain, end) : 0;
  }
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
  /// `hashed_blocks` of all are full, and the first `full_chain_blocks` become reusable by others (a conversation that goes on).
  void release(KvLease lease, std::int64_t grown_blocks, std::int32_t hashed_blocks, std::int32_t full_chain_blocks = 0);
  /// Returns the blocks of a preempted request. The first `full_blocks` keep their content until they are needed. Returns the
  /// chain on which the request finds them again: its old one, or a continuation of that for itself alone.
  [[nodiscard]] std::int32_t release_preempted(KvLease lease, std::int64_t grown_blocks, std::int32_t full_blocks);
  /// The same for one whose tokens all lie on its chain, where others find them too.
  void release_unfinished(KvLease lease, std::int64_t grown_blocks, std::int32_t full_blocks);
  /// The request that alone knew this continuation has ended; it holds nothing of it.
  void forget_continuation(std::int32_t chain) { release({.chain = chain}, 0, 0); }
  [[nodiscard]] bool is_continuation(std::int32_t chain) const { return chain >= 0 && chain_at(chain).continuation; }

 private:
  struct alignas(32) Chain {
    std::int32_t parent = -1;
    std::int32_t parent_blocks = 0;  ///< blocks of the path above this chain
    std::int32_t resident = 0;       ///< own blocks present, counted after parent_blocks
    std::int32_t held = 0;           ///< of these, the leading ones in use; the others lie in the free queue
    std::int32_t holders = 0;        ///< leases that hold all of those
    std::int32_t shallower = -1;     ///< in depths_: leases that hold fewer
    std::uint32_t newest = 0;        ///< its run in the free queue that follows the held blocks, if any
    bool continuation = false;       ///< of one preempted request
  };
  /// Leases that hold as many leading blocks of one chain; the next lower depth of that chain.
  struct Depth {
    std::int32_t blocks = 0;
    std::int32_t holders = 0;
    std::int32_t shallower = -1;
  };
  /// Blocks of a chain that were freed together, in the free queue. A chain's runs lie in the order of its blocks: the newer a
  /// run, the nearer to the chain's start, so that the queue takes a chain from its end. Where a run has lost its blocks to
  /// whoever holds the chain again, it stays behind, empty.
  struct Run {
    std::int32_t blank = 0;  ///< blocks without reusable content that lie before it
    std::int32_t blocks = 0;
    std::int32_t chain = -1;
    std::uint32_t older = 0;  ///< the chain's run before this one, if any
  };

  [[nodiscard]] std::int32_t resident_until(std::int32_t chain, std::int32_t end) const;
  [[nodiscard]] std::int32_t add_chain(const Chain& chain);
  void take(std::int64_t blocks);
  [[nodiscard]] std::int64_t evict_for(std::int64_t blocks);
  void evict(std::int64_t& blocks);
  void see_first_blank();
  /// Private blocks continue the deepest chain whose end the lease stands at; ancestors first.
  void publish(KvLease& lease, std::int32_t full_chain_blocks) {
    if (lease.chain_blocks < full_chain_blocks && lease.private_blocks > 0 && lease.chain >= 0)
      move_to_chain(lease, full_chain_blocks);
  }
  void move_to_chain(KvLease& lease, std::int32_t full_chain_blocks);
  void enter(Chain& chain, std::int32_t blocks);
  void enter_below(Chain& chain, std::int32_t blocks, std::int32_t holders);
  void leave(std::int32_t id, std::int32_t blocks);
  void leave_below(Chain& chain, std::int32_t blocks);
  void unlink(std::int32_t& place);
  void deepen(Chain& chain, std::int32_t from, std::int32_t to);
  void hold(Chain& chain, std::int32_t blocks);
  void let_go(const KvLease& lease);
  void free_private(const KvLease& lease, std::int32_t hashed_blocks);
  [[nodiscard]] KvLease without_continuations(KvLease lease);
  void forget(std::int32_t continuation);
  /// Blocks that nobody can look up: `unhashed` of them have no hash, which may put them in front.
  void free_blank(std::int64_t blocks, std::int64_t unhashed) {
    free_blocks_ += blocks;
    if (free_unhashed_first_) {
      first_blank_ += unhashed;
      blocks -= unhashed;
    }
    last_blank_ += blocks;
  }
  void free_run(std::int32_t chain, std::int32_t blocks);
  void make_room();
  [[nodiscard]] Chain& chain_at(std::int32_t id) { return chains_[static_cast<std::size_t>(id)]; }
  [[nodiscard]] const Chain& chain_at(std::int32_t id) const { return chains_[static_cast<std::size_t>(id)]; }
  [[nodiscard]] Depth& depth_at(std::int32_t place) { return depths_[static_cast<std::size_t>(place)]; }
  [[nodiscard]] Run& run_at(std::uint32_t position) { return runs_[position & mask_]; }

  std::int64_t total_blocks_;
  std::int64_t free_blocks_ = 0;
  BlockSize block_;
  bool reuse_;
  bool free_unhashed_first_;
  std::vector<Chain> chains_;
  std::vector<Depth> depths_;
  std::int32_t spare_depth_ = -1;  ///< the first unused one
  std::vector<std::int32_t> spare_chains_;
  /// The free queue, a ring: positions from head_ to before tail_, each in the slot that its last bits name.
  std::vector<Run> runs_;
  std::uint32_t mask_ = 0;
  std::uint32_t head_ = 0;
  std::uint32_t tail_ = 0;
  std::int64_t first_blank_ = 0;  ///< blocks without reusable content before its first run
  std::int64_t last_blank_ = 0;   ///< and after its last one
};

inline KvCache::KvCache(std::int64_t total_blocks, BlockSize block, std::span<const PrefixChain> chains, bool reuse,
                        bool free_unhashed_first)
    : total_blocks_(total_blocks), block_(block), reuse_(reuse), free_unhashed_first_(free_unhashed_first) {
  ROOFTUNE_EXPECTS(total_blocks <= std::numeric_limits<std::int32_t>::max());
  chains_.reserve(chains.size());
  depths_.reserve(chains.size() + 64);
  for (const PrefixChain& chain : chains) {
    const std::int64_t parent_blocks = chain.parent < 0 ? 0 : block_.full(chain.parent_tokens);
    (void)add_chain({.parent = chain.parent, .parent_blocks = static_cast<std::int32_t>(parent_blocks)});
  }
  runs_.resize(std::bit_ceil(2 * chains.size() + 64));
  mask_ = static_cast<std::uint32_t>(runs_.size()) - 1;
  free_blank(total_blocks, 0);
}

/// How many of the path's first `end` blocks are resident.
inline std::int32_t KvCache::resident_until(std::int32_t chain, std::int32_t end) const {
  std::int32_t id = chain;
  for (; id >= 0 && chain_at(id).resident == 0; id = chain_at(id).parent) end = std::min(end, chain_at(id).parent_blocks);
  // A chain has resident blocks only while everything above it is resident.
  return id < 0 ? 0 : std::min(end, chain_at(id).parent_blocks + chain_at(id).resident);
}

inline KvLease KvCache::acquire(std::int32_t chain, std::int32_t blocks) {
  if (!reuse_) return {};
  std::int32_t end = blocks;
  for (std::int32_t id = chain; id >= 0; id = chain_at(id).parent) {
    Chain& own = chain_at(id);
    if (end <= own.parent_blocks) continue;
    enter(own, end - own.parent_blocks);
    end = own.parent_blocks;
  }
  return {.chain = chain, .chain_blocks = blocks, .private_blocks = 0};
}

/// One more lease holds the chain's leading `blocks`.
inline void KvCache::enter(Chain& chain, std::int32_t blocks) {
  if (blocks < chain.held) return enter_below(chain, blocks, 1);
  if (blocks > chain.held) {
    if (chain.holders > 0) enter_below(chain, chain.held, chain.holders);
    hold(chain, blocks);
    chain.holders = 0;
  }
  ++chain.holders;
}

/// One lease less holds the chain's leading `blocks`: those that only it held join the free queue.
inline void KvCache::leave(std::int32_t id, std::int32_t blocks) {
  Chain& chain = chain_at(id);
  if (blocks < chain.held) return leave_below(chain, blocks);
  if (--chain.holders > 0) return;
  std::int32_t kept = 0;
  if (chain.shallower >= 0) {
    kept = depth_at(chain.shallower).blocks;
    chain.holders = depth_at(chain.shallower).holders;
    unlink(chain.shallower);
  }
  free_run(id, chain.held - kept);
  chain.held = kept;
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

inline void KvCache::release(KvLease lease, std::int64_t grown_blocks, std::int32_t hashed_blocks, std::int32_t full_chain_blocks) {
  lease.private_blocks += static_cast<std::int32_t>(grown_blocks);
  publish(lease, full_chain_blocks);
  // Last block first: what nobody can reuse goes to the queue before the chain, the chain before its ancestors.
  free_private(lease, hashed_blocks);
  if (is_continuation(lease.chain)) lease = without_continuations(lease);
  let_go(lease);
}

inline void KvCache::free_private(const KvLease& lease, std::int32_t hashed_blocks) {
  const std::int32_t unhashed = lease.chain_blocks + lease.private_blocks - (reuse_ ? hashed_blocks : 0);
  free_blank(lease.private_blocks, std::clamp(unhashed, 0, lease.private_blocks));
}

/// What nobody holds any more joins the free queue, leaf first.
inline void KvCache::let_go(const KvLease& lease) {
  std::int32_t end = lease.chain_blocks;
  for (std::int32_t id = lease.chain; id >= 0; id = chain_at(id).parent) {
    const Chain& own = chain_at(id);
    if (end <= own.parent_blocks) continue;
    const std::int32_t blocks = end - own.parent_blocks;
    end = own.parent_blocks;
    leave(id, blocks);
  }
}

inline void KvCache::take(std::int64_t blocks) {
  ROOFTUNE_EXPECTS(blocks <= free_blocks_);
  free_blocks_ -= blocks;
  if (blocks > first_blank_) blocks = evict_for(blocks);
  first_blank_ -= blocks;
}

/// Freed blocks go to the end of the queue.
inline void KvCache::free_run(std::int32_t chain, std::int32_t blocks) {
  if (blocks == 0) return;
  free_blocks_ += blocks;
  if (tail_ - head_ > mask_) make_room();
  Chain& own = chain_at(chain);
  const auto blank = static_cast<std::int32_t>(std::exchange(last_blank_, 0));
  run_at(tail_) = {.blank = blank, .blocks = blocks, .chain = chain, .older = own.newest};
  own.newest = tail_++;
}

}  // namespace rooftune::sim
