#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rooftune::kernels {

/// Number formats that kernels compute in or store.
enum class NumberFormat { bf16, fp8 };

[[nodiscard]] std::string_view format_name(NumberFormat format);
/// "bf16", "bfloat16", "fp16", "float16", "fp8", "fp8_e4m3" ... in any case; 16-bit floats count as one format.
[[nodiscard]] std::optional<NumberFormat> find_format(std::string_view name);
[[nodiscard]] constexpr double bytes_per_element(NumberFormat format) { return format == NumberFormat::fp8 ? 1.0 : 2.0; }

/// One measured matrix product y[m, n] = x[m, k] w[n, k]^T: m tokens, a layer of k inputs and n outputs.
struct GemmRow {
  std::optional<NumberFormat> format;  ///< empty: the table does not say
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
  double latency_us = 0.0;
  std::optional<double> reported_mfu;  ///< as the file has it: for the audit only
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
  double latency_us = 0.0;
  std::optional<double> reported_mfu;  ///< as the file has it: for the audit only
  friend bool operator==(const AttentionRow&, const AttentionRow&) = default;
};

/// One measured all-reduce over `ranks` GPUs of one node.
struct AllReduceRow {
  std::int64_t ranks = 0;
  std::int64_t message_bytes = 0;
  double latency_us = 0.0;
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
  friend bool operator==(const MoeRow&, const MoeRow&) = default;
};

/// 2 m n k.
[[nodiscard]] double flops(const GemmRow& row);
/// Bytes of the weight matrix; 16 bits where the format is not known.
[[nodiscard]] double weight_bytes(const GemmRow& row);
/// 4 heads dim per pair of a new token and a context token; half the square among new tokens (causal mask).
[[nodiscard]] double flops(const AttentionRow& row);
/// Keys and values that the call reads.
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
  friend bool operator==(const MeasuredKernels&, const MeasuredKernels&) = default;
};

}  // namespace rooftune::kernels
