#include "evaluator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "rooftune/core/contract.hpp"

namespace rooftune::opt {
namespace {

bool all_finite(std::span<const double> values) {
  return std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
}

double step_of(const FiniteDifferences& differences, const Variable& variable, double x) {
  const double by_scale = differences.step * variable.scale;
  if (differences.basis == FiniteDifferences::Basis::scale) return by_scale;
  return std::max(differences.step * std::abs(x), differences.step * by_scale);
}

bool same_point(const std::optional<Sample>& sample, std::span<const double> point) {
  return sample && std::equal(point.begin(), point.end(), sample->point.begin(), sample->point.end());
}

}  // namespace

Quantity quantity_of(Capabilities capabilities, Merit merit) {
  switch (merit) {
    case Merit::least_squares: return Quantity::residuals;
    case Merit::scalar: return Quantity::scalar;
    case Merit::automatic: break;
  }
  return capabilities.residuals != Support::none ? Quantity::residuals : Quantity::scalar;
}

std::vector<BoundState> bound_states(const Problem& problem, std::span<const double> point) {
  std::vector<BoundState> states;
  for (std::size_t i = 0; i < problem.size(); ++i) {
    const Variable& variable = problem.variables[i];
    // Solvers end a rounding error away from a bound; nobody can tell that from the bound itself.
    const double margin = 1e-10 * variable.scale;
    if (variable.lower == variable.upper) {
      states.push_back(BoundState::held);
    } else if (point[i] <= variable.lower + margin) {
      states.push_back(BoundState::at_lower);
    } else if (point[i] >= variable.upper - margin) {
      states.push_back(BoundState::at_upper);
    } else {
      states.push_back(BoundState::free);
    }
  }
  return states;
}

Evaluator::Evaluator(const Problem& problem, Objective& objective, Algorithm algorithm, const SolveOptions& options,
                     const Hooks& hooks)
    : problem_(problem),
      objective_(objective),
      options_(options),
      hooks_(hooks),
      quantity_(quantity_of(objective.capabilities(), options.merit)),
      support_(quantity_ == Quantity::residuals ? objective.capabilities().residuals : objective.capabilities().scalar),
      evaluation_limit_(options.limits.evaluations.value_or(default_evaluation_limit(algorithm, problem.size()))) {
  if (options.finite_differences.use == FiniteDifferences::Use::always) support_ = std::min(support_, Support::values);
  // MLSL falls back to a local search without derivatives.
  const bool takes_differences =
      !has_derivatives() && describe(algorithm).derivatives != DerivativeUse::none && algorithm != Algorithm::mlsl;
  if (!options.limits.evaluations && takes_differences) {
    evaluation_limit_ *= 1 + 2 * static_cast<long>(problem.size());
  }
}

double Evaluator::seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count(); }

const Sample* Evaluator::sample(std::span<const double> point, Derivatives derivatives, double give_up_above) {
  ROOFTUNE_EXPECTS(point.size() == problem_.size());
  if (same_point(latest_differentiated_, point)) return &*latest_differentiated_;
  if (derivatives == Derivatives::not_needed && same_point(latest_, point)) return &*latest_;
  std::optional<Sample> fresh = evaluate(point, derivatives, give_up_above);
  if (!fresh) return nullptr;
  std::optional<Sample>& slot = derivatives == Derivatives::needed ? latest_differentiated_ : latest_;
  slot = std::move(fresh);
  return &*slot;
}

void Evaluator::record_iteration(int iteration, double value, std::span<const double> point) {
  trace_.push_back({iteration, counts_.total(), value, {point.begin(), point.end()}});
  if (hooks_.observe) hooks_.observe(trace_.back());
}

bool Evaluator::may_evaluate() {
  if (stop_) return false;
  if (hooks_.cancel.stop_requested()) {
    stop_ = {Reason::cancelled, "", "stopped by the caller"};
  } else if (counts_.total() >= evaluation_limit_) {
    stop_ = {Reason::evaluation_limit, "evaluations", fmt::format("{} evaluations", evaluation_limit_)};
  } else if (options_.limits.seconds && seconds() >= *options_.limits.seconds) {
    stop_ = {Reason::time_limit, "seconds", fmt::format("{} s", *options_.limits.seconds)};
  }
  return !stop_;
}

std::optional<Evaluation> Evaluator::call(std::span<const double> point, Derivatives derivatives, double give_up_above) {
  if (!may_evaluate()) return std::nullopt;
  ++(derivatives == Derivatives::needed ? counts_.derivatives : counts_.values);
  // A robust loss is smaller than the square by which the objective judges.
  const bool comparable = quantity_ == Quantity::residuals && options_.loss.kind == LossKind::squares;
  tl::expected<Evaluation, Refusal> outcome =
      objective_.evaluate(point, {quantity_, derivatives, comparable ? give_up_above : kNeverGiveUp});
  if (outcome) {
    const bool finite = quantity_ == Quantity::residuals ? all_finite(outcome->residuals) && all_finite(outcome->jacobian)
                                                         : std::isfinite(outcome->scalar) && all_finite(outcome->gradient);
    if (finite) return std::move(*outcome);
    outcome = tl::make_unexpected(Refusal{"the objective returned a number that is not finite"});
  }
  if (outcome.error().kind == RefusalKind::hopeless) {
    ++counts_.hopeless;
    return std::nullopt;
  }
  ++counts_.refusals;
  last_refusal_ = outcome.error().reason;
  return std::nullopt;
}

std::optional<Sample> Evaluator::evaluate(std::span<const double> point, Derivatives derivatives, double give_up_above) {
  const bool analytic = derivatives == Derivatives::needed && support_ == Support::values_and_derivatives;
  const std::size_t columns = problem_.size();
  Sample sample;
  const bool value_known = !analytic && same_point(latest_, point);
  if (value_known) {
    sample = *latest_;
  } else {
    std::optional<Evaluation> evaluation = call(point, analytic ? Derivatives::needed : Derivatives::not_needed, give_up_above);
    if (!evaluation) return std::nullopt;
    sample.point.assign(point.begin(), point.end());
    if (quantity_ == Quantity::scalar) {
      sample.value = evaluation->scalar;
      if (analytic) sample.gradient = std::move(evaluation->gradient);
    } else {
      if (analytic) sample.jacobian = std::move(evaluation->jacobian);
      sample.raw_residuals = std::move(evaluation->residuals);
      sample.residuals.reserve(sample.raw_residuals.size());
      for (std::size_t row = 0; row < sample.raw_residuals.size(); ++row) {
        const RobustResidual robust = robustify(options_.loss, sample.raw_residuals[row]);
        sample.residuals.push_back(robust.value);
        sample.value += robust.value * robust.value;
        if (!analytic) continue;
        for (std::size_t column = 0; column < columns; ++column) sample.jacobian[row * columns + column] *= robust.slope;
      }
    }
    accept(sample);
  }
  if (derivatives == Derivatives::not_needed) return sample;
  if (!analytic && !differentiate(sample)) return std::nullopt;
  sample.derivatives = Derivatives::needed;
  if (quantity_ == Quantity::residuals) {
    sample.gradient.assign(columns, 0.0);
    for (std::size_t row = 0; row < sample.residuals.size(); ++row) {
      for (std::size_t column = 0; column < columns; ++column) {
        sample.gradient[column] += 2.0 * sample.residuals[row] * sample.jacobian[row * columns + column];
      }
    }
  }
  return sample;
}

bool Evaluator::differentiate(Sample& sample) {
  const std::size_t columns = problem_.size();
  const std::size_t rows = sample.residuals.size();
  sample.jacobian.assign(rows * columns, 0.0);
  sample.gradient.assign(columns, 0.0);
  std::vector<double> point = sample.point;
  // A displaced point with what was found there; the base point itself where that side is refused or out of bounds.
  struct Side {
    double x;
    std::vector<double> residuals;
    double value;
  };
  for (std::size_t column = 0; column < columns; ++column) {
    const Variable& variable = problem_.variables[column];
    if (variable.lower == variable.upper) continue;
    const double x = sample.point[column];
    const double step = step_of(options_.finite_differences, variable, x);
    const auto displaced = [&](double target) -> std::optional<Side> {
      target = std::clamp(target, variable.lower, variable.upper);
      // Less than half a step is left before the bound: noise would win.
      if (std::abs(target - x) < 0.5 * step) return std::nullopt;
      point[column] = target;
      const std::optional<Evaluation> evaluation = call(point, Derivatives::not_needed);
      point[column] = x;
      if (!evaluation) return std::nullopt;
      ++counts_.differences;
      Side side{target, {}, evaluation->scalar};
      for (const double residual : evaluation->residuals) side.residuals.push_back(robustify(options_.loss, residual).value);
      return side;
    };
    const Side base{x, sample.residuals, sample.value};
    std::optional<Side> above = displaced(x + step);
    std::optional<Side> below;
    if (options_.finite_differences.scheme == FiniteDifferences::Scheme::central || !above) below = displaced(x - step);
    if (stop_) return false;
    if (!above && !below) {
      if (last_refusal_.empty()) last_refusal_ = fmt::format("'{}' cannot be displaced by {}", variable.name, step);
      return false;
    }
    const Side& high = above ? *above : base;
    const Side& low = below ? *below : base;
    const double distance = high.x - low.x;
    if (quantity_ == Quantity::scalar) {
      sample.gradient[column] = (high.value - low.value) / distance;
    } else {
      for (std::size_t row = 0; row < rows; ++row) {
        sample.jacobian[row * columns + column] = (high.residuals[row] - low.residuals[row]) / distance;
      }
    }
  }
  return true;
}

bool Evaluator::prefer(const Sample& sample) {
  // The rounding error of a sum of squares whose residuals are differences of larger numbers.
  constexpr double kRounding = 1e-12;
  if (best_ && sample.value > best_->value * (1.0 + kRounding)) return false;
  set_best(sample);
  return true;
}

void Evaluator::set_best(const Sample& sample) {
  best_ = sample;
  best_->jacobian.clear();
  best_->gradient.clear();
}

void Evaluator::accept(const Sample& sample) {
  if (!best_ || sample.value < best_->value) set_best(sample);
  if (options_.limits.target_value && best_->value <= *options_.limits.target_value) {
    stop_ = {Reason::target_reached, "target_value",
             fmt::format("value {} at or below {}", best_->value, *options_.limits.target_value)};
  }
}

}  // namespace rooftune::opt
