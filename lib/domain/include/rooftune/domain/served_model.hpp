#pragma once

#include <array>
#include <string>
#include <string_view>

#include "rooftune/domain/experiment.hpp"
#include "rooftune/domain/model.hpp"

namespace rooftune::domain {

/// Element types that a server may be told for its KV cache, as vLLM and SGLang call them.
inline constexpr std::array<std::string_view, 10> kKvCacheTypes{"auto", "bfloat16", "float16",  "half",     "bf16",
                                                                "fp16", "fp8",      "fp8_e4m3", "fp8_e5m2", "fp8_ds_mla"};

/// vLLM's CUDAGraphMode.
inline constexpr std::array<std::string_view, 5> kCudagraphModes{"NONE", "PIECEWISE", "FULL", "FULL_DECODE_ONLY",
                                                                 "FULL_AND_PIECEWISE"};

/// Whether any weights of its layers are stored in less than 16 bits.
[[nodiscard]] bool is_quantised(const ModelSpec& model);

struct ServedModel {
  ModelSpec model;
  std::string notice;  ///< what the settings say of its weights and is not simulated, or empty
};

/// The model as a server with these settings holds it: its KV cache in the type that it was told, and 16-bit weights in FP8 where it
/// quantises them as it loads them (vLLM's `quantization: fp8`, docs/features/quantization: every linear layer but lm_head and routers,
/// a scale per tensor). Other methods need a checkpoint that is quantised so; a checkpoint's own formats stay.
[[nodiscard]] ServedModel as_served(ModelSpec model, const EngineSettings& settings);

/// Bits of a weight that a label of precision stands for ("FP16", "bf16", "fp8", "W4A16", "nvfp4" ...); 0 where it is not known.
[[nodiscard]] int bits_of_precision(std::string_view label);

/// Where the label of a run says other widths of weights than its model has; empty where they agree or the label says nothing.
[[nodiscard]] std::string contradiction(std::string_view precision, const ModelSpec& served);

}  // namespace rooftune::domain
