#include "rooftune/sim/kv_estimate.hpp"

#include <algorithm>
#include <cmath>

#include "rooftune/core/units.hpp"

namespace rooftune::sim {
namespace {

/// Share of the nominal memory that CUDA reports as total (H100 80 GiB: 79.1 to 79.6 GiB).
constexpr double kReportedShare = 0.993;
/// CUDA context, NCCL buffers, graphs and the profiling run's peak activations.
constexpr double kFixedOverheadGib = 0.6;

}  // namespace

std::int64_t estimate_kv_blocks(const domain::ModelSpec& model, const domain::GpuSpec& gpu, const domain::Deployment& deployment) {
  const double tp = deployment.tp;
  const double usable_bytes = core::to_bytes(gpu.memory).value * kReportedShare * deployment.settings.gpu_mem_util;
  const double weight_bytes = domain::resident_weight_bytes(model) / tp;
  const double activation_bytes = 2.0 * deployment.settings.max_num_batched_tokens *
                                  (6.0 * model.hidden + 2.0 * model.ffn_width / tp) * model.widths.activation_bytes;
  const double overhead_bytes = core::to_bytes(core::Gibibytes{kFixedOverheadGib}).value + activation_bytes;
  const double heads_share = std::max(1.0, model.kv_heads / tp) / model.kv_heads;
  const double block_bytes = domain::kv_bytes_per_token(model) * heads_share * deployment.settings.block_size;
  const double blocks = std::floor((usable_bytes - weight_bytes - overhead_bytes) / block_bytes);
  return static_cast<std::int64_t>(std::max(0.0, blocks));
}

}  // namespace rooftune::sim
