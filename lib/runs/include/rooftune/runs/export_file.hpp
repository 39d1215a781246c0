#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "rooftune/calibrate/linear_form.hpp"
#include "rooftune/core/diagnostics.hpp"

namespace rooftune::runs {

/// Coefficients of one deployment.
struct AlphaBetaEntry {
  std::string model;  ///< id
  std::string gpu;
  int tp = 1;
  std::int64_t kv_blocks = 0;
  std::string engine_version;  ///< of the calibration; empty where not known
  calibrate::LinearForm form;
};

/// `{"models": [{"id", "GPU", "tensor_parallelism", "alpha_coeffs", "beta_coeffs", "total_kv_blocks", "vllm_version"}]}` as the Go
/// simulators' defaults.yaml has it: JSON, which is YAML as well. Microseconds.
[[nodiscard]] std::string alpha_beta_text(std::span<const AlphaBetaEntry> entries);

/// A config in another simulator's form, and what the form could not carry.
struct ExportedConfig {
  std::string form;                           ///< "hardware-config", "alpha-beta"
  std::string text;                           ///< what the other simulator loads
  std::vector<AlphaBetaEntry> deployments{};  ///< alpha-beta only
  core::Diagnostics warnings{};
};

/// "rooftune/export/1" (docs/file_formats.md).
[[nodiscard]] std::string export_json(const ExportedConfig& exported);
/// hardware-config: a row for each GPU and key; alpha-beta: a row for each deployment.
[[nodiscard]] std::string export_csv(const ExportedConfig& exported);

}  // namespace rooftune::runs
