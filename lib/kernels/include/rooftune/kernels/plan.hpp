#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/domain/model.hpp"
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
};

/// Every shape that a GPU runs for these models at these TP degrees, once, whichever models share it: linear layers fused as
/// engines run them (bf16, and fp8 for models that compute in it), attention over the sizes that serving meets, all-reduce.
/// Dense in tokens where GEMMs turn from weight streaming to compute. Refuses latent attention and degrees that split a head.
[[nodiscard]] core::Result<KernelPlan> plan_measurements(std::span<const domain::ModelSpec> models, std::span<const std::int64_t> tp);

}  // namespace rooftune::kernels
