#pragma once

#include <span>
#include <vector>

#include "rooftune/core/parallel_map.hpp"
#include "rooftune/eval/residuals.hpp"
#include "rooftune/opt/gaussian_belief.hpp"
#include "rooftune/params/config.hpp"
#include "rooftune/params/space.hpp"

namespace rooftune::calibrate {

/// What is known of free parameters before any run: their priors; a parameter without one lies anywhere between its bounds.
[[nodiscard]] opt::GaussianBelief prior_belief(std::span<const params::FreeParameter> free);

/// The same after the rows of `residuals`, linearised at `point` (transformed): normal errors of `noise` in every weighted
/// residual, or of their own root mean square where that is larger.
[[nodiscard]] opt::GaussianBelief posterior_belief(const eval::ResidualFunction& residuals, std::span<const double> point,
                                                   double noise);

/// The posterior as a config keeps it, rounded to what it is worth.
[[nodiscard]] params::FitUncertainty posterior(const eval::ResidualFunction& residuals, std::span<const double> point, double noise);
[[nodiscard]] params::FitUncertainty uncertainty_of(std::span<const params::FreeParameter> free, const opt::GaussianBelief& belief);

/// What a config says about its parameters, ready to propagate or to learn more.
[[nodiscard]] opt::GaussianBelief belief_of(const params::FitUncertainty& uncertainty);
[[nodiscard]] std::vector<params::FreeParameter> free_parameters(const params::Config& config,
                                                                 const params::FitUncertainty& uncertainty);

/// How a predicted mean moves with the parameters.
struct Sensitivity {
  std::size_t case_index = 0;
  int stage = domain::kSummaryStage;
  domain::Metric metric = domain::Metric::e2e_mean;  ///< a mean
  double predicted_ms = 0.0;
  std::vector<double> row;  ///< d log(metric) / d transformed parameter
};

/// The means of every case, its summary first and then its stages where there are several, measured or not.
/// Empty when the config cannot be simulated.
[[nodiscard]] std::vector<Sensitivity> sensitivities(const eval::Dataset& dataset, const params::Config& config,
                                                     std::span<const params::FreeParameter> free, core::ThreadCount threads);

/// The dataset with every metric of every stage given as 1 ms: what makes evaluations and residuals speak of predictions alone.
[[nodiscard]] eval::Dataset with_unit_measurements(const eval::Dataset& dataset);

}  // namespace rooftune::calibrate
