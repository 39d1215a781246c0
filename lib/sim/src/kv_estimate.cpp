#include "rooftune/sim/kv_estimate.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "rooftune/core/units.hpp"
#include "rooftune/latency/operators.hpp"

namespace rooftune::sim {
namespace {

/// Share of the nominal memory that CUDA reports as total (H100 80 GiB: 79.1 to 79.6 GiB).
constexpr double kReportedShare = 0.993;
/// Data-centre boards with GDDR keep their error-correcting codes in the memory itself, one sixteenth of it; others do not.
constexpr double kShareBesideCodes = 15.0 / 16.0;
/// Boards below this bandwidth have GDDR, not HBM (L40S 0.86 TB/s, A100 PCIe 40 GB 1.55 TB/s).
constexpr core::TerabytesPerSecond kSlowestHbm{1.2};
/// CUDA context, NCCL buffers, graphs, the sampler's and the workspace of kernels: with the next one fitted to the thirteen
/// text deployments recorded on H100, A100 and L40S (0.6 GiB with a vocabulary of 32000, else 1.2 to 1.6).
constexpr double kFixedOverheadGib = 1.4;
/// Activations at their peak: 16-bit rows of the hidden size per token of the largest step. From two pairs of deployments that
/// differ in max_num_batched_tokens alone (2.0 and 2.3).
constexpr double kActivationRows = 2.25;
/// What a multimodal model takes beside its language model: vision tower, its profiling run, encoder cache. From the one
/// such deployment recorded (Llama-4-Scout, tp 2); served as text only, a model takes none of it.
constexpr double kMultimodalGib = 5.4;

bool has_hbm(const domain::GpuSpec& gpu) { return gpu.hbm_bandwidth >= kSlowestHbm; }

double reported_gib(const domain::GpuSpec& gpu) {
  return gpu.reported_memory ? gpu.reported_memory->value : gpu.memory.value * kReportedShare;
}

/// Hugging Face names what takes more than text "...ForConditionalGeneration".
bool is_multimodal(const domain::ModelSpec& model) { return model.architecture.ends_with("ForConditionalGeneration"); }

/// Equal layers, as far as memory goes: KV of all tokens or of a window, or a state per request.
struct Kind {
  double layers = 0.0;
  double bytes_per_token = 0.0;  ///< of one layer on one GPU
  int window = 0;
  double state_bytes = 0.0;

  [[nodiscard]] bool is_like(const Kind& other) const {
    return bytes_per_token == other.bytes_per_token && window == other.window && state_bytes == other.state_bytes;
  }
};

void add(std::vector<Kind>& kinds, const Kind& kind) {
  const auto found = std::ranges::find_if(kinds, [&](const Kind& other) { return other.is_like(kind); });
  if (found == kinds.end()) {
    kinds.push_back(kind);
  } else {
    found->layers += kind.layers;
  }
}

std::vector<Kind> kinds_of(const domain::ModelSpec& model, const domain::Deployment& deployment) {
  const double kv_bytes = latency::kv_bytes_per_element(model, deployment);
  std::vector<Kind> kinds;
  for (const auto& [count, layer] : model.groups) {
    const domain::Mixer& mixer = layer.mixer;
    if (mixer.linear) {
      add(kinds,
          {.layers = static_cast<double>(count), .state_bytes = domain::state_bytes_per_request(*mixer.linear) / deployment.tp});
      continue;
    }
    const double held = std::max(1.0, static_cast<double>(mixer.kv_heads) / deployment.tp);
    for (const domain::KvKept& kept : domain::kv_kept(mixer, kv_bytes)) {
      const bool is_cut = kept.window > 0 && kept.window < deployment.settings.max_model_len;
      add(kinds, {.layers = static_cast<double>(count),
                  .bytes_per_token = kept.bytes_per_token * held / mixer.kv_heads,
                  .window = is_cut ? kept.window : 0});
    }
  }
  return kinds;
}

double rounded_up(double tokens, int block_size) { return std::ceil(tokens / block_size) * block_size; }

/// What the board has for weights and cache, in bytes, beside what everything else takes.
double usable_bytes(const domain::ModelSpec& model, double memory_gib, const domain::Deployment& deployment, double multimodal_gib) {
  const double all = core::to_bytes(core::Gibibytes{memory_gib}).value * deployment.settings.gpu_mem_util;
  const double weights = domain::resident_weight_bytes(model) / (static_cast<double>(deployment.tp) * deployment.pp);
  const double activations = kActivationRows * deployment.settings.max_num_batched_tokens * model.hidden * model.activation_bytes;
  const double fixed = core::to_bytes(core::Gibibytes{kFixedOverheadGib + multimodal_gib}).value;
  return all - weights - activations - fixed;
}

}  // namespace

double kv_request_bytes(const domain::ModelSpec& model, const domain::Deployment& deployment, std::int64_t tokens) {
  const std::vector<Kind> kinds = kinds_of(model, deployment);
  double layers_in_group = 0.0;
  for (const Kind& kind : kinds) layers_in_group = layers_in_group == 0.0 ? kind.layers : std::min(layers_in_group, kind.layers);
  const int block_size = deployment.settings.block_size;
  double bytes = 0.0;
  for (const Kind& kind : kinds) {
    const double layers = std::ceil(kind.layers / layers_in_group) * layers_in_group;
    double kept = rounded_up(static_cast<double>(tokens), block_size);
    // A window that is not aligned with blocks reaches into one more.
    if (kind.window > 0) kept = std::min(kept, rounded_up(kind.window - 1.0, block_size) + block_size);
    bytes += layers * (kind.bytes_per_token * kept + kind.state_bytes);
  }
  return bytes / deployment.pp;
}

double kv_block_bytes(const domain::ModelSpec& model, const domain::Deployment& deployment) {
  const domain::EngineSettings& settings = deployment.settings;
  const std::vector<Kind> kinds = kinds_of(model, deployment);
  // Alike in every layer: exact, whatever the length.
  const bool is_hybrid = kinds.size() > 1 || (kinds.size() == 1 && (kinds.front().window > 0 || kinds.front().state_bytes > 0.0));
  const std::int64_t tokens = is_hybrid ? std::max(settings.max_model_len, settings.block_size) : settings.block_size;
  const double blocks = std::ceil(static_cast<double>(tokens) / settings.block_size);
  return kv_request_bytes(model, deployment, tokens) / blocks;
}

double KvEstimate::uncertainty() const {
  if (blocks <= 0) return high > 0 ? 1.0 : 0.0;
  return static_cast<double>(std::max(high - blocks, blocks - low)) / static_cast<double>(blocks);
}

KvEstimate estimate_kv(const domain::ModelSpec& model, const domain::GpuSpec& gpu, const domain::Deployment& deployment) {
  const double block_bytes = kv_block_bytes(model, deployment);
  if (block_bytes <= 0.0) return {};
  const auto blocks_in = [&](double memory_gib, double multimodal_gib) {
    return static_cast<std::int64_t>(
        std::max(0.0, std::floor(usable_bytes(model, memory_gib, deployment, multimodal_gib) / block_bytes)));
  };
  // A tower whose weights are known counts with the weights.
  const double tower_gib = 2.0 * model.vision_elements / core::to_bytes(core::Gibibytes{1.0}).value;
  const double multimodal_gib = is_multimodal(model) ? std::max(0.0, kMultimodalGib - tower_gib) : 0.0;
  const double memory_gib = reported_gib(gpu);
  const bool may_keep_codes = !gpu.reported_memory && !has_hbm(gpu);
  return {.blocks = blocks_in(memory_gib, multimodal_gib),
          .low = blocks_in(memory_gib * (may_keep_codes ? kShareBesideCodes : 1.0), multimodal_gib),
          .high = blocks_in(memory_gib, 0.0)};
}

std::int64_t estimate_kv_blocks(const domain::ModelSpec& model, const domain::GpuSpec& gpu, const domain::Deployment& deployment) {
  return estimate_kv(model, gpu, deployment).blocks;
}

}  // namespace rooftune::sim
