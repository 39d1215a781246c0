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
  /// The sum of squares at the minimum.
  double minimum = 0.0;
};

[[nodiscard]] const std::vector<CertifiedProblem>& certified_problems();
[[nodiscard]] const CertifiedProblem& certified_problem(const std::string& name);

/// Options under which every algorithm can show what it can do on a smooth function.
[[nodiscard]] SolveOptions smooth_options();

/// The value above the known minimum, relative to it where it is not zero.
[[nodiscard]] double excess(const CertifiedProblem& certified, const Solution& solution);

}  // namespace rooftune::opt
