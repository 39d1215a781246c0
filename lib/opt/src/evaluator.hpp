#pragma once

#include <chrono>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "rooftune/opt/solve.hpp"

namespace rooftune::opt {

/// The objective at one point as solvers see it: robustified, and differentiated on request.
struct Sample {
  std::vector<double> point;
  /// What is minimised: the sum of squares of `residuals`, or the scalar.
  double value = 0.0;
  std::vector<double> residuals;      ///< after the loss; empty for a scalar
  std::vector<double> raw_residuals;  ///< before the loss
  std::vector<double> jacobian;       ///< of `residuals`, row-major
  std::vector<double> gradient;       ///< of `value`
  Derivatives derivatives = Derivatives::not_needed;
};

inline constexpr double kNeverGiveUp = std::numeric_limits<double>::infinity();

/// Stands between a backend and the objective: counts, limits, cancels, differentiates, and remembers the best point. A
/// backend asks for samples until it is content or `stopped()`.
class Evaluator {
 public:
  Evaluator(const Problem& problem, Objective& objective, Algorithm algorithm, const SolveOptions& options, const Hooks& hooks);

  /// The sample at a point inside the bounds, or null: the point is refused, hopeless, or the search has been stopped. Valid
  /// until the next call.
  [[nodiscard]] const Sample* sample(std::span<const double> point, Derivatives derivatives, double give_up_above = kNeverGiveUp);

  /// Adds an entry to the trace and tells the observer.
  void record_iteration(int iteration, double value, std::span<const double> point);

  /// Makes a sample the best point although its value may be higher by rounding errors; false when it is higher by more.
  [[nodiscard]] bool prefer(const Sample& sample);

  /// Set once a limit, the target or a cancellation has ended the search.
  [[nodiscard]] const std::optional<Termination>& stopped() const { return stop_; }
  [[nodiscard]] const std::optional<Sample>& best() const { return best_; }
  [[nodiscard]] const EvaluationCounts& counts() const { return counts_; }
  [[nodiscard]] const std::vector<IterationRecord>& trace() const { return trace_; }
  [[nodiscard]] const std::string& last_refusal() const { return last_refusal_; }
  [[nodiscard]] double seconds() const;
  /// The objective itself differentiates what is minimised.
  [[nodiscard]] bool has_derivatives() const { return support_ == Support::values_and_derivatives; }
  [[nodiscard]] const Problem& problem() const { return problem_; }
  [[nodiscard]] const SolveOptions& options() const { return options_; }

 private:
  [[nodiscard]] bool may_evaluate();
  [[nodiscard]] std::optional<Sample> evaluate(std::span<const double> point, Derivatives derivatives, double give_up_above);
  [[nodiscard]] std::optional<Evaluation> call(std::span<const double> point, Derivatives derivatives,
                                               double give_up_above = kNeverGiveUp);
  [[nodiscard]] bool differentiate(Sample& sample);
  void accept(const Sample& sample);
  void set_best(const Sample& sample);

  const Problem& problem_;
  Objective& objective_;
  const SolveOptions& options_;
  const Hooks& hooks_;
  Quantity quantity_;
  Support support_;
  long evaluation_limit_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  EvaluationCounts counts_;
  std::optional<Termination> stop_;
  std::optional<Sample> best_;
  /// The latest sample without and with derivatives: solvers ask for a point first as a candidate, then for its derivatives.
  std::optional<Sample> latest_;
  std::optional<Sample> latest_differentiated_;
  std::vector<IterationRecord> trace_;
  std::string last_refusal_;
};

/// What the objective is asked for under these options.
[[nodiscard]] Quantity quantity_of(Capabilities capabilities, Merit merit);
/// Where each variable of a point stands.
[[nodiscard]] std::vector<BoundState> bound_states(const Problem& problem, std::span<const double> point);

}  // namespace rooftune::opt
