#include "rooftune/kernels/digest.hpp"

namespace rooftune::kernels {

// Every function takes its type apart as a whole: see core::Digest. Names are as in the types.

static void add_to(core::Digest& digest, const GemmRow& row) {
  const auto& [format, m, n, k, latency_us, reported_mfu, flag, engine] = row;
  digest.add(format, m, n, k, latency_us, reported_mfu, flag, engine);
}

static void add_to(core::Digest& digest, const HeadShape& shape) {
  const auto& [heads, kv_heads, head_dim] = shape;
  digest.add(heads, kv_heads, head_dim);
}

static void add_to(core::Digest& digest, const AttentionRow& row) {
  const auto& [format, kv_format, shape, batch, new_tokens, kv_tokens, window, latency_us, reported_mfu, flag] = row;
  digest.add(format, kv_format, shape, batch, new_tokens, kv_tokens, window, latency_us, reported_mfu, flag);
}

static void add_to(core::Digest& digest, const AllReduceRow& row) {
  const auto& [ranks, message_bytes, latency_us, kind, engine] = row;
  digest.add(ranks, message_bytes, latency_us, kind, engine);
}

static void add_to(core::Digest& digest, const LatentAttentionRow& row) {
  const auto& [format, compute_format, kv_format, heads, batch, new_tokens, kv_tokens, latency_us, flag] = row;
  digest.add(format, compute_format, kv_format, heads, batch, new_tokens, kv_tokens, latency_us, flag);
}

static void add_to(core::Digest& digest, const LinearAttentionRow& row) {
  const auto& [op, phase, part, batch, new_tokens, key_heads, value_heads, latency_us, flag] = row;
  digest.add(op, phase, part, batch, new_tokens, key_heads, value_heads, latency_us, flag);
}

static void add_to(core::Digest& digest, const SparseAttentionRow& row) {
  const auto& [op, model, phase, kv_format, batch, new_tokens, kv_tokens, heads, tp, latency_us, flag] = row;
  digest.add(op, model, phase, kv_format, batch, new_tokens, kv_tokens, heads, tp, latency_us, flag);
}

static void add_to(core::Digest& digest, const CollectiveRow& row) {
  const auto& [op, ranks, message_bytes, latency_us] = row;
  digest.add(op, ranks, message_bytes, latency_us);
}

static void add_to(core::Digest& digest, const ExpertExchangeRow& row) {
  const auto& [kind, op, ranks, tokens, hidden, experts_per_token, experts, latency_us, flag] = row;
  digest.add(kind, op, ranks, tokens, hidden, experts_per_token, experts, latency_us, flag);
}

static void add_to(core::Digest& digest, const MoeRow& row) {
  const auto& [format, tokens, hidden, ffn_width, experts_per_token, experts, tp, ep, routing, latency_us, kernel, flag] = row;
  digest.add(format, tokens, hidden, ffn_width, experts_per_token, experts, tp, ep, routing, latency_us, kernel, flag);
}

void add_to(core::Digest& digest, const MeasuredKernels& kernels) {
  const auto& [gpu, engine, gemms, context_attention, generation_attention, all_reduces, moes, latent_context, latent_generation,
               linear_attention, sparse_attention, collectives, expert_exchanges] = kernels;
  digest.add(gpu, engine, gemms, context_attention, generation_attention, all_reduces, moes, latent_context, latent_generation,
             linear_attention, sparse_attention, collectives, expert_exchanges);
}

}  // namespace rooftune::kernels
