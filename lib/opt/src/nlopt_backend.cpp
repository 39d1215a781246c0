#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlopt.hpp>

#include "backends.hpp"

namespace rooftune::opt {
namespace {

nlopt::algorithm backend_algorithm(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::direct_l: return nlopt::GN_DIRECT_L;
    case Algorithm::crs2: return nlopt::GN_CRS2_LM;
    case Algorithm::isres: return nlopt::GN_ISRES;
    case Algorithm::esch: return nlopt::GN_ESCH;
    case Algorithm::mlsl: return nlopt::G_MLSL_LDS;
    case Algorithm::cobyla: return nlopt::LN_COBYLA;
    case Algorithm::sbplx: return nlopt::LN_SBPLX;
    case Algorithm::lbfgs: return nlopt::LD_LBFGS;
    case Algorithm::bobyqa:
    case Algorithm::ceres_lm:
    case Algorithm::ceres_dogleg: break;
  }
  return nlopt::LN_BOBYQA;
}

/// The function that NLopt sees.
class ScalarFunction {
 public:
  ScalarFunction(Evaluator& evaluator, nlopt::opt& optimizer)
      : evaluator_(evaluator), optimizer_(optimizer), worst_(evaluator.best()->value) {}

  double operator()(const std::vector<double>& requested, std::vector<double>& gradient) {
    std::vector<double> point = requested;
    // COBYLA and BOBYQA leave a bound by rounding errors.
    for (std::size_t i = 0; i < point.size(); ++i) {
      const Variable& variable = evaluator_.problem().variables[i];
      point[i] = std::clamp(point[i], variable.lower, variable.upper);
    }
    const double best_before = evaluator_.best()->value;
    const Sample* sample = evaluator_.sample(point, gradient.empty() ? Derivatives::not_needed : Derivatives::needed);
    if (evaluator_.stopped()) optimizer_.force_stop();
    if (evaluator_.best()->value < best_before) {
      evaluator_.record_iteration(++improvements_, evaluator_.best()->value, evaluator_.best()->point);
    }
    if (!sample) {
      // NLopt has no word for a refused point. It is told a height that is just above everything met so far, which turns the
      // search back without bending its models as a huge constant would; the evaluator never takes it for a value.
      std::fill(gradient.begin(), gradient.end(), 0.0);
      return worst_ + (worst_ - evaluator_.best()->value) + std::abs(worst_) * 1e-3;
    }
    worst_ = std::max(worst_, sample->value);
    std::copy(sample->gradient.begin(), sample->gradient.end(), gradient.begin());
    return sample->value;
  }

  int improvements() const { return improvements_; }

  static double call(const std::vector<double>& point, std::vector<double>& gradient, void* self) {
    return (*static_cast<ScalarFunction*>(self))(point, gradient);
  }

 private:
  Evaluator& evaluator_;
  nlopt::opt& optimizer_;
  double worst_;
  int improvements_ = 0;
};

/// First steps in the variables' own scales, cut to what the box has room for (BOBYQA wants twice the step between the bounds).
std::vector<double> first_steps(const Problem& problem, double step_in_scales) {
  std::vector<double> steps;
  for (const Variable& variable : problem.variables) {
    const double width = variable.upper - variable.lower;
    const double step = std::min(step_in_scales * variable.scale, 0.49 * width);
    // Held variables have no room at all; NLopt drops them but still wants a step.
    steps.push_back(step > 0.0 ? step : variable.scale);
  }
  return steps;
}

/// BOBYQA moves a start that lies nearer to a bound than its first step, by up to that step: a good start is then lost before
/// the first evaluation. Its steps end at the nearer bound instead, but for starts that all but lie on one.
std::vector<double> first_steps_from(const std::vector<double>& start, const Problem& problem, double step_in_scales) {
  constexpr double kLeastShare = 0.1;
  std::vector<double> steps = first_steps(problem, step_in_scales);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const Variable& variable = problem.variables[i];
    const double room = std::min(start[i] - variable.lower, variable.upper - start[i]);
    if (room > 0.0) steps[i] = std::min(steps[i], std::max(room, kLeastShare * steps[i]));
  }
  return steps;
}

void set_tolerances(nlopt::opt& optimizer, const Tolerances& tolerances) {
  optimizer.set_ftol_rel(tolerances.value);
  optimizer.set_xtol_rel(tolerances.step);
}

Termination termination_of(nlopt::result result) {
  switch (result) {
    case nlopt::SUCCESS: return {Reason::converged, "", "NLopt: SUCCESS"};
    case nlopt::FTOL_REACHED: return {Reason::converged, "", "NLopt: FTOL_REACHED"};
    case nlopt::XTOL_REACHED: return {Reason::converged, "", "NLopt: XTOL_REACHED"};
    case nlopt::STOPVAL_REACHED: return {Reason::target_reached, "target_value", "NLopt: STOPVAL_REACHED"};
    case nlopt::MAXEVAL_REACHED: return {Reason::evaluation_limit, "evaluations", "NLopt: MAXEVAL_REACHED"};
    case nlopt::MAXTIME_REACHED: return {Reason::time_limit, "seconds", "NLopt: MAXTIME_REACHED"};
    case nlopt::ROUNDOFF_LIMITED: return {Reason::stalled, "", "NLopt: ROUNDOFF_LIMITED"};
    default: return {Reason::failed, "", fmt::format("NLopt: result {}", static_cast<int>(result))};
  }
}

/// NLopt's L-BFGS reports a plain failure when its line search cannot find a lower value: at the limits of precision that is
/// an ordinary end.
Termination after_exception(const std::exception& exception, const Evaluator& evaluator, double value_at_start) {
  const bool progressed = evaluator.best()->value < value_at_start;
  return {progressed ? Reason::stalled : Reason::failed, "", fmt::format("NLopt: {}", exception.what())};
}

}  // namespace

BackendOutcome run_nlopt(Algorithm algorithm, Evaluator& evaluator) {
  const Problem& problem = evaluator.problem();
  const SolveOptions& options = evaluator.options();
  const auto dimension = static_cast<unsigned>(problem.size());
  const double value_at_start = evaluator.best()->value;
  BackendOutcome outcome;
  nlopt::opt optimizer(backend_algorithm(algorithm), dimension);
  ScalarFunction function(evaluator, optimizer);
  try {
    // The generator of NLopt belongs to the thread, so parallel starts do not disturb each other.
    nlopt::srand(static_cast<unsigned long>(options.search.seed));
    optimizer.set_min_objective(&ScalarFunction::call, &function);
    std::vector<double> lower;
    std::vector<double> upper;
    for (const Variable& variable : problem.variables) {
      lower.push_back(variable.lower);
      upper.push_back(variable.upper);
    }
    optimizer.set_lower_bounds(lower);
    optimizer.set_upper_bounds(upper);
    optimizer.set_initial_step(algorithm == Algorithm::bobyqa
                                   ? first_steps_from(evaluator.best()->point, problem, options.search.initial_step)
                                   : first_steps(problem, options.search.initial_step));
    set_tolerances(optimizer, options.tolerances);
    if (options.search.population > 0) optimizer.set_population(static_cast<unsigned>(options.search.population));
    if (algorithm == Algorithm::mlsl) {
      nlopt::opt local(evaluator.has_derivatives() ? nlopt::LD_LBFGS : nlopt::LN_BOBYQA, dimension);
      set_tolerances(local, options.tolerances);
      local.set_initial_step(first_steps(problem, options.search.initial_step));
      optimizer.set_local_optimizer(local);
    }
    std::vector<double> point = evaluator.best()->point;
    double value = 0.0;
    outcome.termination = termination_of(optimizer.optimize(point, value));
  } catch (const nlopt::forced_stop&) {
    // The evaluator knows the reason.
  } catch (const nlopt::roundoff_limited& exception) {
    outcome.termination = {Reason::stalled, "", fmt::format("NLopt: {}", exception.what())};
  } catch (const std::exception& exception) {
    outcome.termination = after_exception(exception, evaluator, value_at_start);
  }
  outcome.iterations = function.improvements();
  return outcome;
}

}  // namespace rooftune::opt
