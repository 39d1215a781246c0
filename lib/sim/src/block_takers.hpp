#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "rooftune/sim/block_size.hpp"

namespace rooftune::sim {

/// The decoding requests by the phase of the step in which they take a block: the rest that its index leaves when divided by
/// the block size. Kept as running sums, so that what a window of steps takes is a difference of two.
class BlockTakers {
 public:
  /// Sums beyond the last are never read; they round the loop of `add` up to whole vectors.
  explicit BlockTakers(BlockSize block)
      : block_(block), below_(static_cast<std::size_t>(block.tokens() + kVector) / kVector * kVector, 0) {}

  /// `count` more requests (or fewer) that take a block in steps of this phase.
  void add(std::int32_t phase, std::int32_t count) {
    const auto sums = static_cast<std::int32_t>(below_.size());
    for (std::int32_t first = 0; first < sums; first += kVector) {
      std::int32_t* below = &below_[static_cast<std::size_t>(first)];
      for (std::int32_t i = 0; i < kVector; ++i) below[i] += first + i > phase ? count : 0;
    }
  }
  /// What they take in `steps` steps from `first_step` on: each one block in as many steps as a block has tokens.
  [[nodiscard]] std::int64_t taken(std::int64_t first_step, std::int64_t steps) const {
    const std::int32_t all = below(block_.tokens());
    const std::int32_t first = block_.rest(first_step);
    const std::int32_t end = first + block_.rest(steps);
    const bool wraps = end > block_.tokens();
    return block_.full(steps) * all + below(wraps ? end - block_.tokens() : end) - below(first) + (wraps ? all : 0);
  }

 private:
  static constexpr std::int32_t kVector = 4;

  [[nodiscard]] std::int32_t below(std::int32_t phase) const { return below_[static_cast<std::size_t>(phase)]; }

  BlockSize block_;
  std::vector<std::int32_t> below_;  ///< requests whose phase lies below the index
};

}  // namespace rooftune::sim
