#pragma once

#include <algorithm>
#include <cstdint>
#include <list>
#include <map>
#include <span>

#include "block_pool.hpp"

namespace rooftune::sim::oracle {

/// The blocks that the host's memory keeps, one by one, the least recently used first.
class HostBlocks {
 public:
  explicit HostBlocks(std::int64_t blocks) : room_(blocks) {}

  /// How many of `contents`, from the first on, are here.
  [[nodiscard]] std::int64_t find(std::span<const BlockContent> contents) const {
    std::int64_t found = 0;
    for (const BlockContent& content : contents) {
      if (!here_.contains(content)) break;
      ++found;
    }
    return found;
  }

  /// Writes those that are missing, all or none, and marks all that are here as used, the first of them last.
  void store(std::span<const BlockContent> contents) {
    if (std::ssize(contents) <= room_) {
      for (const BlockContent& content : contents) use(content, true);
    }
    for (std::size_t i = contents.size(); i > 0; --i) use(contents[i - 1], false);
    while (std::ssize(by_use_) > room_) {
      here_.erase(by_use_.front());
      by_use_.pop_front();
      ++evictions_;
    }
  }

  [[nodiscard]] std::int64_t evictions() const { return evictions_; }

 private:
  void use(const BlockContent& content, bool insert) {
    const auto known = here_.find(content);
    if (known != here_.end()) {
      by_use_.erase(known->second);
    } else if (!insert) {
      return;
    }
    here_[content] = by_use_.insert(by_use_.end(), content);
  }

  std::int64_t room_;
  std::list<BlockContent> by_use_;
  std::map<BlockContent, std::list<BlockContent>::iterator> here_;
  std::int64_t evictions_ = 0;
};

}  // namespace rooftune::sim::oracle
