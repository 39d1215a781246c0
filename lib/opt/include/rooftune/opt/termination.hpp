#pragma once

#include <string>
#include <string_view>

namespace rooftune::opt {

/// Why a solver ended: one vocabulary for all backends.
enum class Reason {
  not_run,
  converged,           ///< steps or improvements fell below the tolerances
  gradient_converged,  ///< first-order optimality within the gradient tolerance, bounds considered
  evaluation_limit,    ///< see Termination::limit
  time_limit,          ///< the result depends on the speed of the machine
  target_reached,
  stalled,        ///< no further progress although no tolerance was met: typical of a noisy objective
  refused_start,  ///< the objective refused the initial point; nothing was searched
  cancelled,
  failed,  ///< the request cannot be served or the backend gave up; `detail` says why
};

struct Termination {
  Reason reason = Reason::not_run;
  /// The limit that was reached ("evaluations", "iterations", "seconds", "target_value"), or empty.
  std::string limit;
  /// The backend's own words.
  std::string detail;

  friend bool operator==(const Termination&, const Termination&) = default;
};

[[nodiscard]] std::string_view name(Reason reason);
/// "evaluation_limit (evaluations): NLopt: MAXEVAL_REACHED"
[[nodiscard]] std::string format(const Termination& termination);

}  // namespace rooftune::opt
