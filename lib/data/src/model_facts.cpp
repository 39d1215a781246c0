#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "model_form.hpp"
#include "rooftune/core/limits.hpp"

namespace rooftune::data {
namespace {

using domain::ModelSpec;

constexpr std::array<text::Choice<int>, 1> kModelSchemas{{{"rooftune/model/1", 1}}};

void read_moe(const text::Node& node, domain::DecoderShape& shape, text::Problems& problems) {
  text::ObjectReader reader(node, problems, "'moe'");
  reader.required("layers", shape.moe_layers, text::counted(1, core::limits::kLayers));
  reader.required("experts", shape.moe.experts, text::counted(2, core::limits::kModelWidth));
  reader.required("experts_per_token", shape.moe.experts_per_token, text::counted(1, core::limits::kModelWidth));
  reader.required("expert_ffn_width", shape.moe.expert_width, text::counted(1, core::limits::kModelWidth));
  int shared_experts = 0;
  int shared_width = 0;
  if (reader.optional("shared_experts", shared_experts, text::counted(0, core::limits::kModelWidth)) && shared_experts > 0) {
    reader.required("shared_ffn_width", shared_width, text::counted(1, core::limits::kModelWidth));
  }
  shape.moe.shared_width = shared_experts * shared_width;
}

void read_latent_attention(const text::Node& node, domain::DecoderShape& shape, text::Problems& problems) {
  domain::LatentAttentionSpec latent;
  text::ObjectReader reader(node, problems, "'latent_attention'");
  reader.optional("query_rank", latent.query_rank, text::counted(1, core::limits::kModelWidth));
  reader.required("kv_rank", latent.kv_rank, text::counted(1, core::limits::kModelWidth));
  reader.required("nope_head_dim", latent.nope_head_dim, text::counted(1, core::limits::kModelWidth));
  reader.required("rope_head_dim", latent.rope_head_dim, text::counted(1, core::limits::kModelWidth));
  reader.required("value_head_dim", latent.value_head_dim, text::counted(1, core::limits::kModelWidth));
  shape.latent = latent;
}

void read_bytes(const text::Node& node, domain::DecoderShape& shape, ModelSpec& model, text::Problems& problems) {
  text::ObjectReader reader(node, problems, "'bytes_per_element'");
  const text::Range bytes = text::above_up_to(0, 4);
  reader.optional("attention_weights", shape.attention_stored.bytes, bytes);
  reader.optional("ffn_weights", shape.ffn_stored.bytes, bytes);
  reader.optional("embeddings", model.embedding.bytes, bytes);
  reader.optional("kv_cache", model.kv_cache_bytes, bytes);
  reader.optional("activations", model.activation_bytes, bytes);
  model.lm_head = model.embedding;
}

/// Narrow weights compute in FP8 where the file says so, else they are weight-only.
void set_format(domain::Stored& stored, bool computes_fp8) {
  using enum domain::WeightFormat;
  constexpr double kBytesOf8Bits = 1.0;
  if (computes_fp8) {
    stored.format = fp8;
  } else if (stored.bytes < 2.0) {
    stored.format = stored.bytes < kBytesOf8Bits ? int4_weight_only : int8_weight_only;
  }
}

void read_fp8_compute(const text::Node* node, domain::DecoderShape& shape, text::Problems& problems) {
  bool attention = false;
  bool ffn = false;
  if (node != nullptr) {
    text::ObjectReader reader(*node, problems, "'computes_in_fp8'");
    reader.optional("attention", attention);
    reader.optional("ffn", ffn);
  }
  set_format(shape.attention_stored, attention);
  set_format(shape.ffn_stored, ffn);
}

/// How weights are kept, with what their scales add: blocks of 128 x 128 (FP8), groups of 32 (INT4, MXFP4) and 16 (NVFP4).
constexpr std::array<text::Choice<domain::Stored>, 8> kWeightFormats{{
    {"bf16", {.format = domain::WeightFormat::bf16, .bytes = 2.0}},
    {"fp8", {.format = domain::WeightFormat::fp8, .bytes = 1.0}},
    {"fp8_block", {.format = domain::WeightFormat::fp8_block, .bytes = 1.0 + 4.0 / (128.0 * 128.0)}},
    {"int8", {.format = domain::WeightFormat::int8, .bytes = 1.0}},
    {"int8_weight_only", {.format = domain::WeightFormat::int8_weight_only, .bytes = 1.0}},
    {"int4_weight_only", {.format = domain::WeightFormat::int4_weight_only, .bytes = 0.5 + 2.0 / 32.0}},
    {"mxfp4", {.format = domain::WeightFormat::mxfp4, .bytes = 0.5 + 1.0 / 32.0}},
    {"nvfp4", {.format = domain::WeightFormat::nvfp4, .bytes = 0.5 + 1.0 / 16.0}},
}};

void read_weight_formats(const text::Node& node, domain::DecoderShape& shape, text::Problems& problems) {
  text::ObjectReader reader(node, problems, "'weight_formats'");
  reader.optional_choice<domain::Stored>("attention", shape.attention_stored, kWeightFormats);
  reader.optional_choice<domain::Stored>("ffn", shape.ffn_stored, kWeightFormats);
  domain::Stored experts = shape.ffn_stored;
  reader.optional_choice<domain::Stored>("experts", experts, kWeightFormats);
  shape.experts_stored = experts;
}

constexpr std::array<text::Choice<domain::MixerKind>, 2> kWindows{
    {{"sliding", domain::MixerKind::sliding_window}, {"chunks", domain::MixerKind::chunked}}};

/// Gives the first `layers` layers a window; a group of which only some get one is parted.
void read_window(const text::Node& node, const domain::DecoderShape& shape, ModelSpec& model, text::Problems& problems) {
  auto kind = domain::MixerKind::sliding_window;
  int tokens = 0;
  int layers = shape.layers;
  text::ObjectReader reader(node, problems, "'window'");
  reader.required_choice<domain::MixerKind>("kind", kind, kWindows);
  reader.required("tokens", tokens, text::at_least(1));
  reader.optional("layers", layers, text::within(1, std::max(1, shape.layers)));
  std::vector<domain::LayerGroup> parted;
  for (const domain::LayerGroup& group : model.groups) {
    domain::LayerGroup with = group;
    with.count = std::min(layers, group.count);
    with.layer.mixer.kind = kind;
    with.layer.mixer.window = tokens;
    layers -= with.count;
    if (with.count > 0) parted.push_back(with);
    if (group.count > with.count) parted.push_back({.count = group.count - with.count, .layer = group.layer});
  }
  model.groups = std::move(parted);
}

/// An indexer in every layer, which keeps FP8 keys with a 32-bit scale (DeepSeek sparse attention).
void read_sparse(const text::Node& node, const domain::DecoderShape& shape, ModelSpec& model, text::Problems& problems) {
  domain::SparseSpec sparse;
  text::ObjectReader reader(node, problems, "'sparse_attention'");
  reader.required("attended_tokens", sparse.attended_entries, text::at_least(1));
  reader.required("index_heads", sparse.index_heads, text::at_least(1));
  reader.required("index_head_dim", sparse.index_head_dim, text::at_least(1));
  constexpr double kScaleBytes = 4.0;
  sparse.index_bytes_per_entry = sparse.index_head_dim + kScaleBytes;
  const bool is_compressed = shape.latent && shape.latent->query_rank > 0;
  for (domain::LayerGroup& group : model.groups) {
    domain::add_indexer(group.layer.mixer, model.hidden, is_compressed ? shape.latent->query_rank : model.hidden, sparse);
    for (domain::Linear& linear : group.layer.mixer.linears) {
      if (linear.name == "index_q" || linear.name == "index_k") linear.stored = shape.attention_stored;
    }
  }
}

void read_sampling(const text::Node& node, ModelSpec& model, text::Problems& problems) {
  domain::DefaultSampling sampling;
  text::ObjectReader reader(node, problems, "'sampling'");
  reader.optional("temperature", sampling.temperature, text::at_least(0));
  reader.optional("top_p", sampling.top_p, text::above_up_to(0, 1));
  reader.optional("top_k", sampling.top_k, text::counted(0, core::limits::kModelWidth));
  reader.required("source", sampling.source);
  model.sampling = sampling;
}

}  // namespace

void check_model_shape(const domain::DecoderShape& shape, const ShapeKeys& keys, const text::ObjectReader& reader,
                       text::Problems& problems) {
  const domain::AttentionShape& attention = shape.attention;
  if (attention.heads > 0 && attention.kv_heads > 0 && attention.heads % attention.kv_heads != 0) {
    problems.error(reader.place_of(keys.kv_heads),
                   fmt::format("'{}' {} does not divide '{}' {}", keys.kv_heads, attention.kv_heads, keys.heads, attention.heads),
                   "every KV head serves the same number of heads: correct either");
  }
  if (shape.moe_layers == 0) return;
  if (shape.moe.experts_per_token > shape.moe.experts) {
    problems.error(reader.node().place,
                   fmt::format("{} experts per token, but there are {}", shape.moe.experts_per_token, shape.moe.experts),
                   "correct either");
  }
  if (shape.moe_layers > shape.layers) {
    problems.error(reader.node().place, fmt::format("{} MoE layers of {} layers", shape.moe_layers, shape.layers), "correct either");
  }
}

ModelSpec read_model_facts(const text::Node& root, text::Problems& problems) {
  ModelSpec model;
  text::ObjectReader reader(root, problems, "a model");
  int schema = 1;
  reader.required_choice<int>("schema", schema, kModelSchemas);
  reader.required("name", model.name);
  reader.required("source", model.source);
  reader.optional("architecture", model.architecture);
  domain::DecoderShape shape;
  reader.required("layers", shape.layers, text::counted(1, core::limits::kLayers));
  reader.required("hidden", model.hidden, text::counted(1, core::limits::kModelWidth));
  reader.required("heads", shape.attention.heads, text::counted(1, core::limits::kModelWidth));
  reader.required("kv_heads", shape.attention.kv_heads, text::counted(1, core::limits::kModelWidth));
  reader.required("head_dim", shape.attention.head_dim, text::counted(1, core::limits::kModelWidth));
  reader.optional("norm_spans_heads", shape.attention.norm_spans_heads);
  reader.required("vocabulary", model.vocabulary, text::counted(1, core::limits::kModelWidth));
  reader.optional("tied_embeddings", model.tied_embeddings);
  reader.optional("max_positions", model.max_positions, text::counted(1, core::limits::kTokens));
  if (const text::Node* moe = reader.optional_object("moe")) read_moe(*moe, shape, problems);
  // A model whose every layer has experts has no dense FFN.
  if (shape.moe_layers < shape.layers) {
    reader.required("ffn_width", shape.ffn_width, text::counted(1, core::limits::kModelWidth));
  } else {
    reader.optional("ffn_width", shape.ffn_width, text::counted(0, core::limits::kModelWidth));
  }
  if (const text::Node* latent = reader.optional_object("latent_attention")) read_latent_attention(*latent, shape, problems);
  if (const text::Node* bytes = reader.optional_object("bytes_per_element")) read_bytes(*bytes, shape, model, problems);
  read_fp8_compute(reader.optional_object("computes_in_fp8"), shape, problems);
  if (const text::Node* formats = reader.optional_object("weight_formats")) read_weight_formats(*formats, shape, problems);
  if (const text::Node* sampling = reader.optional_object("sampling")) read_sampling(*sampling, model, problems);
  check_model_shape(shape, {.heads = "heads", .kv_heads = "kv_heads"}, reader, problems);
  shape.hidden = model.hidden;
  model.groups = domain::decoder_layers(shape);
  if (const text::Node* window = reader.optional_object("window")) read_window(*window, shape, model, problems);
  if (const text::Node* sparse = reader.optional_object("sparse_attention")) read_sparse(*sparse, shape, model, problems);
  return model;
}

}  // namespace rooftune::data
