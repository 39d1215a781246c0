#include "rooftune/domain/layers.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace rooftune::domain {
namespace {

Linear matrix(std::string name, int inputs, int outputs, Split split) {
  return {.name = std::move(name), .inputs = inputs, .outputs = outputs, .split = split};
}

void add_ffn(Ffn& ffn, int hidden, int width, const std::string& prefix) {
  ffn.linears.push_back(matrix(prefix + (ffn.gated ? "gate_up" : "up"), hidden, (ffn.gated ? 2 : 1) * width, Split::outputs));
  ffn.linears.push_back(matrix(prefix + "down", width, hidden, Split::inputs));
}

}  // namespace

Mixer attention(int hidden, const AttentionShape& shape, MixerKind kind, int window) {
  const int value_head_dim = shape.value_head_dim > 0 ? shape.value_head_dim : shape.head_dim;
  const int query_width = shape.heads * shape.head_dim * (shape.gated_output ? 2 : 1);
  const int kv_width = shape.kv_heads * (shape.head_dim + (shape.values_are_keys ? 0 : value_head_dim));
  Mixer mixer{.kind = kind,
              .heads = shape.heads,
              .kv_heads = shape.kv_heads,
              .head_dim = shape.head_dim,
              .value_head_dim = value_head_dim,
              .norm_spans_heads = shape.norm_spans_heads,
              .window = window};
  Linear qkv = matrix("qkv", hidden, query_width + kv_width, Split::outputs);
  qkv.kv_outputs = kv_width;
  qkv.kv_heads = shape.kv_heads;
  mixer.linears = {std::move(qkv), matrix("o", shape.heads * value_head_dim, hidden, Split::inputs)};
  return mixer;
}

void share_cache(Mixer& mixer) {
  mixer.shares_cache = true;
  for (Linear& linear : mixer.linears) {
    linear.outputs -= linear.kv_outputs;
    linear.kv_outputs = 0;
    linear.kv_heads = 0;
  }
}

Mixer latent_attention(int hidden, int heads, const LatentAttentionSpec& latent) {
  const int query_width = heads * (latent.nope_head_dim + latent.rope_head_dim);
  Mixer mixer{.kind = MixerKind::latent,
              .heads = heads,
              .kv_heads = 1,  // the latent
              .head_dim = latent.nope_head_dim + latent.rope_head_dim,
              .value_head_dim = latent.value_head_dim,
              .latent = latent};
  if (latent.query_rank > 0) {
    mixer.linears.push_back(matrix("q_a", hidden, latent.query_rank, Split::nothing));
    mixer.linears.push_back(matrix("q_b", latent.query_rank, query_width, Split::outputs));
  } else {
    mixer.linears.push_back(matrix("q", hidden, query_width, Split::outputs));
  }
  mixer.linears.push_back(matrix("kv_a", hidden, latent.kv_rank + latent.rope_head_dim, Split::nothing));
  mixer.linears.push_back(matrix("kv_b", latent.kv_rank, heads * (latent.nope_head_dim + latent.value_head_dim), Split::outputs));
  mixer.linears.push_back(matrix("o", heads * latent.value_head_dim, hidden, Split::inputs));
  return mixer;
}

void add_indexer(Mixer& mixer, int hidden, int query_inputs, const SparseSpec& sparse) {
  mixer.sparse = sparse;
  if (sparse.index_heads == 0) return;
  // Every GPU scores the whole context for itself.
  mixer.linears.push_back(matrix("index_q", query_inputs, sparse.index_heads * sparse.index_head_dim, Split::nothing));
  mixer.linears.push_back(matrix("index_k", hidden, sparse.index_head_dim, Split::nothing));
  mixer.linears.push_back(matrix("index_weights", hidden, sparse.index_heads, Split::nothing));
}

Mixer compressed_attention(int hidden, const CompressedAttentionShape& shape) {
  Mixer mixer{.kind = MixerKind::sliding_window,
              .heads = shape.heads,
              .kv_heads = 1,
              .head_dim = shape.head_dim,
              .value_head_dim = shape.head_dim,
              .keys_are_values = true,
              .window = shape.window};
  Linear output_a = matrix("o_a", shape.heads * shape.head_dim, shape.output_groups * shape.output_rank, Split::outputs);
  output_a.blocks = shape.output_groups;
  mixer.linears = {matrix("q_a", hidden, shape.query_rank, Split::nothing),
                   matrix("q_b", shape.query_rank, shape.heads * shape.head_dim, Split::outputs),
                   matrix("kv_a", hidden, shape.head_dim, Split::nothing), std::move(output_a),
                   matrix("o_b", shape.output_groups * shape.output_rank, hidden, Split::inputs)};
  if (shape.tokens_per_entry == 0) return mixer;
  // Entries of few tokens overlap: each is made of two rows per token, and each row has a gate as wide as itself.
  constexpr int kOverlapping = 4;
  const int rows = shape.tokens_per_entry == kOverlapping ? 2 : 1;
  SparseSpec sparse{.attended_entries = shape.attended_entries, .tokens_per_entry = shape.tokens_per_entry};
  mixer.linears.push_back(matrix("compress", hidden, 2 * rows * shape.head_dim, Split::nothing));
  if (shape.index_heads > 0) {
    sparse.index_heads = shape.index_heads;
    sparse.index_head_dim = shape.index_head_dim;
    sparse.index_bytes_per_entry = shape.index_head_dim;  // FP8
    mixer.linears.push_back(matrix("index_q", shape.query_rank, shape.index_heads * shape.index_head_dim, Split::nothing));
    mixer.linears.push_back(matrix("index_k", hidden, 2 * rows * shape.index_head_dim, Split::nothing));
    mixer.linears.push_back(matrix("index_weights", hidden, shape.index_heads, Split::nothing));
  }
  mixer.sparse = sparse;
  return mixer;
}

Mixer gated_delta_net(int hidden, int key_heads, int value_heads, int key_dim, int value_dim, int kernel, double state_bytes) {
  const int keys = key_heads * key_dim;
  const int values = value_heads * value_dim;
  Mixer mixer{.kind = MixerKind::linear, .heads = value_heads};
  mixer.linear = LinearAttentionSpec{.kind = LinearKind::gated_delta_net,
                                     .heads = value_heads,
                                     .key_dim = key_dim,
                                     .value_dim = value_dim,
                                     .convolved = 2 * keys + values,
                                     .kernel = kernel,
                                     .state_bytes = state_bytes};
  // Queries, keys, values and the output gate; a decay and a step width per head.
  mixer.linears = {matrix("in", hidden, 2 * keys + 2 * values, Split::outputs),
                   matrix("beta", hidden, 2 * value_heads, Split::outputs), matrix("out", values, hidden, Split::inputs)};
  return mixer;
}

Mixer kimi_delta_attention(int hidden, int heads, int head_dim, int kernel, bool full_rank_gate) {
  const int width = heads * head_dim;
  Mixer mixer{.kind = MixerKind::linear, .heads = heads};
  mixer.linear = LinearAttentionSpec{.kind = LinearKind::kimi_delta,
                                     .heads = heads,
                                     .key_dim = head_dim,
                                     .value_dim = head_dim,
                                     .convolved = 3 * width,
                                     .kernel = kernel};
  mixer.linears = {matrix("in", hidden, 3 * width, Split::outputs), matrix("decay_a", hidden, head_dim, Split::nothing),
                   matrix("decay_b", head_dim, width, Split::outputs), matrix("beta", hidden, heads, Split::outputs)};
  if (full_rank_gate) {
    mixer.linears.push_back(matrix("gate", hidden, width, Split::outputs));
  } else {
    mixer.linears.push_back(matrix("gate_a", hidden, head_dim, Split::nothing));
    mixer.linears.push_back(matrix("gate_b", head_dim, width, Split::outputs));
  }
  mixer.linears.push_back(matrix("out", width, hidden, Split::inputs));
  return mixer;
}

Mixer mamba2(int hidden, int heads, int head_dim, int groups, int state_size, int kernel, double state_bytes) {
  const int inner = heads * head_dim;
  const int shared = 2 * groups * state_size;  // B and C
  Mixer mixer{.kind = MixerKind::linear, .heads = heads};
  mixer.linear = LinearAttentionSpec{.kind = LinearKind::mamba2,
                                     .heads = heads,
                                     .key_dim = state_size,
                                     .value_dim = head_dim,
                                     .convolved = inner + shared,
                                     .kernel = kernel,
                                     .state_bytes = state_bytes};
  mixer.linears = {matrix("in", hidden, 2 * inner + shared + heads, Split::outputs), matrix("out", inner, hidden, Split::inputs)};
  return mixer;
}

Ffn dense_ffn(int hidden, int width, bool gated) {
  Ffn ffn{.gated = gated, .width = width};
  add_ffn(ffn, hidden, width, "");
  return ffn;
}

Ffn moe_ffn(int hidden, const MoeShape& shape) {
  const int inputs = shape.latent > 0 ? shape.latent : hidden;
  Ffn ffn{.gated = shape.gated, .width = shape.dense_width, .shared_width = shape.shared_width};
  ffn.experts = Experts{.count = shape.experts,
                        .per_token = shape.experts_per_token,
                        .inputs = inputs,
                        .width = shape.expert_width,
                        .gated = shape.gated};
  if (shape.dense_width > 0) add_ffn(ffn, hidden, shape.dense_width, "");
  ffn.linears.push_back(matrix("router", hidden, shape.experts, Split::nothing));
  if (shape.shared_width > 0) add_ffn(ffn, hidden, shape.shared_width, "shared_");
  if (shape.shared_gate) ffn.linears.push_back(matrix("shared_gate", hidden, 1, Split::nothing));
  if (shape.latent > 0) {
    ffn.linears.push_back(matrix("latent_in", hidden, shape.latent, Split::nothing));
    ffn.linears.push_back(matrix("latent_out", shape.latent, hidden, Split::nothing));
  }
  return ffn;
}

void store(Mixer& mixer, const Stored& stored) {
  for (Linear& linear : mixer.linears) linear.stored = stored;
}

void store(Ffn& ffn, const Stored& stored) {
  for (Linear& linear : ffn.linears) {
    if (linear.name != "router" && linear.name != "shared_gate") linear.stored = stored;
  }
  if (ffn.experts) ffn.experts->stored = stored;
}

std::vector<LayerGroup> decoder_layers(const DecoderShape& shape) {
  Layer layer{.mixer = shape.latent ? latent_attention(shape.hidden, shape.attention.heads, *shape.latent)
                                    : attention(shape.hidden, shape.attention),
              .ffn = {}};
  store(layer.mixer, shape.attention_stored);
  std::vector<LayerGroup> groups;
  if (const int dense = shape.layers - shape.moe_layers; dense > 0) {
    layer.ffn = dense_ffn(shape.hidden, shape.ffn_width);
    store(layer.ffn, shape.ffn_stored);
    groups.push_back({.count = dense, .layer = layer});
  }
  if (shape.moe_layers > 0) {
    layer.ffn = moe_ffn(shape.hidden, shape.moe);
    store(layer.ffn, shape.ffn_stored);
    if (shape.experts_stored) layer.ffn.experts->stored = *shape.experts_stored;
    groups.push_back({.count = shape.moe_layers, .layer = layer});
  }
  return groups;
}

}  // namespace rooftune::domain
