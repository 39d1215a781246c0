#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/core/units.hpp"

namespace rooftune::domain {

enum class Interconnect { nvlink, pcie };

/// One GPU type as its data sheet describes it. Peaks are dense (no sparsity).
struct GpuSpec {
  std::string name;                  ///< canonical: "H100-SXM"
  std::vector<std::string> aliases;  ///< other spellings accepted in files: "H100", "h100_sxm"
  core::TeraflopsPerSecond peak_bf16;
  std::optional<core::TeraflopsPerSecond> peak_fp8;     ///< empty: no FP8 units, FP8 weights are computed in bf16
  std::optional<core::TeraflopsPerSecond> peak_fp4{};   ///< empty: no FP4 units
  std::optional<core::TeraflopsPerSecond> peak_int8{};  ///< in 1e12 operations per second; empty: not known
  core::TerabytesPerSecond hbm_bandwidth;
  Interconnect interconnect = Interconnect::nvlink;
  core::GigabytesPerSecond link_bandwidth;  ///< one direction
  core::Gibibytes memory;
  std::optional<core::Gibibytes> reported_memory{};  ///< as CUDA reports its total; empty: derived from `memory`
  std::string source;

  friend bool operator==(const GpuSpec&, const GpuSpec&) = default;
};

/// The GPU whose name or alias is `name` (case-insensitive; '_', '-' and spaces alike), or null.
[[nodiscard]] const GpuSpec* find_gpu(const std::vector<GpuSpec>& gpus, std::string_view name);

}  // namespace rooftune::domain
