#include "rooftune/opt/solve.hpp"

#include <fmt/format.h>

#include <cmath>

#include "backends.hpp"

namespace rooftune::opt {
namespace {

bool is_ceres(Algorithm algorithm) { return algorithm == Algorithm::ceres_lm || algorithm == Algorithm::ceres_dogleg; }

Reproducibility reproducibility_of(const Termination& termination) {
  const bool by_circumstance = termination.reason == Reason::time_limit || termination.reason == Reason::cancelled;
  return by_circumstance ? Reproducibility::machine_dependent : Reproducibility::deterministic;
}

}  // namespace

EvaluationCounts& EvaluationCounts::operator+=(const EvaluationCounts& other) {
  values += other.values;
  derivatives += other.derivatives;
  differences += other.differences;
  refusals += other.refusals;
  hopeless += other.hopeless;
  return *this;
}

long default_evaluation_limit(Algorithm algorithm, std::size_t variables) {
  if (is_ceres(algorithm)) return 1000;
  const long per_variable = describe(algorithm).scope == Scope::global ? 2000 : 500;
  return per_variable * (static_cast<long>(variables) + 1);
}

std::string obstacle(const Problem& problem, Capabilities capabilities, Algorithm algorithm, const SolveOptions& options) {
  if (const std::vector<std::string> found = defects(problem); !found.empty()) return fmt::format("{}", fmt::join(found, "; "));
  const AlgorithmInfo& info = describe(algorithm);
  const Quantity quantity = quantity_of(capabilities, options.merit);
  const Support support = quantity == Quantity::residuals ? capabilities.residuals : capabilities.scalar;
  if (support == Support::none) {
    return fmt::format("the objective has no {}", quantity == Quantity::residuals ? "residuals" : "scalar value");
  }
  if (info.derivatives == DerivativeUse::jacobian && quantity == Quantity::scalar) {
    return fmt::format("{} needs residuals, but a scalar is to be minimised", info.name);
  }
  if (info.scope == Scope::global) {
    for (const Variable& variable : problem.variables) {
      if (std::isfinite(variable.lower) && std::isfinite(variable.upper)) continue;
      return fmt::format("{} searches a box, but '{}' has no finite bounds", info.name, variable.name);
    }
  }
  if (!(options.finite_differences.step > 0.0)) return "the step of finite differences must be positive";
  if (!(options.loss.scale > 0.0)) return "the scale of the loss must be positive";
  if (!(options.search.initial_step > 0.0)) return "the first step must be positive";
  return {};
}

Solution solve(const Problem& problem, Objective& objective, Algorithm algorithm, const SolveOptions& options, const Hooks& hooks) {
  Solution solution;
  solution.algorithm = algorithm;
  if (std::string reason = obstacle(problem, objective.capabilities(), algorithm, options); !reason.empty()) {
    solution.termination = {Reason::failed, "", std::move(reason)};
    return solution;
  }

  Evaluator evaluator(problem, objective, algorithm, options, hooks);
  const std::vector<double> start = initial_point(problem);
  const Sample* first = evaluator.sample(start, Derivatives::not_needed);
  if (first) {
    solution.initial_value = first->value;
    const BackendOutcome outcome = is_ceres(algorithm) ? run_ceres(algorithm, evaluator) : run_nlopt(algorithm, evaluator);
    solution.termination = outcome.termination;
    solution.iterations = outcome.iterations;
    solution.restarts = outcome.restarts;
  } else {
    solution.termination = {Reason::refused_start, "", evaluator.last_refusal()};
  }
  if (evaluator.stopped()) solution.termination = *evaluator.stopped();

  if (evaluator.best()) {
    solution.point = evaluator.best()->point;
    solution.value = evaluator.best()->value;
    solution.residuals = evaluator.best()->raw_residuals;
    solution.bounds = bound_states(problem, solution.point);
  }
  solution.counts = evaluator.counts();
  solution.trace = evaluator.trace();
  solution.last_refusal = evaluator.last_refusal();
  solution.seconds = evaluator.seconds();
  solution.reproducibility = reproducibility_of(solution.termination);
  return solution;
}

}  // namespace rooftune::opt
