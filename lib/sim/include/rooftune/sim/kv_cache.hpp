#pragma once

#include <cstdint>
#include <span>
#include <vector>

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

  /// Leading whole blocks of a prompt that are resident, at most the first `chain_tokens` tokens.
  [[nodiscard]] std::int32_t resident_blocks(std::int32_t chain, std::int32_t chain_tokens) const;
  /// How many of the path's first `blocks` blocks are free now, and stop being free when they are acquired.
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
  struct Chain {
    std::int32_t parent = -1;
    std::int32_t parent_blocks = 0;  ///< blocks of the path above this chain
    std::int32_t resident = 0;       ///< own blocks present, counted after parent_blocks
    std::int32_t held = 0;           ///< of these, the leading ones in use
    std::int32_t holders = 0;        ///< leases that hold some of it
    std::int32_t newest = -1;        ///< its run in the free queue that follows the held blocks, -1: none
    bool continuation = false;       ///< of one preempted request
  };
  /// Blocks that were freed together, in the free queue. A chain's runs lie in the order of its blocks: the newer a run,
  /// the nearer to the chain's start, so that the queue takes a chain from its end.
  struct Run {
    std::int32_t chain = -1;  ///< -1: blocks without reusable content
    std::int32_t previous = -1;
    std::int32_t next = -1;
    std::int32_t newer = -1;  ///< neighbours within the chain
    std::int32_t older = -1;
    std::int64_t blocks = 0;
  };

  [[nodiscard]] std::int32_t add_chain(const Chain& chain);
  void take(std::int64_t blocks);
  void publish(KvLease& lease, std::int32_t full_chain_blocks);
  void hold(Chain& chain, std::int32_t blocks);
  void let_go(const KvLease& lease);
  void forget(std::int32_t continuation);
  void push_free(std::int32_t chain, std::int64_t blocks);
  void unlink(std::int32_t run);
  [[nodiscard]] Chain& chain_at(std::int32_t id) { return chains_[static_cast<std::size_t>(id)]; }
  [[nodiscard]] const Chain& chain_at(std::int32_t id) const { return chains_[static_cast<std::size_t>(id)]; }
  [[nodiscard]] Run& run_at(std::int32_t id) { return runs_[static_cast<std::size_t>(id)]; }

  std::int64_t total_blocks_;
  std::int64_t free_blocks_ = 0;
  BlockSize block_;
  bool reuse_;
  std::vector<Chain> chains_;
  std::vector<std::int32_t> spare_chains_;
  std::vector<Run> runs_;
  std::vector<std::int32_t> spare_runs_;
  std::int32_t head_ = -1;
  std::int32_t tail_ = -1;
};

}  // namespace rooftune::sim
