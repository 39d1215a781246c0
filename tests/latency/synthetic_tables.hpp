#pragma once

#include <cstdint>

#include "rooftune/domain/model.hpp"
#include "rooftune/kernels/tables.hpp"

/// Kernel tables whose latencies are simple formulas, so that expected step times can be written out in a test.
namespace rooftune::examples {

inline double gemm_us(std::int64_t m, std::int64_t n, std::int64_t k) {
  return 3.0 + static_cast<double>(n) * static_cast<double>(k) * (1e-6 + 3e-9 * static_cast<double>(m));
}
inline double context_attention_us(std::int64_t heads, std::int64_t tokens) {
  return 10.0 + 1e-6 * static_cast<double>(heads) * static_cast<double>(tokens) * static_cast<double>(tokens);
}
inline double generation_attention_us(std::int64_t sequences, std::int64_t context, std::int64_t kv_heads) {
  return 8.0 + 2e-4 * static_cast<double>(sequences * context * kv_heads);
}
inline double all_reduce_us(std::int64_t bytes) { return 4.0 + 1e-5 * static_cast<double>(bytes); }
inline double expert_us(std::int64_t tokens, std::int64_t tp) {
  return 20.0 + 50.0 / static_cast<double>(tp) + 0.1 * static_cast<double>(tokens);
}

/// Every shape that the model has at TP 1, 2 and 4, fused and apart, at powers of two.
inline kernels::MeasuredKernels synthetic_kernels(const domain::ModelSpec& model) {
  kernels::MeasuredKernels kernels;
  const auto add_gemm = [&](std::int64_t n, std::int64_t k) {
    for (std::int64_t m = 1; m <= 8192; m *= 2) {
      kernels::GemmRow row;
      row.format = kernels::NumberFormat::bf16;
      row.m = m;
      row.n = n;
      row.k = k;
      row.latency_us = gemm_us(m, n, k);
      kernels.gemms.push_back(row);
    }
  };
  const std::int64_t d = model.hidden;
  for (const std::int64_t tp : {1, 2, 4}) {
    const domain::Mixer& heads = *model.attention();
    const std::int64_t query = heads.heads / tp * heads.head_dim;
    const std::int64_t kv = heads.kv_heads / tp * heads.head_dim;
    add_gemm(query + 2 * kv, d);
    add_gemm(query, d);
    add_gemm(kv, d);
    add_gemm(d, query);
    add_gemm(model.vocabulary / tp, d);
    if (model.dense_layers() > 0) {
      add_gemm(2L * model.ffn_width() / tp, d);
      add_gemm(model.ffn_width() / tp, d);
      add_gemm(d, model.ffn_width() / tp);
    }
    kernels::AttentionRow attention;
    attention.shape = {.heads = heads.heads / tp, .kv_heads = heads.kv_heads / tp, .head_dim = heads.head_dim};
    attention.batch = 1;
    for (std::int64_t tokens = 16; tokens <= 8192; tokens *= 2) {
      attention.new_tokens = attention.kv_tokens = tokens;
      attention.latency_us = context_attention_us(attention.shape.heads, tokens);
      kernels.context_attention.push_back(attention);
    }
    attention.new_tokens = 1;
    for (attention.batch = 1; attention.batch <= 256; attention.batch *= 2) {
      for (attention.kv_tokens = 16; attention.kv_tokens <= 8192; attention.kv_tokens *= 2) {
        attention.latency_us = generation_attention_us(attention.batch, attention.kv_tokens, attention.shape.kv_heads);
        kernels.generation_attention.push_back(attention);
      }
    }
    if (tp > 1) {
      for (std::int64_t bytes = 2048; bytes <= 1 << 27; bytes *= 2) {
        kernels.all_reduces.push_back({.ranks = tp, .message_bytes = bytes, .latency_us = all_reduce_us(bytes)});
      }
    }
    if (const domain::Experts* experts = model.experts()) {
      kernels::MoeRow row;
      row.hidden = d;
      row.ffn_width = experts->width;
      row.experts_per_token = experts->per_token;
      row.experts = experts->count;
      row.tp = tp;
      row.routing = "balanced";
      for (row.tokens = 1; row.tokens <= 8192; row.tokens *= 2) {
        row.latency_us = expert_us(row.tokens, tp);
        kernels.moes.push_back(row);
      }
    }
  }
  return kernels;
}

}  // namespace rooftune::examples
