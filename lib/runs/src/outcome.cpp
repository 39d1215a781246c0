#include "rooftune/runs/outcome.hpp"

#include <algorithm>

#include "rooftune/runs/onboard_file.hpp"
#include "rooftune/runs/result_file.hpp"

namespace rooftune::runs {
namespace {

bool has_limit_in_seconds(const calibrate::StudySpec& spec) {
  return std::ranges::any_of(spec.solver, [](const calibrate::SolverStage& stage) { return stage.max_seconds.has_value(); });
}

}  // namespace

Outcome outcome_of(const calibrate::FitResult& result) {
  return {.result_json = fit_json(result),
          .tuned = result.tuned,
          .predicted = result.after,
          .evaluation = result.after,
          .is_interrupted = result.interrupted,
          .is_limited_by_time = result.machine_dependent};
}

Outcome outcome_of(const calibrate::CrossValidation& result, const calibrate::StudySpec& spec,
                   const std::vector<eval::PeerComparison>& peers) {
  return {.result_json = crossval_json(result, peers),
          .evaluation = result.pooled,
          .peers = peers,
          .is_limited_by_time = has_limit_in_seconds(spec)};
}

Outcome outcome_of(const calibrate::Comparison& comparison, const calibrate::StudySpec& spec) {
  return {.result_json = comparison_json(comparison), .is_limited_by_time = has_limit_in_seconds(spec)};
}

Outcome outcome_of(const improve::Improvement& improvement) {
  calibrate::FitResult after = improvement.after;
  after.interrupted = improvement.interrupted;
  Outcome outcome = outcome_of(after);
  outcome.study = improvement.result;
  outcome.is_limited_by_time = improvement.journal.outcome && improvement.journal.outcome->machine_dependent;
  return outcome;
}

Outcome outcome_of(const plan::Onboarding& onboarding) {
  const plan::OnboardStep& last = onboarding.last();
  return {.result_json = onboard_json(onboarding),
          .tuned = last.config,
          .evaluation = last.fitted_runs.empty() ? last.held_out : last.fitted,
          .is_interrupted = onboarding.interrupted()};
}

Outcome outcome_of(const plan::NextRunTrial& trial) { return {.result_json = trial_json(trial)}; }

}  // namespace rooftune::runs
