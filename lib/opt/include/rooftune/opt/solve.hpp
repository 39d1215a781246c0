#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "rooftune/opt/algorithm.hpp"
#include "rooftune/opt/loss.hpp"
#include "rooftune/opt/objective.hpp"
#include "rooftune/opt/problem.hpp"
#include "rooftune/opt/termination.hpp"

namespace rooftune::opt {

/// What may end a search before it converges. Unset means unlimited, but `evaluations` has a default for every algorithm
/// (`default_evaluation_limit`): a global search has no end of its own.
struct Limits {
  /// Calls of the objective, finite differences included; > 0.
  std::optional<long> evaluations = {};
  /// Iterations of a Ceres solver; > 0.
  std::optional<int> iterations = {};
  /// Wall time, > 0. Makes the result depend on the machine; studies that must be reproducible limit evaluations.
  std::optional<double> seconds = {};
  /// Stop as soon as the minimised value is at or below this.
  std::optional<double> target_value = {};
};

/// When a search counts as converged. Zero switches a test off.
struct Tolerances {
  /// Relative change of the minimised value over one iteration.
  double value = 1e-8;
  /// Length of a step relative to the point.
  double step = 1e-8;
  /// Largest component of the projected gradient of the minimised value; absolute.
  double gradient = 1e-10;
};

/// How derivatives are taken when the objective has none, or none that are good enough.
struct FiniteDifferences {
  enum class Use {
    when_needed,  ///< only where the objective has no derivatives of its own
    always,       ///< everywhere: to check derivatives, or to see the function at the scale of the step alone
  };
  enum class Scheme {
    forward,  ///< n extra evaluations, error of the order of the step
    central,  ///< 2n, error of the order of its square
  };
  enum class Basis {
    scale,      ///< step * Variable::scale: right for log-transformed variables
    magnitude,  ///< step * |x|, at least step^2 * scale: right for smooth functions of linear variables
  };
  Use use = Use::when_needed;
  Scheme scheme = Scheme::central;
  Basis basis = Basis::scale;
  /// > 0. A simulation is noisy at small steps: 0.02 works, 1e-4 is pure noise (field notes, section 8). For a smooth
  /// function the cube root of the machine epsilon (6e-6) is best.
  double step = 0.02;
};

/// Settings of ceres_lm and ceres_dogleg.
struct TrustRegionOptions {
  /// First radius, in units of the Jacobi-scaled variables (Ceres' default 1e4: nearly a full Gauss-Newton step).
  double initial_radius = 1e4;
  /// A noisy objective shrinks the region until nothing moves. The search then begins anew at the best point with a fresh
  /// region, at most so often; 0 for Ceres as it is. Restarts cost about a fifth more evaluations; on noisy test functions
  /// they lowered the median value by 4 % where derivatives were off by 30 %, and changed nothing where they were good.
  int restarts = 4;
  /// A restart is followed by another only when it improved the value by at least this fraction.
  double restart_gain = 1e-3;
  /// Accepts steps uphill for so many iterations (Toint 1996); 0 demands descent. On noisy functions with derivatives that
  /// are off, 5 found slightly lower values in most runs and lost its way in one of ten, at up to 15 times the evaluations.
  int nonmonotonic_steps = 0;
  /// Refused points in a row that end the search; each shrinks the region.
  int refused_steps = 30;
};

/// Settings of the NLopt algorithms.
struct SearchOptions {
  /// First step of the local algorithms, in units of Variable::scale, > 0; cut to fit between the bounds.
  double initial_step = 0.25;
  /// Individuals of crs2, isres and esch, points per iteration of mlsl; 0 leaves it to NLopt.
  int population = 0;
  /// Seeds the random algorithms.
  std::uint64_t seed = 0;
};

/// What a search minimises.
enum class Merit {
  automatic,      ///< the residuals if the objective has them, else its scalar
  least_squares,  ///< the sum of the losses of the residuals (no factor 1/2)
  scalar,         ///< the objective's scalar
};

struct SolveOptions {
  Merit merit = Merit::automatic;
  Loss loss = {};
  Limits limits = {};
  Tolerances tolerances = {};
  FiniteDifferences finite_differences = {};
  TrustRegionOptions trust_region = {};
  SearchOptions search = {};
};

/// The evaluation limit that holds when none is given: 1000 calls for the Ceres algorithms (plus what finite differences
/// take), 500 (n + 1) for local and 2000 (n + 1) for global NLopt ones.
[[nodiscard]] long default_evaluation_limit(Algorithm algorithm, std::size_t variables);

/// One entry of the course of a search: an iteration of a Ceres solver, or an improvement found by an NLopt one.
struct IterationRecord {
  int iteration = 0;
  long evaluations = 0;
  /// The minimised value at `point`.
  double value = std::numeric_limits<double>::infinity();
  std::vector<double> point;
};

/// What a caller may hang into a search. `observe` is called from the thread that searches.
struct Hooks {
  std::stop_token cancel = {};
  std::function<void(const IterationRecord&)> observe = {};
};

struct EvaluationCounts {
  /// Calls of the objective without derivatives, finite differences included.
  long values = 0;
  /// Calls of the objective with derivatives.
  long derivatives = 0;
  /// The part of `values` that was spent on finite differences.
  long differences = 0;
  /// Calls that ended in a refusal.
  long refusals = 0;
  /// Calls that the objective gave up early because the point could not beat the best one.
  long hopeless = 0;

  [[nodiscard]] long total() const { return values + derivatives; }
  EvaluationCounts& operator+=(const EvaluationCounts& other);
  friend bool operator==(const EvaluationCounts&, const EvaluationCounts&) = default;
};

enum class BoundState { free, at_lower, at_upper, held };
enum class Reproducibility {
  deterministic,      ///< same inputs, same bits
  machine_dependent,  ///< ended by the clock or by hand
};

/// The outcome of a search. The best point that was ever evaluated, whatever the solver believes its last one to be.
struct Solution {
  Algorithm algorithm = Algorithm::ceres_lm;
  Termination termination;
  /// Empty until a point was accepted.
  std::vector<double> point;
  double value = std::numeric_limits<double>::infinity();
  double initial_value = std::numeric_limits<double>::infinity();
  /// Raw residuals at `point`, without the loss; empty when a scalar was minimised.
  std::vector<double> residuals;
  /// Where each variable of `point` stands.
  std::vector<BoundState> bounds;
  EvaluationCounts counts;
  int iterations = 0;
  /// Fresh trust regions after a stall.
  int restarts = 0;
  double seconds = 0.0;
  Reproducibility reproducibility = Reproducibility::deterministic;
  std::vector<IterationRecord> trace;
  /// The reason of the latest refusal, or empty.
  std::string last_refusal;

  /// A point was found that the objective accepts.
  [[nodiscard]] bool has_point() const { return !point.empty(); }
};

/// Minimises the objective over the problem's box, starting at its initial point. Requests that an algorithm cannot serve
/// (a scalar for ceres_lm, infinite bounds for a global search) end as `failed` with the reason.
[[nodiscard]] Solution solve(const Problem& problem, Objective& objective, Algorithm algorithm, const SolveOptions& options = {},
                             const Hooks& hooks = {});

/// Why `algorithm` cannot serve this request, or empty.
[[nodiscard]] std::string obstacle(const Problem& problem, Capabilities capabilities, Algorithm algorithm,
                                   const SolveOptions& options);

}  // namespace rooftune::opt
