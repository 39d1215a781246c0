#include "rooftune/opt/problem.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "rooftune/core/contract.hpp"

namespace rooftune::opt {

std::vector<double> initial_point(const Problem& problem) {
  std::vector<double> point;
  for (const Variable& variable : problem.variables) point.push_back(variable.initial);
  return point;
}

std::vector<std::string> defects(const Problem& problem) {
  std::vector<std::string> found;
  if (problem.variables.empty()) found.emplace_back("there is no variable");
  for (const Variable& variable : problem.variables) {
    if (!std::isfinite(variable.initial)) {
      found.push_back(fmt::format("'{}' starts at {}", variable.name, variable.initial));
    } else if (!(variable.lower <= variable.upper)) {
      found.push_back(fmt::format("'{}' has lower bound {} above upper bound {}", variable.name, variable.lower, variable.upper));
    } else if (variable.initial < variable.lower || variable.initial > variable.upper) {
      found.push_back(fmt::format("'{}' starts at {}, outside its bounds [{}, {}]", variable.name, variable.initial, variable.lower,
                                  variable.upper));
    }
    if (!(variable.scale > 0.0) || !std::isfinite(variable.scale)) {
      found.push_back(fmt::format("'{}' has scale {}; it must be positive", variable.name, variable.scale));
    }
  }
  return found;
}

Problem starting_from(Problem problem, std::span<const double> point) {
  ROOFTUNE_EXPECTS(point.size() == problem.size());
  for (std::size_t i = 0; i < problem.size(); ++i) {
    Variable& variable = problem.variables[i];
    variable.initial = std::clamp(point[i], variable.lower, variable.upper);
  }
  return problem;
}

}  // namespace rooftune::opt
