#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "rooftune/calibrate/evaluation_store.hpp"
#include "rooftune/calibrate/prediction_intervals.hpp"
#include "rooftune/calibrate/prepare.hpp"
#include "rooftune/core/diagnostics.hpp"
#include "rooftune/core/ranks.hpp"
#include "rooftune/eval/evaluate.hpp"
#include "rooftune/eval/splits.hpp"
#include "rooftune/opt/termination.hpp"
#include "rooftune/params/config.hpp"

namespace rooftune::calibrate {

/// What one fold's own fit reached on the experiments it saw and on those it did not.
struct FoldResult {
  std::string name;  ///< "model=Yi-34B"
  std::vector<std::string> training_experiments;
  std::vector<std::string> held_out_experiments;
  std::vector<std::string> lost_coverage;  ///< what only the held-out part has: its error there is extrapolation
  opt::Termination termination;
  double objective = 0.0;
  std::optional<std::string> failure;  ///< why the fold has no fit; its evaluations are then empty, never scored
  std::vector<double> values;          ///< of the free parameters, in the study's order
  eval::Evaluation training;
  eval::Evaluation held_out;
  std::vector<HeldOutError> errors;  ///< of the held-out measurements, beside what the fold's own uncertainty explains
};

/// The spread of a fold's errors over repeats with other seeds (other arrivals, lengths and starts of the search).
struct SeedNoise {
  std::string fold;
  domain::Metric metric = domain::Metric::e2e_mean;
  double training_deviation_percent = 0.0;  ///< standard deviation of the mean APE
  double held_out_deviation_percent = 0.0;
};

struct CrossValidation {
  std::vector<params::FreeParameter> free;
  std::vector<FoldResult> folds;  ///< of the study's own seed
  eval::Evaluation pooled;        ///< the held-out rows of all folds together: the error to expect on runs never seen
  /// What the structure gets wrong on runs never seen, by metric, from the errors of all folds.
  std::map<domain::Metric, double> structural_deviation;
  std::map<domain::Metric, Coverage> coverage;  ///< of 90 % prediction intervals; empty with a single fold
  int repeats = 1;
  std::vector<SeedNoise> noise;       ///< with two repeats or more
  std::vector<std::string> failures;  ///< why the cross-validation cannot be believed; empty: it can
  bool aborted = false;               ///< a failure of the simulator ended it; there are no folds then
  bool interrupted = false;           ///< cancelled before every fold was fitted

  [[nodiscard]] bool usable() const { return failures.empty() && !folds.empty() && !interrupted; }
};

/// The level of the intervals that `coverage` counts.
inline constexpr double kIntervalLevel = 0.9;

struct CrossValidationOptions {
  int repeats = 1;  ///< of everything with seeds seed, seed + 1, ...; the folds stay the same
  /// Called after each finished fold, by one thread at a time.
  std::function<void(std::size_t finished, std::size_t total)> progress = {};
  std::stop_token cancel = {};   ///< folds that are not yet fitted stay so
  StoreUse store = {};           ///< where evaluations are looked up and kept
  core::Ranks* ranks = nullptr;  ///< that compute folds together; null: this process alone
};

/// Refits every fold of the split from a cold start (the study's, never another fold's) and scores it on both parts. Folds
/// run in parallel; the result does not depend on the number of threads. Fails when the split does not fit the data. A fold
/// without a fit, or two folds whose fits have the same parameters although they saw different data, end up in `failures`.
/// A rank that serves returns when the leading one has ended, with a result that nobody needs.
[[nodiscard]] core::Result<CrossValidation> crossval(const PreparedStudy& study, const eval::SplitSpec& split,
                                                     const CrossValidationOptions& options = {});

/// One of so many parts of a cross-validation that machines compute without knowing of each other: counted from 1.
struct Shard {
  int number = 1;
  int of = 1;
};

struct ShardResult {
  std::size_t fits = 0;  ///< in this shard
  std::size_t of = 0;    ///< in all of them
  std::vector<std::string> failures;
  bool aborted = false;
  bool interrupted = false;
};

/// Fits the folds of one shard, for what they leave in the store: a cross-validation with the stores of all shards finds every
/// evaluation there.
[[nodiscard]] core::Result<ShardResult> fit_shard(const PreparedStudy& study, const eval::SplitSpec& split, Shard shard,
                                                  const CrossValidationOptions& options);

/// Puts what held-out runs say about the model's structure into the uncertainty of a config that was fitted to all runs.
void add_held_out_error(params::Config& config, const CrossValidation& result, const eval::SplitSpec& split);

}  // namespace rooftune::calibrate
