#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/domain/release.hpp"

namespace rooftune::kernels {

/// What kernel benchmarks of one GPU come to (bench_data/efficiency.json).
struct KernelSummary {
  std::string gpu;
  std::map<std::string, double> values;  ///< by parameter id
  /// Shares of peak on like shapes, by the release of the engine whose kernels were measured and by parameter id: how much of a
  /// change from one release to another was kernels.
  std::map<domain::Release, std::map<std::string, double>> by_release;
  std::optional<double> layer_calls_us;  ///< what the small calls of a layer take whatever their size
};

[[nodiscard]] const KernelSummary* find_summary(const std::vector<KernelSummary>& summaries, std::string_view gpu);

}  // namespace rooftune::kernels
