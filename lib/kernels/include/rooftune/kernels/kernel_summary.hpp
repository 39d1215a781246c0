#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rooftune::kernels {

/// What kernel benchmarks say about one step-time parameter on one GPU.
struct KernelValue {
  double value = 0.0;
  double log_deviation = 0.1;  ///< how far serving may be from it
  std::string basis;
};

/// What kernel benchmarks of one GPU come to (bench_data/efficiency.json).
struct KernelSummary {
  std::string gpu;
  std::string engine;
  std::map<std::string, KernelValue> values;      ///< by parameter id
  std::optional<double> layer_calls_us;           ///< what the small calls of a layer take whatever their size
  std::optional<double> decode_attention_share;   ///< of peak bandwidth
  std::optional<double> context_attention_share;  ///< of peak FLOP/s, causal, long prompts
};

[[nodiscard]] const KernelSummary* find_summary(const std::vector<KernelSummary>& summaries, std::string_view gpu);

}  // namespace rooftune::kernels
