#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rooftune::domain {

/// How weights are stored and multiplied. A GPU without units for a format reads its bytes and computes in bf16; so does every
/// GPU for the weight-only formats.
enum class WeightFormat { bf16, fp8, fp8_block, int8, int8_weight_only, int4_weight_only, mxfp4, nvfp4 };

/// "bf16", "fp8_block" ...
[[nodiscard]] std::string_view weight_format_name(WeightFormat format);

/// How one group of weights is kept.
struct Stored {
  WeightFormat format = WeightFormat::bf16;
  double bytes = 2.0;  ///< per element, the scales of quantised weights included

  friend bool operator==(const Stored&, const Stored&) = default;
};

/// What tensor parallelism divides of a matrix: its outputs, its inputs, or nothing (every GPU holds and computes all of it).
enum class Split { outputs, inputs, nothing };

/// One matrix product as an engine runs it: what it fuses (Q, K and V; gate and up) is one.
struct Linear {
  std::string name;  ///< "qkv", "o", "gate_up", "down" ... (layers.hpp)
  int inputs = 0;
  int outputs = 0;
  Split split = Split::nothing;
  int kv_outputs = 0;  ///< of the outputs: keys and values, whole heads of which are replicated where there are more GPUs
  int kv_heads = 0;    ///< so many heads make up kv_outputs
  int blocks = 1;      ///< block-diagonal: so many independent products, each of an equal share of inputs and outputs
  Stored stored{};

  friend bool operator==(const Linear&, const Linear&) = default;
};

/// Weights of a matrix; of a block-diagonal one only those in its blocks.
[[nodiscard]] double elements(const Linear& linear);

/// How a layer mixes tokens. Full attention, with keys and values per KV head; the same over the last `window` tokens; over the
/// chunk of `window` tokens that the token is in; multi-head latent attention (MLA: one compressed latent per token); linear
/// attention and state-space layers (a state of constant size per request).
enum class MixerKind { none, full_attention, sliding_window, chunked, latent, linear };

/// "full attention", "sliding window" ...
[[nodiscard]] std::string_view mixer_kind_name(MixerKind kind);

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

/// Sparse attention: an indexer scores the context and each token attends to the best of it (DeepSeek DSA, MiniMax MSA). Where
/// the cache is compressed (DeepSeek-V4 CSA and HCA), `tokens_per_entry` tokens share one entry of it, and the last
/// `Mixer::window` tokens are attended to uncompressed beside that.
struct SparseSpec {
  int attended_entries = 0;  ///< at most; 0: all
  int tokens_per_entry = 1;
  int index_heads = 0;                 ///< 0: no indexer, what is attended to is fixed
  int index_head_dim = 0;              ///< of the one key per entry that the indexer keeps
  double index_bytes_per_entry = 0.0;  ///< bytes of that key, its scale included

  friend bool operator==(const SparseSpec&, const SparseSpec&) = default;
};

enum class LinearKind { gated_delta_net, kimi_delta, mamba2 };

[[nodiscard]] std::string_view linear_kind_name(LinearKind kind);

/// Linear attention: per head a state of key_dim x value_dim instead of a KV cache, behind a short convolution over time.
struct LinearAttentionSpec {
  LinearKind kind = LinearKind::gated_delta_net;
  int heads = 0;  ///< of the state
  int key_dim = 0;
  int value_dim = 0;
  int convolved = 0;  ///< channels of the convolution
  int kernel = 0;     ///< its length in tokens
  double state_bytes = 4.0;
  double convolution_bytes = 2.0;

  friend bool operator==(const LinearAttentionSpec&, const LinearAttentionSpec&) = default;
};

/// Heads of queries and keys: what the convolution passes beside the values (at least one on a GPU).
[[nodiscard]] std::int64_t key_heads(const LinearAttentionSpec& linear);

/// What one layer does between tokens.
struct Mixer {
  MixerKind kind = MixerKind::none;
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
  int value_head_dim = 0;
  bool keys_are_values = false;   ///< one row of the cache serves as both
  bool shares_cache = false;      ///< reads the cache of an earlier layer and keeps none of its own (Gemma 4)
  bool norm_spans_heads = false;  ///< queries and keys are normalised over all heads: GPUs that share them add up their squares
  int window = 0;                 ///< tokens, of sliding_window and chunked
  std::optional<LatentAttentionSpec> latent{};
  std::optional<SparseSpec> sparse{};
  std::optional<LinearAttentionSpec> linear{};
  std::vector<Linear> linears{};

  friend bool operator==(const Mixer&, const Mixer&) = default;
};

/// Routed experts of one layer.
struct Experts {
  int count = 0;
  int per_token = 0;
  int inputs = 0;  ///< width that an expert reads and writes: the hidden size, or a latent's
  int width = 0;
  bool gated = true;  ///< three matrices (gate, up, down), else two
  Stored stored{};

  friend bool operator==(const Experts&, const Experts&) = default;
};

/// Weights of one expert.
[[nodiscard]] double elements(const Experts& experts);

/// What one layer does to every token by itself: a dense FFN, routed experts, both, or nothing.
struct Ffn {
  bool gated = true;     ///< of the dense and the shared part
  int width = 0;         ///< of the dense part
  int shared_width = 0;  ///< of all shared experts together
  std::optional<Experts> experts{};
  std::vector<Linear> linears{};  ///< dense part, shared experts, router

  [[nodiscard]] bool is_none() const { return width == 0 && !experts; }
  friend bool operator==(const Ffn&, const Ffn&) = default;
};

struct Layer {
  Mixer mixer{};
  Ffn ffn{};

  friend bool operator==(const Layer&, const Layer&) = default;
};

/// Equal layers, wherever in the model they are.
struct LayerGroup {
  int count = 0;
  Layer layer;

  friend bool operator==(const LayerGroup&, const LayerGroup&) = default;
};

/// Equal layers together, in the order in which they first occur.
[[nodiscard]] std::vector<LayerGroup> group_layers(const std::vector<Layer>& layers);

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

/// Multi-head attention, grouped-query attention, latent attention: by what most attention layers are. `none`: no attention.
enum class AttentionKind { multi_head, grouped_query, multi_head_latent, none };

/// A decoder, as far as its memory and its step time depend on it.
struct ModelSpec {
  std::string name;  ///< last component of the id: "Llama-2-7b-hf"
  std::string architecture;
  int hidden = 0;
  int vocabulary = 0;
  bool tied_embeddings = false;
  int max_positions = 0;
  std::vector<LayerGroup> groups;
  Stored embedding{};
  Stored lm_head{};
  double kv_cache_bytes = 2.0;  ///< per element
  double activation_bytes = 2.0;
  double vision_elements = 0.0;       ///< weights of vision and audio towers, in 16 bits: they take memory, no step time is counted
  double layer_input_elements = 0.0;  ///< weights of embeddings per layer (Gemma 4): looked up for every token, not multiplied
  double prediction_elements = 0.0;   ///< weights of multi-token-prediction layers: loaded only for speculative decoding
  std::optional<DefaultSampling> sampling;  ///< empty: unknown (warned about, treated as no truncation)
  std::vector<std::string> notes;           ///< what of the model is not modelled or was filled in, each with its size
  std::string source;

  friend bool operator==(const ModelSpec&, const ModelSpec&) = default;

  [[nodiscard]] int layers() const;
  [[nodiscard]] int mixers() const;  ///< layers that mix tokens
  [[nodiscard]] int ffns() const;    ///< layers with a dense FFN or experts
  [[nodiscard]] int moe_layers() const;
  [[nodiscard]] int dense_layers() const;  ///< layers with a dense FFN and no experts
  /// The attention that most layers have, or null: heads of tables and of reports.
  [[nodiscard]] const Mixer* attention() const;
  [[nodiscard]] AttentionKind attention_kind() const;
  /// The experts that most MoE layers have, or null.
  [[nodiscard]] const Experts* experts() const;
  [[nodiscard]] int shared_width() const;  ///< of those layers
  /// The widest dense FFN; 0 where there is none.
  [[nodiscard]] int ffn_width() const;
};

/// Weights by where they are used. Norms and biases are left out: below a thousandth.
struct ParameterCount {
  double total = 0.0;   ///< without vision towers and prediction layers
  double active = 0.0;  ///< multiplied for one token: the LM head counts, the input embedding and those per layer do not
};
[[nodiscard]] ParameterCount count_parameters(const ModelSpec& model);

/// Weights of the linear layers of one mixer.
[[nodiscard]] double weight_elements(const Mixer& mixer);
/// Bytes of all weights of the model on all its GPUs together: vision towers counted, prediction layers not.
[[nodiscard]] double resident_weight_bytes(const ModelSpec& model);

/// What a layer keeps of every token of a request, over all GPUs.
struct KvKept {
  double bytes_per_token = 0.0;
  int window = 0;  ///< only the last so many tokens are kept; 0: all
};
/// A layer whose cache is compressed keeps a window and the compressed rest: two entries.
[[nodiscard]] std::vector<KvKept> kv_kept(const Mixer& mixer, double bytes_per_element);
/// Over all layers, of a request that no window has cut yet.
[[nodiscard]] double kv_bytes_per_token(const ModelSpec& model);
/// Bytes of state that one request keeps whatever its length, over all GPUs.
[[nodiscard]] double state_bytes_per_request(const LinearAttentionSpec& linear);
[[nodiscard]] double state_bytes_per_request(const ModelSpec& model);

/// Last component of a model id: "meta-llama/Llama-2-7b-hf" -> "Llama-2-7b-hf".
[[nodiscard]] std::string_view short_model_name(std::string_view id);
/// Whether `id` (full id or last component, case-insensitive) means the model called `name`.
[[nodiscard]] bool names_model(std::string_view id, std::string_view name);
/// The model that `id` means, or null.
[[nodiscard]] const ModelSpec* find_model(const std::vector<ModelSpec>& models, std::string_view id);

}  // namespace rooftune::domain
