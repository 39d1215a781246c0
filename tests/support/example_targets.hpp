#pragma once

#include <string>

#include "rooftune/domain/experiment.hpp"
#include "rooftune/domain/gpu.hpp"
#include "rooftune/domain/model.hpp"

/// Models, GPUs and deployments that several test programs use. Shapes: the models' published config.json.
namespace rooftune::examples {

inline domain::GpuSpec h100() {
  return {.name = "H100-SXM",
          .aliases = {"H100"},
          .peak_bf16 = {989.5},
          .peak_fp8 = core::TeraflopsPerSecond{1979.0},
          .hbm_bandwidth = {3.35},
          .interconnect = domain::Interconnect::nvlink,
          .link_bandwidth = {450.0},
          .memory = {80.0},
          .source = "data sheet"};
}

inline domain::GpuSpec a100() {
  return {.name = "A100-SXM",
          .aliases = {"A100-80GB", "A100-80"},
          .peak_bf16 = {312.0},
          .peak_fp8 = {},
          .hbm_bandwidth = {2.039},
          .interconnect = domain::Interconnect::nvlink,
          .link_bandwidth = {300.0},
          .memory = {80.0},
          .source = "data sheet"};
}

/// Dense, multi-head attention, h * dh = d.
inline domain::ModelSpec llama_2_7b() {
  domain::ModelSpec model;
  model.name = "Llama-2-7b-hf";
  model.attention = domain::AttentionKind::multi_head;
  model.layers = 32;
  model.hidden = 4096;
  model.heads = 32;
  model.kv_heads = 32;
  model.head_dim = 128;
  model.ffn_width = 11008;
  model.vocabulary = 32000;
  return model;
}

/// Dense, grouped-query attention, h * dh = d.
inline domain::ModelSpec llama_3_1_70b() {
  domain::ModelSpec model;
  model.name = "Llama-3.1-70B-Instruct";
  model.attention = domain::AttentionKind::grouped_query;
  model.layers = 80;
  model.hidden = 8192;
  model.heads = 64;
  model.kv_heads = 8;
  model.head_dim = 128;
  model.ffn_width = 28672;
  model.vocabulary = 128256;
  return model;
}

/// Dense, grouped-query attention, h * dh = 4096 but d = 5120.
inline domain::ModelSpec mistral_nemo_12b() {
  domain::ModelSpec model;
  model.name = "Mistral-Nemo-Instruct-2407";
  model.attention = domain::AttentionKind::grouped_query;
  model.layers = 40;
  model.hidden = 5120;
  model.heads = 32;
  model.kv_heads = 8;
  model.head_dim = 128;
  model.ffn_width = 14336;
  model.vocabulary = 131072;
  return model;
}

/// Mixture of experts in every layer, bf16.
inline domain::ModelSpec mixtral_8x7b() {
  domain::ModelSpec model;
  model.name = "Mixtral-8x7B-v0.1";
  model.attention = domain::AttentionKind::grouped_query;
  model.layers = 32;
  model.hidden = 4096;
  model.heads = 32;
  model.kv_heads = 8;
  model.head_dim = 128;
  model.vocabulary = 32000;
  model.moe = domain::MoeSpec{.moe_layers = 32, .experts = 8, .experts_per_token = 2, .expert_ffn_width = 14336};
  return model;
}

/// Mixture of experts in every layer with a shared expert; FP8 experts beside bf16 attention.
inline domain::ModelSpec llama_4_scout_fp8() {
  domain::ModelSpec model;
  model.name = "Llama-4-Scout-17B-16E-Instruct-FP8-dynamic";
  model.attention = domain::AttentionKind::grouped_query;
  model.layers = 48;
  model.hidden = 5120;
  model.heads = 40;
  model.kv_heads = 8;
  model.head_dim = 128;
  model.ffn_width = 16384;
  model.vocabulary = 202048;
  model.moe = domain::MoeSpec{.moe_layers = 48,
                              .experts = 16,
                              .experts_per_token = 1,
                              .expert_ffn_width = 8192,
                              .shared_experts = 1,
                              .shared_ffn_width = 8192};
  model.widths.ffn_weight_bytes = 1.0;
  model.widths.ffn_computes_fp8 = true;
  return model;
}

inline domain::Deployment deployment(const domain::ModelSpec& model, const domain::GpuSpec& gpu, int tp) {
  domain::Deployment result;
  result.model = model.name;
  result.hardware = gpu.name;
  result.tp = tp;
  return result;
}

}  // namespace rooftune::examples
