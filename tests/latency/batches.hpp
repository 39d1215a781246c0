#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "rooftune/core/random.hpp"
#include "rooftune/latency/step_time.hpp"

namespace rooftune::latency {

/// A batch that owns its prefill chunks.
struct OwnedBatch {
  std::vector<PrefillChunk> prefills;
  std::int64_t decode_requests = 0;
  std::int64_t decode_context_tokens = 0;

  [[nodiscard]] Batch view() const {
    return {.prefills = prefills,
            .decode_requests = decode_requests,
            .decode_context_tokens = decode_context_tokens,
            .decode_max_context_tokens = decode_requests == 0 ? 0 : decode_context_tokens / decode_requests,
            .decode_contexts = {}};
  }
  /// The batch after `steps` steps of decoding.
  [[nodiscard]] OwnedBatch after(std::int64_t steps) const {
    OwnedBatch later = *this;
    later.decode_context_tokens += steps * decode_requests;
    return later;
  }
};

inline OwnedBatch decodes(std::int64_t requests, std::int64_t tokens_each) {
  return {.prefills = {}, .decode_requests = requests, .decode_context_tokens = requests * tokens_each};
}

/// Reproducible random batches.
class RandomBatches {
 public:
  explicit RandomBatches(std::uint64_t seed)
      : engine_(core::make_stream({.seed = seed, .experiment_id = "batches", .purpose = core::StreamPurpose::noise})) {}

  [[nodiscard]] std::int64_t between(std::int64_t lowest, std::int64_t highest) {
    return lowest + static_cast<std::int64_t>(core::uniform01(engine_) * static_cast<double>(highest - lowest + 1));
  }
  [[nodiscard]] OwnedBatch decode_only() { return decodes(between(1, 256), between(1, 4000)); }
  [[nodiscard]] OwnedBatch mixed() {
    OwnedBatch batch = decode_only();
    const std::int64_t count = between(1, 4);
    for (std::int64_t i = 0; i < count; ++i) {
      batch.prefills.push_back({.context_tokens = between(0, 2000), .new_tokens = between(1, 1000)});
    }
    return batch;
  }

 private:
  core::RandomEngine engine_;
};

}  // namespace rooftune::latency
