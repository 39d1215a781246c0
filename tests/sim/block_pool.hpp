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
  explicit BlockPool(std::int64_t blocks) : blocks_(static_cast<std::size_t>(blocks)) {
    for (std::int64_t id = 0; id < blocks; ++id) append_free(id);
  }

  [[nodiscard]] std::int64_t total() const { return static_cast<std::int64_t>(blocks_.size()); }
  [[nodiscard]] std::int64_t free() const { return static_cast<std::int64_t>(free_.size()); }
  [[nodiscard]] bool is_idle(std::int64_t id) const { return at(id).references == 0; }
  [[nodiscard]] std::int64_t evictions() const { return evictions_; }
  [[nodiscard]] std::int64_t duplicates() const { return duplicates_; }

  /// The blocks that hold the longest known beginning of `contents`.
  [[nodiscard]] std::vector<std::int64_t> find(std::span<const BlockContent> contents) const {
    std::vector<std::int64_t> found;
    for (const BlockContent& content : contents) {
      const auto known = known_.find(content);
      if (known == known_.end()) break;
      found.push_back(known->second.front());
    }
    return found;
  }

  void use(std::int64_t id) {
    Block& block = at(id);
    if (block.references++ > 0) return;
    free_.erase(block.in_queue);
    if (block.has_content) ++in_use_[block.content.tokens];
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
      block.has_content = false;
      ++evictions_;
    }
    block.references = 1;
    return id;
  }

  void publish(std::int64_t id, const BlockContent& content) {
    Block& block = at(id);
    if (block.has_content) return;
    block.has_content = true;
    block.content = content;
    auto& holders = known_[content];
    if (!holders.empty()) ++duplicates_;
    holders.push_back(id);
    ++in_use_[content.tokens];
  }

  /// One user less for each, the last block first.
  void release(std::span<const std::int64_t> ids) {
    for (std::size_t i = ids.size(); i > 0; --i) {
      const Block& block = at(ids[i - 1]);
      if (--at(ids[i - 1]).references > 0) continue;
      append_free(ids[i - 1]);
      if (block.has_content) --in_use_[block.content.tokens];
    }
  }

  /// Whether a block of these tokens is in use.
  [[nodiscard]] bool holds(std::int64_t tokens) const {
    const auto found = in_use_.find(tokens);
    return found != in_use_.end() && found->second > 0;
  }
  [[nodiscard]] const BlockContent* content(std::int64_t id) const { return at(id).has_content ? &at(id).content : nullptr; }

 private:
  struct Block {
    int references = 0;
    bool has_content = false;
    BlockContent content;
    std::list<std::int64_t>::iterator in_queue;
  };

  Block& at(std::int64_t id) { return blocks_[static_cast<std::size_t>(id)]; }
  [[nodiscard]] const Block& at(std::int64_t id) const { return blocks_[static_cast<std::size_t>(id)]; }
  void append_free(std::int64_t id) { at(id).in_queue = free_.insert(free_.end(), id); }

  std::vector<Block> blocks_;
  std::list<std::int64_t> free_;
  std::map<BlockContent, std::vector<std::int64_t>> known_;
  std::map<std::int64_t, std::int64_t> in_use_;  ///< blocks by whose tokens they hold
  std::int64_t evictions_ = 0;
  std::int64_t duplicates_ = 0;
};

}  // namespace rooftune::sim::oracle
