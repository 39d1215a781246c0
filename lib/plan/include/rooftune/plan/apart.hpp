#pragma once

#include "rooftune/plan/capacity.hpp"

namespace rooftune::plan {

/// `subject` is the deployment together, one engine of it; its GPUs must divide those of the pools. `apart` is the same with the pools.
[[nodiscard]] ApartAnswer compare_apart(const CapacityCase& subject, const CapacityCase& apart, const CapacityOptions& options);

}  // namespace rooftune::plan
