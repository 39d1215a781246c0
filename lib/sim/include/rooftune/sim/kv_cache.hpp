#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "rooftune/sim/request_plan.hpp"

namespace rooftune::sim {

/// The blocks that one request holds.
struct KvLease {
  std::int32_t chain = -1;
  std::int32_t chain_blocks = 0;      ///< leading blocks held on the chain and its ancestors together
  std::int32_t private_blocks = 0;    ///< blocks nobody else can reuse while the request lives
};

/// The paged KV cache with prefix reuse, as extents instead of single blocks.
///
/// vLLM hashes full blocks in a chain, keeps freed blocks in a least-recently-used queue until they are needed, and frees
/// the blocks of a request last block first. Hence what stays resident of a chain of blocks is always a prefix of it, and
/// the LRU queue consists of runs of blocks of one chain. Storing runs makes every operation cost O(1) per request instead
/// of O(blocks). tests/sim/kv_cache_oracle.hpp is the block-by-block reference.
///
/// Known differences: two requests that compute the same blocks at the same time keep duplicates, of which only the first
/// becomes reusable; a chain is in use as a whole while any request holds a part of it.
class KvCache {
 public:
  KvCache(std::int64_t total_blocks, std::int32_t block_tokens, std::span<const PrefixChain> chains, bool reuse);

  [[nodiscard]] std::int64_t total_blocks() const { return total_blocks_; }
  /// Blocks that can be handed out now: never used, or cached and not in use.
  [[nodiscard]] std::int64_t free_blocks() const { return free_blocks_; }

  /// Leading whole blocks of a prompt that are resident, at most the first `chain_tokens` tokens.
  [[nodiscard]] std::int32_t resident_blocks(std::int32_t chain, std::int32_t chain_tokens) const;
  /// How many blocks of the chain and its ancestors are free now, and stop being free when the chain is acquired.
  [[nodiscard]] std::int64_t idle_blocks(std::int32_t chain) const;

  /// Takes the chain and its ancestors into use; the lease holds their first `blocks` blocks.
  [[nodiscard]] KvLease acquire(std::int32_t chain, std::int32_t blocks);
  /// Allocates `blocks` more, evicting the least recently used; those within the first `chain_blocks_limit` blocks of the
  /// prompt become reusable by others. The caller has checked free_blocks().
  void extend(KvLease& lease, std::int32_t blocks, std::int32_t chain_blocks_limit);
  /// Allocates `blocks` private blocks whose owner is accounted for by the caller (decode growth of a whole batch).
  void grow(std::int64_t blocks);
  /// Returns a request's blocks: `private_blocks` more than the lease knows of were allocated through `grow`.
  /// The first `published_blocks` of the private ones extend the chain (a conversation that goes on).
  void release(const KvLease& lease, std::int64_t grown_blocks, std::int64_t published_blocks = 0);

  /// Returns a preempted request's blocks; `own_blocks` of the private ones become the content of the new chain `own_chain`.
  void release_as(const KvLease& lease, std::int64_t grown_blocks, std::int32_t own_chain, std::int64_t own_blocks);

  /// A chain that continues `parent` after `parent_tokens` tokens.
  [[nodiscard]] std::int32_t add_chain(std::int32_t parent, std::int32_t parent_tokens);

 private:
  struct Chain {
    std::int32_t parent = -1;
    std::int32_t parent_blocks = 0;  ///< blocks of the path above this chain
    std::int32_t resident = 0;       ///< own blocks present, counted after parent_blocks
    std::int32_t holders = 0;        ///< leases on it or on a chain below it
    std::int32_t extent = -1;        ///< its run in the free queue, -1: in use or nothing resident
  };
  struct Extent {
    std::int32_t chain = -1;  ///< -1: blocks without reusable content
    std::int32_t previous = -1;
    std::int32_t next = -1;
    std::int64_t blocks = 0;
  };

  void take(std::int64_t blocks);
  void push_free(std::int32_t chain, std::int64_t blocks);
  void unlink(std::int32_t extent);
  void drop_holder(std::int32_t chain);

  std::int64_t total_blocks_;
  std::int64_t free_blocks_;
  std::int32_t block_tokens_;
  bool reuse_;
  std::vector<Chain> chains_;
  std::vector<Extent> extents_;
  std::vector<std::int32_t> spare_extents_;
  std::int32_t head_ = -1;
  std::int32_t tail_ = -1;
};

}  // namespace rooftune::sim
