#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "rooftune/domain/experiment.hpp"
#include "rooftune/eval/residuals.hpp"
#include "rooftune/opt/loss.hpp"
#include "rooftune/opt/solve.hpp"

/// Several metrics share the parameters, and where they want different values of one the fit ends between them. Pulls say who wants
/// what.
///
/// The pull of some rows on a parameter is minus the gradient of their part of the loss, over the curvature of the whole loss: how far
/// the parameter would move, the others held, if those rows counted twice (to first order, as a fraction of its value). At a minimum the
/// pulls of all rows and of the prior cancel.
namespace rooftune::calibrate {

struct RowPull {
  std::string experiment;
  int stage = 0;
  domain::Metric metric = domain::Metric::ttft_mean;
  double pull = 0.0;
};

/// Who pulls one free parameter which way.
struct ParameterPulls {
  std::size_t parameter = 0;  ///< index into the study's free parameters
  std::map<domain::Metric, double> by_metric;
  std::map<std::string, std::map<domain::Metric, double>> by_model;
  double prior = 0.0;
  std::vector<RowPull> strongest;  ///< at most kNamedRows up, then as many down, the strongest of each first

  /// What the metrics that want it lower take back of what the others want, or the other way round: the smaller of the two sums. 0
  /// where all agree.
  [[nodiscard]] double disagreement() const;
};

inline constexpr std::size_t kNamedRows = 5;

/// Pulls on every parameter that lies at no bound and that the data see, the most contested first. Empty where the objective has no
/// derivatives or the point is refused.
[[nodiscard]] std::vector<ParameterPulls> pulls_at(const eval::ResidualFunction& residuals, std::span<const double> point,
                                                   std::span<const opt::BoundState> bounds, const opt::Loss& loss);

}  // namespace rooftune::calibrate
