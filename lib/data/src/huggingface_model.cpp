#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "model_form.hpp"
#include "quantization.hpp"

namespace rooftune::data {
namespace {

using domain::DecoderShape;
using domain::ModelSpec;

/// How many layers have experts. The families say it in three ways; each leaves its keys out when all layers have them.
int count_moe_layers(text::ObjectReader& reader, int layers) {
  std::vector<int> listed;
  if (reader.optional("moe_layers", listed)) return static_cast<int>(listed.size());  // Llama 4
  int first_dense = 0;                                                                // DeepSeek, GLM: the first layers are dense
  int frequency = 1;              // DeepSeek: layer i has experts when i is a multiple
  int step = 1;                   // Llama 4, Qwen: layer i has experts when i + 1 is a multiple
  std::vector<int> dense_layers;  // Qwen
  reader.optional("first_k_dense_replace", first_dense, text::at_least(0));
  reader.optional("moe_layer_freq", frequency, text::at_least(1));
  if (!reader.optional("interleave_moe_layer_step", step, text::at_least(1)))
    reader.optional("decoder_sparse_step", step, text::at_least(1));
  reader.optional("mlp_only_layers", dense_layers);
  int count = 0;
  for (int layer = 0; layer < layers; ++layer) {
    const bool is_listed_dense = std::ranges::find(dense_layers, layer) != dense_layers.end();
    if (layer >= first_dense && layer % frequency == 0 && (layer + 1) % step == 0 && !is_listed_dense) ++count;
  }
  return count;
}

void read_moe(text::ObjectReader& reader, std::string_view model_type, DecoderShape& shape) {
  domain::MoeShape moe;
  for (const std::string_view key : {"num_local_experts", "num_experts", "n_routed_experts"}) {
    if (reader.optional(key, moe.experts, text::at_least(0))) break;
  }
  if (moe.experts < 2) return;
  reader.required("num_experts_per_tok", moe.experts_per_token, text::at_least(1));
  shape.moe_layers = count_moe_layers(reader, shape.layers);
  if (!reader.optional("moe_intermediate_size", moe.expert_width, text::at_least(1))) moe.expert_width = shape.ffn_width;
  int shared_experts = 0;
  if (model_type.starts_with("llama4")) {
    // Every MoE layer has one shared expert as wide as a routed one; the dense layers have a width of their own.
    moe.shared_width = moe.expert_width;
    reader.optional("intermediate_size_mlp", shape.ffn_width, text::at_least(1));
  } else if (reader.optional("n_shared_experts", shared_experts, text::at_least(0))) {
    moe.shared_width = shared_experts * moe.expert_width;
  } else {
    reader.optional("shared_expert_intermediate_size", moe.shared_width, text::at_least(0));  // Qwen2-MoE
  }
  shape.moe = moe;
}

/// Returns whether the model has latent attention.
bool read_latent_attention(text::ObjectReader& reader, DecoderShape& shape) {
  domain::LatentAttentionSpec latent;
  if (!reader.optional("kv_lora_rank", latent.kv_rank, text::at_least(1))) return false;
  reader.optional("q_lora_rank", latent.query_rank, text::at_least(1));
  reader.required("qk_nope_head_dim", latent.nope_head_dim, text::at_least(1));
  reader.required("qk_rope_head_dim", latent.rope_head_dim, text::at_least(1));
  reader.required("v_head_dim", latent.value_head_dim, text::at_least(1));
  shape.latent = latent;
  return true;
}

void read_attention(text::ObjectReader& reader, DecoderShape& shape, text::Problems& problems) {
  domain::AttentionShape& attention = shape.attention;
  reader.required("num_attention_heads", attention.heads, text::at_least(1));
  attention.kv_heads = attention.heads;
  reader.optional("num_key_value_heads", attention.kv_heads, text::at_least(1));
  if (read_latent_attention(reader, shape) || reader.optional("head_dim", attention.head_dim, text::at_least(1))) return;
  if (attention.heads == 0 || shape.hidden == 0) return;  // reported as missing
  if (shape.hidden % attention.heads != 0) {
    problems.error(reader.place_of("num_attention_heads"),
                   fmt::format("'num_attention_heads' {} does not divide 'hidden_size' {}", attention.heads, shape.hidden),
                   "correct either, or give 'head_dim'");
    return;
  }
  attention.head_dim = shape.hidden / attention.heads;
}

}  // namespace

ModelSpec read_huggingface_model(const text::Node& root, text::Problems& problems) {
  ModelSpec model;
  text::ObjectReader outer(root, problems, "a model's config", text::OtherKeys::tolerate);
  std::vector<std::string> architectures;
  if (outer.optional("architectures", architectures) && !architectures.empty()) model.architecture = architectures.front();
  // Models that also see or hear keep the decoder's facts one level down.
  const text::Node* text_config = outer.optional_object("text_config");
  text::ObjectReader reader(text_config != nullptr ? *text_config : root, problems, "a model's config", text::OtherKeys::tolerate);
  std::string model_type;
  reader.optional("model_type", model_type);
  DecoderShape shape;
  reader.required("num_hidden_layers", shape.layers, text::at_least(1));
  reader.required("hidden_size", model.hidden, text::at_least(1));
  reader.required("intermediate_size", shape.ffn_width, text::at_least(1));
  reader.required("vocab_size", model.vocabulary, text::at_least(1));
  reader.optional("max_position_embeddings", model.max_positions, text::at_least(1));
  if (!reader.optional("tie_word_embeddings", model.tied_embeddings)) outer.optional("tie_word_embeddings", model.tied_embeddings);
  shape.hidden = model.hidden;
  read_attention(reader, shape, problems);
  read_moe(reader, model_type, shape);
  check_model_shape(shape, {.heads = "num_attention_heads", .kv_heads = "num_key_value_heads"}, reader, problems);
  const text::Node* quantization = outer.optional_object("quantization_config");
  if (quantization == nullptr && text_config != nullptr) quantization = reader.optional_object("quantization_config");
  if (quantization != nullptr) read_quantization(*quantization, shape, model, problems);
  model.groups = domain::decoder_layers(shape);
  return model;
}

}  // namespace rooftune::data
