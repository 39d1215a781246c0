#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "rooftune/latency/step_time.hpp"

namespace rooftune::latency {

/// What configs of external simulators have in the place of a step-time model.
inline constexpr std::string_view kExternalModel = "external";

/// A step-time model as users see it. Adding one: a file with the class, an entry in catalogue.cpp, a test.
struct ModelEntry {
  std::string_view name;  ///< "roofline_v1"; also the group of its parameters and switches
  std::string_view summary;
  bool looks_up_kernels = false;    ///< cannot be made ready without kernel tables of the GPU
  bool prices_eager_steps = false;  ///< knows what launching takes in steps that no CUDA graph holds, decodes too
};

[[nodiscard]] std::span<const ModelEntry> step_time_models();
[[nodiscard]] bool is_step_time_model(std::string_view name);
/// Whether the model cannot do without measured kernels; false for unknown names.
[[nodiscard]] bool looks_up_kernels(std::string_view name);
/// The same of `prices_eager_steps`.
[[nodiscard]] bool prices_eager_steps(std::string_view name);

/// Why this model cannot say anything about the target ("multi-head latent attention is not covered"), or nothing.
[[nodiscard]] std::optional<std::string> unsupported_reason(std::string_view name, const Target& target);

/// The model made ready. `name` must be in the catalogue and the target supported.
/// Instantiated for double and the core::Dual widths.
template <class Scalar>
[[nodiscard]] std::unique_ptr<StepTime<Scalar>> make_step_time(std::string_view name, const Target& target,
                                                               const params::Resolved<Scalar>& parameters);

}  // namespace rooftune::latency
