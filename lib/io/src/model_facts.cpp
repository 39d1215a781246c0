#include <fmt/format.h>

#include <array>

#include "model_form.hpp"

namespace rooftune::io {
namespace {

using domain::AttentionKind;
using domain::ModelSpec;

constexpr std::array<Choice<int>, 1> kSchemas{{{"rooftune/model/1", 1}}};

void read_moe(const Node& node, ModelSpec& model, Problems& problems) {
  domain::MoeSpec moe;
  ObjectReader reader(node, problems, "'moe'");
  reader.required("layers", moe.moe_layers, at_least(1));
  reader.required("experts", moe.experts, at_least(2));
  reader.required("experts_per_token", moe.experts_per_token, at_least(1));
  reader.required("expert_ffn_width", moe.expert_ffn_width, at_least(1));
  if (reader.optional("shared_experts", moe.shared_experts, at_least(0)) && moe.shared_experts > 0) {
    reader.required("shared_ffn_width", moe.shared_ffn_width, at_least(1));
  }
  model.moe = moe;
}

void read_latent_attention(const Node& node, ModelSpec& model, Problems& problems) {
  domain::LatentAttentionSpec latent;
  ObjectReader reader(node, problems, "'latent_attention'");
  reader.optional("query_rank", latent.query_rank, at_least(1));
  reader.required("kv_rank", latent.kv_rank, at_least(1));
  reader.required("nope_head_dim", latent.nope_head_dim, at_least(1));
  reader.required("rope_head_dim", latent.rope_head_dim, at_least(1));
  reader.required("value_head_dim", latent.value_head_dim, at_least(1));
  model.latent_attention = latent;
}

void read_widths(const Node& node, domain::ElementWidths& widths, Problems& problems) {
  ObjectReader reader(node, problems, "'bytes_per_element'");
  const Range bytes = above_up_to(0, 4);
  reader.optional("attention_weights", widths.attention_weight_bytes, bytes);
  reader.optional("ffn_weights", widths.ffn_weight_bytes, bytes);
  reader.optional("embeddings", widths.embedding_bytes, bytes);
  reader.optional("kv_cache", widths.kv_cache_bytes, bytes);
  reader.optional("activations", widths.activation_bytes, bytes);
}

void read_fp8_compute(const Node& node, domain::ElementWidths& widths, Problems& problems) {
  ObjectReader reader(node, problems, "'computes_in_fp8'");
  reader.optional("attention", widths.attention_computes_fp8);
  reader.optional("ffn", widths.ffn_computes_fp8);
}

void read_sampling(const Node& node, ModelSpec& model, Problems& problems) {
  domain::DefaultSampling sampling;
  ObjectReader reader(node, problems, "'sampling'");
  reader.optional("temperature", sampling.temperature, at_least(0));
  reader.optional("top_p", sampling.top_p, above_up_to(0, 1));
  reader.optional("top_k", sampling.top_k, at_least(0));
  reader.required("source", sampling.source);
  model.sampling = sampling;
}

}  // namespace

void check_model_shape(const ModelSpec& model, const ShapeKeys& keys, const ObjectReader& reader, Problems& problems) {
  if (model.heads > 0 && model.kv_heads > 0 && model.heads % model.kv_heads != 0) {
    problems.error(reader.place_of(keys.kv_heads),
                   fmt::format("'{}' {} does not divide '{}' {}", keys.kv_heads, model.kv_heads, keys.heads, model.heads),
                   "every KV head serves the same number of heads: correct either");
  }
  if (!model.moe) return;
  if (model.moe->experts_per_token > model.moe->experts) {
    problems.error(reader.node().place,
                   fmt::format("{} experts per token, but there are {}", model.moe->experts_per_token, model.moe->experts),
                   "correct either");
  }
  if (model.moe->moe_layers > model.layers) {
    problems.error(reader.node().place, fmt::format("{} MoE layers of {} layers", model.moe->moe_layers, model.layers),
                   "correct either");
  }
}

ModelSpec read_model_facts(const Node& root, Problems& problems) {
  ModelSpec model;
  ObjectReader reader(root, problems, "a model");
  int schema = 1;
  reader.required_choice<int>("schema", schema, kSchemas);
  reader.required("name", model.name);
  reader.required("source", model.source);
  reader.optional("architecture", model.architecture);
  reader.required("layers", model.layers, at_least(1));
  reader.required("hidden", model.hidden, at_least(1));
  reader.required("heads", model.heads, at_least(1));
  reader.required("kv_heads", model.kv_heads, at_least(1));
  reader.required("head_dim", model.head_dim, at_least(1));
  reader.required("vocabulary", model.vocabulary, at_least(1));
  reader.optional("tied_embeddings", model.tied_embeddings);
  reader.optional("max_positions", model.max_positions, at_least(1));
  if (const Node* moe = reader.optional_object("moe")) read_moe(*moe, model, problems);
  // A model whose every layer has experts has no dense FFN.
  if (model.dense_layers() > 0) {
    reader.required("ffn_width", model.ffn_width, at_least(1));
  } else {
    reader.optional("ffn_width", model.ffn_width, at_least(0));
  }
  model.attention = model.kv_heads == model.heads ? AttentionKind::multi_head : AttentionKind::grouped_query;
  if (const Node* latent = reader.optional_object("latent_attention")) {
    read_latent_attention(*latent, model, problems);
    model.attention = AttentionKind::multi_head_latent;
  }
  if (const Node* bytes = reader.optional_object("bytes_per_element")) read_widths(*bytes, model.widths, problems);
  if (const Node* fp8 = reader.optional_object("computes_in_fp8")) read_fp8_compute(*fp8, model.widths, problems);
  if (const Node* sampling = reader.optional_object("sampling")) read_sampling(*sampling, model, problems);
  check_model_shape(model, {.heads = "heads", .kv_heads = "kv_heads"}, reader, problems);
  return model;
}

}  // namespace rooftune::io
