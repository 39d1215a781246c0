#pragma once

#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace rooftune::opt {

/// One number to be found. Everything is in the space in which the optimiser works: the caller has already applied the
/// log, logit or other transform, and knows the unit.
struct Variable {
  std::string name;
  /// Bounds, both honoured by every algorithm; equal bounds hold the variable. Global algorithms need finite ones.
  double lower = -std::numeric_limits<double>::infinity();
  double initial = 0.0;
  double upper = std::numeric_limits<double>::infinity();
  /// A change of the variable that matters, > 0. Finite differences and first steps are multiples of it. 1 suits a
  /// log-transformed variable (a step of 0.02 is then 2 %); for a linear one its typical magnitude is a good choice.
  double scale = 1.0;

  friend bool operator==(const Variable&, const Variable&) = default;
};

/// What is searched. The function that is minimised over it is an Objective.
struct Problem {
  std::vector<Variable> variables;

  [[nodiscard]] std::size_t size() const { return variables.size(); }
  friend bool operator==(const Problem&, const Problem&) = default;
};

/// The initial values in the order of the variables.
[[nodiscard]] std::vector<double> initial_point(const Problem& problem);

/// What is wrong with a problem (bounds that cross, an initial value outside them, a scale that is not positive ...), one
/// sentence each; empty when it can be solved.
[[nodiscard]] std::vector<std::string> defects(const Problem& problem);

/// The same problem with another initial point, moved inside the bounds. `point` has one entry per variable.
[[nodiscard]] Problem starting_from(Problem problem, std::span<const double> point);

}  // namespace rooftune::opt
