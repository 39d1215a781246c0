#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "rooftune/sim/block_size.hpp"

namespace rooftune::sim {

/// The decoding requests by the phase of the step in which they take a block: the rest that its index leaves when divided by
/// the block size. Kept as running sums, so that what a window of steps takes is a difference of two, whatever its length: the
/// end of a loop over the window is what a processor cannot foresee.
class BlockTakers {
 public:
  explicit BlockTakers(BlockSize block)
      : block_(block),
        sums_(static_cast<std::size_t>((block.tokens() + kVector - 1) / kVector * kVector)),
        below_(sums_ + 1, 0),
        ramp_(2 * sums_, 0) {
    for (std::size_t i = sums_; i < ramp_.size(); ++i) ramp_[i] = 1;
  }

  /// One more request that takes a block in steps of this phase.
  void add(std::int32_t phase) { change(phase, 1); }
  /// One less.
  void remove(std::int32_t phase) { change(phase, -1); }

  /// What they take in `steps` steps from `first_step` on: each one block in as many steps as a block has tokens.
  [[nodiscard]] std::int64_t taken(std::int64_t first_step, std::int64_t steps) const {
    const std::int32_t all = below(block_.tokens());
    const std::int32_t first = block_.rest(first_step);
    const std::int32_t end = first + block_.rest(steps);
    const bool wraps = end > block_.tokens();
    return block_.full(steps) * all + below(wraps ? end - block_.tokens() : end) - below(first) + (wraps ? all : 0);
  }
  /// What they take in one step.
  [[nodiscard]] std::int64_t taken_in(std::int64_t step) const {
    const std::int32_t phase = block_.rest(step);
    return below(phase + 1) - below(phase);
  }

 private:
  static constexpr std::size_t kVector = 4;  ///< for the compiler: it then works on whole vectors

  [[nodiscard]] std::int32_t below(std::int32_t phase) const { return below_[static_cast<std::size_t>(phase)]; }

  void change(std::int32_t phase, std::int32_t count) {
    std::int32_t* below = &below_[1];
    const std::int32_t* above_phase = &ramp_[sums_ - static_cast<std::size_t>(phase)];
    for (std::size_t first = 0; first < sums_; first += kVector) {
      for (std::size_t i = first; i < first + kVector; ++i) below[i] += count * above_phase[i];
    }
  }

  BlockSize block_;
  std::size_t sums_;                 ///< phases, rounded up to whole vectors
  std::vector<std::int32_t> below_;  ///< requests whose phase lies below the index
  std::vector<std::int32_t> ramp_;   ///< zeros, then as many ones: from `phase` before the ones on, which sums a request is in
};

}  // namespace rooftune::sim
