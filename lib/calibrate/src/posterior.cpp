#include "rooftune/calibrate/posterior.hpp"

#include <algorithm>
#include <cmath>

#include "rooftune/core/statistics.hpp"
#include "rooftune/domain/metrics.hpp"

namespace rooftune::calibrate {
namespace {

/// Standard deviation of a uniform distribution over the transformed box. A logit box is infinite; 1.8 spreads its values evenly.
double deviation_of_box(const params::FreeParameter& parameter) {
  if (parameter.transform == params::Transform::logit) return 1.8;
  const double width = params::to_transformed(parameter, parameter.upper) - params::to_transformed(parameter, parameter.lower);
  return width / std::sqrt(12.0);
}

double significant(double value, double digits) {
  if (value == 0.0 || !std::isfinite(value)) return value;
  const double scale = std::pow(10.0, digits - 1.0 - std::floor(std::log10(std::abs(value))));
  return std::round(value * scale) / scale;
}

}  // namespace

opt::GaussianBelief prior_belief(std::span<const params::FreeParameter> free) {
  std::vector<double> deviations;
  for (const params::FreeParameter& parameter : free) {
    deviations.push_back(parameter.prior ? parameter.prior->standard_deviation : deviation_of_box(parameter));
  }
  return opt::GaussianBelief(std::span<const double>(deviations));
}

opt::GaussianBelief posterior_belief(const eval::ResidualFunction& residuals, std::span<const double> point, double noise) {
  opt::GaussianBelief belief = prior_belief(residuals.free());
  const eval::Residuals at_point = residuals(point, eval::Derivatives::yes);
  const std::size_t columns = residuals.free().size();
  if (at_point.refusal || columns == 0) return belief;
  // Priors follow the rows; they are in the belief already.
  const std::span<const double> rows(at_point.values.data(), residuals.rows().size());
  const double deviation = std::max(noise, core::root_mean_square(rows));
  for (std::size_t row = 0; row < rows.size(); ++row) {
    belief.observe(std::span<const double>(at_point.jacobian).subspan(row * columns, columns), deviation * deviation);
  }
  return belief;
}

params::FitUncertainty uncertainty_of(std::span<const params::FreeParameter> free, const opt::GaussianBelief& belief) {
  params::FitUncertainty result;
  for (std::size_t i = 0; i < free.size(); ++i) {
    const double deviation = std::sqrt(belief.covariance(i, i));
    const bool is_logit = free[i].transform == params::Transform::logit;
    result.parameters.push_back({.id = free[i].id,
                                 .where = free[i].where,
                                 .transform = free[i].transform,
                                 .lower = is_logit ? free[i].lower : 0.0,
                                 .upper = is_logit ? free[i].upper : 0.0,
                                 .standard_deviation = significant(deviation, 4)});
    std::vector<double>& row = result.correlation.emplace_back();
    for (std::size_t j = 0; j < i; ++j) {
      const double scale = deviation * std::sqrt(belief.covariance(j, j));
      row.push_back(scale > 0.0 ? std::round(belief.covariance(i, j) / scale * 1e4) / 1e4 : 0.0);
    }
  }
  return result;
}

params::FitUncertainty posterior(const eval::ResidualFunction& residuals, std::span<const double> point, double noise) {
  return uncertainty_of(residuals.free(), posterior_belief(residuals, point, noise));
}

opt::GaussianBelief belief_of(const params::FitUncertainty& uncertainty) {
  const std::size_t size = uncertainty.parameters.size();
  std::vector<double> covariance(size * size, 0.0);
  for (std::size_t i = 0; i < size; ++i) {
    for (std::size_t j = 0; j < size; ++j) covariance[i * size + j] = uncertainty.covariance_of(i, j);
  }
  return opt::GaussianBelief(std::move(covariance));
}

std::vector<params::FreeParameter> free_parameters(const params::Config& config, const params::FitUncertainty& uncertainty) {
  std::vector<params::FreeParameter> free;
  for (const params::FitUncertainty::Parameter& known : uncertainty.parameters) {
    params::FreeParameter& parameter = free.emplace_back(params::make_free(known.id));
    parameter.where = known.where;
    parameter.transform = known.transform;
    if (known.transform == params::Transform::logit) {
      parameter.lower = known.lower;
      parameter.upper = known.upper;
    }
    parameter.initial = params::current_value(config, parameter);
  }
  return free;
}

eval::Dataset with_unit_measurements(const eval::Dataset& dataset) {
  domain::Latencies units;
  for (const domain::Metric metric : domain::kMetrics) units[metric] = 1.0;
  eval::Dataset result = dataset;
  for (eval::Case& item : result.cases) {
    item.experiment.measured.summary = units;
    item.experiment.measured.stages.assign(item.experiment.workload.stages.size(), units);
  }
  return result;
}

std::vector<Sensitivity> sensitivities(const eval::Dataset& dataset, const params::Config& config,
                                       std::span<const params::FreeParameter> free, core::ThreadCount threads) {
  eval::ObjectiveSpec means;
  means.residual = eval::ResidualKind::log_ratio;
  means.metrics.clear();
  for (const domain::Metric metric : domain::kMeanMetrics) means.metrics[metric] = 1.0;
  means.rows = eval::StageRows::both;
  means.balance = eval::Balance::rows;
  const eval::Dataset unit = with_unit_measurements(dataset);
  const eval::ResidualFunction logarithms(unit, config, {free.begin(), free.end()}, means, threads);
  std::vector<double> point;
  for (const params::FreeParameter& parameter : free) {
    point.push_back(params::to_transformed(parameter, params::current_value(config, parameter)));
  }
  const eval::Residuals at_point = logarithms(point, eval::Derivatives::yes);
  std::vector<Sensitivity> result;
  if (at_point.refusal) return result;
  for (std::size_t row = 0; row < logarithms.rows().size(); ++row) {
    const eval::ResidualRow& what = logarithms.rows()[row];
    const auto begin = at_point.jacobian.begin() + static_cast<std::ptrdiff_t>(row * free.size());
    result.push_back({.case_index = what.case_index,
                      .stage = what.stage,
                      .metric = what.metric,
                      .predicted_ms = at_point.predicted_ms[row],
                      .row = std::vector<double>(begin, begin + static_cast<std::ptrdiff_t>(free.size()))});
  }
  return result;
}

}  // namespace rooftune::calibrate
