#pragma once

#include <cstdint>
#include <span>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/domain/model.hpp"
#include "rooftune/kernels/plan.hpp"

namespace rooftune::latency {

/// Every shape that a GPU runs for these models at these TP degrees, once, whichever models share it: the products of
/// operators_of in bf16 and in the format that the model keeps them in, attention of full and windowed layers over the sizes that
/// serving meets, experts with balanced routing (dealt whole as well), convolutions and recurrences of linear attention, and collectives. Dense in
/// tokens where products turn from weight streaming to compute. Latent and sparse attention (DSA) as whole modules of the dimensions that
/// tables have. Kinds of attention that the collector has no kernel for are left
/// out by name; degrees that split a head are refused.
[[nodiscard]] core::Result<kernels::KernelPlan> plan_measurements(std::span<const domain::ModelSpec> models,
                                                                  std::span<const std::int64_t> tp);

}  // namespace rooftune::latency
