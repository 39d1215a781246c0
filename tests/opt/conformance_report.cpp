// Prints how many digits of the NIST certified values each least-squares algorithm reaches, problem by problem.
#include <fmt/format.h>

#include <chrono>

#include "nist_conformance.hpp"

int main() {
  using namespace rooftune::opt;
  for (const Algorithm algorithm : {Algorithm::ceres_lm, Algorithm::ceres_dogleg}) {
    for (const Support support : {Support::values_and_derivatives, Support::values}) {
      fmt::print("\n{} {} derivatives: correct digits of parameters and standard errors from start 1 and 2\n", name(algorithm),
                 support == Support::values ? "without" : "with");
      fmt::print("{:10} {:>6} {:>6} {:>6} {:>6} {:>7} {:>7}  {}\n", "problem", "par 1", "par 2", "se 1", "se 2", "calls 1",
                 "calls 2", "ended");
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
