#include "nist_conformance.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

namespace rooftune::opt {
namespace {

/// The terms of the Lanczos models (amplitude, rate) may swap their roles; the certified values have them by rising rate.
void sort_terms(std::vector<double>& parameters, std::vector<double>& errors) {
  const std::size_t terms = parameters.size() / 2;
  std::vector<std::size_t> order(terms);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return parameters[2 * a + 1] < parameters[2 * b + 1]; });
  const std::vector<double> parameters_before = parameters;
  const std::vector<double> errors_before = errors;
  for (std::size_t k = 0; k < terms; ++k) {
    for (std::size_t member = 0; member < 2; ++member) {
      parameters[2 * k + member] = parameters_before[2 * order[k] + member];
      errors[2 * k + member] = errors_before[2 * order[k] + member];
    }
  }
}

}  // namespace

void NistSummary::add(const NistOutcome& outcome) {
  ++total;
  solved += outcome.parameter_digits >= 4.0;
  errors_right += outcome.error_digits >= 4.0;
  digits += outcome.parameter_digits;
}

SolveOptions nist_options() {
  SolveOptions options;
  options.tolerances = {.value = 1e-15, .step = 1e-13, .gradient = 0.0};
  // The cube root of the machine epsilon, where rounding and curvature errors of central differences balance.
  options.finite_differences = {.basis = FiniteDifferences::Basis::magnitude, .step = 6e-6};
  return options;
}

NistOutcome fit_nist(const NistProblem& nist, std::size_t start, Algorithm algorithm, Support support) {
  const Problem problem = nist.problem(start);
  MultiStartOptions multistart;
  multistart.starts = 16;
  for (const double initial : nist.starts[start]) {
    // A published start is a guess within an order of magnitude or so.
    multistart.box.emplace_back(std::min(0.05 * initial, 2.0 * initial), std::max(0.05 * initial, 2.0 * initial));
  }
  const std::array stages{Stage{.algorithm = algorithm, .options = nist_options()}};
  const MultiStartSolution result = solve_multistart(
      problem, [&](std::size_t) { return nist.objective(support); }, stages, multistart);
  NistOutcome outcome;
  outcome.evaluations = result.counts().total();
  const StartOutcome* best = result.best();
  if (!best) return outcome;
  const auto objective = nist.objective(support);
  const Uncertainty uncertainty = estimate_uncertainty(problem, *objective, best->solution, nist_options(), {.rank_tolerance = 1e-14});
  std::vector<double> parameters = best->solution.point;
  std::vector<double> errors = uncertainty.standard_errors;
  if (nist.name.starts_with("lanczos")) sort_terms(parameters, errors);
  outcome.parameter_digits = correct_digits(parameters, nist.certified);
  outcome.error_digits = correct_digits(errors, nist.standard_deviations);
  outcome.sum_of_squares = best->solution.value;
  outcome.reason = best->solution.termination.reason;
  return outcome;
}

}  // namespace rooftune::opt
