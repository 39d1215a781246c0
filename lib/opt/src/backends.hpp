#pragma once

#include "evaluator.hpp"

namespace rooftune::opt {

/// How a backend ended on its own account; `Evaluator::stopped()` overrides it.
struct BackendOutcome {
  Termination termination;
  int iterations = 0;
  int restarts = 0;
};

/// Both expect that the initial point has been sampled and accepted.
[[nodiscard]] BackendOutcome run_ceres(Algorithm algorithm, Evaluator& evaluator);
[[nodiscard]] BackendOutcome run_nlopt(Algorithm algorithm, Evaluator& evaluator);

}  // namespace rooftune::opt
