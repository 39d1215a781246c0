#include "score_test.hpp"

#include <algorithm>

namespace rooftune::improve {

Column Linearisation::column(std::size_t parameter) const {
  Column column(residuals.values.size());
  for (std::size_t row = 0; row < column.size(); ++row) column[row] = residuals.jacobian[row * point.size() + parameter];
  return column;
}

std::optional<Linearisation> linearise(const calibrate::PreparedStudy& study, const eval::Dataset& training,
                                       const params::Config& tuned, const std::vector<params::FreeParameter>& parameters) {
  const eval::ResidualFunction function(training, tuned, parameters, study.spec.objective, {study.spec.threads});
  if (!function.differentiable()) return std::nullopt;
  Linearisation made{.point = {}, .residuals = {}, .rows = function.rows()};
  for (const params::FreeParameter& parameter : parameters) {
    const double value = std::clamp(params::current_value(tuned, parameter), parameter.lower, parameter.upper);
    made.point.push_back(params::to_transformed(parameter, value));
  }
  made.residuals = function(made.point, eval::Derivatives::yes);
  if (made.residuals.refusal) return std::nullopt;
  return made;
}

}  // namespace rooftune::improve
