#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "rooftune/core/parallel_map.hpp"
#include "rooftune/eval/dataset.hpp"
#include "rooftune/params/config.hpp"

namespace rooftune::calibrate {

struct IntervalOptions {
  double level = 0.9;     ///< share of measurements that should fall inside, in (0, 1)
  int arrival_draws = 8;  ///< simulations with other arrivals, whose spread is the noise of one measured run; >= 2
  core::ThreadCount threads{};
};

/// A deviation of the logarithm from which on a prediction is not determined: 90 % would reach to half and to twice of it.
inline constexpr double kUndetermined = 0.42;

/// Where a measurement of one metric should fall. The three parts are standard deviations of the logarithm.
struct PredictionInterval {
  std::string experiment;
  int stage = domain::kSummaryStage;
  domain::Metric metric = domain::Metric::e2e_mean;
  double predicted_ms = 0.0;
  double lower_ms = 0.0;
  double upper_ms = 0.0;
  double parameter_deviation = 0.0;              ///< the fitted parameters' covariance through the simulation's derivatives
  std::optional<double> structural_deviation{};  ///< held-out error; empty: unknown, and the interval is too narrow
  double arrival_deviation = 0.0;                ///< requests that arrive otherwise

  [[nodiscard]] double deviation() const;
  /// Whether the interval says something.
  [[nodiscard]] bool is_determined() const { return deviation() < kUndetermined; }
};

/// Intervals of every case at a config, its summary first and then its stages where there are several. Percentiles take the
/// parameter part of their mean. To first order in the parameters: where they are known to a factor of two or worse, or the
/// engine saturates, the interval is a rough one. Empty for a config without `uncertainty`.
[[nodiscard]] std::vector<PredictionInterval> prediction_intervals(const eval::Dataset& dataset, const params::Config& config,
                                                                   const IntervalOptions& options = {});

/// The interval around one prediction.
[[nodiscard]] PredictionInterval with_bounds(PredictionInterval interval, double level);

/// A measurement outside a fit, beside what the fit's own uncertainty explains of its error.
struct HeldOutError {
  std::string group;  ///< the fold that left it out
  std::string experiment;
  int stage = domain::kSummaryStage;
  domain::Metric metric = domain::Metric::e2e_mean;
  double log_error = 0.0;  ///< log(measured / predicted)
  double parameter_deviation = 0.0;
  double arrival_deviation = 0.0;
};

/// Errors of measured rows of `dataset`, which the fit of `config` has not seen.
[[nodiscard]] std::vector<HeldOutError> held_out_errors(const std::string& group, const eval::Dataset& dataset,
                                                        const params::Config& config, const IntervalOptions& options = {});

/// The structural part by metric: what must be added to the known variances so that held-out errors have the size they should
/// (Paule and Mandel 1982, J. Res. NBS 87:377), every group weighing the same.
[[nodiscard]] std::map<domain::Metric, double> structural_deviation(std::span<const HeldOutError> errors);

/// How many held-out measurements fell inside their interval. The structural part of each group's intervals comes from the other
/// groups, so that no measurement judges itself.
struct Coverage {
  int inside = 0;
  int measurements = 0;
};
[[nodiscard]] std::map<domain::Metric, Coverage> interval_coverage(std::span<const HeldOutError> errors, double level);

}  // namespace rooftune::calibrate
