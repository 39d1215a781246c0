#include "rooftune/kernels/digest.hpp"

namespace rooftune::kernels {

// Every function takes its type apart as a whole: see core::Digest. Names are as in the types.

static void add_to(core::Digest& digest, const GemmRow& row) {
  const auto& [format, m, n, k, latency_us, reported_mfu] = row;
  digest.add(format, m, n, k, latency_us, reported_mfu);
}

static void add_to(core::Digest& digest, const HeadShape& shape) {
  const auto& [heads, kv_heads, head_dim] = shape;
  digest.add(heads, kv_heads, head_dim);
}

static void add_to(core::Digest& digest, const AttentionRow& row) {
  const auto& [format, kv_format, shape, batch, new_tokens, kv_tokens, latency_us, reported_mfu] = row;
  digest.add(format, kv_format, shape, batch, new_tokens, kv_tokens, latency_us, reported_mfu);
}

static void add_to(core::Digest& digest, const AllReduceRow& row) {
  const auto& [ranks, message_bytes, latency_us] = row;
  digest.add(ranks, message_bytes, latency_us);
}

static void add_to(core::Digest& digest, const MoeRow& row) {
  const auto& [format, tokens, hidden, ffn_width, experts_per_token, experts, tp, ep, routing, latency_us] = row;
  digest.add(format, tokens, hidden, ffn_width, experts_per_token, experts, tp, ep, routing, latency_us);
}

void add_to(core::Digest& digest, const MeasuredKernels& kernels) {
  const auto& [gpu, engine, gemms, context_attention, generation_attention, all_reduces, moes] = kernels;
  digest.add(gpu, engine, gemms, context_attention, generation_attention, all_reduces, moes);
}

}  // namespace rooftune::kernels
