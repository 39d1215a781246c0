#include "rooftune/domain/served_model.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "rooftune/domain/layers.hpp"

namespace rooftune::domain {
namespace {

constexpr double kHalfPrecisionBytes = 2.0;
constexpr double kBytesPerGb = 1e9;

bool is_narrow(const Stored& stored) { return stored.bytes < kHalfPrecisionBytes; }

bool is_quantised(const std::vector<Linear>& linears) {
  return std::ranges::any_of(linears, [](const Linear& linear) { return is_narrow(linear.stored); });
}

}  // namespace

bool is_quantised(const ModelSpec& model) {
  return std::ranges::any_of(model.groups, [](const LayerGroup& group) {
    const auto& [mixer, ffn] = group.layer;
    return is_quantised(mixer.linears) || is_quantised(ffn.linears) || (ffn.experts && is_narrow(ffn.experts->stored));
  });
}

ServedModel as_served(ModelSpec model, const EngineSettings& settings) {
  if (const std::string& type = settings.kv_cache_dtype; !type.empty() && type != "auto") {
    model.kv_cache_bytes = type.starts_with("fp8") ? 1.0 : kHalfPrecisionBytes;
  }
  if (settings.quantization.empty() || is_quantised(model)) return {.model = std::move(model), .notice = ""};
  if (settings.quantization != "fp8") {
    std::string notice = fmt::format("quantization is '{}', but the config of {} has 16-bit weights: its {:.0f} GB are simulated",
                                     settings.quantization, model.name, resident_weight_bytes(model) / kBytesPerGb);
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
