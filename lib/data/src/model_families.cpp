#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "model_config.hpp"

namespace rooftune::data {
namespace {

/// Types whose configs were held against their classes in transformers, or against the number of parameters that the publisher
/// names (tests/data/model_families).
constexpr auto kFamilies = std::to_array<std::string_view>({
    "afmoe",
    "apertus",
    "arcee",
    "axk1",
    "baichuan",
    "bailing_moe",
    "bailing_moe_v2",
    "bamba",
    "bloom",
    "chatglm",
    "cohere",
    "cohere2",
    "dbrx",
    "deepseek_ref",
    "deepseek_v2",
    "deepseek_v3",
    "deepseek_v32",
    "deepseek_v4",
    "dots1",
    "ernie4_5",
    "ernie4_5_moe",
    "exaone",
    "exaone4",
    "exaone_moe",
    "falcon",
    "flex_olmo",
    "gemma",
    "gemma2",
    "gemma3_text",
    "gemma4_text",
    "glm",
    "glm4",
    "glm4_moe",
    "glm4_moe_lite",
    "glm4v_moe_text",
    "glm_moe_dsa",
    "gpt2",
    "gpt_bigcode",
    "gpt_neox",
    "gpt_oss",
    "gptj",
    "granite",
    "granitemoe",
    "granitemoehybrid",
    "granitemoeshared",
    "hunyuan_v1_dense",
    "hunyuan_v1_moe",
    "hy_v3",
    "internlm",
    "internlm2",
    "internlm3",
    "kimi_k2",
    "kimi_linear",
    "llama",
    "llama4_text",
    "mimo",
    "mimo_v2_flash",
    "minicpm3",
    "minimax_m2",
    "minimax_m3",
    "ministral",
    "ministral3",
    "mistral",
    "mistral4",
    "mixtral",
    "mllama_text_model",
    "mpt",
    "nemotron",
    "nemotron-nas",
    "nemotron_h",
    "olmo",
    "olmo2",
    "olmo3",
    "olmoe",
    "opt",
    "phi",
    "phi3",
    "phimoe",
    "qwen",
    "qwen2",
    "qwen2_5_vl",
    "qwen2_5_vl_text",
    "qwen2_moe",
    "qwen2_vl",
    "qwen2_vl_text",
    "qwen3",
    "qwen3_5_moe_text",
    "qwen3_5_text",
    "qwen3_moe",
    "qwen3_next",
    "qwen3_omni_moe_text",
    "qwen3_vl_moe_text",
    "qwen3_vl_text",
    "seed_oss",
    "smollm3",
    "solar_open",
    "stablelm",
    "starcoder2",
    "step3p5",
});

/// Parts of names that speak of how layers are made.
constexpr auto kStructural = std::to_array<std::string_view>(
    {"attn",   "attention", "block", "cache", "conv", "dense", "expert",    "head",   "interm",  "kv_",    "latent", "layer",
     "linear", "lora",      "mamba", "mixer", "mlp",  "moe",   "recurrent", "shared", "sliding", "sparse", "ssm",    "window"});

/// Keys with such names that change neither sizes nor steps, or matter in other models than the one at hand.
constexpr auto kHarmless = std::to_array<std::string_view>({
    "attention_chunk_size",
    "moe_intermediate_size",
    "num_experts_per_tok",
    "qk_nope_head_dim",
    "experts_per_token",
    "intermediate_size_mlp",
    "qk_rope_head_dim",
    "attention_head_dim",
    "_attn_implementation",
    "_attn_implementation_autoset",
    "activation_situ_linear_beta",
    "add_bias_linear",
    "add_full_attention_sink_bias",
    "add_qkv_bias",
    "add_swa_attention_sink_bias",
    "attention_bias",
    "attention_dropout",
    "attention_multiplier",
    "attention_probs_dropout_prob",
    "attention_value_scale",
    "attn_bias",
    "attn_factor",
    "attn_implementation",
    "attn_logit_softcapping",
    "attn_pdrop",
    "attn_scale",
    "attn_temperature_tuning",
    "attention_softmax_in_fp32",
    "apply_query_key_layer_scaling",
    "apply_residual_connection_post_layernorm",
    "attn_type_list",
    "cache_implementation",
    "chunk_size_feed_forward",
    "cla_share_factor",
    "clip_qkv",
    "decoder_sparse_step",
    "dense_intermediate_size",
    "embd_layer",
    "first_k_dense_replace",
    "full_attention_interval",
    "head_dim",
    "hidden_size_per_layer_input",
    "intermediate_size",
    "latent_moe_use_norm",
    "layer_norm_eps",
    "layer_norm_epsilon",
    "layer_norm_bias",
    "layerdrop",
    "layernorm_epsilon",
    "layernorm_compute_in_fp32",
    "mamba_chunk_size",
    "mamba_conv_bias",
    "mamba_expand",
    "mamba_hidden_act",
    "mamba_proj_bias",
    "max_window_layers",
    "mlp_bias",
    "mlp_hidden_act",
    "mlp_only_layers",
    "moe_layer_freq",
    "moe_layer_num_skipped",
    "moe_norm_min",
    "moe_gate_act",
    "moe_dropout_prob",
    "moe_group",
    "moe_renormalize",
    "moe_router_activation",
    "moe_router_activation_func",
    "moe_router_enable_expert_bias",
    "moe_router_scaling_factor",
    "moe_scaling_factor",
    "moe_shared_expert_overlap",
    "mtp_layers_block_type",
    "mtp_transformer_layers",
    "multi_query_attention",
    "n_shared_experts",
    "no_rope_layer_interval",
    "no_rope_layers",
    "norm_expert_weight",
    "normalization_layer_type",
    "num_expert_group",
    "num_expert_groups",
    "num_hash_layers",
    "num_hidden_layers",
    "num_key_value_heads",
    "num_logits_to_keep",
    "num_nextn_predict_layers",
    "num_shared_experts",
    "output_attentions",
    "parallel_attn",
    "parallel_attn_mlp_res",
    "post_layer_norm",
    "qk_head_dim",
    "qk_layernorm",
    "query_pre_attn_scalar",
    "router_aux_loss_coef",
    "shared_expert_intermediate_size",
    "shared_intermediate_size",
    "sliding_window",
    "sliding_window_pattern",
    "sliding_window_size",
    "ssm_cfg",
    "use_bidirectional_attention",
    "use_cache",
    "use_conv_bias",
    "use_head_wise_attn_gate",
    "use_mamba_kernels",
    "use_mixed_mlp_moe",
    "use_mlp_bias",
    "use_moe",
    "use_sliding_window",
    "v_head_dim",
    "vocab_size_per_layer_input",
});

bool is_switched_off(const text::Node& node) {
  if (node.kind == text::Node::Kind::null) return true;
  if (node.kind == text::Node::Kind::list) return node.items.empty();
  if (node.kind == text::Node::Kind::object) return node.members.empty();
  return node.text == "false" || node.text == "none" || node.text == "0" || node.text == "0.0" || node.text.empty();
}

}  // namespace

bool is_known_family(std::string_view model_type) { return std::ranges::find(kFamilies, model_type) != kFamilies.end(); }

void note_what_is_unknown(ModelConfig& config) {
  if (!config.model_type().empty() && !is_known_family(config.model_type())) {
    config.note(fmt::format("models of type '{}' are not known here: read by the keys of its config, as a decoder of the usual make",
                            config.model_type()));
  }
  std::vector<std::string_view> unread;
  for (const std::string_view key : config.reader().unread()) {
    const auto is_part = [&](std::string_view part) { return key.find(part) != std::string_view::npos; };
    if (!std::ranges::any_of(kStructural, is_part) || std::ranges::find(kHarmless, key) != kHarmless.end()) continue;
    if (!is_switched_off(*config.reader().node().find(key))) unread.push_back(key);
  }
  constexpr std::size_t kShown = 8;
  if (unread.empty()) return;
  const std::size_t shown = std::min(kShown, unread.size());
  config.note(fmt::format("what '{}'{} may say about layers is not understood and not modelled",
                          fmt::join(unread.begin(), unread.begin() + static_cast<std::ptrdiff_t>(shown), "', '"),
                          unread.size() > shown ? fmt::format(" and {} more keys", unread.size() - shown) : ""));
}

}  // namespace rooftune::data
