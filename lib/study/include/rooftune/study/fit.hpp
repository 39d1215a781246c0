#pragma once

#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "rooftune/eval/dataset.hpp"
#include "rooftune/eval/evaluate.hpp"
#include "rooftune/opt/multistart.hpp"
#include "rooftune/opt/uncertainty.hpp"
#include "rooftune/params/config.hpp"
#include "rooftune/study/evaluation_store.hpp"
#include "rooftune/study/prepare.hpp"
#include "rooftune/study/study_spec.hpp"

namespace rooftune::study {

/// One fitted parameter and how sure the data are of it.
struct Estimate {
  params::FreeParameter parameter;
  double start = 0.0;
  double value = 0.0;
  std::optional<double> standard_error{};           ///< in the parameter's unit, to first order; empty: not identified
  std::optional<double> relative_standard_error{};  ///< of the value
  opt::BoundState bound = opt::BoundState::free;
  bool without_effect = false;  ///< nothing in the data depends on it
};

struct Correlation {
  std::size_t first = 0;
  std::size_t second = 0;
  double value = 0.0;
};

/// What a running fit tells about itself.
struct FitProgress {
  long evaluations = 0;
  double best_objective = 0.0;
  double seconds = 0.0;
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
  std::vector<Correlation> correlations;  ///< above 0.1 in size, largest first
  std::vector<std::string> unidentified;  ///< in words
  opt::MultiStartSolution search;
  opt::Termination termination;
  opt::EvaluationCounts counts;
  double objective_before = 0.0;
  double objective_after = 0.0;
  double seconds = 0.0;
  bool machine_dependent = false;  ///< a limit in seconds ended some part: another run may differ
  bool usable = false;             ///< a point better than nothing was found
  bool interrupted = false;        ///< cancelled before the search was over: the best so far, without standard errors
};

/// Finds the free parameters that make the objective small on the prepared data.
[[nodiscard]] FitResult fit(const PreparedStudy& study, const FitHooks& hooks = {});

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

}  // namespace rooftune::study
