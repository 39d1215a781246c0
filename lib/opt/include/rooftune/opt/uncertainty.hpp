#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "rooftune/opt/solve.hpp"

namespace rooftune::opt {

/// What is known about the noise of the residuals. Their covariance is s^2 diag(shares) plus the known blocks; s is estimated.
/// Empty: independent noise of one size in all of them.
struct NoiseModel {
  /// A covariance that is known beforehand, of neighbouring residuals.
  struct Block {
    std::size_t first = 0;
    std::size_t size = 0;
    std::vector<double> covariance;  ///< row-major
  };
  /// How much of the unknown variance s^2 each residual has: its squared weight; 0 where everything is known, as for a prior.
  std::vector<double> shares;
  std::vector<Block> known;
};

struct UncertaintyOptions {
  /// Singular values of the Jacobian (columns in units of Variable::scale) below this fraction of the largest count as
  /// zero: the data say nothing about that direction. In (0, 1).
  double rank_tolerance = 1e-8;
  /// A direction is called weak when moving along it by one (in units of Variable::scale) changes the residuals by less than
  /// this many residual standard deviations: its standard error exceeds 1/weak_threshold. > 0.
  double weak_threshold = 1.0;
  /// Variables that make up less than this share (absolute component of the unit vector) of a direction are not named.
  double named_component = 0.2;
  NoiseModel noise = {};
};

/// One right singular vector of the Jacobian.
struct Direction {
  enum class State { identified, weak, unidentifiable };
  double singular_value = 0.0;
  /// Standard error of a move along the direction, in units of Variable::scale; infinite when unidentifiable.
  double standard_error = 0.0;
  State state = State::identified;
  /// Unit vector over all variables (held ones are 0), in units of Variable::scale; its largest component is positive.
  std::vector<double> vector;
  /// Indices of the variables that take part, largest share first.
  std::vector<std::size_t> participants;
};

/// How well the residuals at a solution determine the variables, to first order.
struct Uncertainty {
  /// Residuals minus free variables; <= 0 means that no variance can be estimated, and every error is infinite.
  long degrees_of_freedom = 0;
  double residual_sum_of_squares = 0.0;
  /// The square root of rss / degrees of freedom.
  double residual_standard_deviation = 0.0;
  /// s of the noise model: what the known noise leaves to be explained. Equals the above without one.
  double noise_standard_deviation = 0.0;
  /// Number of directions that are not unidentifiable.
  std::size_t rank = 0;
  /// One per variable, in its own units: 0 for held ones, infinite for those with a share in an unidentifiable direction.
  std::vector<double> standard_errors;
  /// s^2 (J^T J)^+ over all variables, row-major; rows of held variables are 0. Within the identified subspace only. With a noise
  /// model the sandwich J^+ Sigma J^+T: weights need not be those of the noise for its intervals to be right.
  std::vector<double> covariance;
  /// Row-major; 1 on the diagonal, 0 for held variables, NaN where a standard error is infinite.
  std::vector<double> correlation;
  /// By falling singular value.
  std::vector<Direction> directions;
  /// Variables that were held: at a bound or with equal bounds.
  std::vector<std::size_t> held;
  /// Free variables whose column of the Jacobian is zero: stuck, nothing depends on them.
  std::vector<std::size_t> without_effect;

  [[nodiscard]] double correlation_of(std::size_t a, std::size_t b) const;
};

/// Nothing is known: of a point that is refused, or away from any minimum.
[[nodiscard]] Uncertainty unknown_uncertainty(const Problem& problem);

/// Standard errors on either side of an estimate that hold 95 % of the probability: Student's t.
[[nodiscard]] double interval_factor_95(long degrees_of_freedom);

/// From residuals and their row-major Jacobian at a point. `states` says which variables are free; the others are held.
[[nodiscard]] Uncertainty estimate_uncertainty(const Problem& problem, std::span<const double> residuals,
                                               std::span<const double> jacobian, std::span<const BoundState> states,
                                               const UncertaintyOptions& options = {});

/// The same at a solution: evaluates the Jacobian there (finite differences as in `options` when the objective has none;
/// residuals are robustified by its loss). Empty-handed (rank 0, infinite errors) when the objective refuses the point.
[[nodiscard]] Uncertainty estimate_uncertainty(const Problem& problem, Objective& objective, const Solution& solution,
                                               const SolveOptions& options = {}, const UncertaintyOptions& uncertainty = {});

/// "a and b cannot be told apart" in words for every direction that is not identified, with the sense of the trade-off.
[[nodiscard]] std::vector<std::string> explain_unidentified(const Problem& problem, const Uncertainty& uncertainty);

}  // namespace rooftune::opt
