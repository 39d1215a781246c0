#pragma once

#include "rooftune/core/digest.hpp"
#include "rooftune/domain/experiment.hpp"
#include "rooftune/domain/gpu.hpp"
#include "rooftune/domain/model.hpp"

namespace rooftune::domain {

// What predictions and residuals depend on, for the keys of stored evaluations.
void add_to(core::Digest& digest, const Experiment& experiment);
void add_to(core::Digest& digest, const ModelSpec& model);
void add_to(core::Digest& digest, const GpuSpec& gpu);

}  // namespace rooftune::domain
