#pragma once

#include <cstdint>
#include <span>

#include "rooftune/latency/step_time.hpp"

namespace rooftune::latency {

/// Sums over the prefills of a batch.
struct PrefillSums {
  std::int64_t tokens = 0;
  std::int64_t context_tokens = 0;
  double attention_pairs = 0.0;  ///< query-key pairs, causal: sum of c (ctx + c/2)
};

/// A call of it would cost 1 % of a replay.
[[gnu::always_inline]] inline PrefillSums prefill_sums(std::span<const PrefillChunk> prefills) {
  PrefillSums sums;
  for (const PrefillChunk& chunk : prefills) {
    const auto tokens = static_cast<double>(chunk.new_tokens);
    sums.tokens += chunk.new_tokens;
    sums.context_tokens += chunk.context_tokens;
    sums.attention_pairs += tokens * (static_cast<double>(chunk.context_tokens) + 0.5 * tokens);
  }
  return sums;
}

}  // namespace rooftune::latency
