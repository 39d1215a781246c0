#pragma once

#include <string>

#include "rooftune/domain/experiment.hpp"
#include "rooftune/domain/gpu.hpp"
#include "rooftune/domain/layers.hpp"
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

inline domain::ModelSpec decoder(const char* name, int vocabulary, const domain::DecoderShape& shape) {
  domain::ModelSpec model;
  model.name = name;
  model.hidden = shape.hidden;
  model.vocabulary = vocabulary;
  model.groups = domain::decoder_layers(shape);
  return model;
}

inline domain::DecoderShape llama_2_7b_shape() {
  return {.layers = 32, .hidden = 4096, .attention = {.heads = 32, .kv_heads = 32, .head_dim = 128}, .ffn_width = 11008};
}

/// Dense, multi-head attention, h * dh = d.
inline domain::ModelSpec llama_2_7b() { return decoder("Llama-2-7b-hf", 32000, llama_2_7b_shape()); }

/// Dense, grouped-query attention, h * dh = d.
inline domain::ModelSpec llama_3_1_70b() {
  return decoder("Llama-3.1-70B-Instruct", 128256,
                 {.layers = 80, .hidden = 8192, .attention = {.heads = 64, .kv_heads = 8, .head_dim = 128}, .ffn_width = 28672});
}

/// Dense, grouped-query attention, h * dh = 4096 but d = 5120.
inline domain::ModelSpec mistral_nemo_12b() {
  return decoder("Mistral-Nemo-Instruct-2407", 131072,
                 {.layers = 40, .hidden = 5120, .attention = {.heads = 32, .kv_heads = 8, .head_dim = 128}, .ffn_width = 14336});
}

/// Mixture of experts in every layer, bf16.
inline domain::ModelSpec mixtral_8x7b() {
  return decoder("Mixtral-8x7B-v0.1", 32000,
                 {.layers = 32,
                  .hidden = 4096,
                  .attention = {.heads = 32, .kv_heads = 8, .head_dim = 128},
                  .moe_layers = 32,
                  .moe = {.experts = 8, .experts_per_token = 2, .expert_width = 14336}});
}

/// Mixture of experts in every layer with a shared expert; FP8 experts beside bf16 attention.
inline domain::ModelSpec llama_4_scout_fp8() {
  return decoder("Llama-4-Scout-17B-16E-Instruct-FP8-dynamic", 202048,
                 {.layers = 48,
                  .hidden = 5120,
                  .attention = {.heads = 40, .kv_heads = 8, .head_dim = 128},
                  .moe_layers = 48,
                  .moe = {.experts = 16, .experts_per_token = 1, .expert_width = 8192, .shared_width = 8192},
                  .ffn_stored = {.format = domain::WeightFormat::fp8, .bytes = 1.0}});
}

/// Sets how every FFN and all experts of a model are kept.
inline void store_ffns(domain::ModelSpec& model, const domain::Stored& stored) {
  for (domain::LayerGroup& group : model.groups) domain::store(group.layer.ffn, stored);
}

inline domain::Deployment deployment(const domain::ModelSpec& model, const domain::GpuSpec& gpu, int tp) {
  domain::Deployment result;
  result.model = model.name;
  result.hardware = gpu.name;
  result.tp = tp;
  return result;
}

}  // namespace rooftune::examples
