#pragma once

#include "rooftune/core/digest.hpp"
#include "rooftune/kernels/tables.hpp"

namespace rooftune::kernels {

/// Everything measured, for the keys of stored evaluations.
void add_to(core::Digest& digest, const MeasuredKernels& kernels);

}  // namespace rooftune::kernels
