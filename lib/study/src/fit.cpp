#include "rooftune/study/fit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "calibration_objective.hpp"
#include "rooftune/eval/calibrated_domain.hpp"
#include "rooftune/study/posterior.hpp"

namespace rooftune::study {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// Threads for the starts and for the experiments of one evaluation: many starts keep the machine busy by themselves.
struct ThreadSplit {
  core::ThreadCount starts;
  core::ThreadCount cases;
};

ThreadSplit split_threads(const StudySpec& spec, core::ThreadCount threads) {
  const bool many_starts = make_multistart(spec, threads).starts >= static_cast<std::size_t>(core::resolve(threads));
  return many_starts ? ThreadSplit{.starts = threads, .cases = {1}} : ThreadSplit{.starts = {1}, .cases = threads};
}

opt::MultiStartSolution search(const StudySpec& spec, const eval::ResidualFunction& residuals, core::ThreadCount threads,
                               const StoreUse& store, const opt::Hooks& hooks) {
  return opt::solve_multistart(make_problem(spec.free), objective_factory(residuals, store), make_stages(spec),
                               make_multistart(spec, threads), hooks);
}

bool was_cancelled(const opt::MultiStartSolution& search) {
  return std::ranges::any_of(
      search.starts, [](const opt::StartOutcome& start) { return start.solution.termination.reason == opt::Reason::cancelled; });
}

double unit_error(const params::FreeParameter& parameter, double transformed, double standard_error) {
  return std::abs(params::derivative_of_inverse(parameter, transformed)) * standard_error;
}

void describe_estimates(FitResult& result, const StudySpec& spec, const opt::Solution& best, const opt::Uncertainty& uncertainty) {
  for (std::size_t i = 0; i < spec.free.size(); ++i) {
    const params::FreeParameter& parameter = spec.free[i];
    Estimate estimate{.parameter = parameter, .start = parameter.initial, .value = params::from_transformed(parameter, best.point[i])};
    estimate.bound = best.bounds[i];
    estimate.without_effect = std::ranges::find(uncertainty.without_effect, i) != uncertainty.without_effect.end();
    const double error =
        uncertainty.standard_errors.empty() ? std::numeric_limits<double>::infinity() : uncertainty.standard_errors[i];
    if (std::isfinite(error) && estimate.bound == opt::BoundState::free) {
      estimate.standard_error = unit_error(parameter, best.point[i], error);
      if (estimate.value != 0.0) estimate.relative_standard_error = *estimate.standard_error / std::abs(estimate.value);
    }
    result.estimates.push_back(estimate);
    for (std::size_t j = 0; j < i; ++j) {
      const double correlation = uncertainty.correlation.empty() ? 0.0 : uncertainty.correlation_of(j, i);
      if (std::abs(correlation) > 0.1) result.correlations.push_back({.first = j, .second = i, .value = correlation});
    }
  }
  std::ranges::stable_sort(result.correlations, std::ranges::greater{}, [](const Correlation& c) { return std::abs(c.value); });
}

/// Standard errors belong into the config, beside the values that they describe.
void attach_errors(params::Config& config, const std::vector<Estimate>& estimates) {
  for (const Estimate& estimate : estimates) {
    params::Assignments* assignments = &config.parameters;
    for (params::ScopedAssignments& scoped : config.scoped) {
      if (scoped.where == estimate.parameter.where) assignments = &scoped.parameters;
    }
    const auto found = assignments->find(estimate.parameter.id);
    if (found != assignments->end()) found->second.standard_error = estimate.standard_error;
  }
}

}  // namespace

FitResult fit(const PreparedStudy& study, const FitHooks& hooks) {
  const Clock::time_point begin = Clock::now();
  const StudySpec& spec = study.spec;
  const core::ThreadCount threads{spec.threads};
  const ThreadSplit split = split_threads(spec, threads);

  FitResult result;
  result.start = study.start;
  result.before = eval::evaluate(study.dataset, study.start, {.threads = threads, .stepping = sim::Stepping::closed_form});

  const eval::ResidualFunction residuals(study.dataset, study.start, spec.free, spec.objective, split.cases);
  opt::Hooks search_hooks{.cancel = hooks.cancel, .observe = {}};
  double best_seen = std::numeric_limits<double>::infinity();
  if (hooks.progress) {
    search_hooks.observe = [&](const opt::IterationRecord& record) {
      best_seen = std::min(best_seen, record.value);
      hooks.progress({.evaluations = record.evaluations, .best_objective = best_seen, .seconds = seconds_since(begin)});
    };
  }
  result.search = search(spec, residuals, split.starts, hooks.store, search_hooks);
  result.counts = result.search.counts();
  result.machine_dependent = result.search.reproducibility == opt::Reproducibility::machine_dependent;

  result.interrupted = was_cancelled(result.search);

  const opt::StartOutcome* best = result.search.best();
  if (best == nullptr || !best->solution.has_point()) {
    if (!result.search.starts.empty()) result.termination = result.search.starts.front().solution.termination;
    result.tuned = study.start;
    result.after = result.before;
    result.seconds = seconds_since(begin);
    return result;
  }
  const opt::Solution& solution = best->solution;
  result.usable = true;
  result.termination = solution.termination;
  result.objective_before = result.search.starts.front().solution.initial_value;
  result.objective_after = solution.value;
  result.tuned = residuals.config_at(solution.point);
  result.tuned.domain = eval::calibrated_domain(study.dataset);

  const eval::ResidualFunction parallel_residuals(study.dataset, study.start, spec.free, spec.objective, threads);
  const auto objective = objective_factory(parallel_residuals, hooks.store)(0);
  const opt::Problem problem = make_problem(spec.free);
  opt::SolveOptions last_options = make_stages(spec).back().options;
  last_options.merit = opt::Merit::least_squares;
  // Away from a minimum they would mean nothing.
  const opt::Uncertainty uncertainty =
      result.interrupted ? opt::Uncertainty{} : opt::estimate_uncertainty(problem, *objective, solution, last_options);
  describe_estimates(result, spec, solution, uncertainty);
  result.unidentified = opt::explain_unidentified(problem, uncertainty);
  attach_errors(result.tuned, result.estimates);
  if (!result.interrupted) {
    result.tuned.uncertainty = posterior(parallel_residuals, solution.point, spec.objective.noise);
  }

  result.after = eval::evaluate(study.dataset, result.tuned, {.threads = threads, .stepping = sim::Stepping::closed_form});
  result.seconds = seconds_since(begin);
  return result;
}

QuickFit fit_quickly(const StudySpec& spec, const params::Config& start, const eval::Dataset& training, core::ThreadCount threads,
                     const FitHooks& hooks) {
  const ThreadSplit split = split_threads(spec, threads);
  const eval::ResidualFunction residuals(training, start, spec.free, spec.objective, split.cases);
  const opt::MultiStartSolution found = search(spec, residuals, split.starts, hooks.store, {.cancel = hooks.cancel, .observe = {}});
  QuickFit result{.tuned = start, .objective = 0.0, .termination = {}, .counts = found.counts(), .usable = false};
  const opt::StartOutcome* best = found.best();
  if (best == nullptr || !best->solution.has_point()) return result;
  result.tuned = residuals.config_at(best->solution.point);
  result.tuned.domain = eval::calibrated_domain(training);
  result.tuned.uncertainty = posterior(residuals, best->solution.point, spec.objective.noise);
  result.objective = best->solution.value;
  result.termination = best->solution.termination;
  result.usable = true;
  return result;
}

}  // namespace rooftune::study
