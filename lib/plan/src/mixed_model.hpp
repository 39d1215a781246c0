#pragma once

#include <Eigen/Core>
#include <cstddef>
#include <optional>
#include <vector>

namespace rooftune::plan {

/// A linear model of effects whose variances are known or shared by a group of effects and estimated:
/// y = A x + noise, x_j ~ N(0, variance of j).
struct MixedModel {
  struct Effect {
    std::optional<std::size_t> spread;  ///< which spread it is drawn with; empty: its variance is `variance`
    double variance = 0.0;
  };
  /// A standard deviation that several effects share; its logarithm has a normal prior.
  struct SpreadPrior {
    double centre = 0.0;  ///< of the spread itself
    double log_deviation = 0.0;
  };
  Eigen::MatrixXd rows;  ///< A: observations by effects
  Eigen::VectorXd observed;
  double noise = 0.0;  ///< standard deviation of an observation
  std::vector<Effect> effects;
  std::vector<SpreadPrior> spreads;
};

struct EffectPosterior {
  Eigen::VectorXd mean;
  Eigen::VectorXd variance;
};

/// What the observations say of the effects when the spreads are these.
[[nodiscard]] EffectPosterior posterior_of(const MixedModel& model, const std::vector<double>& spreads);

/// Sum of the squared effects over their variances.
[[nodiscard]] double misfit_of_effects(const MixedModel& model, const std::vector<double>& spreads, const Eigen::VectorXd& effects);

/// The most probable spreads (of their logarithms, effects integrated out), from these on.
[[nodiscard]] std::vector<double> most_probable_spreads(const MixedModel& model, std::vector<double> spreads);

/// One standard deviation of the logarithm of each spread, from the curvature of its posterior there.
[[nodiscard]] std::vector<double> spread_deviations(const MixedModel& model, const std::vector<double>& spreads);

}  // namespace rooftune::plan
