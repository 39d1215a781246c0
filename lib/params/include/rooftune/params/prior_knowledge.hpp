#pragma once

#include <string_view>
#include <vector>

#include "rooftune/params/registry.hpp"
#include "rooftune/params/space.hpp"

namespace rooftune::params {

/// How far off a parameter may be where the registry or a kernel table has it: one standard deviation in its transformed space
/// (0.1 of a log parameter is 10 %). Where kernels measure it that is how well they do; where a host or a formula decides, a
/// factor e (log), or a quarter of its range (others).
[[nodiscard]] double known_deviation(ParameterId id);

/// The prior of a parameter that is known to be about `centre`.
[[nodiscard]] Prior known_prior(const FreeParameter& parameter, double centre);

/// What a first fit of this step-time model frees, the front end included, each at the registry's start with its prior: what the
/// shipped studies of that model free. Empty for models whose fits do not carry to other models and GPUs.
[[nodiscard]] std::vector<FreeParameter> first_fit(std::string_view step_time_model);

}  // namespace rooftune::params
