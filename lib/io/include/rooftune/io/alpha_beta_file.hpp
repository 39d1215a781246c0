#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "rooftune/study/linear_form.hpp"

namespace rooftune::io {

/// Coefficients of one deployment.
struct AlphaBetaEntry {
  std::string model;  ///< id
  std::string gpu;
  int tp = 1;
  std::int64_t kv_blocks = 0;
  std::string engine_version;  ///< of the calibration; empty where not known
  study::LinearForm form;
};

/// `{"models": [{"id", "GPU", "tensor_parallelism", "alpha_coeffs", "beta_coeffs", "total_kv_blocks", "vllm_version"}]}` as the Go
/// simulators' defaults.yaml has it: JSON, which is YAML as well. Microseconds.
[[nodiscard]] std::string alpha_beta_text(std::span<const AlphaBetaEntry> entries);

}  // namespace rooftune::io
