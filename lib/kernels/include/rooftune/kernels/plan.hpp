#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rooftune/kernels/tables.hpp"

namespace rooftune::kernels {

/// Kernels worth measuring: rows without a latency. What scripts/collect_kernels.py measures (docs/kernel_data.md).
struct KernelPlan {
  std::vector<std::string> models;
  std::vector<std::int64_t> tp;
  std::vector<GemmRow> gemms;
  std::vector<AttentionRow> context_attention;
  std::vector<AttentionRow> generation_attention;
  std::vector<AllReduceRow> all_reduces;
  std::vector<MoeRow> moes;
  std::vector<CollectiveRow> collectives;
  std::vector<LinearAttentionRow> linear_attention;
  std::vector<LatentAttentionRow> latent_context;
  std::vector<LatentAttentionRow> latent_generation;
  std::vector<SparseAttentionRow> sparse_attention;
  /// What the models run and no row here measures, each with its model: "DeepSeek-V3: latent attention".
  std::vector<std::string> left_out;
};

}  // namespace rooftune::kernels
