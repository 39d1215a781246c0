#pragma once

#include <algorithm>
#include <cstdint>
#include <list>
#include <map>
#include <span>
#include <utility>
#include <vector>

namespace rooftune::sim::oracle {

/// What a full block holds: a run of tokens (a chain, or one request's own), and the block's place in its prompt.
struct BlockContent {
  std::int64_t tokens = 0;
  std::int64_t place = 0;
  friend auto operator<=>(const BlockContent&, const BlockContent&) = default;
};

/// The KV cache block by block, as vLLM's BlockPool keeps it: reference counts, a queue of free blocks in the order in which
/// they were freed, and a table of the blocks whose content is known.
class BlockPool {
 public:
  BlockPool(std::int64_t blocks, bool free_unhashed_first)
      : blocks_(static_cast<std::size_t>(blocks)), free_unhashed_first_(free_unhashed_first) {
    for (std::int64_t id = 0; id < blocks; ++id) append_free(id);
  }

  [[nodiscard]] std::int64_t total() const { return static_cast<std::int64_t>(blocks_.size()); }
  [[nodiscard]] std::int64_t free() const { return static_cast<std::int64_t>(free_.size()); }
  [[nodiscard]] bool is_idle(std::int64_t id) const { return at(id).references == 0; }
  [[nodiscard]] std::int64_t evictions() const { return evictions_; }
  [[nodiscard]] std::int64_t duplicates() const { return duplicates_; }

  /// The blocks that hold the longest known beginning of `contents`.
  [[nodiscard]] std::vector<std::int64_t> find(std::span<const BlockContent> contents) {
    std::vector<std::int64_t> found;
    for (const BlockContent& content : contents) {
      const auto known = known_.find(content);
      if (known == known_.end()) break;
      found.push_back(known->second.front());
      if (at(found.back()).is_copy || at(found.back()).is_early) ++in_doubt_;
    }
    return found;
  }

  void use(std::int64_t id) {
    Block& block = at(id);
    if (block.references++ == 0) free_.erase(block.in_queue);
  }

  /// The block that was free for longest, whatever it held.
  [[nodiscard]] std::int64_t allocate() {
    const std::int64_t id = free_.front();
    free_.pop_front();
    Block& block = at(id);
    if (block.has_content) {
      auto& holders = known_.at(block.content);
      std::erase(holders, id);
      if (holders.empty()) known_.erase(block.content);
      ++evictions_;
    }
    block = {.references = 1};
    return id;
  }

  /// `early`: others could find it only when its request has ended, if they saw no more than the engine does.
  void publish(std::int64_t id, const BlockContent& content, bool early) {
    Block& block = at(id);
    if (block.has_content) return;
    block.has_content = true;
    block.content = content;
    block.is_early = early;
    auto& holders = known_[content];
    block.is_copy = !holders.empty();
    if (block.is_copy) ++duplicates_;
    holders.push_back(id);
  }

  /// One user less for each, the last block first.
  void release(std::span<const std::int64_t> ids) {
    for (std::size_t i = ids.size(); i > 0; --i) {
      Block& block = at(ids[i - 1]);
      block.is_early = false;
      if (--block.references > 0) continue;
      const bool in_front = free_unhashed_first_ && !block.has_content;
      block.in_queue = free_.insert(in_front ? free_.begin() : free_.end(), ids[i - 1]);
    }
  }

  [[nodiscard]] bool is_copy(std::int64_t id) const { return at(id).is_copy; }
  /// How often one was found that the engine does not know of: a copy whose original has gone, or what a running request has
  /// generated.
  [[nodiscard]] std::int64_t in_doubt() const { return in_doubt_; }

 private:
  struct Block {
    int references = 0;
    bool has_content = false;
    bool is_copy = false;  ///< another one held the same when it was filled
    bool is_early = false;
    BlockContent content{};
    std::list<std::int64_t>::iterator in_queue{};
  };

  Block& at(std::int64_t id) { return blocks_[static_cast<std::size_t>(id)]; }
  [[nodiscard]] const Block& at(std::int64_t id) const { return blocks_[static_cast<std::size_t>(id)]; }
  void append_free(std::int64_t id) { at(id).in_queue = free_.insert(free_.end(), id); }

  std::vector<Block> blocks_;
  std::list<std::int64_t> free_;
  std::map<BlockContent, std::vector<std::int64_t>> known_;
  bool free_unhashed_first_;
  std::int64_t evictions_ = 0;
  std::int64_t duplicates_ = 0;
  std::int64_t in_doubt_ = 0;
};

}  // namespace rooftune::sim::oracle
