#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "rooftune/calibrate/evaluation_store.hpp"
#include "rooftune/calibrate/prepare.hpp"
#include "rooftune/core/parallel_map.hpp"
#include "rooftune/eval/dataset.hpp"
#include "rooftune/opt/solve.hpp"
#include "rooftune/opt/uncertainty.hpp"

namespace rooftune::calibrate {

/// The noise of a study's residuals at a point. Known: the chance of the arrivals, once for the measured run and once for the
/// simulated one (less with more replicates), as covariance within each experiment, from `realisations` simulations with other
/// arrivals; and the priors. Unknown and estimated from the residuals: everything else, the same for every row before weights.
[[nodiscard]] opt::NoiseModel noise_model(const PreparedStudy& study, std::span<const double> point, core::ThreadCount threads,
                                          int realisations = 16);

/// The best objective with one parameter held at a value.
struct ProfilePoint {
  double value = 0.0;
  double objective = 0.0;
};

/// How the objective rises when a parameter leaves its best value and all others follow.
struct Profile {
  std::size_t parameter = 0;         ///< index into the study's free parameters
  std::vector<ProfilePoint> points;  ///< by rising value
  double threshold = 0.0;            ///< objective at the ends of the interval
  std::optional<double> lower_95;    ///< empty: the objective stays below the threshold up to the bound
  std::optional<double> upper_95;
};

/// Traces the profile of a parameter in both directions from a solution, refitting the others at each step. Looks evaluations up in
/// the store, keeps them there, and ends when the store's `stop` says so.
[[nodiscard]] Profile profile(const PreparedStudy& study, const opt::Solution& best, const opt::Uncertainty& uncertainty,
                              std::size_t parameter, const StoreUse& store = {});

/// The spread of one parameter over refits.
struct BootstrapSpread {
  double standard_deviation = 0.0;
  double lower_95 = 0.0;
  double upper_95 = 0.0;
};

struct Bootstrap {
  int refits = 0;  ///< that succeeded
  int failed = 0;
  std::vector<BootstrapSpread> parameters;  ///< in the order of the study's free parameters
};

/// Refits on as many experiments, drawn with replacement, and with priors drawn anew, from a solution; in parallel, the same for
/// any number of threads. Whole experiments are drawn: rows of one share their errors. The store serves as for a profile.
[[nodiscard]] Bootstrap bootstrap(const PreparedStudy& study, const opt::Solution& best, int refits, core::ThreadCount threads,
                                  const StoreUse& store = {});

/// Unidentified directions, strong correlations and parameters that only their prior determines, in words and with the reason
/// from the data: "a and b can hardly be told apart (correlation -0.95): prompts span 573 to 1081 tokens".
[[nodiscard]] std::vector<std::string> explain_uncertainty(const PreparedStudy& study, const opt::Problem& problem,
                                                           const opt::Uncertainty& uncertainty, std::span<const double> prior_shares);

}  // namespace rooftune::calibrate
