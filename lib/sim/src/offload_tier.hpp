#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kv_cache.hpp"

namespace rooftune::sim {

/// KV blocks copied to the memory of the host, as vLLM's OffloadingConnector keeps them: what a request has computed is
/// written there beside serving it, the least recently used gives way, and a prompt's blocks that the GPU has lost are read
/// back. A `KvCache` in which nobody holds anything.
///
/// Requests end far more often than anybody asks, so what they wrote is only noted, and done when somebody does. A note is
/// dropped unread once as many blocks as the tier has were written after it: nothing of it would be left.
///
/// Known differences: blocks are written when their request ends or is preempted, not one by one as they fill (until then the
/// GPU keeps them, and vLLM counts all of a request's blocks as used whenever it writes one more); writing takes no time.
class OffloadTier {
 public:
  OffloadTier(std::int64_t blocks, BlockSize block, std::span<const PrefixChain> chains)
      : block_(block), cache_(blocks, block, chains, true, false), notes_(kNotes) {}

  /// Leading whole blocks of a prompt's first `chain_tokens` tokens that are here.
  [[nodiscard]] std::int32_t blocks_of(std::int32_t chain, std::int32_t chain_tokens) {
    read_notes();
    return cache_.resident_among(chain, static_cast<std::int32_t>(block_.full(chain_tokens)));
  }
  /// Writes what is missing of the whole blocks of a request's `tokens`, of which the first `chain_tokens` lie on the chain and nobody
  /// else will ask for the others. Where they do not fit, none of them.
  void store(std::int32_t chain, std::int32_t chain_tokens, std::int32_t tokens) {
    const Note note{.chain = chain, .chain_tokens = chain_tokens, .tokens = tokens};
    if (block_.full(tokens) > cache_.total_blocks()) return store_at_once(note);
    if (tail_ - head_ == kNotes) read_notes();
    notes_[tail_++ % kNotes] = note;
  }
  /// The same for a request that is preempted after `blocks` of its blocks were full, which may ask for all of them. Returns
  /// the chain on which it finds them again.
  [[nodiscard]] std::int32_t store_preempted(std::int32_t chain, std::int32_t chain_blocks, std::int32_t blocks) {
    read_notes();
    return cache_.release_preempted(write(chain, chain_blocks, blocks - chain_blocks), 0, blocks);
  }
  /// The request that went on along `chain` after a preemption has ended.
  void forget(std::int32_t chain) {
    if (cache_.is_continuation(chain)) forget_continuation(chain);
  }
  [[nodiscard]] bool is_continuation(std::int32_t chain) const { return cache_.is_continuation(chain); }

 private:
  /// What a request wrote when it ended.
  struct Note {
    std::int32_t chain = -1;
    std::int32_t chain_tokens = 0;
    std::int32_t tokens = 0;
  };
  static constexpr std::uint32_t kNotes = 4096;

  [[gnu::noinline]] void forget_continuation(std::int32_t chain) {
    read_notes();
    cache_.forget_continuation(chain);
  }
  [[gnu::noinline]] void store_at_once(const Note& note) {
    read_notes();
    store(note);
  }
  [[gnu::noinline]] void read_notes() {
    std::uint32_t first = tail_;
    for (std::int64_t after = 0; first != head_ && after < cache_.total_blocks();) after += others(notes_[--first % kNotes]);
    for (head_ = first; head_ != tail_; ++head_) store(notes_[head_ % kNotes]);
  }

  void store(const Note& note) {
    const auto chain_blocks = static_cast<std::int32_t>(block_.full(note.chain_tokens));
    (void)cache_.release_preempted(write(note.chain, chain_blocks, others(note)), 0, 0);
  }
  /// Blocks that nobody else will ask for.
  [[nodiscard]] std::int32_t others(const Note& note) const {
    return static_cast<std::int32_t>(block_.full(note.tokens) - block_.full(note.chain_tokens));
  }

  KvLease write(std::int32_t chain, std::int32_t chain_blocks, std::int32_t others) {
    const std::int32_t resident = cache_.resident_among(chain, chain_blocks);
    KvLease lease = cache_.acquire(chain, resident);
    const std::int32_t missing = chain_blocks - resident + others;
    if (missing <= cache_.free_blocks()) cache_.extend(lease, missing, chain_blocks);
    return lease;
  }

  BlockSize block_;
  KvCache cache_;
  std::vector<Note> notes_;  ///< a ring: from head_ to before tail_, oldest first
  std::uint32_t head_ = 0;
  std::uint32_t tail_ = 0;
};

}  // namespace rooftune::sim
