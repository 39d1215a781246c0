#include <ceres/ceres.h>
#include <fmt/format.h>

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <string_view>

#include "backends.hpp"
#include "termination_words.hpp"

namespace rooftune::opt {
namespace {

/// All residuals at once, with one parameter block of size 1 per variable so that variables can be held one by one.
class ResidualVector final : public ceres::CostFunction {
 public:
  ResidualVector(Evaluator& evaluator, Algorithm algorithm, std::size_t residuals)
      : evaluator_(evaluator),
        may_give_up_(algorithm == Algorithm::ceres_lm && evaluator.options().trust_region.nonmonotonic_steps == 0),
        point_(evaluator.problem().size()) {
    set_num_residuals(static_cast<int>(residuals));
    mutable_parameter_block_sizes()->assign(point_.size(), 1);
  }

  bool Evaluate(const double* const* parameters, double* residuals, double** jacobians) const override {
    for (std::size_t i = 0; i < point_.size(); ++i) point_[i] = *parameters[i];
    const Sample* sample = jacobians ? evaluator_.sample(point_, Derivatives::needed)
                                     : evaluator_.sample(point_, Derivatives::not_needed, useless_value());
    if (!sample) {
      // A refused candidate: Ceres shrinks its region.
      if (!jacobians) return false;
      // Derivatives are asked for at accepted points only; without them Ceres would complain on stderr. A flat function makes
      // it end the round, and the loop over the rounds finds the reason.
      std::fill_n(residuals, num_residuals(), 0.0);
      for (std::size_t column = 0; column < point_.size(); ++column) {
        if (jacobians[column]) std::fill_n(jacobians[column], num_residuals(), 0.0);
      }
      return true;
    }
    std::copy(sample->residuals.begin(), sample->residuals.end(), residuals);
    if (!jacobians) return true;
    for (std::size_t column = 0; column < point_.size(); ++column) {
      if (!jacobians[column]) continue;
      for (std::size_t row = 0; row < sample->residuals.size(); ++row) {
        jacobians[column][row] = sample->jacobian[row * point_.size() + column];
      }
    }
    return true;
  }

 private:
  /// Levenberg-Marquardt treats a candidate above the current value like one that cannot be evaluated: it shrinks its region. Only
  /// one that is worse by no more than the tolerance must be known, because it ends the search.
  double useless_value() const {
    if (!may_give_up_ || !evaluator_.best()) return kNeverGiveUp;
    return evaluator_.best()->value * (1.0 + 2.0 * evaluator_.options().tolerances.value);
  }

  Evaluator& evaluator_;
  bool may_give_up_;
  mutable std::vector<double> point_;
};

/// Variables that a round must not move: fixed ones, and those at a bound that descent would leave.
std::vector<bool> working_set(const Problem& problem, const Sample& sample) {
  const std::vector<BoundState> states = bound_states(problem, sample.point);
  std::vector<bool> held(problem.size());
  for (std::size_t i = 0; i < problem.size(); ++i) {
    held[i] = states[i] == BoundState::held || (states[i] == BoundState::at_lower && sample.gradient[i] > 0.0) ||
              (states[i] == BoundState::at_upper && sample.gradient[i] < 0.0);
  }
  return held;
}

bool contains(const std::vector<bool>& larger, const std::vector<bool>& smaller) {
  for (std::size_t i = 0; i < larger.size(); ++i) {
    if (smaller[i] && !larger[i]) return false;
  }
  return true;
}

double largest_free_gradient(const Sample& sample, const std::vector<bool>& held) {
  double largest = 0.0;
  for (std::size_t i = 0; i < held.size(); ++i) {
    if (!held[i]) largest = std::max(largest, std::abs(sample.gradient[i]));
  }
  return largest;
}

/// The step that solves the linearised problem over the free variables.
struct GaussNewtonStep {
  /// Over all variables; 0 for held ones.
  std::vector<double> step;
  /// The share of the sum of squares that the linear model says could still be gained: the square of the cosine between the
  /// residuals and the tangent plane (Bates & Watts 1981, "A relative offset orthogonality convergence criterion").
  double gainable_share = 0.0;
};

GaussNewtonStep gauss_newton_step(const Sample& sample, const std::vector<bool>& held) {
  using RowMajorMatrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const auto rows = static_cast<Eigen::Index>(sample.residuals.size());
  const Eigen::Map<const RowMajorMatrix> jacobian(sample.jacobian.data(), rows, static_cast<Eigen::Index>(held.size()));
  const Eigen::Map<const Eigen::VectorXd> residuals(sample.residuals.data(), rows);
  GaussNewtonStep result{std::vector<double>(held.size(), 0.0)};
  std::vector<std::size_t> free;
  for (std::size_t i = 0; i < held.size(); ++i) {
    // A column of zeros has no direction.
    if (!held[i] && jacobian.col(static_cast<Eigen::Index>(i)).squaredNorm() > 0.0) free.push_back(i);
  }
  const double total = residuals.squaredNorm();
  if (free.empty() || !(total > 0.0)) return result;
  Eigen::MatrixXd columns(rows, static_cast<Eigen::Index>(free.size()));
  for (std::size_t k = 0; k < free.size(); ++k) {
    const auto column = jacobian.col(static_cast<Eigen::Index>(free[k]));
    columns.col(static_cast<Eigen::Index>(k)) = column / column.norm();
  }
  const Eigen::ColPivHouseholderQR<Eigen::MatrixXd> factors(columns);
  const Eigen::VectorXd solved = factors.solve(-residuals);
  for (std::size_t k = 0; k < free.size(); ++k) {
    result.step[free[k]] = solved(static_cast<Eigen::Index>(k)) / jacobian.col(static_cast<Eigen::Index>(free[k])).norm();
  }
  const Eigen::VectorXd rotated = factors.householderQ().adjoint() * residuals;
  result.gainable_share = rotated.head(factors.rank()).squaredNorm() / total;
  return result;
}

/// The offset, squared, below which Bates & Watts call a fit converged: a thousandth of the standard deviation of the
/// estimates. Noise in the derivatives keeps it larger.
constexpr double kConvergedShare = 1e-6;
/// Where a search that stalls leaves less, nobody would notice the rest: half a percent of the errors. It is told as good as converged.
constexpr double kCloseShare = 1e-2;

/// Gauss-Newton converges linearly where residuals are large; slower than this is not worth its evaluations.
constexpr double kContraction = 0.7;
constexpr int kMostPolishSteps = 30;

/// Takes pure Gauss-Newton steps for as long as they contract. Close to a minimum the value no longer tells which of two points
/// is better (it changes with the square of the distance), but the steps still do: this finds the last half of the digits.
void polish(Evaluator& evaluator, Sample sample, const std::vector<bool>& held) {
  const Problem& problem = evaluator.problem();
  GaussNewtonStep current = gauss_newton_step(sample, held);
  for (int steps = 0; steps < kMostPolishSteps && current.gainable_share <= kConvergedShare && current.gainable_share > 0.0; ++steps) {
    std::vector<double> point = sample.point;
    for (std::size_t i = 0; i < point.size(); ++i) {
      point[i] = std::clamp(point[i] + current.step[i], problem.variables[i].lower, problem.variables[i].upper);
    }
    if (point == sample.point) return;
    const Sample* next = evaluator.sample(point, Derivatives::needed);
    if (!next) return;
    GaussNewtonStep following = gauss_newton_step(*next, held);
    if (!(following.gainable_share < kContraction * current.gainable_share)) return;
    if (!evaluator.prefer(*next)) return;
    sample = *next;
    current = std::move(following);
  }
}

/// Watches a round: records iterations, and ends it on a limit or when a variable has run into its bound.
class RoundWatcher final : public ceres::IterationCallback {
 public:
  RoundWatcher(Evaluator& evaluator, const std::vector<double>& point, const std::vector<bool>& held, int first_iteration,
               bool may_grow)
      : evaluator_(evaluator), point_(point), held_(held), iteration_(first_iteration), may_grow_(may_grow) {}

  ceres::CallbackReturnType operator()(const ceres::IterationSummary& summary) override {
    radius_ = summary.trust_region_radius;
    // Iteration 0 only reports where the round begins.
    if (summary.iteration == 0) return ceres::SOLVER_CONTINUE;
    ++iteration_;
    if (summary.step_is_successful) {
      // Known already, unless the derivatives were refused or the search has been stopped.
      const Sample* sample = evaluator_.sample(point_, Derivatives::needed);
      if (!sample) return ceres::SOLVER_ABORT;
      evaluator_.record_iteration(iteration_, sample->value, point_);
      bound_reached_ = may_grow_ && !contains(held_, working_set(evaluator_.problem(), *sample));
    }
    if (evaluator_.stopped()) return ceres::SOLVER_ABORT;
    const std::optional<int> limit = evaluator_.options().limits.iterations;
    out_of_iterations_ = limit && iteration_ >= *limit;
    if (out_of_iterations_ || bound_reached_) return ceres::SOLVER_TERMINATE_SUCCESSFULLY;
    return ceres::SOLVER_CONTINUE;
  }

  int iteration() const { return iteration_; }
  double radius() const { return radius_; }
  bool bound_reached() const { return bound_reached_; }
  bool out_of_iterations() const { return out_of_iterations_; }

 private:
  Evaluator& evaluator_;
  const std::vector<double>& point_;
  const std::vector<bool>& held_;
  int iteration_;
  bool may_grow_;
  double radius_ = 0.0;
  bool bound_reached_ = false;
  bool out_of_iterations_ = false;
};

ceres::Solver::Options solver_options(Algorithm algorithm, const SolveOptions& options, double radius) {
  ceres::Solver::Options solver;
  solver.minimizer_type = ceres::TRUST_REGION;
  solver.trust_region_strategy_type = algorithm == Algorithm::ceres_dogleg ? ceres::DOGLEG : ceres::LEVENBERG_MARQUARDT;
  solver.linear_solver_type = ceres::DENSE_QR;
  solver.logging_type = ceres::SILENT;
  solver.num_threads = 1;
  solver.update_state_every_iteration = true;
  // The evaluator owns all limits.
  solver.max_num_iterations = 1'000'000;
  // With bounds Ceres would search along every projected step, a derivative evaluation each; the working set of the rounds
  // does the same for nothing.
  solver.max_num_line_search_step_size_iterations = 0;
  solver.max_num_consecutive_invalid_steps = std::max(1, options.trust_region.refused_steps);
  solver.use_nonmonotonic_steps = options.trust_region.nonmonotonic_steps > 0;
  solver.max_consecutive_nonmonotonic_steps = std::max(1, options.trust_region.nonmonotonic_steps);
  solver.initial_trust_region_radius = radius;
  solver.max_trust_region_radius = 1e16;
  solver.function_tolerance = options.tolerances.value;
  solver.parameter_tolerance = options.tolerances.step;
  // Ceres minimises half the sum of squares.
  solver.gradient_tolerance = 0.5 * options.tolerances.gradient;
  return solver;
}

}  // namespace

/// Rounds of Ceres, each from the best point so far with a working set of held variables. A round ends when Ceres is content,
/// when its trust region has collapsed, or when a variable runs into a bound (the next round holds it, so that the others take
/// the step that is right without it).
BackendOutcome run_ceres(Algorithm algorithm, Evaluator& evaluator) {
  const SolveOptions& options = evaluator.options();
  const Problem& problem = evaluator.problem();
  // Working sets change at most a few times per variable; beyond that it is zigzagging.
  int changes_left = 10 + 3 * static_cast<int>(problem.size());
  double radius = options.trust_region.initial_radius;
  BackendOutcome outcome;

  for (bool restarted = false;;) {
    std::vector<double> point = evaluator.best()->point;
    const Sample* start = evaluator.sample(point, Derivatives::needed);
    if (!start) {
      outcome.termination = {Reason::failed, "", fmt::format("no derivatives at the best point: {}", evaluator.last_refusal())};
      return outcome;
    }
    const double value_before = start->value;
    const std::vector<bool> held = working_set(problem, *start);
    if (largest_free_gradient(*start, held) <= options.tolerances.gradient) {
      outcome.termination = {Reason::gradient_converged, "", "the projected gradient is within its tolerance"};
      return outcome;
    }

    ceres::Problem round;
    std::vector<double*> blocks;
    for (double& x : point) blocks.push_back(&x);
    round.AddResidualBlock(new ResidualVector(evaluator, algorithm, start->residuals.size()), nullptr, blocks);
    for (std::size_t i = 0; i < point.size(); ++i) {
      const Variable& variable = problem.variables[i];
      if (held[i]) {
        round.SetParameterBlockConstant(blocks[i]);
        continue;
      }
      if (std::isfinite(variable.lower)) round.SetParameterLowerBound(blocks[i], 0, variable.lower);
      if (std::isfinite(variable.upper)) round.SetParameterUpperBound(blocks[i], 0, variable.upper);
    }
    RoundWatcher watcher(evaluator, point, held, outcome.iterations, changes_left > 0);
    ceres::Solver::Options solver = solver_options(algorithm, options, radius);
    solver.callbacks.push_back(&watcher);
    ceres::Solver::Summary summary;
    ceres::Solve(solver, &round, &summary);
    outcome.iterations = watcher.iteration();

    outcome.termination = {Reason::stalled, "", fmt::format("Ceres: {}", summary.message)};
    if (evaluator.stopped()) return outcome;
    if (watcher.out_of_iterations()) {
      outcome.termination = {Reason::evaluation_limit, "iterations", fmt::format("{} iterations", outcome.iterations)};
      return outcome;
    }
    const Sample* end = evaluator.sample(evaluator.best()->point, Derivatives::needed);
    if (!end) continue;  // the top of the loop says why
    const std::vector<bool> held_now = working_set(problem, *end);
    const bool released = !contains(held_now, held);
    if (changes_left > 0 && (watcher.bound_reached() || released)) {
      --changes_left;
      if (watcher.bound_reached()) radius = watcher.radius();
      continue;
    }
    if (largest_free_gradient(*end, held_now) <= options.tolerances.gradient) {
      outcome.termination.reason = Reason::gradient_converged;
      return outcome;
    }
    const bool gained = end->value < value_before * (1.0 - options.trust_region.restart_gain);
    if (outcome.restarts < options.trust_region.restarts && (!restarted || gained)) {
      ++outcome.restarts;
      restarted = true;
      radius = options.trust_region.initial_radius;
      continue;
    }
    // A collapsed trust region passes for convergence in Ceres; the geometry of the residuals tells them apart.
    const double share = gauss_newton_step(*end, held_now).gainable_share;
    if (share <= kConvergedShare) {
      outcome.termination.reason = Reason::converged;
      polish(evaluator, *end, held_now);
    }
    // Of Ceres's words the first sentence is for people.
    std::string& detail = outcome.termination.detail;
    const bool is_close = outcome.termination.reason == Reason::stalled && share <= kCloseShare;
    detail = fmt::format("{}at most {:.2g} % of the objective left ({})", is_close ? kAsGoodAsConverged : "", 100.0 * share,
                         detail.substr(0, detail.find(". ")));
    return outcome;
  }
}

}  // namespace rooftune::opt
