#pragma once

#include <optional>
#include <vector>

#include "rooftune/calibrate/prepare.hpp"
#include "rooftune/params/space.hpp"

namespace rooftune::improve {

/// A cost that goes with more than the cube of a property is no term that lacks a factor.
inline constexpr double kLargestExponent = 3.0;

/// Deployments with the same value of a property, and the log of that value relative to a common centre.
struct PropertyLevel {
  params::DeploymentFilter where;
  double log_factor = 0.0;
};

/// What is left of the residuals when a parameter goes with a power of a property.
struct FactorFit {
  double exponent = 0.0;
  double t = 0.0;                   ///< of the exponent: by what a full refit gains from it
  double explained_fraction = 0.0;  ///< of the sum of squares that a refit without it leaves
};

/// Refits everything that is free, the parameter itself and the exponent on `training`, from `tuned`. Nothing where the refit
/// does not work out. First-order tests mistake terms of a similar shape for each other; a refit tells them apart.
[[nodiscard]] std::optional<FactorFit> fit_factor(const calibrate::PreparedStudy& study, const eval::Dataset& training,
                                                  const params::Config& tuned, params::ParameterId id,
                                                  const std::vector<PropertyLevel>& levels);

}  // namespace rooftune::improve
