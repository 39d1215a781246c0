#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "kv_cache.hpp"

namespace rooftune::sim {

/// KV blocks copied to the memory of the host, as vLLM's OffloadingConnector keeps them: what a request has computed is
/// written there beside serving it, the least recently used gives way, and a prompt's blocks that the GPU has lost are read
/// back. A `KvCache` in which nobody holds anything.
///
/// Known differences: blocks are written when their request ends or is preempted, not one by one as they fill (until then the
/// GPU keeps them, and vLLM counts all of a request's blocks as used whenever it writes one more); writing takes no time.
class OffloadTier {
 public:
  OffloadTier(std::int64_t blocks, BlockSize block, std::span<const PrefixChain> chains)
      : block_(block), cache_(blocks, block, chains, true) {}

  /// Leading whole blocks of a prompt's first `chain_tokens` tokens that are here.
  [[nodiscard]] std::int32_t blocks_of(std::int32_t chain, std::int32_t chain_tokens) const {
    return cache_.look_up(chain, chain_tokens).blocks;
  }
  /// Writes what is missing of the first `chain_blocks` blocks, and `others` that nobody else will ask for. Where they do not
  /// fit, none of them.
  void store(std::int32_t chain, std::int32_t chain_blocks, std::int32_t others) {
    (void)cache_.release_preempted(write(chain, chain_blocks, others), 0, 0);
  }
  /// The same for a request that is preempted after `blocks` of its blocks were full, which may ask for all of them. Returns
  /// the chain on which it finds them again.
  [[nodiscard]] std::int32_t store_preempted(std::int32_t chain, std::int32_t chain_blocks, std::int32_t blocks) {
    return cache_.release_preempted(write(chain, chain_blocks, blocks - chain_blocks), 0, blocks);
  }
  /// The request that went on along `chain` after a preemption has ended.
  void forget(std::int32_t chain) {
    if (cache_.is_continuation(chain)) cache_.release({.chain = chain}, 0);
  }
  [[nodiscard]] bool is_continuation(std::int32_t chain) const { return cache_.is_continuation(chain); }

 private:
  KvLease write(std::int32_t chain, std::int32_t chain_blocks, std::int32_t others) {
    const KvCache::Hit hit = cache_.look_up(chain, chain_blocks * block_.tokens());
    KvLease lease = cache_.acquire(chain, hit.blocks);
    const std::int32_t missing = chain_blocks - hit.blocks + std::max(0, others);
    if (missing <= cache_.free_blocks()) cache_.extend(lease, missing, chain_blocks);
    return lease;
  }

  BlockSize block_;
  KvCache cache_;
};

}  // namespace rooftune::sim
