#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "rooftune/sim/block_size.hpp"

namespace rooftune::sim {

/// The KV blocks that the decoding requests hold together, and what of them the pool has not been told yet: it is told when
/// somebody looks at it, not in every step.
///
/// A request of offset o has s + o tokens before step s, and so ceil((s + o) / B) blocks. With s and o - 1 split into whole
/// blocks and rests, the sum over all requests needs only the whole blocks and how many requests have at least some rest:
/// what it costs depends neither on the number of requests nor on that of steps.
class DecodeBlocks {
 public:
  explicit DecodeBlocks(BlockSize block)
      : block_(block),
        rests_(static_cast<std::size_t>((block.tokens() + kVector - 1) / kVector * kVector)),
        requests_(rests_, 0),
        mask_(2 * rests_, 0) {
    for (std::size_t i = rests_; i < mask_.size(); ++i) mask_[i] = -1;
  }

  /// One more request before `step`; the pool knows what it holds, and of nothing that it takes from then on, even if that step was
  /// told already of those who were there.
  void add(std::int64_t offset, std::int64_t step) {
    change(offset, step, 1);
    if (step < told_until_) told_until_ = step;
  }
  /// One less before `step`: it gives back all that it holds then, which the pool may not yet know of.
  void remove(std::int64_t offset, std::int64_t step) {
    change(offset, step, -1);
    ++removed_;
  }

  [[nodiscard]] std::int64_t requests() const { return count_; }
  /// Blocks that the pool does not know of yet when all steps before `step` are done; now it does.
  [[nodiscard]] std::int64_t tell_until(std::int64_t step) {
    if (step <= told_until_) return 0;
    const std::int64_t untold = untold_until(step);
    whole_untold_ -= untold;
    told_until_ = step;
    removed_ = 0;
    return untold;
  }
  [[nodiscard]] std::int64_t untold_until(std::int64_t step) const;
  /// No less than that, at less cost.
  [[nodiscard]] std::int64_t most_untold_until(std::int64_t step) const {
    return block_.holding(step - told_until_) * (count_ + removed_);
  }
  /// What they take in one step.
  [[nodiscard]] std::int64_t taken_in(std::int64_t step) const {
    return requests_[static_cast<std::size_t>(block_.tokens() - 1 - block_.rest(step))];
  }

 private:
  static constexpr std::size_t kVector = 4;  ///< for the compiler: it then works on whole vectors

  void change(std::int64_t offset, std::int64_t step, std::int32_t by) {
    requests_[static_cast<std::size_t>(block_.rest(offset - 1))] += by;
    whole_untold_ += by * (block_.full(offset - 1) - block_.holding(step + offset));
    count_ += by;
  }

  BlockSize block_;
  std::size_t rests_;                   ///< rounded up to whole vectors
  std::vector<std::int32_t> requests_;  ///< by the rest of their offset - 1
  std::vector<std::int32_t> mask_;      ///< nothing, then as often everything
  std::int64_t count_ = 0;
  std::int64_t whole_untold_ = 0;  ///< the sum of whole blocks in offset - 1, less what the pool knows of and was given back
  std::int64_t told_until_ = 0;    ///< the pool knows what was taken in steps before this one
  std::int64_t removed_ = 0;       ///< requests since then
};

inline std::int64_t DecodeBlocks::untold_until(std::int64_t step) const {
  const std::int32_t rest = block_.rest(step);
  // Those whose rest and the step's make one more block.
  const std::int32_t* requests = requests_.data();
  const std::int32_t* mask = mask_.data() + rests_ - static_cast<std::size_t>(block_.tokens() - rest);
  std::array<std::int32_t, kVector> carried{};
  for (const std::int32_t* end = requests + rests_; requests != end; requests += kVector, mask += kVector) {
    for (std::size_t i = 0; i < kVector; ++i) carried[i] += requests[i] & mask[i];
  }
  return count_ * (block_.full(step) + 1) + whole_untold_ + (carried[0] + carried[1]) + (carried[2] + carried[3]);
}

}  // namespace rooftune::sim
