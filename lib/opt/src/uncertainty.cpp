#include "rooftune/opt/uncertainty.hpp"

#include <fmt/format.h>

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <limits>

#include "evaluator.hpp"
#include "rooftune/core/contract.hpp"
#include "rooftune/core/distributions.hpp"

namespace rooftune::opt {
namespace {

using RowMajorMatrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

std::vector<std::size_t> free_variables(std::span<const BoundState> states) {
  std::vector<std::size_t> free;
  for (std::size_t i = 0; i < states.size(); ++i) {
    if (states[i] == BoundState::free) free.push_back(i);
  }
  return free;
}

std::vector<std::size_t> participants_of(const std::vector<double>& vector, double named_component) {
  std::vector<std::size_t> indices;
  for (std::size_t i = 0; i < vector.size(); ++i) {
    if (std::abs(vector[i]) >= named_component) indices.push_back(i);
  }
  std::stable_sort(indices.begin(), indices.end(),
                   [&](std::size_t a, std::size_t b) { return std::abs(vector[a]) > std::abs(vector[b]); });
  return indices;
}

/// U^T Sigma U of the columns of `u`; completes the result with the size of the noise.
Eigen::MatrixXd noise_seen(const NoiseModel& noise, const Eigen::MatrixXd& u, Uncertainty& result) {
  const Eigen::Index rank = u.cols();
  if (noise.shares.empty()) {
    const double s = result.residual_standard_deviation;
    result.noise_standard_deviation = s;
    Eigen::MatrixXd independent = Eigen::MatrixXd::Zero(rank, rank);
    independent.diagonal().setConstant(s * s);
    return independent;
  }
  ROOFTUNE_EXPECTS(noise.shares.size() == static_cast<std::size_t>(u.rows()));
  // The expected sum of squares is tr((I - U U^T) Sigma): what the known part leaves of it gives the unknown one.
  Eigen::MatrixXd known = Eigen::MatrixXd::Zero(rank, rank);
  double known_squares = 0.0;
  for (const NoiseModel::Block& block : noise.known) {
    const auto size = static_cast<Eigen::Index>(block.size);
    const Eigen::Map<const RowMajorMatrix> covariance(block.covariance.data(), size, size);
    const auto rows = u.middleRows(static_cast<Eigen::Index>(block.first), size);
    const Eigen::MatrixXd share = rows.transpose() * covariance * rows;
    known += share;
    known_squares += covariance.trace() - share.trace();
  }
  const Eigen::Map<const Eigen::VectorXd> shares(noise.shares.data(), u.rows());
  const Eigen::MatrixXd unknown = u.transpose() * shares.asDiagonal() * u;
  const double unknown_squares = shares.sum() - unknown.trace();
  const double variance =
      unknown_squares > 0.0 ? std::max(0.0, result.residual_sum_of_squares - known_squares) / unknown_squares : kInfinity;
  result.noise_standard_deviation = std::sqrt(variance);
  return known + variance * unknown;
}

std::string signed_name(const Problem& problem, const Direction& direction, std::size_t index) {
  return fmt::format("{} {}", problem.variables[index].name, direction.vector[index] > 0.0 ? "up" : "down");
}

}  // namespace

Uncertainty unknown_uncertainty(const Problem& problem) {
  const std::size_t n = problem.size();
  Uncertainty result;
  result.standard_errors.assign(n, kInfinity);
  result.covariance.assign(n * n, kNaN);
  result.correlation.assign(n * n, kNaN);
  return result;
}

double Uncertainty::correlation_of(std::size_t a, std::size_t b) const { return correlation[a * standard_errors.size() + b]; }

double interval_factor_95(long degrees_of_freedom) {
  return degrees_of_freedom <= 0 ? kInfinity : core::student_t_quantile(0.975, degrees_of_freedom);
}

Uncertainty estimate_uncertainty(const Problem& problem, std::span<const double> residuals, std::span<const double> jacobian,
                                 std::span<const BoundState> states, const UncertaintyOptions& options) {
  const std::size_t n = problem.size();
  const std::size_t m = residuals.size();
  ROOFTUNE_EXPECTS(jacobian.size() == m * n);
  ROOFTUNE_EXPECTS(states.size() == n);

  Uncertainty result;
  const std::vector<std::size_t> free = free_variables(states);
  for (std::size_t i = 0; i < n; ++i) {
    if (states[i] != BoundState::free) result.held.push_back(i);
  }
  for (const double residual : residuals) result.residual_sum_of_squares += residual * residual;
  result.degrees_of_freedom = static_cast<long>(m) - static_cast<long>(free.size());
  result.residual_standard_deviation = result.degrees_of_freedom > 0
                                           ? std::sqrt(result.residual_sum_of_squares / static_cast<double>(result.degrees_of_freedom))
                                           : kInfinity;

  if (free.empty()) {  // at bounds altogether: nothing varies
    result.standard_errors.assign(n, 0.0);
    result.covariance.assign(n * n, 0.0);
    result.correlation.assign(n * n, 0.0);
    for (std::size_t i = 0; i < n; ++i) result.correlation[i * n + i] = 1.0;
    return result;
  }

  // Columns in units of the variables' scales, so that singular values compare like with like; then to unit length, so that
  // the decomposition keeps its digits when columns differ by many orders of magnitude.
  const Eigen::Map<const RowMajorMatrix> all(jacobian.data(), static_cast<Eigen::Index>(m), static_cast<Eigen::Index>(n));
  Eigen::MatrixXd scaled(static_cast<Eigen::Index>(m), static_cast<Eigen::Index>(free.size()));
  for (std::size_t k = 0; k < free.size(); ++k) {
    scaled.col(static_cast<Eigen::Index>(k)) = all.col(static_cast<Eigen::Index>(free[k])) * problem.variables[free[k]].scale;
    if (scaled.col(static_cast<Eigen::Index>(k)).squaredNorm() == 0.0) result.without_effect.push_back(free[k]);
  }
  const Eigen::JacobiSVD<Eigen::MatrixXd> svd(scaled, Eigen::ComputeThinU | Eigen::ComputeFullV);
  const Eigen::VectorXd& singular = svd.singularValues();
  const double cutoff = singular.size() > 0 ? options.rank_tolerance * singular(0) : 0.0;
  Eigen::Index rank = 0;
  while (rank < singular.size() && singular(rank) > cutoff) ++rank;
  result.rank = static_cast<std::size_t>(rank);

  // The noise as the identified directions see it: U^T Sigma U.
  const Eigen::MatrixXd u = svd.matrixU().leftCols(rank);
  const Eigen::MatrixXd seen = noise_seen(options.noise, u, result);
  const Eigen::VectorXd inverse = singular.head(rank).cwiseInverse();
  const Eigen::MatrixXd v = svd.matrixV().leftCols(rank);
  const Eigen::MatrixXd within = v * (inverse.asDiagonal() * seen * inverse.asDiagonal()) * v.transpose();

  RowMajorMatrix covariance = RowMajorMatrix::Zero(static_cast<Eigen::Index>(n), static_cast<Eigen::Index>(n));
  for (std::size_t i = 0; i < free.size(); ++i) {
    for (std::size_t j = 0; j < free.size(); ++j) {
      covariance(static_cast<Eigen::Index>(free[i]), static_cast<Eigen::Index>(free[j])) =
          within(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(j));
    }
  }
  std::vector<bool> undetermined(n, false);
  for (std::size_t k = 0; k < free.size(); ++k) {
    const auto column = static_cast<Eigen::Index>(k);
    Direction direction;
    direction.singular_value = column < singular.size() ? singular(column) : 0.0;
    const bool vanishes = column >= rank;
    direction.standard_error = vanishes ? kInfinity : std::sqrt(seen(column, column)) / direction.singular_value;
    direction.vector.assign(n, 0.0);
    for (std::size_t i = 0; i < free.size(); ++i) direction.vector[free[i]] = svd.matrixV()(static_cast<Eigen::Index>(i), column);
    const auto largest = std::max_element(direction.vector.begin(), direction.vector.end(),
                                          [](double a, double b) { return std::abs(a) < std::abs(b); });
    if (*largest < 0.0) {
      for (double& component : direction.vector) component = -component;
    }
    direction.participants = participants_of(direction.vector, options.named_component);
    if (vanishes) {
      direction.state = Direction::State::unidentifiable;
      for (std::size_t i = 0; i < n; ++i) {
        // Rounding leaves traces of every variable in every vector.
        if (std::abs(direction.vector[i]) > 1e-6) undetermined[i] = true;
      }
    } else if (direction.standard_error * options.weak_threshold > 1.0) {
      direction.state = Direction::State::weak;
    }
    result.directions.push_back(std::move(direction));
  }

  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      covariance(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(j)) *=
          problem.variables[i].scale * problem.variables[j].scale;
    }
  }
  result.covariance.assign(covariance.data(), covariance.data() + covariance.size());
  for (std::size_t i = 0; i < n; ++i) {
    const bool infinite = undetermined[i] || (states[i] == BoundState::free && result.degrees_of_freedom <= 0);
    result.standard_errors.push_back(infinite ? kInfinity : std::sqrt(result.covariance[i * n + i]));
  }
  result.correlation.assign(n * n, 0.0);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      const double product = result.standard_errors[i] * result.standard_errors[j];
      double& entry = result.correlation[i * n + j];
      if (i == j) {
        entry = 1.0;
      } else if (std::isinf(result.standard_errors[i]) || std::isinf(result.standard_errors[j])) {
        entry = kNaN;
      } else if (product > 0.0) {
        entry = result.covariance[i * n + j] / product;
      }
    }
  }
  return result;
}

Uncertainty estimate_uncertainty(const Problem& problem, Objective& objective, const Solution& solution, const SolveOptions& options,
                                 const UncertaintyOptions& uncertainty) {
  if (!solution.has_point()) return unknown_uncertainty(problem);
  SolveOptions at_solution = options;
  at_solution.merit = Merit::least_squares;
  at_solution.limits = {};
  const Hooks no_hooks;
  Evaluator evaluator(problem, objective, Algorithm::ceres_lm, at_solution, no_hooks);
  const Sample* sample = evaluator.sample(solution.point, Derivatives::needed);
  if (!sample) return unknown_uncertainty(problem);
  return estimate_uncertainty(problem, sample->residuals, sample->jacobian, bound_states(problem, solution.point), uncertainty);
}

std::vector<std::string> explain_unidentified(const Problem& problem, const Uncertainty& uncertainty) {
  std::vector<std::string> sentences;
  for (const std::size_t index : uncertainty.without_effect) {
    sentences.push_back(fmt::format("{} has no effect on any residual", problem.variables[index].name));
  }
  for (const Direction& direction : uncertainty.directions) {
    if (direction.state == Direction::State::identified || direction.participants.empty()) continue;
    const bool single = direction.participants.size() == 1;
    const std::string& first = problem.variables[direction.participants.front()].name;
    if (single) {
      const bool already_said = std::find(uncertainty.without_effect.begin(), uncertainty.without_effect.end(),
                                          direction.participants.front()) != uncertainty.without_effect.end();
      if (!already_said) sentences.push_back(fmt::format("{} is hardly determined by the data", first));
      continue;
    }
    std::vector<std::string> names;
    std::vector<std::string> moves;
    for (const std::size_t index : direction.participants) {
      names.push_back(problem.variables[index].name);
      moves.push_back(signed_name(problem, direction, index));
    }
    sentences.push_back(fmt::format("{} {} be told apart: {} together change {}", fmt::join(names, ", "),
                                    direction.state == Direction::State::weak ? "can hardly" : "cannot", fmt::join(moves, ", "),
                                    direction.state == Direction::State::weak ? "little" : "nothing"));
  }
  return sentences;
}

}  // namespace rooftune::opt
