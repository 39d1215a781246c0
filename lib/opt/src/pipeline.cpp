#include "rooftune/opt/pipeline.hpp"

namespace rooftune::opt {

Solution PipelineSolution::final() const {
  for (auto stage = stages.rbegin(); stage != stages.rend(); ++stage) {
    if (stage->has_point()) return *stage;
  }
  return stages.empty() ? Solution{} : stages.back();
}

EvaluationCounts PipelineSolution::counts() const {
  EvaluationCounts total;
  for (const Solution& stage : stages) total += stage.counts;
  return total;
}

Reproducibility PipelineSolution::reproducibility() const {
  for (const Solution& stage : stages) {
    if (stage.reproducibility == Reproducibility::machine_dependent) return Reproducibility::machine_dependent;
  }
  return Reproducibility::deterministic;
}

PipelineSolution solve_pipeline(const Problem& problem, Objective& objective, std::span<const Stage> stages, const Hooks& hooks) {
  PipelineSolution result;
  Problem current = problem;
  for (const Stage& stage : stages) {
    result.stages.push_back(solve(current, objective, stage.algorithm, stage.options, hooks));
    const Solution& solution = result.stages.back();
    if (!solution.has_point() || solution.termination.reason == Reason::cancelled) break;
    current = starting_from(std::move(current), solution.point);
  }
  return result;
}

}  // namespace rooftune::opt
