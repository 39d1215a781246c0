#include "huggingface_layers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "rooftune/core/limits.hpp"

namespace rooftune::data {
namespace {

using domain::AttentionShape;
using domain::Ffn;
using domain::Layer;
using domain::Mixer;
using domain::MixerKind;

/// How a layer mixes tokens, before its sizes are known.
enum class LayerKind { full, sliding, chunked, linear, mamba };

bool contains(const std::vector<int>& values, int value) { return std::ranges::find(values, value) != values.end(); }

/// What `layer_types` and its like call a layer.
std::optional<LayerKind> kind_of_word(std::string_view word) {
  constexpr std::array<std::pair<std::string_view, LayerKind>, 8> words{{{"full_attention", LayerKind::full},
                                                                         {"attention", LayerKind::full},
                                                                         {"sliding_attention", LayerKind::sliding},
                                                                         {"sliding_window_attention", LayerKind::sliding},
                                                                         {"chunked_attention", LayerKind::chunked},
                                                                         {"linear_attention", LayerKind::linear},
                                                                         {"mamba", LayerKind::mamba},
                                                                         {"mamba2", LayerKind::mamba}}};
  const auto* found = std::ranges::find(words, word, &std::pair<std::string_view, LayerKind>::first);
  return found != words.end() ? std::optional(found->second) : std::nullopt;
}

/// Which layers have a window where the config names its width but no list: each family has its own rule.
bool is_sliding(ModelConfig& config, int layer, int layers) {
  if (const std::string pattern = config.text({"sliding_window_pattern"}); pattern.find('L') != std::string::npos) {
    return pattern[static_cast<std::size_t>(layer) % pattern.size()] == 'L' && layer != layers - 1;  // EXAONE: "LLLG"
  }
  if (config.is_a("cohere2_moe")) {  // dense layers come first and have a pattern of their own
    const int dense = config.whole({"first_k_dense_replace"}).value_or(0);
    const int own = config.whole({"prefix_dense_sliding_window_pattern"}, 1).value_or(1);
    const int rest = config.whole({"sliding_window_pattern"}, 1).value_or(4);
    return layer < dense ? (layer + 1) % own != 0 : (layer - dense + 1) % rest != 0;
  }
  int period = config.whole({"sliding_window_pattern", "_sliding_window_pattern", "global_attn_every_n_layers"}).value_or(0);
  if (period == 0 && (config.is_a("gemma3") || config.is_a("gemma4"))) period = 6;
  if (period == 0 && (config.is_a("cohere2") || config.is_a("olmo3") || config.is_a("exaone"))) period = 4;
  if (period > 0) return (layer + 1) % period != 0;
  if (config.is_a("gemma2") || config.is_a("gpt_oss")) return layer % 2 == 0;
  const auto first_window = config.whole({"max_window_layers"});  // Qwen: the layers from here on
  return !(config.is_a("qwen") && first_window) || layer >= *first_window;
}

bool is_latent(ModelConfig& config) {
  return config.has("kv_lora_rank") || config.is_a("deepseek_v3") || config.is_a("glm_moe_dsa") || config.is_a("kimi_linear");
}

/// Words that say what the rest of the config describes: version 5 of transformers writes `linear_attention` for Mamba-2, too, and
/// has names of its own for attention to what an indexer chooses.
std::optional<LayerKind> kind_by_config(ModelConfig& config, std::string_view word) {
  const bool has_mamba = config.has("mamba_num_heads") || config.has("mamba_n_heads");
  if (word == "linear_attention" && has_mamba && !config.has("linear_num_value_heads")) return LayerKind::mamba;
  if ((word == "deepseek_sparse_attention" || word == "indexed_attention") && is_latent(config)) return LayerKind::full;
  if (word == "minimax_m3_sparse" && config.has("sparse_attention_config")) return LayerKind::full;
  return std::nullopt;
}

/// Words of a list as kinds; other words are refused by name.
std::vector<LayerKind> kinds_of_words(ModelConfig& config, std::string_view key) {
  std::vector<LayerKind> kinds;
  for (const std::string& word : config.words({key})) {
    auto kind = kind_by_config(config, word);
    if (!kind) kind = kind_of_word(word);
    if (!kind) {
      config.refuse(key, fmt::format("layers of type '{}'", word));
      return {};
    }
    kinds.push_back(*kind);
  }
  return kinds;
}

std::vector<LayerKind> layer_kinds(ModelConfig& config, int layers) {
  std::vector<LayerKind> kinds = kinds_of_words(config, "layer_types");
  if (config.is_a("gemma4") && !kinds.empty()) kinds.back() = LayerKind::full;  // as its class has it, whatever the list says
  if (!kinds.empty()) return kinds;
  kinds.assign(static_cast<std::size_t>(std::max(layers, 0)), LayerKind::full);
  const auto set = [&](LayerKind kind, const auto& has) {
    for (int layer = 0; layer < layers; ++layer) {
      if (has(layer)) kinds[static_cast<std::size_t>(layer)] = kind;
    }
  };
  if (const auto pattern = config.numbers({"hybrid_layer_pattern"}); !pattern.empty()) {  // MiMo: 1 has a window
    set(LayerKind::sliding,
        [&](int layer) { return static_cast<std::size_t>(layer) < pattern.size() && pattern[static_cast<std::size_t>(layer)] == 1; });
    return kinds;
  }
  if (const auto types = config.numbers({"attn_type_list"}); contains(types, 0)) {
    config.refuse("attn_type_list", fmt::format("{} layers of lightning attention", std::ranges::count(types, 0)));
    return kinds;
  }
  if (const text::Node* linear = config.reader().optional_object("linear_attn_config")) {  // Kimi Linear: layers count from 1
    std::vector<int> delta;
    text::ObjectReader(*linear, config.problems(), "'linear_attn_config'", text::OtherKeys::tolerate).required("kda_layers", delta);
    set(LayerKind::linear, [&](int layer) { return contains(delta, layer + 1); });
    return kinds;
  }
  if (config.has("linear_num_value_heads") || config.is_a("qwen3_next") || config.is_a("kimi_linear")) {
    const int interval = config.whole({"full_attention_interval"}, 1).value_or(4);
    set(LayerKind::linear, [&](int layer) { return (layer + 1) % interval != 0; });
    return kinds;
  }
  if (const auto attention = config.numbers({"attn_layer_indices"}); !attention.empty()) {  // Bamba
    set(LayerKind::mamba, [&](int layer) { return !contains(attention, layer); });
    return kinds;
  }
  if (config.is_a("llama4")) {
    const auto with_positions = config.numbers({"no_rope_layers"});  // 1: has positions and chunks
    const int interval = config.whole({"no_rope_layer_interval"}, 1).value_or(4);
    set(LayerKind::chunked, [&](int layer) {
      const auto index = static_cast<std::size_t>(layer);
      return index < with_positions.size() ? with_positions[index] == 1 : (layer + 1) % interval != 0;
    });
    return kinds;
  }
  // Qwen keeps the width in the config and the switch off.
  const bool has_windows = config.whole({"sliding_window", "sliding_window_size"}, 0).value_or(0) > 0 &&
                           config.flag({"use_sliding_window"}, !config.is_a("qwen"));
  if (has_windows) set(LayerKind::sliding, [&](int layer) { return is_sliding(config, layer, layers); });
  return kinds;
}

int head_dim_of(ModelConfig& config, int hidden, int heads) {
  if (const auto given = config.whole({"head_dim", "attention_head_dim", "kv_channels"}, 1)) return *given;
  if (heads == 0 || hidden == 0) return 0;  // reported as missing
  if (hidden % heads != 0) {
    config.problems().error(config.reader().place_of("num_attention_heads"),
                            fmt::format("'num_attention_heads' {} does not divide 'hidden_size' {}", heads, hidden),
                            "correct either, or give 'head_dim'");
    return 0;
  }
  return hidden / heads;
}

void check_heads(ModelConfig& config, const AttentionShape& shape) {
  if (shape.heads == 0 || shape.kv_heads == 0 || shape.heads % shape.kv_heads == 0) return;
  config.problems().error(
      config.reader().place_of("num_key_value_heads"),
      fmt::format("'num_key_value_heads' {} does not divide 'num_attention_heads' {}", shape.kv_heads, shape.heads),
      "every KV head serves the same number of heads: correct either");
}

AttentionShape attention_shape(ModelConfig& config, int hidden) {
  AttentionShape shape{.heads = config.need({"num_attention_heads", "n_head", "n_heads"})};
  shape.kv_heads =
      config.whole({"num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num", "num_attention_groups"}, 1)
          .value_or(shape.heads);
  if (config.flag({"multi_query"}, false) && !config.flag({"new_decoder_architecture"}, false)) shape.kv_heads = 1;  // Falcon
  if (const text::Node* node = config.reader().optional_object("attn_config")) {                                     // MPT, DBRX
    text::ObjectReader reader(*node, config.problems(), "'attn_config'", text::OtherKeys::tolerate);
    reader.optional("kv_n_heads", shape.kv_heads, text::counted(1, core::limits::kModelWidth));
  }
  shape.head_dim = head_dim_of(config, hidden, shape.heads);
  shape.value_head_dim = config.whole({"v_head_dim"}, 1).value_or(0);
  // MiniMax-M2; "per_head" norms stay within a GPU.
  shape.norm_spans_heads = config.flag({"use_qk_norm"}, false) && config.text({"qk_norm_type"}) == "per_layer";
  shape.gated_output = config.flag({"attn_output_gate", "attention_output_gate"}, config.is_a("qwen3_next") || config.is_a("afmoe"));
  check_heads(config, shape);
  return shape;
}

domain::LatentAttentionSpec latent_shape(ModelConfig& config) {
  const bool derives_values = config.is_a("minicpm3") && !config.has("v_head_dim");  // as its class does
  return {.query_rank = config.whole({"q_lora_rank"}, 1).value_or(0),
          .kv_rank = config.need({"kv_lora_rank"}),
          .nope_head_dim = config.need({"qk_nope_head_dim"}),
          .rope_head_dim = config.need({"qk_rope_head_dim"}, 0),  // 0: no positions (Kimi)
          .value_head_dim = derives_values ? config.need({"hidden_size"}) / std::max(1, config.need({"num_attention_heads"}))
                                           : config.need({"v_head_dim"})};
}

/// DeepSeek sparse attention: FP8 keys of the indexer with one scale each.
domain::SparseSpec indexer_shape(ModelConfig& config) {
  constexpr double kScaleBytes = 4.0;
  domain::SparseSpec sparse{.attended_entries = config.need({"index_topk"}),
                            .index_heads = config.need({"index_n_heads"}),
                            .index_head_dim = config.need({"index_head_dim"})};
  sparse.index_bytes_per_entry = sparse.index_head_dim + kScaleBytes;
  return sparse;
}

/// Of a state's element. vLLM keeps states as the model computes, where neither the config nor the class (Nemotron-H) says more.
double state_bytes(ModelConfig& config) {
  const std::string type = config.text({"mamba_ssm_cache_dtype", "mamba_ssm_dtype"});
  return type == "float32" || (type.empty() && config.is_a("nemotron_h")) ? 4.0 : 2.0;
}

/// The mixer of every layer of a model whose layers differ in kind only.
class Mixers {
 public:
  Mixers(ModelConfig& config, int hidden, const std::vector<LayerKind>& kinds) : config_(config), hidden_(hidden) {
    const auto has = [&](LayerKind kind) { return std::ranges::find(kinds, kind) != kinds.end(); };
    if (has(LayerKind::full)) full_ = full();
    if (has(LayerKind::sliding))
      sliding_ = windowed(MixerKind::sliding_window, config.need({"sliding_window", "sliding_window_size"}));
    if (has(LayerKind::chunked)) chunked_ = windowed(MixerKind::chunked, config.whole({"attention_chunk_size"}, 1).value_or(8192));
    if (has(LayerKind::linear)) linear_ = linear();
    if (has(LayerKind::mamba)) mamba_ = mamba();
  }

  [[nodiscard]] const Mixer& operator[](LayerKind kind) const {
    switch (kind) {
      case LayerKind::full: return full_;
      case LayerKind::sliding: return sliding_;
      case LayerKind::chunked: return chunked_;
      case LayerKind::linear: return linear_;
      case LayerKind::mamba: return mamba_;
    }
    return full_;
  }

  [[nodiscard]] Mixer mamba() {
    const int heads = config_.need({"mamba_num_heads", "mamba_n_heads"});
    return domain::mamba2(hidden_, heads, mamba_head_dim(heads), config_.need({"n_groups", "mamba_n_groups"}),
                          config_.need({"ssm_state_size", "mamba_d_state"}), config_.need({"conv_kernel", "mamba_d_conv"}),
                          state_bytes(config_));
  }

  [[nodiscard]] Mixer full() {
    if (is_latent(config_)) return latent();
    AttentionShape shape = attention_shape(config_, hidden_);
    // Gemma 4: wider heads, fewer of them for keys, and keys that serve as values.
    if (const auto wide = config_.whole({"global_head_dim"}, 1)) shape.head_dim = *wide;
    shape.values_are_keys = config_.flag({"attention_k_eq_v"}, false);
    if (const auto few = config_.whole({"num_global_key_value_heads"}, 1); few && shape.values_are_keys) shape.kv_heads = *few;
    return domain::attention(hidden_, shape);
  }

 private:
  Mixer latent() {
    const domain::LatentAttentionSpec spec = latent_shape(config_);
    Mixer mixer = domain::latent_attention(hidden_, config_.need({"num_attention_heads"}), spec);
    if (config_.flag({"mla_use_output_gate"}, false)) {
      mixer.linears.push_back(
          {.name = "gate", .inputs = hidden_, .outputs = mixer.heads * spec.value_head_dim, .split = domain::Split::outputs});
    }
    if (config_.whole({"index_topk"}, 1))
      domain::add_indexer(mixer, hidden_, spec.query_rank > 0 ? spec.query_rank : hidden_, indexer_shape(config_));
    return mixer;
  }

  /// "auto": an equal share of `mamba_expand` times the hidden size.
  int mamba_head_dim(int heads) {
    if (config_.text({"mamba_d_head"}) != "auto" || heads == 0) return config_.need({"mamba_head_dim", "mamba_d_head"});
    return config_.whole({"mamba_expand"}, 1).value_or(2) * hidden_ / heads;
  }

  Mixer windowed(MixerKind kind, int window) {
    AttentionShape shape = attention_shape(config_, hidden_);
    // MiMo: layers with a window have their own heads.
    if (const auto own = config_.whole({"swa_num_attention_heads"}, 1)) shape.heads = *own;
    if (const auto own = config_.whole({"swa_num_key_value_heads"}, 1)) shape.kv_heads = *own;
    if (const auto own = config_.whole({"swa_head_dim"}, 1)) shape.head_dim = *own;
    if (const auto own = config_.whole({"swa_v_head_dim"}, 1)) shape.value_head_dim = *own;
    if (const text::Node* node = config_.reader().optional_object("attention_other_setting")) {  // Step-3.5
      text::ObjectReader reader(*node, config_.problems(), "'attention_other_setting'", text::OtherKeys::tolerate);
      reader.optional("num_attention_heads", shape.heads, text::counted(1, core::limits::kModelWidth));
      reader.optional("num_attention_groups", shape.kv_heads, text::counted(1, core::limits::kModelWidth));
      reader.optional("head_dim", shape.head_dim, text::counted(1, core::limits::kModelWidth));
      check_heads(config_, shape);
    }
    return domain::attention(hidden_, shape, kind, window);
  }

  Mixer linear() {
    if (const text::Node* node = config_.reader().optional_object("linear_attn_config")) return kimi_delta(*node);
    if (config_.has("linear_num_heads") || config_.is_a("kimi_linear")) {  // the same as version 5 of transformers writes it
      return domain::kimi_delta_attention(hidden_, config_.need({"linear_num_heads"}), config_.need({"linear_head_dim"}),
                                          config_.need({"linear_conv_kernel_dim"}), config_.flag({"use_full_rank_gate"}, false));
    }
    if (!config_.has("linear_num_value_heads") && !config_.is_a("qwen3_next")) {
      config_.refuse("layer_types", "linear attention of a kind that the config does not describe (no 'linear_num_value_heads')");
      return {};
    }
    return domain::gated_delta_net(hidden_, config_.need({"linear_num_key_heads"}), config_.need({"linear_num_value_heads"}),
                                   config_.need({"linear_key_head_dim"}), config_.need({"linear_value_head_dim"}),
                                   config_.need({"linear_conv_kernel_dim"}), state_bytes(config_));
  }

  Mixer kimi_delta(const text::Node& node) {
    int heads = 0;
    int head_dim = 0;
    int kernel = 4;
    bool full_rank = false;
    text::ObjectReader reader(node, config_.problems(), "'linear_attn_config'", text::OtherKeys::tolerate);
    reader.required("num_heads", heads, text::at_least(1));
    reader.required("head_dim", head_dim, text::at_least(1));
    reader.optional("short_conv_kernel_size", kernel, text::at_least(1));
    reader.optional("use_full_rank_gate", full_rank);
    return domain::kimi_delta_attention(hidden_, heads, head_dim, kernel, full_rank);
  }

  ModelConfig& config_;
  int hidden_;
  Mixer full_;
  Mixer sliding_;
  Mixer chunked_;
  Mixer linear_;
  Mixer mamba_;
};

/// Families whose FFN has no gate.
bool is_plain_family(const ModelConfig& config) {
  constexpr std::array<std::string_view, 10> plain{"gpt2", "gpt_neox", "gptj",  "falcon", "starcoder2",
                                                   "phi",  "opt",      "bloom", "mpt",    "gpt_bigcode"};
  return std::ranges::find(plain, config.model_type()) != plain.end();
}

/// Some activations go without a gate, too.
bool is_gated(ModelConfig& config) {
  if (is_plain_family(config)) return false;
  const std::string activation = config.text({"mlp_hidden_act", "hidden_act"});
  return activation != "relu2" && activation != "xielu";  // Nemotron, Arcee; Apertus
}

std::optional<int> number_of_experts(ModelConfig& config) {
  if (const text::Node* node = config.reader().find("moe_num_experts"); node != nullptr && node->kind == text::Node::Kind::list) {
    config.refuse("moe_num_experts", "experts of several kinds (ERNIE 4.5 VL)");
    return std::nullopt;
  }
  const auto count = config.whole(
      {"num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts", "num_moe_experts", "num_routed_experts"});
  return count && *count > 1 ? count : std::nullopt;
}

/// The first number of a list, or the number.
int one_of(ModelConfig& config, ModelConfig::Spellings keys, int otherwise) {
  const auto values = config.per_layer(keys, 1);
  return values.empty() ? otherwise : values.front();
}

/// Which layers have experts. Families say it in many ways; each leaves its keys out when all layers have them.
std::vector<bool> layers_with_experts(ModelConfig& config, int layers) {
  std::vector<bool> has(static_cast<std::size_t>(std::max(layers, 0)), true);
  const auto set = [&](const auto& rule) {
    for (int layer = 0; layer < layers; ++layer) has[static_cast<std::size_t>(layer)] = rule(layer);
  };
  if (const auto words = config.words({"mlp_layer_types"}); !words.empty()) {  // GLM: "dense" and "sparse"
    set([&](int layer) {
      return static_cast<std::size_t>(layer) < words.size() && words[static_cast<std::size_t>(layer)] != "dense";
    });
    return has;
  }
  if (const auto flags = config.flags("is_moe_layer"); !flags.empty()) {  // EXAONE
    set([&](int layer) { return static_cast<std::size_t>(layer) < flags.size() && flags[static_cast<std::size_t>(layer)]; });
    return has;
  }
  if (const auto flags = config.numbers({"moe_layer_freq"}); !flags.empty()) {  // a flag per layer
    set([&](int layer) { return static_cast<std::size_t>(layer) < flags.size() && flags[static_cast<std::size_t>(layer)] != 0; });
    return has;
  }
  if (const text::Node* list = config.reader().find("moe_layers");
      list != nullptr && list->kind == text::Node::Kind::list) {  // Llama 4
    const auto listed = config.numbers({"moe_layers"});
    set([&](int layer) { return contains(listed, layer); });
    return has;
  }
  if (const std::string listed = config.text({"moe_layers_enum"}); !listed.empty()) {  // Step: "4,5,6"
    set([&](int layer) { return ("," + listed + ",").find(fmt::format(",{},", layer)) != std::string::npos; });
    return has;
  }
  // DeepSeek, GLM, ERNIE: the first layers are dense. DeepSeek: a layer whose index is a multiple has experts. Llama 4, Qwen,
  // ERNIE: one whose number, from 1, is. Qwen lists dense layers.
  const int first = config.whole({"first_k_dense_replace", "moe_layer_start_index", "num_dense_layers"}).value_or(0);
  const int end = config.whole({"moe_layer_end_index"}, -1).value_or(-1);
  const int last = end >= 0 ? end : layers - 1;
  const int frequency = config.has("moe_layer_freq") ? config.whole({"moe_layer_freq"}, 1).value_or(1) : 1;
  const int step = config.whole({"interleave_moe_layer_step", "decoder_sparse_step", "moe_layer_interval"}, 1).value_or(1);
  const auto dense = config.numbers({"mlp_only_layers"});
  set([&](int layer) {
    return layer >= first && layer <= last && layer % frequency == 0 && (layer + 1) % step == 0 && !contains(dense, layer);
  });
  return has;
}

/// The sizes of layers with experts.
domain::MoeShape moe_shape(ModelConfig& config, int experts) {
  domain::MoeShape moe{.experts = experts, .gated = is_gated(config)};
  moe.experts_per_token = one_of(config,
                                 {"num_experts_per_tok", "num_experts_per_token", "experts_per_token", "top_k_experts", "moe_topk",
                                  "moe_k", "moe_top_k", "num_selected_experts"},
                                 0);
  if (moe.experts_per_token == 0) moe.experts_per_token = config.need({"num_experts_per_tok"});
  if (moe.experts_per_token > experts) {
    config.problems().error(config.reader().node().place,
                            fmt::format("{} experts per token, but there are {}", moe.experts_per_token, experts), "correct either");
  }
  moe.expert_width = one_of(config, {"moe_intermediate_size", "expert_ffn_hidden_size", "moe_ffn_hidden_size"}, 0);
  if (moe.expert_width == 0) moe.expert_width = config.need({"intermediate_size", "ffn_hidden_size"});
  moe.latent = config.whole({"moe_latent_size", "routed_expert_hidden_size"}).value_or(0);
  if (config.is_a("llama4")) {
    moe.shared_width = moe.expert_width;  // one shared expert, as wide as a routed one
    return moe;
  }
  const int shared = one_of(config, {"n_shared_experts", "num_shared_experts", "num_shared_expert", "moe_num_shared_experts"}, -1);
  const int own_width = config
                            .whole({"moe_shared_expert_intermediate_size", "shared_expert_intermediate_size",
                                    "shared_intermediate_size", "share_expert_dim", "share_expert_dims"})
                            .value_or(-1);
  if (own_width >= 0 && shared != 0) {
    moe.shared_width = std::max(shared, 1) * own_width;
  } else if (shared > 0) {
    moe.shared_width = shared * moe.expert_width;
  }
  // Qwen weighs its shared expert by a gate of its own.
  moe.shared_gate = config.whole({"shared_expert_intermediate_size"}).has_value() && moe.shared_width > 0;
  return moe;
}

/// DBRX keeps the FFN's facts apart.
std::optional<domain::MoeShape> read_nested_experts(ModelConfig& config) {
  const text::Node* node = config.reader().optional_object("ffn_config");
  if (node == nullptr || node->find("moe_num_experts") == nullptr) return std::nullopt;
  domain::MoeShape moe;
  text::ObjectReader reader(*node, config.problems(), "'ffn_config'", text::OtherKeys::tolerate);
  reader.required("moe_num_experts", moe.experts, text::counted(1, core::limits::kModelWidth));
  reader.required("moe_top_k", moe.experts_per_token, text::counted(1, core::limits::kModelWidth));
  reader.required("ffn_hidden_size", moe.expert_width, text::counted(1, core::limits::kModelWidth));
  return moe;
}

/// The FFN of every layer.
std::vector<Ffn> read_ffns(ModelConfig& config, int hidden, int layers) {
  std::vector<Ffn> ffns;
  if (const auto moe = read_nested_experts(config)) {
    return std::vector<Ffn>(static_cast<std::size_t>(std::max(layers, 0)), domain::moe_ffn(hidden, *moe));
  }
  const auto experts = number_of_experts(config);
  const auto has_experts =
      experts ? layers_with_experts(config, layers) : std::vector<bool>(static_cast<std::size_t>(std::max(layers, 0)), false);
  const bool some_dense = std::ranges::find(has_experts, false) != has_experts.end();
  domain::MoeShape moe;
  if (experts) moe = moe_shape(config, *experts);
  if (experts && config.flag({"enable_moe_block"}, false)) moe.dense_width = config.need({"intermediate_size"});  // Gemma 4: beside it
  if (experts && config.flag({"residual_moe"}, false)) moe.dense_width = config.need({"intermediate_size"});      // Grok 2: the same
  // Dense layers; where experts have taken the usual key, they have one of their own.
  std::vector<int> widths;
  if (some_dense && experts)
    widths = config.per_layer(
        {"intermediate_size_mlp", "dense_intermediate_size", "prefix_dense_intermediate_size", "dense_ffn_hidden"}, layers);
  if (some_dense && widths.empty()) {
    widths = config.per_layer({"intermediate_size", "ffn_hidden_size", "n_inner", "ffn_dim", "shared_intermediate_size"}, layers);
    if (config.problems().has_errors()) return {};
    if (widths.empty() && is_plain_family(config)) {
      config.note(fmt::format("the FFN's width is not in the config: {}, four times the hidden size, as in its class", 4 * hidden));
      widths.assign(static_cast<std::size_t>(std::max(layers, 0)), 4 * hidden);
    }
    if (widths.empty()) widths.assign(static_cast<std::size_t>(std::max(layers, 0)), config.need({"intermediate_size"}));
  }
  if (config.model_type() == "qwen") {  // the first Qwen counts gate and up together
    for (int& width : widths) width /= 2;
  }
  for (int layer = 0; layer < layers; ++layer) {
    const auto index = static_cast<std::size_t>(layer);
    ffns.push_back(has_experts[index] ? domain::moe_ffn(hidden, moe) : domain::dense_ffn(hidden, widths[index], is_gated(config)));
  }
  return ffns;
}

/// Nemotron-H: a layer is a mixer or an FFN, never both. M: Mamba-2, *: attention, -: dense FFN, E: experts.
std::vector<Layer> read_single_block_layers(ModelConfig& config, int hidden, const std::string& pattern) {
  std::vector<Layer> layers;
  Mixers mixers(config, hidden, {});
  std::optional<Ffn> moe;
  for (const char block : pattern) {
    Layer layer;
    switch (block) {
      case 'M': layer.mixer = mixers.mamba(); break;
      case '*': layer.mixer = mixers.full(); break;
      case '-': layer.ffn = domain::dense_ffn(hidden, config.need({"intermediate_size"}), is_gated(config)); break;
      case 'E':
        if (!moe)
          moe = domain::moe_ffn(hidden, moe_shape(config, number_of_experts(config).value_or(config.need({"n_routed_experts"}))));
        layer.ffn = *moe;
        break;
      default: config.refuse("hybrid_override_pattern", fmt::format("layers of type '{}'", block)); return layers;
    }
    layers.push_back(std::move(layer));
  }
  return layers;
}

/// The same as a list of words, as letters.
std::string block_letters(ModelConfig& config) {
  std::string letters;
  for (const std::string& word : config.words({"layers_block_type"})) {
    constexpr std::array<std::pair<std::string_view, char>, 7> words{{{"mamba", 'M'},
                                                                      {"attention", '*'},
                                                                      {"mlp", '-'},
                                                                      {"moe", 'E'},
                                                                      {"mamba2", 'M'},
                                                                      {"linear_attention", 'M'},
                                                                      {"full_attention", '*'}}};
    const auto* found = std::ranges::find(words, word, &std::pair<std::string_view, char>::first);
    if (found == words.end()) {
      config.refuse("layers_block_type", fmt::format("layers of type '{}'", word));
      return "";
    }
    letters += found->second;
  }
  return letters;
}

/// DeciLM (pruned by neural architecture search): each layer has its own number of KV heads and FFN width, or lacks either.
std::vector<Layer> read_block_configs(ModelConfig& config, int hidden) {
  std::vector<Layer> layers;
  const int heads = config.need({"num_attention_heads"});
  const int head_dim = head_dim_of(config, hidden, heads);
  for (const text::Node& node : config.reader().required_list("block_configs")) {
    Layer layer;
    text::ObjectReader block(node, config.problems(), "a block", text::OtherKeys::tolerate);
    const text::Node* attention = block.required_object("attention");
    const text::Node* ffn = block.required_object("ffn");
    if (attention == nullptr || ffn == nullptr) return layers;
    const auto flag = [](text::ObjectReader& reader, std::string_view key) {
      bool value = false;
      reader.optional(key, value);
      return value;
    };
    text::ObjectReader mixer(*attention, config.problems(), "'attention'", text::OtherKeys::tolerate);
    text::ObjectReader feed_forward(*ffn, config.problems(), "'ffn'", text::OtherKeys::tolerate);
    if (flag(mixer, "replace_with_linear") || flag(feed_forward, "replace_with_linear")) {
      config.refuse("block_configs", "blocks that are replaced by one linear layer");
      return layers;
    }
    if (!flag(mixer, "no_op")) {
      int group = 1;
      int window = 0;
      mixer.required("n_heads_in_group", group, text::at_least(1));
      mixer.optional("window_length", window, text::at_least(1));
      const AttentionShape shape{.heads = heads, .kv_heads = group > 0 ? heads / group : 0, .head_dim = head_dim};
      layer.mixer = domain::attention(hidden, shape, window > 0 ? MixerKind::sliding_window : MixerKind::full_attention, window);
    }
    if (!flag(feed_forward, "no_op")) {
      double multiple = 0.0;
      feed_forward.required("ffn_mult", multiple, text::above(0));
      // As the model's code has it: two thirds of it, rounded up to a multiple of 256.
      const int width = static_cast<int>(2.0 * multiple * hidden / 3.0);
      layer.ffn = domain::dense_ffn(hidden, (width + 255) / 256 * 256, is_gated(config));
    }
    layers.push_back(std::move(layer));
  }
  return layers;
}

/// How many tokens share an entry of a layer's cache; 0: a window and no more. An indexer chooses among entries of few tokens, which
/// are many; those of many tokens are all attended to.
struct Compression {
  int tokens_per_entry = 0;
  bool is_indexed = false;
};

/// DeepSeek-V4: numbers for each layer, or, as version 5 of transformers writes it, words and what they stand for.
std::vector<Compression> compressions(ModelConfig& config, int layers) {
  constexpr int kSparse = 4;
  constexpr int kHeavy = 128;
  std::vector<Compression> all;
  for (const int ratio : config.per_layer({"compress_ratios"}, layers)) {
    all.push_back({.tokens_per_entry = ratio, .is_indexed = ratio == kSparse});
  }
  if (!all.empty()) return all;
  int sparse = config.whole({"compress_rate_csa"}, 1).value_or(kSparse);
  int heavy = config.whole({"compress_rate_hca"}, 1).value_or(kHeavy);
  if (const text::Node* node = config.reader().optional_object("compress_rates")) {
    text::ObjectReader rates(*node, config.problems(), "'compress_rates'", text::OtherKeys::tolerate);
    rates.optional("compressed_sparse_attention", sparse, text::at_least(1));
    rates.optional("heavily_compressed_attention", heavy, text::at_least(1));
  }
  for (const std::string& word : config.words({"layer_types"})) {
    if (word == "compressed_sparse_attention") {
      all.push_back({.tokens_per_entry = sparse, .is_indexed = true});
    } else if (word == "heavily_compressed_attention") {
      all.push_back({.tokens_per_entry = heavy});
    } else if (word == "sliding_attention") {
      all.push_back({});
    } else {
      config.refuse("layer_types", fmt::format("layers of type '{}'", word));
      return {};
    }
  }
  if (all.empty()) config.refuse("model_type", "compressed attention whose layers the config does not name ('compress_ratios')");
  return all;
}

/// DeepSeek-V4.
std::vector<Layer> read_compressed_layers(ModelConfig& config, int hidden, int layers) {
  const auto compressed = compressions(config, layers);
  const std::vector<Ffn> ffns = read_ffns(config, hidden, layers);
  domain::CompressedAttentionShape shape{.heads = config.need({"num_attention_heads"}),
                                         .head_dim = config.need({"head_dim"}),
                                         .query_rank = config.need({"q_lora_rank"}),
                                         .output_rank = config.need({"o_lora_rank"}),
                                         .output_groups = config.need({"o_groups"}),
                                         .window = config.need({"sliding_window"})};
  const int index_heads = config.need({"index_n_heads"});
  const int index_head_dim = config.need({"index_head_dim"});
  const int index_topk = config.need({"index_topk"});
  std::vector<Layer> result;
  for (std::size_t layer = 0; layer < ffns.size() && layer < compressed.size(); ++layer) {
    const bool is_indexed = compressed[layer].is_indexed;
    shape.tokens_per_entry = compressed[layer].tokens_per_entry;
    shape.attended_entries = is_indexed ? index_topk : 0;
    shape.index_heads = is_indexed ? index_heads : 0;
    shape.index_head_dim = is_indexed ? index_head_dim : 0;
    result.push_back({.mixer = domain::compressed_attention(hidden, shape), .ffn = ffns[layer]});
  }
  return result;
}

/// MiniMax-M3: some layers choose blocks of the context by an indexer of their own.
void add_block_sparsity(ModelConfig& config, int hidden, std::vector<Layer>& layers) {
  const text::Node* node = config.reader().optional_object("sparse_attention_config");
  if (node == nullptr) return;
  bool used = true;
  int block = 0;
  int most_blocks = 0;
  std::vector<int> flags;
  domain::SparseSpec sparse;
  text::ObjectReader reader(*node, config.problems(), "'sparse_attention_config'", text::OtherKeys::tolerate);
  reader.optional("use_sparse_attention", used);
  if (!used) return;
  reader.required("sparse_block_size", block, text::at_least(1));
  reader.required("sparse_topk_blocks", most_blocks, text::at_least(1));
  reader.required("sparse_num_index_heads", sparse.index_heads, text::at_least(1));
  reader.required("sparse_index_dim", sparse.index_head_dim, text::at_least(1));
  reader.optional("sparse_attention_freq", flags);
  sparse.attended_entries = block * most_blocks;
  sparse.index_bytes_per_entry = 2.0 * sparse.index_head_dim;
  const std::vector<std::string> words = config.words({"layer_types"});
  if (flags.empty() && std::ranges::find(words, "minimax_m3_sparse") != words.end()) {
    for (const std::string& word : words) flags.push_back(word == "minimax_m3_sparse" ? 1 : 0);
  }
  for (std::size_t layer = 0; layer < layers.size(); ++layer) {
    if (flags.empty() || (layer < flags.size() && flags[layer] != 0)) domain::add_indexer(layers[layer].mixer, hidden, hidden, sparse);
  }
}

/// GLM: which layers take the choice of the one before: by a list, a pattern ("FSSF"), or one in so many after the first that chooses.
std::vector<bool> layers_without_indexer(ModelConfig& config, std::size_t layers) {
  std::vector<bool> shared;
  for (const std::string& word : config.words({"indexer_types"})) shared.push_back(word == "shared");
  if (!shared.empty()) return shared;
  for (const std::string& word : config.words({"index_topk_pattern"})) shared.push_back(word == "shared");
  for (const char letter : config.text({"index_topk_pattern"})) shared.push_back(letter == 'S');
  if (!shared.empty()) return shared;
  const int frequency = config.whole({"index_topk_freq"}, 1).value_or(1);
  const int offset = config.whole({"index_skip_topk_offset"}).value_or(2);
  for (int layer = 0; layer < static_cast<int>(layers); ++layer) {
    shared.push_back(std::max(layer - offset + 1, 0) % frequency != 0);
  }
  return shared;
}

/// Layers that take the choice of the one before have no indexer of their own.
void share_indexers(ModelConfig& config, std::vector<Layer>& layers) {
  const std::vector<bool> shared = layers_without_indexer(config, layers.size());
  for (std::size_t layer = 0; layer < layers.size() && layer < shared.size(); ++layer) {
    if (!shared[layer] || !layers[layer].mixer.sparse) continue;
    Mixer& mixer = layers[layer].mixer;
    mixer.sparse->index_heads = 0;
    mixer.sparse->index_bytes_per_entry = 0.0;
    std::erase_if(mixer.linears, [](const domain::Linear& linear) { return linear.name.starts_with("index_"); });
  }
}

/// Gemma 4: the last layers use the keys and values of the last layer of their kind that has some, and may have FFNs twice as wide.
void share_caches(ModelConfig& config, int hidden, std::vector<Layer>& layers) {
  const int shared = config.whole({"num_kv_shared_layers"}).value_or(0);
  const bool is_wide = config.flag({"use_double_wide_mlp"}, false);
  const std::size_t first = layers.size() - std::min(layers.size(), static_cast<std::size_t>(shared));
  for (std::size_t layer = first; layer < layers.size(); ++layer) {
    domain::share_cache(layers[layer].mixer);
    if (is_wide && !layers[layer].ffn.experts) layers[layer].ffn = domain::dense_ffn(hidden, 2 * layers[layer].ffn.width);
  }
}

/// Kinds of models that nothing here can read rightly, by the keys that tell them.
void refuse_other_models(ModelConfig& config) {
  if (config.flag({"is_encoder_decoder"}, false)) config.refuse("is_encoder_decoder", "an encoder-decoder model");
  if (config.has("mamba_dt_rank")) config.refuse("mamba_dt_rank", "Mamba-1 layers");
  constexpr std::array<std::string_view, 3> state_space{"mamba", "mamba2", "falcon_mamba"};
  if (std::ranges::find(state_space, config.model_type()) != state_space.end()) {
    config.refuse("model_type", fmt::format("a model of state-space layers alone ('{}')", config.model_type()));
  }
  constexpr std::array<std::string_view, 7> encoders{"bert",       "roberta",    "xlm-roberta", "modernbert",
                                                     "distilbert", "nomic_bert", "electra"};
  if (std::ranges::find(encoders, config.model_type()) != encoders.end()) {
    config.refuse("model_type", fmt::format("an encoder ('{}')", config.model_type()));
  }
  if (config.model_type() == "llada" || config.is_a("llada_moe") || config.is_a("llada2") || config.is_a("Dream")) {
    config.refuse("model_type", fmt::format("a diffusion model of text ('{}')", config.model_type()));
  }
  if (config.has("mamba_d_ssm")) config.refuse("mamba_d_ssm", "layers with attention and Mamba side by side");
  if (config.has("altup_num_inputs")) config.refuse("altup_num_inputs", "alternating updates (Gemma 3n)");
  if (config.is_a("rwkv")) config.refuse("model_type", "RWKV");
  if (config.has("share_q_dim")) config.refuse("share_q_dim", "multi-matrix factorisation attention");
  for (const auto& [key, what] : std::initializer_list<std::pair<std::string_view, std::string_view>>{
           {"block_types", "recurrent layers (RecurrentGemma)"},
           {"mixer_types", "layers that are told by 'mixer_types'"},
           {"mb_per_layer", "Mamba layers that share memory (SambaY)"},
           {"mamba_step", "Mamba layers of PLaMo"},
           {"layer_group_size", "groups of linear attention (Ling, Ring)"},
           {"full_attn_idxs", "short convolutions between attention layers (LFM2)"},
           {"conv_L_cache", "short convolutions between attention layers (LFM2)"},
           {"num_key_value_heads_per_layer", "KV heads that differ by layer"},
           {"dense_attention_every_n_layers", "block-sparse attention of Phi-3-small"}}) {
    if (config.has(key)) {
      config.refuse(key, std::string(what));
      break;
    }
  }
  if (config.flag({"parallel_attn_mlp_res"}, false)) config.refuse("parallel_attn_mlp_res", "a dense FFN across attention (Arctic)");
  if (config.flag({"use_cla"}, false)) config.refuse("use_cla", "layers that use the cache of their neighbour (Hunyuan-Large)");
  if (config.whole({"total_ut_steps"}).value_or(1) > 1) config.refuse("total_ut_steps", "layers that run several times (Ouro)");
  if (config.has("num_mem_blocks")) config.refuse("num_mem_blocks", "attention blocks that several layers share (Zamba)");
  if (config.has("zero_expert_num")) config.refuse("zero_expert_num", "experts that pass a token through");
}

/// What is read but not priced, each with its size.
void note_what_is_not_modelled(ModelConfig& config, const std::vector<Layer>& layers) {
  const auto with_window = std::ranges::count(layers, MixerKind::sliding_window, [](const Layer& layer) { return layer.mixer.kind; });
  if (config.is_a("gpt_oss"))
    config.note(fmt::format("attention sinks of {} layers are not counted (one number per head)", layers.size()));
  if (config.flag({"add_swa_attention_sink_bias"}, false)) {
    config.note(fmt::format("attention sinks of {} layers with a window are not counted (one number per head)", with_window));
  }
  if (const auto crossed = config.numbers({"cross_attention_layers"}); !crossed.empty()) {
    config.note(
        fmt::format("{} of {} layers attend to the tower's output: counted as attention to the text", crossed.size(), layers.size()));
  }
  if (const auto streams = config.whole({"hc_mult"}); streams && *streams > 1) {
    config.note(
        fmt::format("hyper-connections ({} residual streams in {} layers) are not modelled: counted as one", *streams, layers.size()));
  }
  if (const auto block = config.whole({"attn_res_block_size"}); block && *block > 0) {
    config.note(fmt::format("attention over residuals (every {} of {} layers) is not modelled", *block, layers.size()));
  }
}

}  // namespace

std::vector<Layer> read_layers(ModelConfig& config, int hidden) {
  refuse_other_models(config);
  std::string pattern = config.text({"hybrid_override_pattern"});
  if (pattern.empty()) pattern = block_letters(config);
  if (!pattern.empty()) return read_single_block_layers(config, hidden, pattern);
  if (config.has("block_configs")) return read_block_configs(config, hidden);
  const int count = config.need({"num_hidden_layers", "n_layer", "n_layers", "num_layers"});
  std::vector<Layer> layers;
  if (config.has("compress_ratios") || config.is_a("deepseek_v4")) {
    layers = read_compressed_layers(config, hidden, count);
  } else {
    const std::vector<LayerKind> kinds = layer_kinds(config, count);
    if (static_cast<int>(kinds.size()) < count) {
      if (!config.problems().has_errors()) {
        config.problems().error(config.reader().place_of("layer_types"),
                                fmt::format("'layer_types' has {} items for {} layers", kinds.size(), count), "correct it");
      }
      return {};
    }
    const Mixers mixers(config, hidden, kinds);
    const std::vector<Ffn> ffns = read_ffns(config, hidden, count);
    for (std::size_t layer = 0; layer < ffns.size(); ++layer) layers.push_back({.mixer = mixers[kinds[layer]], .ffn = ffns[layer]});
    add_block_sparsity(config, hidden, layers);
    share_indexers(config, layers);
    share_caches(config, hidden, layers);
  }
  note_what_is_not_modelled(config, layers);
  return layers;
}

}  // namespace rooftune::data
