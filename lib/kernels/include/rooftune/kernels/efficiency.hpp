#pragma once

#include <optional>
#include <string>
#include <vector>

#include "rooftune/domain/gpu.hpp"
#include "rooftune/kernels/tables.hpp"

namespace rooftune::kernels {

/// Rows that were left out of a clean table, and why.
struct LeftOut {
  std::string reason;
  std::size_t rows = 0;
  friend bool operator==(const LeftOut&, const LeftOut&) = default;
};

struct NormalisedKernels {
  MeasuredKernels kernels;
  std::vector<LeftOut> left_out;
};

/// A clean table, sorted. Formats are filled in where the audit infers them. Dropped: rows without positive sizes and latency,
/// rows faster than the GPU can be, expert layers slower in FP8 than in bf16. Repeated measurements are reduced to their median,
/// of an all-reduce to the fastest.
/// No MFU column survives: it follows from latency and shape.
[[nodiscard]] NormalisedKernels normalise(const MeasuredKernels& kernels, const domain::GpuSpec& gpu);

/// The median share of a data-sheet peak among rows of one size.
struct SharePoint {
  double tokens = 0.0;
  double fraction = 0.0;
  std::size_t rows = 0;
  friend bool operator==(const SharePoint&, const SharePoint&) = default;
};

struct AllReduceEfficiency {
  std::int64_t ranks = 0;
  double floor_us = 0.0;             ///< fastest call of any size
  double bus_gigabytes_per_s = 0.0;  ///< highest 2 (r - 1) / r * bytes / time
  friend bool operator==(const AllReduceEfficiency&, const AllReduceEfficiency&) = default;
};

/// What a GPU reaches of its data sheet, bf16 kernels: priors for step-time parameters. Empty where nothing was measured.
struct KernelEfficiency {
  std::string gpu;
  std::string engine;
  std::optional<double> weight_streaming_fraction;      ///< of bandwidth: GEMM m <= 16, n k >= 2^25 (weights far above L2)
  std::optional<double> gemm_compute_fraction;          ///< of peak: GEMM m 2048 to 8192, n and k 4096 to 16384
  std::optional<double> kv_streaming_fraction;          ///< of bandwidth: decode attention, batch >= 8, >= 512 MB of KV
  std::optional<double> context_attention_fraction;     ///< of peak, causal FLOPs: seq >= 2048, 16 to 64 heads
  std::vector<SharePoint> weight_streaming_by_tokens;   ///< of bandwidth, n k >= 2^25, over m up to 256
  std::vector<SharePoint> gemm_compute_by_tokens;       ///< of peak, n and k 4096 to 16384, over m
  std::vector<SharePoint> context_attention_by_tokens;  ///< of peak, 16 to 64 heads, over sequence length
  std::vector<AllReduceEfficiency> all_reduce;          ///< by ranks
};

[[nodiscard]] KernelEfficiency summarise(const MeasuredKernels& kernels, const domain::GpuSpec& gpu);

}  // namespace rooftune::kernels
