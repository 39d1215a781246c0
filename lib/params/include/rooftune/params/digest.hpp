#pragma once

#include "rooftune/core/digest.hpp"
#include "rooftune/params/config.hpp"
#include "rooftune/params/space.hpp"

namespace rooftune::params {

// What predictions and residuals depend on, for the keys of stored evaluations. Of a config that is everything but what it says
// about itself (calibrated domain, provenance, where values came from and how sure they are).
void add_to(core::Digest& digest, const Config& config);
void add_to(core::Digest& digest, const FreeParameter& parameter);

}  // namespace rooftune::params
