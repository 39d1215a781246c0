#include "rooftune/domain/model.hpp"

#include <algorithm>
#include <cctype>

namespace rooftune::domain {

double attention_weight_elements(const ModelSpec& model) {
  const double d = model.hidden;
  if (const auto& latent = model.latent_attention) {
    const double query_width = static_cast<double>(model.heads) * (latent->nope_head_dim + latent->rope_head_dim);
    const double query = latent->query_rank == 0 ? d * query_width : latent->query_rank * (d + query_width);
    const double key_value_width = static_cast<double>(model.heads) * (latent->nope_head_dim + latent->value_head_dim);
    const double key_value = d * (latent->kv_rank + latent->rope_head_dim) + latent->kv_rank * key_value_width;
    const double output = d * model.heads * latent->value_head_dim;
    return query + key_value + output;
  }
  const double q_and_o = 2.0 * d * model.heads * model.head_dim;
  const double k_and_v = 2.0 * d * model.kv_heads * model.head_dim;
  return q_and_o + k_and_v;
}

double ffn_weight_elements(const ModelSpec& model, int width) { return 3.0 * model.hidden * width; }

double resident_weight_bytes(const ModelSpec& model) {
  const double attention = model.layers * attention_weight_elements(model) * model.widths.attention_weight_bytes;
  double ffn_elements = model.dense_layers() * ffn_weight_elements(model, model.ffn_width);
  if (model.moe) {
    const double routed = model.moe->experts * ffn_weight_elements(model, model.moe->expert_ffn_width);
    const double shared = model.moe->shared_experts * ffn_weight_elements(model, model.moe->shared_ffn_width);
    ffn_elements += model.moe->moe_layers * (routed + shared);
  }
  const double tables = model.tied_embeddings ? 1.0 : 2.0;
  const double embeddings = tables * model.vocabulary * static_cast<double>(model.hidden) * model.widths.embedding_bytes;
  return attention + ffn_elements * model.widths.ffn_weight_bytes + embeddings;
}

double kv_bytes_per_token(const ModelSpec& model) {
  if (const auto& latent = model.latent_attention) {
    return static_cast<double>(model.layers) * (latent->kv_rank + latent->rope_head_dim) * model.widths.kv_cache_bytes;
  }
  return 2.0 * model.layers * model.kv_heads * model.head_dim * model.widths.kv_cache_bytes;
}

std::string_view short_model_name(std::string_view id) {
  const std::size_t slash = id.rfind('/');
  return slash == std::string_view::npos ? id : id.substr(slash + 1);
}

const ModelSpec* find_model(const std::vector<ModelSpec>& models, std::string_view id) {
  const auto same_letters = [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b));
  };
  const std::string_view wanted = short_model_name(id);
  const auto found = std::ranges::find_if(
      models, [&](const ModelSpec& model) { return std::ranges::equal(short_model_name(model.name), wanted, same_letters); });
  return found == models.end() ? nullptr : &*found;
}

}  // namespace rooftune::domain
