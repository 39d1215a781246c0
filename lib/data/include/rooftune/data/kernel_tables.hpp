#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/domain/gpu.hpp"
#include "rooftune/kernels/tables.hpp"

namespace rooftune::data {

// Readers of one table each. Columns are found by name, so that our schema (bench_data/), aiconfigurator's exports and the field
// layouts below all load; columns that are not listed are left alone. Sizes must be whole and positive; latencies are taken as
// they are, because judging them is the audit's job.

/// m, n, k, latency_us; optional dtype, mfu. Field layout: gemm/<gpu>/data.csv.
[[nodiscard]] core::Result<std::vector<kernels::GemmRow>> read_gemm_table(const std::filesystem::path& path);

/// dtype, seq_len, latency_us; optional kv_dtype, batch, kv_len, mfu; heads, kv_heads, head_dim as columns or as the file's name.
/// Field layout: mha/prefill/<gpu>/<heads>-<kv_heads>-<head_dim>.csv, one sequence per call.
[[nodiscard]] core::Result<std::vector<kernels::AttentionRow>> read_context_attention_table(const std::filesystem::path& path);

/// dtype, kv_dtype, batch (or batch_size), kv_len, latency_us; optional mfu; heads, kv_heads, head_dim as columns or in the name.
/// Field layout: mha/decode/<gpu>/<heads>-<kv_heads>-<head_dim>-tp<N>.csv, whose rows ran on one of N GPUs: heads are divided by N.
[[nodiscard]] core::Result<std::vector<kernels::AttentionRow>> read_generation_attention_table(const std::filesystem::path& path);

/// ranks, bytes, latency_us; optional mode, kind, engine. Rows of mode "eager" time a copy and the launch as well and are left out.
[[nodiscard]] core::Result<std::vector<kernels::AllReduceRow>> read_all_reduce_table(const std::filesystem::path& path);

/// dtype, num_tokens, hidden, inter, topk, experts, latency_us; optional tp, ep, distribution.
[[nodiscard]] core::Result<std::vector<kernels::MoeRow>> read_moe_table(const std::filesystem::path& path);

/// The latencies of a table of whole modules or of collectives, whose work no formula of ours counts.
[[nodiscard]] core::Result<std::vector<double>> read_kernel_latencies(const std::filesystem::path& path);

/// Whether tables of our layout (gemm.csv, collective.csv ...) lie in the folder.
[[nodiscard]] bool holds_kernel_tables(const std::filesystem::path& folder);

/// Every table of one GPU. `folder` holds gemm.csv, context_attention.csv ... (any of them), or the field layout's gemm/<gpu>/ and
/// mha/{prefill,decode}/<gpu>/ (InferSim's, too), or Vidur's profiles of models on it. Another folder is an error. Not normalised.
[[nodiscard]] core::Result<kernels::MeasuredKernels> read_kernel_tables(const std::filesystem::path& folder, std::string_view gpu);

/// What read_kernel_tables takes to read one GPU's tables.
struct KernelFolder {
  std::filesystem::path folder;
  std::string gpu;  ///< as the folder names it
};
/// Where the tables of the GPU lie in `folder`: in itself, when it bears one of the GPU's names or its manifest.json does; in a
/// folder of such a name inside; in the field layout's gemm/<gpu>/ and mha/; or in Vidur's compute/<gpu>/. Nothing when they do not.
[[nodiscard]] std::optional<KernelFolder> find_kernel_tables(const std::filesystem::path& folder, const domain::GpuSpec& gpu);

}  // namespace rooftune::data
