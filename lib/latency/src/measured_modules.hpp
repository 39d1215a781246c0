#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/domain/model.hpp"
#include "rooftune/latency/operators.hpp"

/// Attention that kernel tables hold as whole modules, projections included: which models' dimensions they have.
namespace rooftune::latency {

/// A model whose latent attention was measured, whatever the number of heads.
struct MeasuredModule {
  std::string_view model;  ///< as the tables name it
  int hidden = 0;
  domain::LatentAttentionSpec latent;
  int index_heads = 0;  ///< of its indexer, keys of 128
};
inline constexpr MeasuredModule kDeepSeekModule{
    .model = "DeepSeek-V3.2",
    .hidden = 7168,
    .latent = {.query_rank = 1536, .kv_rank = 512, .nope_head_dim = 128, .rope_head_dim = 64, .value_head_dim = 128},
    .index_heads = 64};
inline constexpr MeasuredModule kGlmModule{
    .model = "GLM-5",
    .hidden = 6144,
    .latent = {.query_rank = 2048, .kv_rank = 512, .nope_head_dim = 192, .rope_head_dim = 64, .value_head_dim = 256},
    .index_heads = 32};
inline constexpr std::array kMeasuredModules{kDeepSeekModule, kGlmModule};

/// Heads of Mamba-2 that tables may have: a state of 128 by 64.
inline constexpr int kMambaStateSize = 128;
inline constexpr int kMambaHeadDim = 64;

/// What tables call a kind of linear attention.
[[nodiscard]] constexpr std::string_view linear_operator(domain::LinearKind kind) {
  switch (kind) {
    case domain::LinearKind::gated_delta_net: return "gdn";
    case domain::LinearKind::kimi_delta: return "kda";
    case domain::LinearKind::mamba2: return "mamba2";
  }
  return "";
}

[[nodiscard]] inline bool has_dimensions(const MeasuredModule& module, const Attention& attention, const std::vector<Gemm>& products) {
  const auto q_a = std::ranges::find(products, "q_a", &Gemm::name);
  if (!attention.latent || *attention.latent != module.latent || q_a == products.end() || q_a->k != module.hidden) return false;
  // Layers that take another one's choice have no indexer of their own: their module was not measured.
  constexpr int kIndexHeadDim = 128;
  return !attention.sparse ||
         (attention.sparse->index_heads == module.index_heads && attention.sparse->index_head_dim == kIndexHeadDim);
}

/// The module that has these dimensions, or null.
[[nodiscard]] inline const MeasuredModule* measured_module(const Attention& attention, const std::vector<Gemm>& products) {
  const auto* found = std::ranges::find_if(kMeasuredModules,
                                           [&](const MeasuredModule& module) { return has_dimensions(module, attention, products); });
  return found != kMeasuredModules.end() ? found : nullptr;
}

/// Weights of a module's products with `heads` on one GPU: what its time for a prompt goes by.
[[nodiscard]] inline double module_elements(const MeasuredModule& module, std::int64_t heads) {
  const domain::LatentAttentionSpec& latent = module.latent;
  const double per_head = static_cast<double>(latent.query_rank) * (latent.nope_head_dim + latent.rope_head_dim) +
                          static_cast<double>(latent.kv_rank) * (latent.nope_head_dim + latent.value_head_dim) +
                          static_cast<double>(latent.value_head_dim) * module.hidden;
  return static_cast<double>(module.hidden) * (latent.query_rank + latent.kv_rank + latent.rope_head_dim) +
         static_cast<double>(heads) * per_head;
}

}  // namespace rooftune::latency
