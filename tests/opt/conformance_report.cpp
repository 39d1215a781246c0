// Prints what every algorithm reaches on problems with known minima: the value above the minimum on those of Moré, Garbow and
// Hillstrom, and the correct digits of NIST's certified values for the least-squares algorithms.
#include <fmt/format.h>

#include <chrono>
#include <vector>

#include "certified_problems.hpp"
#include "nist_conformance.hpp"

namespace {

using namespace rooftune::opt;

void print_small_problems() {
  fmt::print("value above the known minimum (relative where it is not zero) / calls\n{:26}", "problem");
  for (const AlgorithmInfo& info : algorithms()) fmt::print(" {:>15}", info.name);
  fmt::print("\n");
  std::vector<int> solved(algorithms().size(), 0);
  for (const CertifiedProblem& certified : certified_problems()) {
    fmt::print("{:26}", certified.name);
    for (const AlgorithmInfo& info : algorithms()) {
      const auto objective = make_residual_objective(certified.residuals);
      const Solution solution = solve(certified.problem, *objective, info.algorithm, smooth_options());
      const double above = excess(certified, solution, info.scope);
      solved[static_cast<std::size_t>(info.algorithm)] += above <= bar_of(info.algorithm).tolerance;
      fmt::print(" {:>8.1e} {:>6}", above, solution.counts.total());
    }
    fmt::print("\n");
  }
  fmt::print("\n{:14} {:>9} {:>10} {:>5}\n", "algorithm", "within", "passes", "bar");
  for (const AlgorithmInfo& info : algorithms()) {
    const Bar bar = bar_of(info.algorithm);
    fmt::print("{:14} {:>9.0e} {:>4} of {:>2} {:>5}\n", info.name, bar.tolerance, solved[static_cast<std::size_t>(info.algorithm)],
               certified_problems().size(), bar.solved);
  }
}

void print_nist() {
  for (const Algorithm algorithm : {Algorithm::ceres_lm, Algorithm::ceres_dogleg}) {
    for (const Support support : {Support::values_and_derivatives, Support::values}) {
      fmt::print("\n{} {} derivatives: correct digits of parameters and standard errors from start 1 and 2\n", name(algorithm),
                 support == Support::values ? "without" : "with");
      fmt::print("{:10} {:>6} {:>6} {:>6} {:>6} {:>7} {:>7}  {}\n", "problem", "par 1", "par 2", "se 1", "se 2", "calls 1", "calls 2",
                 "ended");
      const auto begin = std::chrono::steady_clock::now();
      NistSummary summary;
      for (const NistProblem& problem : nist_problems()) {
        const NistOutcome first = fit_nist(problem, 0, algorithm, support);
        const NistOutcome second = fit_nist(problem, 1, algorithm, support);
        summary.add(first);
        summary.add(second);
        fmt::print("{:10} {:6.1f} {:6.1f} {:6.1f} {:6.1f} {:7} {:7}  {}, {}\n", problem.name, first.parameter_digits,
                   second.parameter_digits, first.error_digits, second.error_digits, first.evaluations, second.evaluations,
                   name(first.reason), name(second.reason));
      }
      fmt::print("solved to 4 digits {} of {}, standard errors to 4 digits {}, average digits {:.2f}, {:.2f} s\n", summary.solved,
                 summary.total, summary.errors_right, summary.average_digits(),
                 std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    }
  }
}

}  // namespace

int main() {
  print_small_problems();
  print_nist();
}
