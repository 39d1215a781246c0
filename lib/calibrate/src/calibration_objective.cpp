#include "rooftune/calibrate/calibration_objective.hpp"

#include <algorithm>
#include <cmath>

#include "rooftune/eval/digest.hpp"
#include "stored_objective.hpp"

namespace rooftune::calibrate {
namespace {

opt::Loss make_loss(const ObjectiveSpec& objective) {
  opt::Loss loss{.kind = opt::LossKind::squares, .scale = objective.loss_scale};
  switch (objective.loss) {
    case LossKind::squared: loss.kind = opt::LossKind::squares; break;
    case LossKind::huber: loss.kind = opt::LossKind::huber; break;
    case LossKind::cauchy: loss.kind = opt::LossKind::cauchy; break;
    case LossKind::tukey: loss.kind = opt::LossKind::tukey; break;
  }
  return loss;
}

/// Parameters in log or logit space move by factors; linear ones by shares of their interval.
double scale_of(const params::FreeParameter& parameter) {
  return parameter.transform == params::Transform::linear ? 0.25 * (parameter.upper - parameter.lower) : 1.0;
}

opt::Variable make_variable(const params::FreeParameter& parameter) {
  opt::Variable variable{.name = parameter.label(), .initial = params::to_transformed(parameter, parameter.initial)};
  if (parameter.transform == params::Transform::logit) {
    // The bounds of a logit parameter lie at infinity; +-12 is within 6e-6 of them.
    variable.lower = -12.0;
    variable.upper = 12.0;
  } else {
    variable.lower = params::to_transformed(parameter, parameter.lower);
    variable.upper = params::to_transformed(parameter, parameter.upper);
  }
  variable.initial = std::clamp(variable.initial, variable.lower, variable.upper);
  variable.scale = scale_of(parameter);
  return variable;
}

}  // namespace

opt::Capabilities CalibrationObjective::capabilities() const {
  return {.residuals = residuals_.differentiable() ? opt::Support::values_and_derivatives : opt::Support::values,
          .scalar = opt::Support::values};
}

tl::expected<opt::Evaluation, opt::Refusal> CalibrationObjective::evaluate(std::span<const double> point, opt::Request request) {
  opt::Evaluation evaluation;
  if (request.quantity == opt::Quantity::scalar) {
    evaluation.scalar = residuals_.scalar(point);
    if (!std::isfinite(evaluation.scalar)) return tl::unexpected(opt::Refusal{"the simulation refused the point"});
    return evaluation;
  }
  const auto derivatives = request.derivatives == opt::Derivatives::needed ? eval::Derivatives::yes : eval::Derivatives::no;
  eval::Residuals residuals = residuals_(point, derivatives, request.give_up_above);
  if (residuals.given_up) return tl::unexpected(opt::Refusal{"worse than the best", opt::RefusalKind::hopeless});
  if (residuals.refusal) return tl::unexpected(opt::Refusal{*residuals.refusal});
  evaluation.residuals = std::move(residuals.values);
  evaluation.jacobian = std::move(residuals.jacobian);
  return evaluation;
}

opt::ObjectiveFactory objective_factory(const eval::ResidualFunction& residuals, const StoreUse& store) {
  if (store.store == nullptr) return [&residuals](std::size_t) { return std::make_unique<CalibrationObjective>(residuals); };
  return [&residuals, store, problem = eval::problem_digest(residuals)](std::size_t) {
    return std::make_unique<StoredObjective>(std::make_unique<CalibrationObjective>(residuals), residuals.size(), problem, store);
  };
}

opt::Problem make_problem(std::span<const params::FreeParameter> free) {
  opt::Problem problem;
  for (const params::FreeParameter& parameter : free) problem.variables.push_back(make_variable(parameter));
  return problem;
}

std::vector<opt::Stage> make_stages(const StudySpec& spec) {
  std::vector<opt::Stage> stages;
  for (const SolverStage& stage : spec.solver) {
    opt::SolveOptions options;
    options.loss = make_loss(spec.objective);
    options.limits.evaluations = stage.max_evaluations;
    options.limits.seconds = stage.max_seconds;
    options.tolerances.value = stage.tolerance;
    options.tolerances.step = stage.tolerance;
    options.search.seed = spec.seed;
    const auto algorithm = opt::parse_algorithm(stage.algorithm).value();
    if (spec.objective.scalar != ScalarObjective::sum_of_squares && opt::describe(algorithm).derivatives == opt::DerivativeUse::none) {
      options.merit = opt::Merit::scalar;
    }
    stages.push_back({.algorithm = algorithm, .options = options});
  }
  return stages;
}

opt::MultiStartOptions make_multistart(const StudySpec& spec, core::ThreadCount threads) {
  opt::MultiStartOptions options;
  options.starts = 1;
  for (const SolverStage& stage : spec.solver) options.starts = std::max(options.starts, static_cast<std::size_t>(stage.starts));
  options.seed = spec.seed;
  options.threads = threads;
  // Random points of a wide box mostly saturate the engine, and least squares rarely returns from there: take the best of
  // several draws for each start.
  options.candidates_per_start = options.starts > 1 ? 8 : 1;
  // Where a prior says what is likely, starts lie within two of its standard deviations.
  for (const params::FreeParameter& parameter : spec.free) {
    const opt::Variable variable = make_variable(parameter);
    opt::Interval box{variable.lower, variable.upper};
    if (parameter.prior) {
      const double centre = params::to_transformed(parameter, parameter.prior->centre);
      const double reach = 2.0 * parameter.prior->standard_deviation;
      box = {std::clamp(centre - reach, variable.lower, variable.upper), std::clamp(centre + reach, variable.lower, variable.upper)};
    }
    options.box.push_back(box);
  }
  return options;
}

}  // namespace rooftune::calibrate
