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

/// Attention of a model that was measured, whatever the number of heads. What is 0 does not matter, or is not there.
struct MeasuredModule {
  std::string_view op;  ///< as the tables name both
  std::string_view model;
  int hidden = 0;
  domain::LatentAttentionSpec latent{};
  int query_rank = 0;  ///< compressed attention
  int head_dim = 0;
  int tokens_per_entry = 1;
  int attended_entries = 0;
  int index_heads = 0;  ///< of its indexer, keys of 128

  [[nodiscard]] bool is_latent() const { return latent.kv_rank > 0; }
};
inline constexpr MeasuredModule kDeepSeekModule{
    .op = "dsa",
    .model = "DeepSeek-V3.2",
    .hidden = 7168,
    .latent = {.query_rank = 1536, .kv_rank = 512, .nope_head_dim = 128, .rope_head_dim = 64, .value_head_dim = 128},
    .index_heads = 64};
inline constexpr MeasuredModule kGlmModule{
    .op = "dsa",
    .model = "GLM-5",
    .hidden = 6144,
    .latent = {.query_rank = 2048, .kv_rank = 512, .nope_head_dim = 192, .rope_head_dim = 64, .value_head_dim = 256},
    .index_heads = 32};
inline constexpr MeasuredModule kMiniMaxModule{
    .op = "msa", .model = "MiniMax-M3", .hidden = 6144, .head_dim = 128, .attended_entries = 2048, .index_heads = 4};
/// DeepSeek-V4 in two sizes, each with layers whose indexer chooses among entries of 4 tokens, and layers of entries of 128.
inline constexpr MeasuredModule kFlashModule{.op = "dsv4_csa",
                                             .model = "DeepSeek-V4-Flash",
                                             .hidden = 4096,
                                             .query_rank = 1024,
                                             .head_dim = 512,
                                             .tokens_per_entry = 4,
                                             .attended_entries = 512,
                                             .index_heads = 64};
inline constexpr MeasuredModule kFlashHeavyModule{
    .op = "dsv4_hca", .model = "DeepSeek-V4-Flash", .hidden = 4096, .query_rank = 1024, .head_dim = 512, .tokens_per_entry = 128};
inline constexpr MeasuredModule kProModule{.op = "dsv4_csa",
                                           .model = "DeepSeek-V4-Pro",
                                           .hidden = 7168,
                                           .query_rank = 1536,
                                           .head_dim = 512,
                                           .tokens_per_entry = 4,
                                           .attended_entries = 1024,
                                           .index_heads = 64};
inline constexpr MeasuredModule kProHeavyModule{
    .op = "dsv4_hca", .model = "DeepSeek-V4-Pro", .hidden = 7168, .query_rank = 1536, .head_dim = 512, .tokens_per_entry = 128};
inline constexpr std::array kMeasuredModules{kDeepSeekModule,   kGlmModule, kMiniMaxModule, kFlashModule,
                                             kFlashHeavyModule, kProModule, kProHeavyModule};

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

/// A product of the attention at this place among the operators, or null.
[[nodiscard]] inline const Gemm* product_of(const std::vector<Gemm>& products, int place, std::string_view name) {
  const auto found = std::ranges::find_if(products, [&](const Gemm& gemm) { return gemm.attention == place && gemm.name == name; });
  return found != products.end() ? &*found : nullptr;
}

/// The last product, whose format tells the module's: "o", or, in blocks of low rank, "o_b".
[[nodiscard]] inline const Gemm* output_of(const std::vector<Gemm>& products, int place) {
  const Gemm* output = product_of(products, place, "o");
  return output != nullptr ? output : product_of(products, place, "o_b");
}

/// What chooses the entries, and of which size they are. Layers that take another one's choice have no indexer of their own: their
/// module was not measured.
[[nodiscard]] inline bool chooses_alike(const MeasuredModule& module, const domain::SparseSpec& sparse) {
  constexpr int kIndexHeadDim = 128;
  return sparse.index_heads == module.index_heads && (module.index_heads == 0 || sparse.index_head_dim == kIndexHeadDim) &&
         sparse.tokens_per_entry == module.tokens_per_entry &&
         (module.attended_entries == 0 || sparse.attended_entries == module.attended_entries);
}

[[nodiscard]] inline bool has_dimensions(const MeasuredModule& module, const Attention& attention, const std::vector<Gemm>& products,
                                         int place) {
  const Gemm* const q_a = product_of(products, place, "q_a");
  if (module.is_latent()) {
    const bool is_same = attention.latent && *attention.latent == module.latent && q_a != nullptr && q_a->k == module.hidden;
    return is_same && (!attention.sparse || chooses_alike(module, *attention.sparse));
  }
  if (attention.latent || !attention.sparse || attention.head_dim != module.head_dim) return false;
  const Gemm* const queries = module.query_rank > 0 ? q_a : product_of(products, place, "qkv");
  if (queries == nullptr || queries->k != module.hidden) return false;
  return (module.query_rank == 0 || queries->n == module.query_rank) && chooses_alike(module, *attention.sparse);
}

/// The module that has the dimensions of the attention at this place, or null.
[[nodiscard]] inline const MeasuredModule* measured_module(const Attention& attention, const std::vector<Gemm>& products, int place) {
  const auto* found = std::ranges::find_if(
      kMeasuredModules, [&](const MeasuredModule& module) { return has_dimensions(module, attention, products, place); });
  return found != kMeasuredModules.end() ? found : nullptr;
}

/// Weights of a latent module's products with `heads` on one GPU: what its time for a prompt goes by.
[[nodiscard]] inline double module_elements(const MeasuredModule& module, std::int64_t heads) {
  const domain::LatentAttentionSpec& latent = module.latent;
  const double per_head = static_cast<double>(latent.query_rank) * (latent.nope_head_dim + latent.rope_head_dim) +
                          static_cast<double>(latent.kv_rank) * (latent.nope_head_dim + latent.value_head_dim) +
                          static_cast<double>(latent.value_head_dim) * module.hidden;
  return static_cast<double>(module.hidden) * (latent.query_rank + latent.kv_rank + latent.rope_head_dim) +
         static_cast<double>(heads) * per_head;
}

}  // namespace rooftune::latency
