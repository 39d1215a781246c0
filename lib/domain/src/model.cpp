#include "rooftune/domain/model.hpp"

#include <algorithm>
#include <array>

#include "rooftune/core/letters.hpp"

namespace rooftune::domain {
namespace {

constexpr double kBytesOf16Bits = 2.0;

/// Sum over the groups of count x value(layer).
template <class Value>
double sum_over_layers(const ModelSpec& model, const Value& value) {
  double sum = 0.0;
  for (const LayerGroup& group : model.groups) sum += group.count * value(group.layer);
  return sum;
}

template <class Condition>
int count_layers(const ModelSpec& model, const Condition& condition) {
  int count = 0;
  for (const LayerGroup& group : model.groups) count += condition(group.layer) ? group.count : 0;
  return count;
}

/// The layer of the largest group that meets the condition, or null.
template <class Condition>
const Layer* most_frequent(const ModelSpec& model, const Condition& condition) {
  const LayerGroup* largest = nullptr;
  for (const LayerGroup& group : model.groups) {
    if (condition(group.layer) && (largest == nullptr || group.count > largest->count)) largest = &group;
  }
  return largest != nullptr ? &largest->layer : nullptr;
}

double bytes(const std::vector<Linear>& linears) {
  double sum = 0.0;
  for (const Linear& linear : linears) sum += elements(linear) * linear.stored.bytes;
  return sum;
}

double sum_elements(const std::vector<Linear>& linears) {
  double sum = 0.0;
  for (const Linear& linear : linears) sum += elements(linear);
  return sum;
}

double convolution_elements(const Mixer& mixer) {
  return mixer.linear ? static_cast<double>(mixer.linear->convolved) * mixer.linear->kernel : 0.0;
}

}  // namespace

std::string_view weight_format_name(WeightFormat format) {
  constexpr std::array<std::string_view, 8> names{"bf16",  "fp8",  "fp8_block", "int8", "int8_weight_only", "int4_weight_only",
                                                  "mxfp4", "nvfp4"};
  return names.at(static_cast<std::size_t>(format));
}

std::string_view mixer_kind_name(MixerKind kind) {
  constexpr std::array<std::string_view, 6> names{"none",    "full attention",   "sliding window",
                                                  "chunked", "latent attention", "linear attention"};
  return names.at(static_cast<std::size_t>(kind));
}

std::string_view linear_kind_name(LinearKind kind) {
  constexpr std::array<std::string_view, 3> names{"gated delta net", "Kimi delta attention", "Mamba-2"};
  return names.at(static_cast<std::size_t>(kind));
}

double elements(const Linear& linear) { return static_cast<double>(linear.inputs) * linear.outputs / linear.blocks; }

double elements(const Experts& experts) { return (experts.gated ? 3.0 : 2.0) * experts.inputs * experts.width; }

std::vector<LayerGroup> group_layers(const std::vector<Layer>& layers) {
  std::vector<LayerGroup> groups;
  for (const Layer& layer : layers) {
    const auto found = std::ranges::find(groups, layer, &LayerGroup::layer);
    if (found == groups.end()) {
      groups.push_back({.count = 1, .layer = layer});
    } else {
      ++found->count;
    }
  }
  return groups;
}

int ModelSpec::layers() const {
  return count_layers(*this, [](const Layer&) { return true; });
}

int ModelSpec::mixers() const {
  return count_layers(*this, [](const Layer& layer) { return layer.mixer.kind != MixerKind::none; });
}

int ModelSpec::ffns() const {
  return count_layers(*this, [](const Layer& layer) { return !layer.ffn.is_none(); });
}

std::int64_t key_heads(const LinearAttentionSpec& linear) {
  return std::max<std::int64_t>(1, (linear.convolved - linear.heads * linear.value_dim) / (2 * linear.key_dim));
}

int ModelSpec::moe_layers() const {
  return count_layers(*this, [](const Layer& layer) { return layer.ffn.experts.has_value(); });
}

int ModelSpec::dense_layers() const {
  return count_layers(*this, [](const Layer& layer) { return layer.ffn.width > 0 && !layer.ffn.experts; });
}

const Mixer* ModelSpec::attention() const {
  const Layer* layer =
      most_frequent(*this, [](const Layer& one) { return one.mixer.kind != MixerKind::none && one.mixer.kind != MixerKind::linear; });
  return layer != nullptr ? &layer->mixer : nullptr;
}

AttentionKind ModelSpec::attention_kind() const {
  const Mixer* most = attention();
  if (most == nullptr) return AttentionKind::none;
  if (most->latent) return AttentionKind::multi_head_latent;
  return most->kv_heads == most->heads ? AttentionKind::multi_head : AttentionKind::grouped_query;
}

const Experts* ModelSpec::experts() const {
  const Layer* layer = most_frequent(*this, [](const Layer& one) { return one.ffn.experts.has_value(); });
  return layer != nullptr ? &*layer->ffn.experts : nullptr;
}

int ModelSpec::shared_width() const {
  const Layer* layer = most_frequent(*this, [](const Layer& one) { return one.ffn.experts.has_value(); });
  return layer != nullptr ? layer->ffn.shared_width : 0;
}

int ModelSpec::ffn_width() const {
  int widest = 0;
  for (const LayerGroup& group : groups) widest = std::max(widest, group.layer.ffn.width);
  return widest;
}

ParameterCount count_parameters(const ModelSpec& model) {
  const double table = static_cast<double>(model.vocabulary) * model.hidden;
  const double always = sum_over_layers(model, [](const Layer& layer) {
    return sum_elements(layer.mixer.linears) + convolution_elements(layer.mixer) + sum_elements(layer.ffn.linears);
  });
  const auto of_experts = [&](auto count) {
    return sum_over_layers(
        model, [&](const Layer& layer) { return layer.ffn.experts ? count(*layer.ffn.experts) * elements(*layer.ffn.experts) : 0.0; });
  };
  return {.total = always + of_experts([](const Experts& experts) { return experts.count; }) +
                   (model.tied_embeddings ? 1.0 : 2.0) * table + model.layer_input_elements,
          .active = always + of_experts([](const Experts& experts) { return experts.per_token; }) + table};
}

double weight_elements(const Mixer& mixer) { return sum_elements(mixer.linears); }

double resident_weight_bytes(const ModelSpec& model) {
  const double layers = sum_over_layers(model, [](const Layer& layer) {
    double sum = bytes(layer.mixer.linears) + bytes(layer.ffn.linears) + kBytesOf16Bits * convolution_elements(layer.mixer);
    if (layer.ffn.experts) sum += layer.ffn.experts->count * elements(*layer.ffn.experts) * layer.ffn.experts->stored.bytes;
    return sum;
  });
  const double table = static_cast<double>(model.vocabulary) * model.hidden;
  return layers + table * model.embedding.bytes + (model.tied_embeddings ? 0.0 : table * model.lm_head.bytes) +
         kBytesOf16Bits * (model.vision_elements + model.layer_input_elements);
}

std::vector<KvKept> kv_kept(const Mixer& mixer, double bytes_per_element) {
  if (mixer.shares_cache) return {};
  const double index_bytes = mixer.sparse ? mixer.sparse->index_bytes_per_entry : 0.0;
  switch (mixer.kind) {
    case MixerKind::none:
    case MixerKind::linear: return {};
    case MixerKind::latent:
      return {{.bytes_per_token = (mixer.latent->kv_rank + mixer.latent->rope_head_dim) * bytes_per_element + index_bytes}};
    case MixerKind::full_attention:
    case MixerKind::chunked:  // engines keep all chunks
    case MixerKind::sliding_window: break;
  }
  const double row = mixer.head_dim + (mixer.keys_are_values ? 0.0 : mixer.value_head_dim);
  const double per_token = mixer.kv_heads * row * bytes_per_element;
  if (mixer.kind != MixerKind::sliding_window) return {{.bytes_per_token = per_token + index_bytes}};
  std::vector<KvKept> kept{{.bytes_per_token = per_token, .window = mixer.window}};
  if (mixer.sparse) kept.push_back({.bytes_per_token = (per_token + index_bytes) / mixer.sparse->tokens_per_entry});
  return kept;
}

double kv_bytes_per_token(const ModelSpec& model) {
  return sum_over_layers(model, [&](const Layer& layer) {
    double sum = 0.0;
    for (const KvKept& kept : kv_kept(layer.mixer, model.kv_cache_bytes)) sum += kept.bytes_per_token;
    return sum;
  });
}

double state_bytes_per_request(const LinearAttentionSpec& linear) {
  const double state = static_cast<double>(linear.heads) * linear.key_dim * linear.value_dim * linear.state_bytes;
  return state + static_cast<double>(linear.convolved) * (linear.kernel - 1) * linear.convolution_bytes;
}

double state_bytes_per_request(const ModelSpec& model) {
  return sum_over_layers(model,
                         [](const Layer& layer) { return layer.mixer.linear ? state_bytes_per_request(*layer.mixer.linear) : 0.0; });
}

std::string_view short_model_name(std::string_view id) {
  const std::size_t slash = id.rfind('/');
  return slash == std::string_view::npos ? id : id.substr(slash + 1);
}

bool names_model(std::string_view id, std::string_view name) { return core::same_word(short_model_name(name), short_model_name(id)); }

const ModelSpec* find_model(const std::vector<ModelSpec>& models, std::string_view id) {
  const auto found = std::ranges::find_if(models, [&](const ModelSpec& model) { return names_model(id, model.name); });
  return found == models.end() ? nullptr : &*found;
}

}  // namespace rooftune::domain
