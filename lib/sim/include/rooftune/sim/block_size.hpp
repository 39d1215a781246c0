#pragma once

#include <bit>
#include <cstdint>

namespace rooftune::sim {

/// Tokens per KV block. Divides by shifting where that is a power of two, as it is in practice: divisions of 64 bits were
/// a fifth of the engine's time.
class BlockSize {
 public:
  explicit BlockSize(std::int32_t tokens)
      : tokens_(tokens),
        shift_(std::has_single_bit(static_cast<std::uint32_t>(tokens)) ? std::countr_zero(static_cast<std::uint32_t>(tokens)) : -1) {}

  [[nodiscard]] std::int32_t tokens() const { return tokens_; }
  /// Blocks that `tokens` fill completely.
  [[nodiscard]] std::int64_t full(std::int64_t tokens) const { return shift_ >= 0 ? tokens >> shift_ : tokens / tokens_; }
  /// Blocks that `tokens` need.
  [[nodiscard]] std::int64_t holding(std::int64_t tokens) const { return full(tokens + tokens_ - 1); }
  /// What is left of `tokens` beside full blocks; never negative.
  [[nodiscard]] std::int32_t rest(std::int64_t tokens) const {
    if (shift_ >= 0) return static_cast<std::int32_t>(tokens & (tokens_ - 1));
    const auto rest = static_cast<std::int32_t>(tokens % tokens_);
    return rest < 0 ? rest + tokens_ : rest;
  }

 private:
  std::int32_t tokens_;
  std::int32_t shift_;  ///< -1: not a power of two
};

}  // namespace rooftune::sim
