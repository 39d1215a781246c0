#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "rooftune/calibrate/prepare.hpp"
#include "rooftune/opt/solve.hpp"

namespace rooftune::calibrate {

/// One solver on a study's problem.
struct SolverRow {
  opt::Algorithm algorithm = opt::Algorithm::ceres_lm;
  bool by_differences = false;  ///< derivatives by finite differences instead of through the simulation
  opt::EvaluationCounts counts{};
  double seconds = 0.0;
  double objective = 0.0;     ///< infinite when it has no point
  double loss_percent = 0.0;  ///< of an evaluation at its point
  opt::Termination termination{};
};

struct SolverTableOptions {
  std::vector<opt::Algorithm> algorithms;  ///< empty: all
  long max_evaluations = 2000;             ///< of each
  std::function<void(std::size_t finished, std::size_t total, const std::string& name)> progress = {};
  std::stop_token cancel = {};  ///< ends with the best point of the solver that runs, and begins no further one
};

/// In the order in which they ran.
struct SolverTable {
  std::vector<SolverRow> rows;
  std::size_t asked = 0;  ///< runs that were to be made

  /// Cancelled: the last row stopped early, or others are missing.
  [[nodiscard]] bool interrupted() const;
};

/// "ceres_lm", "ceres_lm, differences"
[[nodiscard]] std::string title(const SolverRow& row);

/// Runs every solver from the study's start on the same sum of squares, one after another, each with all threads; least-squares
/// solvers once more without derivatives.
[[nodiscard]] SolverTable solver_table(const PreparedStudy& study, const SolverTableOptions& options = {});

}  // namespace rooftune::calibrate
