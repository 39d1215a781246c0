#pragma once

#include <span>

#include "rooftune/domain/gpu.hpp"
#include "rooftune/importers/import.hpp"

namespace rooftune::app {

/// Says among the assumptions what the engine's version decides, because nothing else did: with its values where the model ships and
/// the GPU ships or is one of `own_gpus`.
void tell_version_defaults(importers::ImportedGroundTruth& imported, std::span<const domain::GpuSpec> own_gpus = {});

}  // namespace rooftune::app
