#include "rooftune/sim/kv_estimate.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "rooftune/core/limits.hpp"
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

/// Tokens per block come in multiples of this.
constexpr double kBlockStep = 16.0;

/// How vLLM's manager of hybrid caches lays layers out (vllm/v1/core/kv_cache_utils.py): layers of one kind in groups of equal
/// numbers, the last one filled up, so that a block of any group has the same bytes; the smaller pages hold more tokens.
struct Layout {
  double page_bytes = 0.0;  ///< of one layer's block on one GPU
  double layers_in_group = 0.0;
  std::vector<Kind> kinds;

  [[nodiscard]] double block_bytes() const { return page_bytes * layers_in_group; }
  [[nodiscard]] double groups(const Kind& kind) const { return std::ceil(kind.layers / layers_in_group); }
  [[nodiscard]] double groups() const {
    double sum = 0.0;
    for (const Kind& kind : kinds) sum += groups(kind);
    return sum;
  }
  [[nodiscard]] double block_tokens(const Kind& kind) const {
    return std::max(1.0, std::floor(page_bytes / (kBlockStep * kind.bytes_per_token))) * kBlockStep;
  }
  /// Blocks of all groups together.
  [[nodiscard]] double request_blocks(double tokens) const {
    double blocks = 0.0;
    for (const Kind& kind : kinds) {
      double own = 1.0;  // a state
      if (kind.bytes_per_token > 0.0) {
        own = std::ceil(tokens / block_tokens(kind));
        // A window that is not aligned with blocks reaches into one more.
        if (kind.window > 0) own = std::min(own, std::ceil((kind.window - 1.0) / block_tokens(kind)) + 1.0);
      }
      blocks += groups(kind) * own;
    }
    return blocks;
  }
};

Layout layout_of(const domain::ModelSpec& model, const domain::Deployment& deployment) {
  Layout layout{.kinds = kinds_of(model, deployment)};
  double per_token = 0.0;
  double state = 0.0;
  double most = 0.0;
  double fewest = 0.0;
  for (const Kind& kind : layout.kinds) {
    per_token = std::max(per_token, kind.bytes_per_token);
    state = std::max(state, kind.state_bytes);
    most = std::max(most, kind.layers);
    fewest = fewest == 0.0 ? kind.layers : std::min(fewest, kind.layers);
  }
  layout.page_bytes = deployment.settings.block_size * per_token;
  // Blocks of attention grow until a state fits into one.
  if (state > layout.page_bytes)
    layout.page_bytes = per_token > 0.0 ? std::ceil(state / (kBlockStep * per_token)) * kBlockStep * per_token : state;
  // Nearly equal numbers make one group each: the fewer are filled up.
  constexpr double kNearlyEqual = 1.25;
  layout.layers_in_group = most < kNearlyEqual * fewest ? most : fewest;
  return layout;
}

/// The engine counts blocks of one kind, as many per token whatever the request. So many of them hold what `blocks` of the layout
/// hold of requests of `tokens`.
double in_blocks_of_the_engine(const Layout& layout, const domain::Deployment& deployment, double blocks, double tokens) {
  return blocks * std::ceil(tokens / deployment.settings.block_size) / layout.request_blocks(tokens);
}

double or_longest(std::int64_t request_tokens, const domain::Deployment& deployment) {
  const domain::EngineSettings& settings = deployment.settings;
  const std::int64_t longest = std::max(settings.max_model_len, settings.block_size);
  return static_cast<double>(request_tokens > 0 ? std::min(request_tokens, longest) : longest);
}

/// What the board has for weights and cache, in bytes, beside what everything else takes.
double usable_bytes(const domain::ModelSpec& model, double memory_gib, const domain::Deployment& deployment, double multimodal_gib) {
  const double all = core::to_bytes(core::Gibibytes{memory_gib}).value * deployment.settings.gpu_mem_util;
  const double weights = latency::weight_bytes_of_one_gpu(model, deployment);
  const double activations = kActivationRows * deployment.settings.max_num_batched_tokens * model.hidden * model.activation_bytes;
  const double fixed = core::to_bytes(core::Gibibytes{kFixedOverheadGib + multimodal_gib}).value;
  return all - weights - activations - fixed;
}

}  // namespace

double kv_request_bytes(const domain::ModelSpec& model, const domain::Deployment& deployment, std::int64_t tokens) {
  const Layout layout = layout_of(model, deployment);
  return layout.kinds.empty() ? 0.0 : layout.request_blocks(static_cast<double>(tokens)) * layout.block_bytes() / deployment.pp;
}

double kv_block_bytes(const domain::ModelSpec& model, const domain::Deployment& deployment, std::int64_t request_tokens) {
  const double tokens = or_longest(request_tokens, deployment);
  return kv_request_bytes(model, deployment, static_cast<std::int64_t>(tokens)) / std::ceil(tokens / deployment.settings.block_size);
}

std::int64_t logged_pool_blocks(const domain::ModelSpec& model, const domain::Deployment& deployment, std::int64_t logged,
                                std::int64_t request_tokens) {
  const Layout layout = layout_of(model, deployment);
  const bool is_plain = layout.kinds.size() <= 1 && (layout.kinds.empty() || layout.kinds.front().window == 0);
  if (is_plain || logged <= 0) return logged;
  double block_tokens = 0.0;  // the smallest, as vLLM counts them
  for (const Kind& kind : layout.kinds) {
    if (kind.bytes_per_token <= 0.0) continue;
    block_tokens = block_tokens == 0.0 ? layout.block_tokens(kind) : std::min(block_tokens, layout.block_tokens(kind));
  }
  if (block_tokens == 0.0) return logged;  // states alone
  const double tokens = static_cast<double>(logged) * deployment.settings.block_size;
  const double blocks = tokens / block_tokens * layout.groups();
  return std::max<std::int64_t>(
      1, static_cast<std::int64_t>(in_blocks_of_the_engine(layout, deployment, blocks, or_longest(request_tokens, deployment))));
}

double KvEstimate::uncertainty() const {
  if (blocks <= 0) return high > 0 ? 1.0 : 0.0;
  return static_cast<double>(std::max(high - blocks, blocks - low)) / static_cast<double>(blocks);
}

KvEstimate estimate_kv(const domain::ModelSpec& model, const domain::GpuSpec& gpu, const domain::Deployment& deployment,
                       std::int64_t request_tokens) {
  const Layout layout = layout_of(model, deployment);
  if (layout.block_bytes() <= 0.0) return {};
  const double tokens = or_longest(request_tokens, deployment);
  const auto blocks_in = [&](double memory_gib, double multimodal_gib) {
    const double bytes = usable_bytes(model, memory_gib, deployment, multimodal_gib);
    const double blocks = std::max(0.0, std::floor(bytes * deployment.pp / layout.block_bytes()));
    const double of_the_engine = in_blocks_of_the_engine(layout, deployment, blocks, tokens);
    return static_cast<std::int64_t>(std::min<double>(core::limits::kKvBlocks, of_the_engine));
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

std::int64_t estimate_kv_blocks(const domain::ModelSpec& model, const domain::GpuSpec& gpu, const domain::Deployment& deployment,
                                std::int64_t request_tokens) {
  return estimate_kv(model, gpu, deployment, request_tokens).blocks;
}

}  // namespace rooftune::sim
