#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rooftune::kernels {

/// Number formats of weights and of the kernels that multiply them. fp8: one scale per tensor; fp8_block: one per 128 x 128
/// weights; nvfp4: 4-bit weights and activations; int4 and mxfp4: 4-bit weights beside 16-bit activations.
enum class NumberFormat { bf16, fp8, fp8_block, int4, mxfp4, nvfp4 };

[[nodiscard]] std::string_view format_name(NumberFormat format);
/// "bf16", "bfloat16", "fp16", "float16", "fp8", "fp8_e4m3" ... in any case; 16-bit floats count as one format.
[[nodiscard]] std::optional<NumberFormat> find_format(std::string_view name);
/// Bytes of one weight, its share of the scales included: a float for 128 x 128 weights (fp8_block), 16 bits for 128 (int4), a byte
/// for 32 (mxfp4) and for 16 (nvfp4).
[[nodiscard]] double bytes_per_element(NumberFormat format);
/// The format is only one of storage: products run in bf16 after the weights were read.
[[nodiscard]] constexpr bool computes_in_bf16(NumberFormat format) {
  return format == NumberFormat::bf16 || format == NumberFormat::int4 || format == NumberFormat::mxfp4;
}

/// One measured matrix product y[m, n] = x[m, k] w[n, k]^T: m tokens, a layer of k inputs and n outputs.
struct GemmRow {
  std::optional<NumberFormat> format;  ///< empty: the table does not say
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
  double latency_us = 0.0;
  std::optional<double> reported_mfu;  ///< as the file has it: for the audit only
  std::string flag{};                  ///< why the row is not what an engine runs; empty: it is
  std::string engine{};                ///< software and release that the kernel came from: "vllm-0.24.0"
  friend bool operator==(const GemmRow&, const GemmRow&) = default;
};

/// Attention heads of one GPU.
struct HeadShape {
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  friend auto operator<=>(const HeadShape&, const HeadShape&) = default;
};

/// One measured attention core. Context attention: `new_tokens` per sequence, causal, over `kv_tokens` (new ones included).
/// Generation attention: new_tokens = 1.
struct AttentionRow {
  NumberFormat format = NumberFormat::bf16;
  NumberFormat kv_format = NumberFormat::bf16;
  HeadShape shape;
  std::int64_t batch = 0;  ///< sequences
  std::int64_t new_tokens = 0;
  std::int64_t kv_tokens = 0;
  std::int64_t window = 0;  ///< tokens that a query sees at most; 0: all
  double latency_us = 0.0;
  std::optional<double> reported_mfu;  ///< as the file has it: for the audit only
  std::string flag{};
  friend bool operator==(const AttentionRow&, const AttentionRow&) = default;
};

/// One measured all-reduce over `ranks` GPUs of one node.
struct AllReduceRow {
  std::int64_t ranks = 0;
  std::int64_t message_bytes = 0;
  double latency_us = 0.0;
  std::string kind{};    ///< "custom": what the engine chooses itself; "nccl"
  std::string engine{};  ///< "vllm-0.14.0", "nccl-2.29.2"
  friend bool operator==(const AllReduceRow&, const AllReduceRow&) = default;
};

/// One measured fused mixture-of-experts layer. `ffn_width` is the whole expert's; tp and ep split it.
struct MoeRow {
  NumberFormat format = NumberFormat::bf16;
  std::int64_t tokens = 0;
  std::int64_t hidden = 0;
  std::int64_t ffn_width = 0;
  std::int64_t experts_per_token = 0;
  std::int64_t experts = 0;
  std::int64_t tp = 1;
  std::int64_t ep = 1;
  std::string routing;  ///< "balanced", "power_law_1.2"
  double latency_us = 0.0;
  std::string kernel{};  ///< implementation: "marlin_marlin", "triton_triton"; empty: not recorded
  std::string flag{};    ///< "grouped_routing": about half of the experts that real routing reaches were touched
  friend bool operator==(const MoeRow&, const MoeRow&) = default;
};

/// One measured latent-attention module of DeepSeek-V3's dimensions (projections, latent attention, output projection), `heads` of
/// one GPU. Context: new_tokens per sequence, causal; generation: new_tokens = 1, kv_tokens with the new one.
struct LatentAttentionRow {
  NumberFormat format = NumberFormat::bf16;  ///< of the linear layers
  NumberFormat compute_format = NumberFormat::bf16;
  NumberFormat kv_format = NumberFormat::bf16;
  std::int64_t heads = 0;
  std::int64_t batch = 0;
  std::int64_t new_tokens = 0;
  std::int64_t kv_tokens = 0;
  double latency_us = 0.0;
  std::string flag{};
  friend bool operator==(const LatentAttentionRow&, const LatentAttentionRow&) = default;
};

/// One measured kernel of a linear-attention layer: its short convolution, its recurrence, or both ("whole").
struct LinearAttentionRow {
  std::string op;     ///< "gdn", "kda"
  std::string phase;  ///< "context", "generation"
  std::string part;   ///< "convolution", "recurrence", "whole"
  std::int64_t batch = 0;
  std::int64_t new_tokens = 0;  ///< per sequence
  std::int64_t key_heads = 0;   ///< of one GPU
  std::int64_t value_heads = 0;
  double latency_us = 0.0;
  std::string flag{};
  friend bool operator==(const LinearAttentionRow&, const LinearAttentionRow&) = default;
};

/// One measured sparse-attention module: projections, indexer, attention to what the indexer chose, output projection.
struct SparseAttentionRow {
  std::string op;     ///< "dsa", "msa", "dsv4_csa", "dsv4_hca"
  std::string model;  ///< whose dimensions it has
  std::string phase;
  NumberFormat kv_format = NumberFormat::bf16;
  std::int64_t batch = 0;
  std::int64_t new_tokens = 0;
  std::int64_t kv_tokens = 0;
  std::int64_t heads = 0;  ///< of one GPU
  std::int64_t tp = 1;
  double latency_us = 0.0;
  std::string flag{};
  friend bool operator==(const SparseAttentionRow&, const SparseAttentionRow&) = default;
};

/// One measured collective other than an all-reduce. Bytes: the gathered, the scattered or the sent buffer.
struct CollectiveRow {
  std::string op;  ///< "all_gather", "reduce_scatter", "alltoall"
  std::int64_t ranks = 0;
  std::int64_t message_bytes = 0;
  double latency_us = 0.0;
  friend bool operator==(const CollectiveRow&, const CollectiveRow&) = default;
};

/// One measured dispatch of tokens to the ranks that have their experts, or combine of what these made of them (DeepEP).
struct ExpertExchangeRow {
  std::string kind;  ///< "low_latency", "high_throughput"
  std::string op;    ///< "dispatch", "combine"
  std::int64_t ranks = 0;
  std::int64_t tokens = 0;  ///< of each rank
  std::int64_t hidden = 0;
  std::int64_t experts_per_token = 0;
  std::int64_t experts = 0;
  double latency_us = 0.0;
  std::string flag{};
  friend bool operator==(const ExpertExchangeRow&, const ExpertExchangeRow&) = default;
};

/// 2 m n k.
[[nodiscard]] double flops(const GemmRow& row);
/// Bytes of the weight matrix; 16 bits where the format is not known.
[[nodiscard]] double weight_bytes(const GemmRow& row);
/// Pairs of a new token and a token that it attends to: causal, at most `window` (0: all) tokens each.
[[nodiscard]] double attention_pairs(double new_tokens, double kv_tokens, double window);
/// 4 heads dim per pair of a new token and a context token; half the square among new tokens (causal mask).
[[nodiscard]] double flops(const AttentionRow& row);
/// Keys and values that the call reads: within the window.
[[nodiscard]] double kv_bytes(const AttentionRow& row);

/// What kernel benchmarks measured on one GPU type.
struct MeasuredKernels {
  std::string gpu;     ///< as the files name it
  std::string engine;  ///< software that the kernels come from: "vllm-0.24.0"
  std::vector<GemmRow> gemms;
  std::vector<AttentionRow> context_attention;
  std::vector<AttentionRow> generation_attention;
  std::vector<AllReduceRow> all_reduces;
  std::vector<MoeRow> moes;
  std::vector<LatentAttentionRow> latent_context{};
  std::vector<LatentAttentionRow> latent_generation{};
  std::vector<LinearAttentionRow> linear_attention{};
  std::vector<SparseAttentionRow> sparse_attention{};
  std::vector<CollectiveRow> collectives{};
  std::vector<ExpertExchangeRow> expert_exchanges{};
  friend bool operator==(const MeasuredKernels&, const MeasuredKernels&) = default;
};

}  // namespace rooftune::kernels
