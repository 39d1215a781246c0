#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rooftune::domain {

/// multi_head_latent (MLA) loads as facts only: no step-time formula covers it yet.
enum class AttentionKind { multi_head, grouped_query, multi_head_latent };

/// Mixture of experts. A layer either has experts or is dense; the counts of both add up to ModelSpec::layers.
struct MoeSpec {
  int moe_layers = 0;
  int experts = 0;  ///< routed experts per MoE layer
  int experts_per_token = 0;
  int expert_ffn_width = 0;
  int shared_experts = 0;    ///< always active, beside the routed ones
  int shared_ffn_width = 0;  ///< width of one shared expert

  friend bool operator==(const MoeSpec&, const MoeSpec&) = default;
};

/// Multi-head latent attention (DeepSeek): queries and keys in two parts (with and without position), one compressed latent
/// per token in the KV cache instead of keys and values per head.
struct LatentAttentionSpec {
  int query_rank = 0;  ///< rank of the compressed query; 0: the query is not compressed
  int kv_rank = 0;     ///< rank of the compressed latent
  int nope_head_dim = 0;
  int rope_head_dim = 0;  ///< of the part with rotary position, which all heads share in the key
  int value_head_dim = 0;

  friend bool operator==(const LatentAttentionSpec&, const LatentAttentionSpec&) = default;
};

/// Bytes that one element takes in GPU memory, by place.
struct ElementWidths {
  double attention_weight_bytes = 2.0;
  double ffn_weight_bytes = 2.0;  ///< dense FFN and experts
  double embedding_bytes = 2.0;   ///< embedding table and LM head
  double kv_cache_bytes = 2.0;
  double activation_bytes = 2.0;
  bool attention_computes_fp8 = false;
  bool ffn_computes_fp8 = false;

  friend bool operator==(const ElementWidths&, const ElementWidths&) = default;
};

/// What a request without sampling parameters gets: vLLM takes the model's published generation_config.json.
struct DefaultSampling {
  std::optional<double> temperature;
  std::optional<double> top_p;
  std::optional<int> top_k;
  std::string source;  ///< where the facts come from

  /// Top-p or top-k sampling has to sort or scan the vocabulary each step.
  [[nodiscard]] bool truncates() const { return (top_p && *top_p < 1.0) || (top_k && *top_k > 0); }

  friend bool operator==(const DefaultSampling&, const DefaultSampling&) = default;
};

/// A transformer decoder, as far as its step time depends on it.
struct ModelSpec {
  std::string name;  ///< last component of the id: "Llama-2-7b-hf"
  std::string architecture;
  AttentionKind attention = AttentionKind::multi_head;
  int layers = 0;
  int hidden = 0;
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
  int ffn_width = 0;  ///< of dense layers
  int vocabulary = 0;
  bool tied_embeddings = false;
  int max_positions = 0;
  std::optional<MoeSpec> moe;
  std::optional<LatentAttentionSpec> latent_attention{};  ///< multi_head_latent only
  ElementWidths widths;
  std::optional<DefaultSampling> sampling;  ///< empty: unknown (warned about, treated as no truncation)
  std::string source;

  friend bool operator==(const ModelSpec&, const ModelSpec&) = default;

  [[nodiscard]] int dense_layers() const { return layers - (moe ? moe->moe_layers : 0); }
};

/// Elements of the attention projections (Q, K, V, O) of one layer.
[[nodiscard]] double attention_weight_elements(const ModelSpec& model);
/// Elements of one dense gated FFN (gate, up, down) of the given width.
[[nodiscard]] double ffn_weight_elements(const ModelSpec& model, int width);
/// Bytes of all weights of the model on all its GPUs together.
[[nodiscard]] double resident_weight_bytes(const ModelSpec& model);
/// Bytes that one token occupies in the KV cache, over all layers and all GPUs.
[[nodiscard]] double kv_bytes_per_token(const ModelSpec& model);

/// Last component of a model id: "meta-llama/Llama-2-7b-hf" -> "Llama-2-7b-hf".
[[nodiscard]] std::string_view short_model_name(std::string_view id);
/// The model called `id` (full id or last component, case-insensitive), or null.
[[nodiscard]] const ModelSpec* find_model(const std::vector<ModelSpec>& models, std::string_view id);

}  // namespace rooftune::domain
