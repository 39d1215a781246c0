#include "rooftune/calibrate/pulls.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>
#include <utility>

#include "rooftune/params/space.hpp"

namespace rooftune::calibrate {
namespace {

/// Minus the gradient of every residual's part of the loss by one parameter, and the Gauss-Newton curvature of all.
struct Forces {
  std::vector<double> by_residual;
  double curvature = 0.0;
};

Forces forces_on(std::size_t parameter, const eval::Residuals& at_point, std::size_t columns, const opt::Loss& loss) {
  Forces forces;
  for (std::size_t i = 0; i < at_point.values.size(); ++i) {
    const opt::RobustResidual robust = opt::robustify(loss, at_point.values[i]);
    const double slope = robust.slope * at_point.jacobian[i * columns + parameter];
    forces.by_residual.push_back(-robust.value * slope);
    forces.curvature += slope * slope;
  }
  return forces;
}

std::vector<RowPull> strongest_of(std::vector<RowPull> rows) {
  std::ranges::stable_sort(rows, std::ranges::greater{}, &RowPull::pull);
  const auto first_down = std::ranges::find_if(rows, [](const RowPull& row) { return row.pull <= 0.0; });
  const auto count = [](auto first, auto last) { return std::min<std::ptrdiff_t>(last - first, kNamedRows); };
  std::vector<RowPull> named(rows.begin(), rows.begin() + count(rows.begin(), first_down));
  std::ranges::copy_n(rows.rbegin(), count(first_down, rows.end()), std::back_inserter(named));
  return named;
}

ParameterPulls pulls_on(std::size_t parameter, const eval::ResidualFunction& residuals, const Forces& forces, double relative_step) {
  const eval::Dataset& dataset = residuals.dataset();
  ParameterPulls pulls{.parameter = parameter, .by_metric = {}, .by_model = {}, .prior = 0.0, .strongest = {}};
  std::vector<RowPull> rows;
  for (std::size_t i = 0; i < forces.by_residual.size(); ++i) {
    const double pull = forces.by_residual[i] / forces.curvature * relative_step;
    if (i >= residuals.rows().size()) {
      pulls.prior += pull;
      continue;
    }
    const eval::ResidualRow& row = residuals.rows()[i];
    const eval::Case& item = dataset.cases[row.case_index];
    pulls.by_metric[row.metric] += pull;
    pulls.by_model[item.model.name][row.metric] += pull;
    rows.push_back({.experiment = item.experiment.id, .stage = row.stage, .metric = row.metric, .pull = pull});
  }
  pulls.strongest = strongest_of(std::move(rows));
  return pulls;
}

}  // namespace

double ParameterPulls::disagreement() const {
  double up = 0.0;
  double down = 0.0;
  for (const auto& [metric, pull] : by_metric) (pull > 0.0 ? up : down) += std::abs(pull);
  return std::min(up, down);
}

std::vector<ParameterPulls> pulls_at(const eval::ResidualFunction& residuals, std::span<const double> point,
                                     std::span<const opt::BoundState> bounds, const opt::Loss& loss) {
  std::vector<ParameterPulls> all;
  if (!residuals.differentiable() || residuals.free().empty()) return all;
  const eval::Residuals at_point = residuals(point, eval::Derivatives::yes);
  if (at_point.refusal) return all;
  const std::vector<params::FreeParameter>& free = residuals.free();
  for (std::size_t i = 0; i < free.size(); ++i) {
    const Forces forces = forces_on(i, at_point, free.size(), loss);
    const double value = params::from_transformed(free[i], point[i]);
    if (bounds[i] != opt::BoundState::free || forces.curvature == 0.0 || value == 0.0) continue;
    all.push_back(pulls_on(i, residuals, forces, params::derivative_of_inverse(free[i], point[i]) / std::abs(value)));
  }
  std::ranges::stable_sort(all, std::ranges::greater{}, &ParameterPulls::disagreement);
  return all;
}

}  // namespace rooftune::calibrate
