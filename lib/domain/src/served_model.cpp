#include "rooftune/domain/served_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

#include "rooftune/core/letters.hpp"
#include "rooftune/domain/layers.hpp"

namespace rooftune::domain {
namespace {

constexpr double kHalfPrecisionBytes = 2.0;
constexpr double kBytesPerGb = 1e9;

constexpr std::array<std::string_view, 6> kSixteenBits{"fp16", "bf16", "float16", "bfloat16", "half", "w16a16"};
constexpr std::array<std::string_view, 4> kEightBits{"fp8", "int8", "w8a8", "w8a16"};
constexpr std::array<std::string_view, 9> kFourBits{"fp4", "nvfp4", "mxfp4", "int4", "w4a16", "w4a8", "w4afp8", "awq", "gptq"};

bool is_among(std::span<const std::string_view> words, std::string_view word) {
  return std::ranges::any_of(words, [&](std::string_view known) { return core::same_word(known, word); });
}

/// Bytes of an element of the weights that are stored in fewest.
double narrowest_bytes(const ModelSpec& model) {
  double bytes = kHalfPrecisionBytes;
  for (const LayerGroup& group : model.groups) {
    for (const std::vector<Linear>* linears : {&group.layer.mixer.linears, &group.layer.ffn.linears}) {
      for (const Linear& linear : *linears) bytes = std::min(bytes, linear.stored.bytes);
    }
    if (group.layer.ffn.experts) bytes = std::min(bytes, group.layer.ffn.experts->stored.bytes);
  }
  return bytes;
}

/// 4, 8 or 16: scales take less than a byte for a weight.
int bits_of_weights(const ModelSpec& model) {
  const double bytes = narrowest_bytes(model);
  return bytes < 1.0 ? 4 : (bytes < kHalfPrecisionBytes ? 8 : 16);
}

std::string simulated_weights(const ModelSpec& model) {
  return fmt::format("the config of {} has {}-bit weights: its {:.0f} GB are simulated", model.name, bits_of_weights(model),
                     resident_weight_bytes(model) / kBytesPerGb);
}

}  // namespace

bool is_quantised(const ModelSpec& model) { return narrowest_bytes(model) < kHalfPrecisionBytes; }

int bits_of_precision(std::string_view label) {
  if (is_among(kSixteenBits, label)) return 16;
  if (is_among(kEightBits, label)) return 8;
  return is_among(kFourBits, label) ? 4 : 0;
}

std::string contradiction(std::string_view precision, const ModelSpec& served) {
  const int said = bits_of_precision(precision);
  if (said == 0 || said == bits_of_weights(served)) return "";
  return fmt::format("precision is '{}', but {}", precision, simulated_weights(served));
}

ServedModel as_served(ModelSpec model, const EngineSettings& settings) {
  if (const std::string& type = settings.kv_cache_dtype; !type.empty() && type != "auto") {
    model.kv_cache_bytes = type.starts_with("fp8") ? 1.0 : kHalfPrecisionBytes;
  }
  if (settings.quantization.empty() || is_quantised(model)) return {.model = std::move(model), .notice = ""};
  if (settings.quantization != "fp8") {
    std::string notice = fmt::format("quantization is '{}', but {}", settings.quantization, simulated_weights(model));
    return {.model = std::move(model), .notice = std::move(notice)};
  }
  const Stored fp8{.format = WeightFormat::fp8, .bytes = 1.0};
  for (LayerGroup& group : model.groups) {
    store(group.layer.mixer, fp8);
    store(group.layer.ffn, fp8);
  }
  return {.model = std::move(model), .notice = ""};
}

}  // namespace rooftune::domain
