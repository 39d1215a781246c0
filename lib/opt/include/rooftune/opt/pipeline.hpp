#pragma once

#include <optional>
#include <span>
#include <vector>

#include "rooftune/opt/solve.hpp"

namespace rooftune::opt {

/// One step of a search: an algorithm with its options.
struct Stage {
  Algorithm algorithm = Algorithm::ceres_lm;
  SolveOptions options = {};
};

/// Stages in the order in which they ran. Later ones are missing when an earlier one was cancelled or had no usable start.
struct PipelineSolution {
  std::vector<Solution> stages;

  /// The outcome: the last stage that has a point (it started from the best point of the one before), else the last stage,
  /// else a search that was not run.
  [[nodiscard]] Solution final() const;
  [[nodiscard]] EvaluationCounts counts() const;
  [[nodiscard]] Reproducibility reproducibility() const;
};

/// Runs the stages one after another, each from the best point of the one before: typically a global search, then least
/// squares, then a polish of the scalar that matters.
[[nodiscard]] PipelineSolution solve_pipeline(const Problem& problem, Objective& objective, std::span<const Stage> stages,
                                              const Hooks& hooks = {});

}  // namespace rooftune::opt
