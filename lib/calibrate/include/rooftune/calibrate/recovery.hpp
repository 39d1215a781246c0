#pragma once

#include <cstddef>
#include <functional>
#include <stop_token>
#include <vector>

#include "rooftune/calibrate/evaluation_store.hpp"
#include "rooftune/calibrate/prepare.hpp"
#include "rooftune/core/ranks.hpp"
#include "rooftune/params/config.hpp"

namespace rooftune::calibrate {

struct RecoveryOptions {
  int repeats = 200;
  /// Standard deviation of the factor (log-normal) on every simulated measurement. 0.02: 2 %.
  double noise_fraction = 0.02;
  /// Called after each repeat, by one thread at a time.
  std::function<void(std::size_t finished, std::size_t total)> progress = {};
  core::Ranks* ranks = nullptr;  ///< that compute repeats together; null: this process alone
  std::stop_token cancel = {};   ///< ends with the repeats that are finished
  StoreUse store = {};           ///< where the fits look evaluations up and keep them
};

/// How often a parameter's interval held the value that made the data.
struct ParameterRecovery {
  params::FreeParameter parameter;
  double truth = 0.0;
  int identified = 0;  ///< repeats in which it was identified and off its bounds; only these count
  int covered = 0;     ///< of those: the 95 % interval holds the truth
  /// Of the identified repeats, in the transformed space: mean of estimate - truth, standard deviation of the estimates, and the
  /// standard error that the fits reported (root of its mean square).
  double bias = 0.0;
  double spread = 0.0;
  double mean_standard_error = 0.0;
};

struct Recovery {
  int repeats = 0;
  int finished = 0;  ///< fewer than all when it was cancelled; only these count
  int failed = 0;    ///< of them: fits without a usable point
  double noise_fraction = 0.0;
  std::vector<ParameterRecovery> parameters;
  int counted = 0;
  int covered = 0;

  [[nodiscard]] bool interrupted() const { return finished < repeats; }
  [[nodiscard]] double coverage_percent() const { return counted > 0 ? 100.0 * covered / counted : 0.0; }
};

/// Whether the study would find parameters that are known, and whether its intervals tell the truth about it. Every repeat
/// simulates the study's experiments with `truth`, with arrivals and noise of its own, and fits them from the study's own start
/// with other arrivals again. Priors are measurements too: each repeat draws their centres around the truth, as far off as their
/// standard deviations say. Repeats run in parallel; the result is the same for any number of threads.
///
/// A parameter counts in a repeat when it is off its bounds, and the data, not its prior, determine it: the variance left is at
/// most a quarter of the prior's, and the standard error at most half of the value.
///
/// A rank that serves returns when the leading one has ended, with a result that nobody needs.
[[nodiscard]] Recovery recover(const PreparedStudy& study, const params::Config& truth, const RecoveryOptions& options = {});

}  // namespace rooftune::calibrate
