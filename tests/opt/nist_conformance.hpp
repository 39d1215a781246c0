#pragma once

#include "nist_problems.hpp"
#include "rooftune/opt/multistart.hpp"
#include "rooftune/opt/uncertainty.hpp"

namespace rooftune::opt {

/// How well one fit of a NIST problem agrees with the certified values.
struct NistOutcome {
  double parameter_digits = 0.0;
  double error_digits = 0.0;
  double sum_of_squares = 0.0;
  long evaluations = 0;
  Reason reason = Reason::not_run;
};

struct NistSummary {
  int total = 0;
  int solved = 0;
  int errors_right = 0;
  double digits = 0.0;

  void add(const NistOutcome& outcome);
  [[nodiscard]] double average_digits() const { return digits / total; }
};

/// The settings of the conformance runs: smooth functions in double precision deserve tight tolerances and small differences.
[[nodiscard]] SolveOptions nist_options();

/// From one of the two starts, with a multi-start around it (the first start is the given one).
[[nodiscard]] NistOutcome fit_nist(const NistProblem& problem, std::size_t start, Algorithm algorithm, Support support);

}  // namespace rooftune::opt
