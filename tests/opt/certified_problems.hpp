#pragma once

#include <functional>
#include <string>
#include <vector>

#include "rooftune/opt/solve.hpp"

namespace rooftune::opt {

/// A least-squares problem with a known minimum, from J. J. Moré, B. S. Garbow, K. E. Hillstrom, "Testing unconstrained
/// optimization software", ACM TOMS 7 (1981), with their standard start and a box of ours that holds the minimum.
struct CertifiedProblem {
  std::string name;
  Problem problem;
  std::function<std::vector<double>(std::span<const double>)> residuals;
  /// The sum of squares at the minimum: the published value, with further digits that a search found and a test checks.
  double minimum = 0.0;
  /// Of the local minima that the paper names, or that are known from it.
  std::vector<double> other_minima;
};

[[nodiscard]] const std::vector<CertifiedProblem>& certified_problems();
[[nodiscard]] const CertifiedProblem& certified_problem(const std::string& name);

/// Options under which every algorithm can show what it can do on a smooth function.
[[nodiscard]] SolveOptions smooth_options();

/// The value above the known minimum, relative to it where it is not zero. Of a local algorithm nobody asks more than the local
/// minimum that it came to.
[[nodiscard]] double excess(const CertifiedProblem& certified, const Solution& solution, Scope scope);

/// What an algorithm must reach: on how many of the problems its value comes within `tolerance` of the minimum. Measured, and held.
struct Bar {
  double tolerance = 0.0;
  int solved = 0;
};
[[nodiscard]] Bar bar_of(Algorithm algorithm);

}  // namespace rooftune::opt
