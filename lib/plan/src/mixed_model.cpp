#include "mixed_model.hpp"

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>

namespace rooftune::plan {
namespace {

constexpr int kMostTurns = 1000;
constexpr double kSettledLogarithm = 1e-5;  // change of a logarithm

double squared(double x) { return x * x; }

Eigen::VectorXd prior_variances(const MixedModel& model, const std::vector<double>& spreads) {
  Eigen::VectorXd variances(static_cast<Eigen::Index>(model.effects.size()));
  for (Eigen::Index j = 0; j < variances.size(); ++j) {
    const MixedModel::Effect& effect = model.effects[static_cast<std::size_t>(j)];
    variances[j] = effect.spread ? squared(spreads[*effect.spread]) : effect.variance;
  }
  return variances;
}

/// Covariance of the observations, effects integrated out. There are fewer observations than effects.
Eigen::LLT<Eigen::MatrixXd> observed_covariance(const MixedModel& model, const Eigen::VectorXd& prior) {
  Eigen::MatrixXd covariance = model.rows * prior.asDiagonal() * model.rows.transpose();
  covariance.diagonal().array() += squared(model.noise);
  return covariance.llt();
}

/// Log of the posterior of the spreads' logarithms, up to a constant.
double log_posterior(const MixedModel& model, const std::vector<double>& spreads) {
  const auto cholesky = observed_covariance(model, prior_variances(model, spreads));
  const double fit = model.observed.dot(cholesky.solve(model.observed));
  double result = -0.5 * fit - cholesky.matrixLLT().diagonal().array().log().sum();
  for (std::size_t k = 0; k < spreads.size(); ++k) {
    const MixedModel::SpreadPrior& prior = model.spreads[k];
    result -= 0.5 * squared(std::log(spreads[k] / prior.centre) / prior.log_deviation);
  }
  return result;
}

/// The spread that makes effects with this sum of expected squares most probable.
double maximised(double squares, double count, const MixedModel::SpreadPrior& prior) {
  // The derivative by the logarithm falls all the way.
  const auto derivative = [&](double logarithm) {
    return squares * std::exp(-2.0 * logarithm) - count - (logarithm - std::log(prior.centre)) / squared(prior.log_deviation);
  };
  double low = std::log(prior.centre) - 10.0;
  double high = std::log(prior.centre) + 10.0;
  for (int i = 0; i < 60; ++i) (derivative(0.5 * (low + high)) > 0.0 ? low : high) = 0.5 * (low + high);
  return std::exp(0.5 * (low + high));
}

}  // namespace

double misfit_of_effects(const MixedModel& model, const std::vector<double>& spreads, const Eigen::VectorXd& effects) {
  const Eigen::VectorXd prior = prior_variances(model, spreads);
  double sum = 0.0;
  for (Eigen::Index j = 0; j < effects.size(); ++j) {
    if (prior[j] > 0.0) sum += squared(effects[j]) / prior[j];
  }
  return sum;
}

EffectPosterior posterior_of(const MixedModel& model, const std::vector<double>& spreads) {
  const Eigen::VectorXd prior = prior_variances(model, spreads);
  const auto cholesky = observed_covariance(model, prior);
  const Eigen::MatrixXd half = cholesky.matrixL().solve(model.rows);
  EffectPosterior result;
  result.mean = prior.cwiseProduct(model.rows.transpose() * cholesky.solve(model.observed));
  result.variance = prior - prior.cwiseAbs2().cwiseProduct(half.colwise().squaredNorm().transpose());
  return result;
}

std::vector<double> most_probable_spreads(const MixedModel& model, std::vector<double> spreads) {
  // An effect that no observation sees says nothing of its spread.
  std::vector<std::size_t> seen;
  std::vector<double> counts(spreads.size(), 0.0);
  for (std::size_t j = 0; j < model.effects.size(); ++j) {
    if (!model.effects[j].spread || model.rows.col(static_cast<Eigen::Index>(j)).isZero(0.0)) continue;
    seen.push_back(j);
    counts[*model.effects[j].spread] += 1.0;
  }
  for (int turn = 0; turn < kMostTurns; ++turn) {
    const EffectPosterior effects = posterior_of(model, spreads);
    std::vector<double> squares(spreads.size(), 0.0);
    for (const std::size_t j : seen) {
      const auto index = static_cast<Eigen::Index>(j);
      squares[*model.effects[j].spread] += squared(effects.mean[index]) + effects.variance[index];
    }
    double change = 0.0;
    for (std::size_t k = 0; k < spreads.size(); ++k) {
      const double next = maximised(squares[k], counts[k], model.spreads[k]);
      change = std::max(change, std::abs(std::log(next / spreads[k])));
      spreads[k] = next;
    }
    if (change < kSettledLogarithm) break;
  }
  return spreads;
}

std::vector<double> spread_deviations(const MixedModel& model, const std::vector<double>& spreads) {
  constexpr double kStep = 0.1;
  const double here = log_posterior(model, spreads);
  std::vector<double> result;
  for (std::size_t k = 0; k < spreads.size(); ++k) {
    const auto at = [&](double step) {
      std::vector<double> moved = spreads;
      moved[k] *= std::exp(step);
      return log_posterior(model, moved);
    };
    const double curvature = (2.0 * here - at(kStep) - at(-kStep)) / squared(kStep);
    const double most = model.spreads[k].log_deviation;  // no data widen a prior for long
    result.push_back(curvature > 1.0 / squared(most) ? 1.0 / std::sqrt(curvature) : most);
  }
  return result;
}

}  // namespace rooftune::plan
