#include "rooftune/sim/kv_estimate.hpp"

#include <algorithm>
#include <cmath>

#include "rooftune/core/units.hpp"

namespace rooftune::sim {
namespace {

/// Share of the nominal memory that CUDA reports as total (H100 80 GiB: 79.1 to 79.6 GiB).
constexpr double kReportedShare = 0.993;
/// GDDR boards keep their error-correcting codes in the memory itself, one sixteenth of it (L40S: 46068 MiB of 48 GiB).
constexpr double kShareBesideCodes = 15.0 / 16.0;
/// Boards below this bandwidth have GDDR, not HBM (L40S 0.86 TB/s, A100 PCIe 40 GB 1.55 TB/s).
constexpr core::TerabytesPerSecond kSlowestHbm{1.2};
/// CUDA context, NCCL buffers and graphs. Fitted to the thirteen text deployments recorded on H100, A100 and L40S.
constexpr double kFixedOverheadGib = 0.8;
/// What a multimodal model takes beside its language model: vision tower, its profiling run, encoder cache. From the one
/// such deployment recorded (Llama-4-Scout, tp 2).
constexpr double kMultimodalGib = 5.6;

double reported_gib(const domain::GpuSpec& gpu) {
  const bool keeps_codes_beside = gpu.hbm_bandwidth >= kSlowestHbm;
  return gpu.memory.value * kReportedShare * (keeps_codes_beside ? 1.0 : kShareBesideCodes);
}

/// Hugging Face names what takes more than text "...ForConditionalGeneration".
bool is_multimodal(const domain::ModelSpec& model) { return model.architecture.ends_with("ForConditionalGeneration"); }

}  // namespace

double kv_block_bytes(const domain::ModelSpec& model, const domain::Deployment& deployment) {
  double bytes = 0.0;
  for (const domain::LayerGroup& group : model.groups) {
    const domain::Mixer& mixer = group.layer.mixer;
    const double held = std::max(1.0, static_cast<double>(mixer.kv_heads) / deployment.tp);
    for (const domain::KvKept& kept : domain::kv_kept(mixer, model.kv_cache_bytes)) {
      bytes += group.count * kept.bytes_per_token * held / mixer.kv_heads;
    }
  }
  return bytes / deployment.pp * deployment.settings.block_size;
}

std::int64_t estimate_kv_blocks(const domain::ModelSpec& model, const domain::GpuSpec& gpu, const domain::Deployment& deployment) {
  const double tp = deployment.tp;
  const double usable_bytes = core::to_bytes(core::Gibibytes{reported_gib(gpu)}).value * deployment.settings.gpu_mem_util;
  const double pp = deployment.pp;
  const double weight_bytes = domain::resident_weight_bytes(model) / (tp * pp);
  const double activation_bytes =
      2.0 * deployment.settings.max_num_batched_tokens * (6.0 * model.hidden + 2.0 * model.ffn_width() / tp) * model.activation_bytes;
  const double fixed_gib = kFixedOverheadGib + (is_multimodal(model) ? kMultimodalGib : 0.0);
  const double overhead_bytes = core::to_bytes(core::Gibibytes{fixed_gib}).value + activation_bytes;
  const double blocks = std::floor((usable_bytes - weight_bytes - overhead_bytes) / kv_block_bytes(model, deployment));
  return static_cast<std::int64_t>(std::max(0.0, blocks));
}

}  // namespace rooftune::sim
