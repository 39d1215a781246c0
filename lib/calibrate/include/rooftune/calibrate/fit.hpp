#pragma once

#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/calibrate/evaluation_store.hpp"
#include "rooftune/calibrate/prediction_intervals.hpp"
#include "rooftune/calibrate/prepare.hpp"
#include "rooftune/calibrate/pulls.hpp"
#include "rooftune/calibrate/study_spec.hpp"
#include "rooftune/calibrate/uncertainty.hpp"
#include "rooftune/eval/dataset.hpp"
#include "rooftune/eval/evaluate.hpp"
#include "rooftune/opt/multistart.hpp"
#include "rooftune/opt/uncertainty.hpp"
#include "rooftune/params/config.hpp"

namespace rooftune::calibrate {

/// One fitted parameter and how sure the data are of it.
struct Estimate {
  params::FreeParameter parameter;
  double start = 0.0;
  double value = 0.0;
  std::optional<double> standard_error{};           ///< in the parameter's unit, to first order; empty: not identified
  std::optional<double> relative_standard_error{};  ///< of the value
  /// 95 %, from Student's t in the transformed space, cut at the bounds.
  struct Interval {
    double lower = 0.0;
    double upper = 0.0;
  };
  std::optional<Interval> interval{};
  /// Variance relative to that of the prior: 1 when the data add nothing to it; empty without a prior.
  std::optional<double> prior_share{};
  opt::BoundState bound = opt::BoundState::free;
  bool without_effect = false;  ///< nothing in the data depends on it
  bool at_start = false;        ///< it did not move: the fit may not have seen it
};

/// What is to be said about an estimate in a few words ("at its lower bound", "weakly identified"); empty where the data
/// determine it. Weakly: the standard error exceeds half the value. Mostly its prior: the data take away less than half the
/// prior's variance.
[[nodiscard]] std::string_view verdict(const Estimate& estimate);

struct Correlation {
  std::size_t first = 0;
  std::size_t second = 0;
  double value = 0.0;
};

/// Mean absolute percentage errors over the rows that the objective compares.
struct GroupErrors {
  double all_percent = 0.0;
  std::map<std::string, std::map<std::string, double>> by;  ///< "model" | "tp" | "workload" | "gpu" -> value -> percent
};

/// One iteration of the start that won.
struct TracePoint {
  int iteration = 0;
  long evaluations = 0;
  double objective = 0.0;
  GroupErrors training;
  std::optional<GroupErrors> held_out;  ///< of what the study keeps from the fit
};

/// What a running fit tells about itself.
struct FitProgress {
  long evaluations = 0;       ///< of all starts together
  long most_evaluations = 0;  ///< that the limits of all starts allow
  double best_objective = 0.0;
  double seconds = 0.0;
  std::optional<double> held_out_percent{};  ///< mean absolute error of the held-out rows at the best point
};

struct FitHooks {
  std::stop_token cancel;  ///< ends the search with the best point so far
  std::function<void(const FitProgress&)> progress;
  StoreUse store{};  ///< where evaluations are looked up and kept
};

/// The outcome of a calibration.
struct FitResult {
  params::Config start;
  params::Config tuned;
  eval::Evaluation before;
  eval::Evaluation after;
  std::vector<Estimate> estimates;
  opt::Uncertainty uncertainty;           ///< of the transformed parameters
  std::vector<Correlation> correlations;  ///< above 0.1 in size, largest first
  std::vector<std::string> unidentified;  ///< in words
  std::vector<ParameterPulls> pulls;      ///< which rows want which parameter higher or lower, the most contested first
  std::vector<TracePoint> trace;
  std::optional<eval::Evaluation> held_out_before;  ///< when the study keeps experiments from the fit
  std::optional<eval::Evaluation> held_out_after;
  std::vector<Profile> profiles;
  std::optional<Bootstrap> bootstrap;
  std::vector<PredictionInterval> intervals;  ///< of the fitted experiments at the tuned config (note_intervals)
  double interval_level = 0.9;
  opt::MultiStartSolution search;
  opt::Termination termination;
  opt::EvaluationCounts counts;
  double objective_before = 0.0;
  double objective_after = 0.0;
  double seconds = 0.0;
  bool machine_dependent = false;     ///< a limit in seconds ended some part: another run may differ
  bool usable = false;                ///< a point better than nothing was found
  long failures = 0;                  ///< of the simulator, whatever the policy made of them
  std::string first_failure;          ///< in words; empty without failures
  bool aborted = false;               ///< a failure ended the run
  bool interrupted = false;           ///< cancelled before it was over: the best so far
  bool lacks_held_out_error = false;  ///< the search was over, and what was cancelled is learn_held_out_error()

  /// What an interrupted fit is good for.
  [[nodiscard]] std::string_view what_is_left() const {
    return lacks_held_out_error ? "the search was over, but what runs outside the fit miss is not known"
                                : "this is the best so far, without standard errors";
  }
};

/// Finds the free parameters that make the objective small on the prepared data.
[[nodiscard]] FitResult fit(const PreparedStudy& study, const FitHooks& hooks = {});

/// Adds prediction intervals of the fitted experiments: the last step, because the tuned config may have learned its held-out error
/// after the fit. None where the config knows no uncertainty.
void note_intervals(FitResult& result, const PreparedStudy& study);

/// The same on some of the cases only (a training fold), without evaluations before and after, and without progress.
struct QuickFit {
  params::Config tuned;
  double objective = 0.0;
  opt::Termination termination;
  opt::EvaluationCounts counts{};
  bool usable = false;
};
[[nodiscard]] QuickFit fit_quickly(const StudySpec& spec, const params::Config& start, const eval::Dataset& training,
                                   core::ThreadCount threads, const FitHooks& hooks = {});

}  // namespace rooftune::calibrate
