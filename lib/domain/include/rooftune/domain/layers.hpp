#pragma once

#include <optional>
#include <vector>

#include "rooftune/domain/model.hpp"

/// The kinds of layers, each as the matrix products that an engine runs. A reader of configs puts models together from these; a
/// new kind of layer is one more function here and its price in the step-time models (docs/adding_an_architecture.md).
///
/// Names of matrices, which quantisation and tables go by:
///   attention       qkv, o, gate               latent   q (or q_a, q_b), kv_a, kv_b, o, gate
///   sparse          index_q, index_k, index_weights, compress
///   linear          in, out, and of kimi_delta decay_a, decay_b, gate_a, gate_b (or gate), beta
///   FFN             gate_up (or up), down, and of Gemma 4 layer_input, layer_input_gate, layer_input_out      MoE      router, shared_gate_up, shared_down, shared_gate, latent_in, latent_out
namespace rooftune::domain {

struct AttentionShape {
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
  int value_head_dim = 0;         ///< 0: as head_dim
  bool gated_output = false;      ///< a gate as wide as the queries, fused with them (Qwen3.5)
  bool values_are_keys = false;   ///< no V projection: keys serve as values (Gemma 4's global layers)
  bool norm_spans_heads = false;  ///< one norm over the queries of all heads, one over their keys (MiniMax-M2)
};

/// Attention over everything (window 0), a sliding window, or chunks.
[[nodiscard]] Mixer attention(int hidden, const AttentionShape& shape, MixerKind kind = MixerKind::full_attention, int window = 0);

/// Makes a layer of full or windowed attention use the keys and values of an earlier one: it has no projections for them.
void share_cache(Mixer& mixer);

[[nodiscard]] Mixer latent_attention(int hidden, int heads, const LatentAttentionSpec& latent);

/// Adds an indexer to `mixer`. `query_inputs`: width of what its queries are made from (a compressed query, or the hidden state).
void add_indexer(Mixer& mixer, int hidden, int query_inputs, const SparseSpec& sparse);

/// Attention of DeepSeek-V4: one key-value row of `head_dim` for all heads, compressed by `sparse.tokens_per_entry` (0: not
/// kept beyond the window), and an output projection of `groups` low-rank blocks.
struct CompressedAttentionShape {
  int heads = 0;
  int head_dim = 0;
  int query_rank = 0;
  int output_rank = 0;
  int output_groups = 1;
  int window = 0;
  int tokens_per_entry = 0;  ///< 0: window only
  int attended_entries = 0;  ///< 0: all
  int index_heads = 0;
  int index_head_dim = 0;
};
[[nodiscard]] Mixer compressed_attention(int hidden, const CompressedAttentionShape& shape);

/// Qwen3-Next, Qwen3.5: `key_heads` of queries and keys, `value_heads` of values and states.
[[nodiscard]] Mixer gated_delta_net(int hidden, int key_heads, int value_heads, int key_dim, int value_dim, int kernel,
                                    double state_bytes = 4.0);

/// Kimi Linear: decay and output gate through a low rank of one head's width, or a gate of full rank.
[[nodiscard]] Mixer kimi_delta_attention(int hidden, int heads, int head_dim, int kernel, bool full_rank_gate);

/// Mamba-2: heads of `head_dim`, `groups` of shared B and C, a state of `state_size` per channel.
[[nodiscard]] Mixer mamba2(int hidden, int heads, int head_dim, int groups, int state_size, int kernel, double state_bytes);

[[nodiscard]] Ffn dense_ffn(int hidden, int width, bool gated = true);

struct MoeShape {
  int experts = 0;
  int experts_per_token = 0;
  int expert_width = 0;
  int shared_width = 0;      ///< of all shared experts together; 0: none
  bool shared_gate = false;  ///< a weight of its own per token for the shared expert (Qwen)
  int dense_width = 0;       ///< a dense FFN beside the experts (Gemma 4); 0: none
  int latent = 0;            ///< experts work on a projection of this width; 0: on the hidden state
  bool gated = true;
};
[[nodiscard]] Ffn moe_ffn(int hidden, const MoeShape& shape);

/// Sets how all matrices of a layer are kept (routers stay as they are); experts included.
void store(Mixer& mixer, const Stored& stored);
void store(Ffn& ffn, const Stored& stored);

/// The usual decoder: one kind of attention, dense layers first, then layers with experts.
struct DecoderShape {
  int layers = 0;
  int hidden = 0;
  AttentionShape attention{};
  std::optional<LatentAttentionSpec> latent{};
  int ffn_width = 0;  ///< of the dense layers
  int moe_layers = 0;
  MoeShape moe{};
  Stored attention_stored{};
  Stored ffn_stored{};
  std::optional<Stored> experts_stored{};  ///< routed experts; empty: as ffn_stored
};
[[nodiscard]] std::vector<LayerGroup> decoder_layers(const DecoderShape& shape);

}  // namespace rooftune::domain
