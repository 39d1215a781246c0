#include "rooftune/calibrate/fit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <utility>

#include "clock.hpp"
#include "rooftune/calibrate/calibration_objective.hpp"
#include "rooftune/calibrate/posterior.hpp"
#include "rooftune/eval/calibrated_domain.hpp"
#include "search_stop.hpp"
#include "trace.hpp"

namespace rooftune::calibrate {
namespace {

/// Threads for the starts and for the experiments of one evaluation: many starts keep the machine busy by themselves.
struct ThreadSplit {
  core::ThreadCount starts;
  core::ThreadCount cases;
};

ThreadSplit split_threads(const StudySpec& spec, core::ThreadCount threads) {
  const bool many_starts = make_multistart(spec, threads).starts >= static_cast<std::size_t>(core::resolve(threads));
  return many_starts ? ThreadSplit{.starts = threads, .cases = {1}} : ThreadSplit{.starts = {1}, .cases = threads};
}

/// Counts the evaluations of all starts, for whoever watches.
class Counted final : public opt::Objective {
 public:
  Counted(std::unique_ptr<opt::Objective> objective, std::atomic<long>& count) : objective_(std::move(objective)), count_(count) {}
  [[nodiscard]] opt::Capabilities capabilities() const override { return objective_->capabilities(); }
  [[nodiscard]] tl::expected<opt::Evaluation, opt::Refusal> evaluate(std::span<const double> point, opt::Request request) override {
    ++count_;
    return objective_->evaluate(point, request);
  }

 private:
  std::unique_ptr<opt::Objective> objective_;
  std::atomic<long>& count_;
};

opt::MultiStartSolution search(const StudySpec& spec, const eval::ResidualFunction& residuals, core::ThreadCount threads,
                               const StoreUse& store, const opt::Hooks& hooks, std::atomic<long>& evaluations) {
  const auto counted = [&evaluations, make = objective_factory(residuals, store)](std::size_t start) {
    return std::make_unique<Counted>(make(start), evaluations);
  };
  return opt::solve_multistart(make_problem(spec.free), counted, make_stages(spec), make_multistart(spec, threads), hooks);
}

long most_evaluations(const StudySpec& spec) {
  long most = 0;
  for (const SolverStage& stage : spec.solver) most += stage.max_evaluations;
  return most * static_cast<long>(make_multistart(spec, {1}).starts);
}

/// Somebody else's simulator gives no answers any more.
bool is_cut_off(const eval::Dataset& dataset) { return dataset.external && dataset.external->is_cancelled(); }

bool was_cancelled(const opt::MultiStartSolution& search) {
  return std::ranges::any_of(
      search.starts, [](const opt::StartOutcome& start) { return start.solution.termination.reason == opt::Reason::cancelled; });
}

/// What the simulator has failed at so far; when that ended the run, nothing else matters.
void note_failures(FitResult& result, const eval::Dataset& dataset) {
  result.failures = dataset.failures->count();
  result.first_failure = dataset.failures->first();
  result.aborted = dataset.failures->aborted().stop_requested();
  if (result.aborted) result.termination = {opt::Reason::failed, "", result.first_failure};
}

double unit_error(const params::FreeParameter& parameter, double transformed, double standard_error) {
  return std::abs(params::derivative_of_inverse(parameter, transformed)) * standard_error;
}

/// How much of each prior's variance the data have left; 0 without a prior.
std::vector<double> prior_shares(const StudySpec& spec, const opt::Uncertainty& uncertainty) {
  std::vector<double> shares;
  for (std::size_t i = 0; i < spec.free.size(); ++i) {
    const auto& prior = spec.free[i].prior;
    const double error = uncertainty.standard_errors[i];
    shares.push_back(prior && std::isfinite(error) ? std::pow(error / prior->standard_deviation, 2.0) : 0.0);
  }
  return shares;
}

Estimate::Interval interval_of(const params::FreeParameter& parameter, double transformed, double reach) {
  const double low = params::from_transformed(parameter, transformed - reach);
  const double high = params::from_transformed(parameter, transformed + reach);
  return {.lower = std::max(low, parameter.lower), .upper = std::min(high, parameter.upper)};
}

void describe_estimates(FitResult& result, const StudySpec& spec, const opt::Problem& problem, const opt::Solution& best) {
  const opt::Uncertainty& uncertainty = result.uncertainty;
  const std::vector<double> shares = prior_shares(spec, uncertainty);
  const double factor = opt::interval_factor_95(uncertainty.degrees_of_freedom);
  // Moves below a hundredth of a percent of what matters are those of a solver that did not look at the parameter.
  constexpr double kNoMove = 1e-4;
  for (std::size_t i = 0; i < spec.free.size(); ++i) {
    const params::FreeParameter& parameter = spec.free[i];
    Estimate estimate{.parameter = parameter, .start = parameter.initial, .value = params::from_transformed(parameter, best.point[i])};
    estimate.bound = best.bounds[i];
    estimate.without_effect = std::ranges::find(uncertainty.without_effect, i) != uncertainty.without_effect.end();
    estimate.at_start = estimate.bound == opt::BoundState::free &&
                        std::abs(best.point[i] - problem.variables[i].initial) < kNoMove * problem.variables[i].scale;
    const double error = uncertainty.standard_errors[i];
    if (std::isfinite(error) && estimate.bound == opt::BoundState::free) {
      estimate.standard_error = unit_error(parameter, best.point[i], error);
      if (estimate.value != 0.0) estimate.relative_standard_error = *estimate.standard_error / std::abs(estimate.value);
      estimate.interval = interval_of(parameter, best.point[i], factor * error);
      if (parameter.prior) estimate.prior_share = shares[i];
    }
    result.estimates.push_back(estimate);
    for (std::size_t j = 0; j < i; ++j) {
      const double correlation = uncertainty.correlation_of(j, i);
      if (std::abs(correlation) > 0.1) result.correlations.push_back({.first = j, .second = i, .value = correlation});
    }
  }
  std::ranges::stable_sort(result.correlations, std::ranges::greater{}, [](const Correlation& c) { return std::abs(c.value); });
}

/// The residuals of what the study keeps from the fit.
class HeldOut {
 public:
  HeldOut(const PreparedStudy& study, core::ThreadCount threads)
      : function_(study.held_out, study.start, study.spec.free, study.spec.objective, threads) {}

  [[nodiscard]] std::optional<GroupErrors> errors_at(std::span<const double> point) {
    if (function_.rows().empty()) return std::nullopt;
    return memory_.errors_at(point, function_);
  }

 private:
  eval::ResidualFunction function_;
  PredictionMemory memory_;
};

std::vector<TracePoint> trace_of(const opt::Solution& best, const eval::ResidualFunction& residuals, PredictionMemory& memory,
                                 HeldOut& held_out) {
  std::vector<TracePoint> trace;
  for (const opt::IterationRecord& record : best.trace) {
    const auto errors = memory.errors_at(record.point, residuals);
    if (!errors) continue;
    trace.push_back({.iteration = record.iteration,
                     .evaluations = record.evaluations,
                     .objective = record.value,
                     .training = *errors,
                     .held_out = held_out.errors_at(record.point)});
  }
  return trace;
}

/// What the study asks for beside standard errors.
void add_profiles_and_bootstrap(FitResult& result, const PreparedStudy& study, const opt::Solution& best, core::ThreadCount threads,
                                const StoreUse& store) {
  for (std::size_t i = 0; i < study.spec.free.size(); ++i) {
    const auto& wanted = study.spec.uncertainty.profile;
    if (std::ranges::find(wanted, study.spec.free[i].label()) == wanted.end()) continue;
    result.profiles.push_back(profile(study, best, result.uncertainty, i, store));
  }
  if (study.spec.uncertainty.bootstrap > 0)
    result.bootstrap = bootstrap(study, best, study.spec.uncertainty.bootstrap, threads, store);
  if (!store.stop.stop_requested()) return;
  // What was cut short says something else than was asked for; --resume goes on from the store.
  result.interrupted = true;
  result.profiles.clear();
  result.bootstrap.reset();
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

std::string_view verdict(const Estimate& estimate) {
  if (estimate.without_effect) return "without effect on this data";
  switch (estimate.bound) {
    case opt::BoundState::at_lower: return "at its lower bound";
    case opt::BoundState::at_upper: return "at its upper bound";
    case opt::BoundState::held: return "held";
    case opt::BoundState::free: break;
  }
  if (!estimate.standard_error) return "not identified";
  // A prior that says more than the data explains why a value stays where it began.
  if (estimate.prior_share.value_or(0.0) > 0.5) return "mostly its prior";
  if (estimate.at_start) return "stuck at its start";
  if (estimate.relative_standard_error.value_or(0.0) > 0.5) return "weakly identified";
  return "";
}

FitResult fit(const PreparedStudy& study, const FitHooks& hooks) {
  const Clock::time_point begin = Clock::now();
  const StudySpec& spec = study.spec;
  const core::ThreadCount threads{spec.threads};
  const ThreadSplit split = split_threads(spec, threads);

  const SearchStop stop(hooks.cancel, study.dataset);
  StoreUse store = hooks.store;
  store.stop = stop.token();
  FitResult result;
  result.start = study.start;
  result.before = eval::evaluate(study.dataset, study.start, {.threads = threads, .stepping = sim::Stepping::closed_form});

  const eval::ResidualFunction residuals(study.dataset, study.start, spec.free, spec.objective, split.cases);
  opt::Hooks search_hooks{.cancel = stop.token(), .observe = {}};
  HeldOut held_out(study, split.cases);
  std::atomic<long> evaluations = 0;
  FitProgress seen{.evaluations = 0,
                   .most_evaluations = most_evaluations(spec),
                   .best_objective = std::numeric_limits<double>::infinity(),
                   .seconds = 0.0};
  if (hooks.progress) {
    search_hooks.observe = [&](const opt::IterationRecord& record) {
      seen.evaluations = evaluations.load();
      seen.seconds = seconds_since(begin);
      if (record.value < seen.best_objective) {
        seen.best_objective = record.value;
        if (const auto errors = held_out.errors_at(record.point)) seen.held_out_percent = errors->all_percent;
      }
      hooks.progress(seen);
    };
  }
  result.search = search(spec, residuals, split.starts, store, search_hooks, evaluations);
  result.counts = result.search.counts();
  result.machine_dependent = result.search.reproducibility == opt::Reproducibility::machine_dependent;

  note_failures(result, study.dataset);
  result.interrupted = !result.aborted && was_cancelled(result.search);

  const opt::StartOutcome* best = result.search.best();
  if (result.aborted || best == nullptr || !best->solution.has_point()) {
    if (!result.aborted && !result.search.starts.empty()) result.termination = result.search.starts.front().solution.termination;
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
  const auto objective = objective_factory(parallel_residuals, store)(0);
  const opt::Problem problem = make_problem(spec.free);
  opt::SolveOptions last_options = make_stages(spec).back().options;
  last_options.merit = opt::Merit::least_squares;
  if (!result.interrupted) {
    result.uncertainty =
        opt::estimate_uncertainty(problem, *objective, solution, last_options, {.noise = noise_model(study, solution.point, threads)});
    result.interrupted = is_cut_off(study.dataset);
  }
  // Away from a minimum errors would mean nothing.
  if (result.interrupted) result.uncertainty = opt::unknown_uncertainty(problem);
  describe_estimates(result, spec, problem, solution);
  attach_errors(result.tuned, result.estimates);
  if (!result.interrupted) {
    result.unidentified = explain_uncertainty(study, problem, result.uncertainty, prior_shares(spec, result.uncertainty));
    if (residuals.differentiable()) result.tuned.uncertainty = posterior(parallel_residuals, solution.point, spec.objective.noise);
    result.pulls = pulls_at(parallel_residuals, solution.point, solution.bounds, last_options.loss);
    add_profiles_and_bootstrap(result, study, solution, threads, store);
  }
  PredictionMemory memory;
  result.trace = trace_of(solution, parallel_residuals, memory, held_out);
  if (is_cut_off(study.dataset)) {
    result.interrupted = true;
    study.dataset.external->cancel_with({});  // what is reported and written is simulated once more
  }

  const eval::EvaluationOptions as_fitted{.threads = threads, .stepping = sim::Stepping::closed_form};
  result.after = eval::evaluate(study.dataset, result.tuned, as_fitted);
  if (!study.held_out.cases.empty()) {
    result.held_out_before = eval::evaluate(study.held_out, study.start, as_fitted);
    result.held_out_after = eval::evaluate(study.held_out, result.tuned, as_fitted);
  }
  note_failures(result, study.dataset);
  if (!result.after.failures.empty()) {
    result.usable = false;
    result.termination = {opt::Reason::failed, "", result.after.failures.front()};
  }
  result.seconds = seconds_since(begin);
  return result;
}

void note_intervals(FitResult& result, const PreparedStudy& study) {
  if (!result.usable || result.interrupted) return;
  result.intervals =
      prediction_intervals(study.dataset, result.tuned, {.level = result.interval_level, .threads = {study.spec.threads}});
}

QuickFit fit_quickly(const StudySpec& spec, const params::Config& start, const eval::Dataset& training, core::ThreadCount threads,
                     const FitHooks& hooks) {
  const ThreadSplit split = split_threads(spec, threads);
  const SearchStop stop(hooks.cancel, training);
  StoreUse store = hooks.store;
  store.stop = stop.token();
  const eval::ResidualFunction residuals(training, start, spec.free, spec.objective, split.cases);
  std::atomic<long> unwatched = 0;
  const opt::MultiStartSolution found =
      search(spec, residuals, split.starts, store, {.cancel = stop.token(), .observe = {}}, unwatched);
  QuickFit result{.tuned = start, .objective = 0.0, .termination = {}, .counts = found.counts(), .usable = false};
  const opt::StartOutcome* best = found.best();
  if (best == nullptr || !best->solution.has_point()) return result;
  result.tuned = residuals.config_at(best->solution.point);
  result.tuned.domain = eval::calibrated_domain(training);
  if (residuals.differentiable()) result.tuned.uncertainty = posterior(residuals, best->solution.point, spec.objective.noise);
  result.objective = best->solution.value;
  result.termination = best->solution.termination;
  result.usable = true;
  return result;
}

}  // namespace rooftune::calibrate
