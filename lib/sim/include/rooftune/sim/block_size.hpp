#pragma once

#include <bit>
#include <cstdint>

#include "rooftune/core/contract.hpp"

namespace rooftune::sim {

/// Tokens per KV block: a power of two, as vLLM's attention kernels want it, so that every division is a shift.
class BlockSize {
 public:
  explicit BlockSize(std::int32_t tokens) : tokens_(tokens), shift_(std::countr_zero(static_cast<std::uint32_t>(tokens))) {
    ROOFTUNE_EXPECTS(tokens > 0 && std::has_single_bit(static_cast<std::uint32_t>(tokens)));
  }

  [[nodiscard]] std::int32_t tokens() const { return tokens_; }
  /// Blocks that `tokens` fill completely; rounds down below zero too.
  [[nodiscard]] std::int64_t full(std::int64_t tokens) const { return tokens >> shift_; }
  /// Blocks that `tokens` need.
  [[nodiscard]] std::int64_t holding(std::int64_t tokens) const { return full(tokens + tokens_ - 1); }
  /// What is left of `tokens` beside full blocks; never negative.
  [[nodiscard]] std::int32_t rest(std::int64_t tokens) const { return static_cast<std::int32_t>(tokens & (tokens_ - 1)); }

 private:
  std::int32_t tokens_;
  int shift_;
};

}  // namespace rooftune::sim
