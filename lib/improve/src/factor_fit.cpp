#include "factor_fit.hpp"

#include <algorithm>
#include <cmath>

#include "rooftune/calibrate/calibration_objective.hpp"
#include "rooftune/eval/residuals.hpp"
#include "rooftune/opt/solve.hpp"

namespace rooftune::improve {
namespace {

constexpr long kEvaluations = 30;

/// Residuals by (everything else that is free, the parameter at the centre, the exponent): the parameter has a value of its own on
/// each level, and these follow from the last two.
class FactorObjective final : public opt::Objective {
 public:
  FactorObjective(const eval::ResidualFunction& residuals, const std::vector<PropertyLevel>& levels)
      : residuals_(residuals), levels_(levels), others_(residuals.free().size() - levels.size()) {}

  [[nodiscard]] opt::Capabilities capabilities() const override { return {.residuals = opt::Support::values_and_derivatives}; }

  [[nodiscard]] tl::expected<opt::Evaluation, opt::Refusal> evaluate(std::span<const double> point, opt::Request request) override {
    std::vector<double> full(point.begin(), point.begin() + static_cast<std::ptrdiff_t>(others_));
    std::vector<char> moves(levels_.size(), 1);
    for (std::size_t i = 0; i < levels_.size(); ++i) {
      const params::FreeParameter& parameter = residuals_.free()[others_ + i];
      const double wanted = point[others_] + point[others_ + 1] * levels_[i].log_factor;
      full.push_back(
          std::clamp(wanted, params::to_transformed(parameter, parameter.lower), params::to_transformed(parameter, parameter.upper)));
      moves[i] = full.back() == wanted ? 1 : 0;
    }
    const bool is_derived = request.derivatives == opt::Derivatives::needed;
    eval::Residuals at = residuals_(full, is_derived ? eval::Derivatives::yes : eval::Derivatives::no, request.give_up_above);
    if (at.given_up) return tl::unexpected(opt::Refusal{"worse than the best", opt::RefusalKind::hopeless});
    if (at.refusal) return tl::unexpected(opt::Refusal{*at.refusal});
    opt::Evaluation evaluation;
    if (is_derived) {
      const std::size_t columns = full.size();
      for (std::size_t row = 0; row < at.values.size(); ++row) {
        const double* slopes = at.jacobian.data() + row * columns;
        evaluation.jacobian.insert(evaluation.jacobian.end(), slopes, slopes + others_);
        double by_centre = 0.0;
        double by_exponent = 0.0;
        for (std::size_t i = 0; i < levels_.size(); ++i) {
          if (moves[i] == 0) continue;
          by_centre += slopes[others_ + i];
          by_exponent += levels_[i].log_factor * slopes[others_ + i];
        }
        evaluation.jacobian.push_back(by_centre);
        evaluation.jacobian.push_back(by_exponent);
      }
    }
    evaluation.residuals = std::move(at.values);
    return evaluation;
  }

 private:
  const eval::ResidualFunction& residuals_;
  const std::vector<PropertyLevel>& levels_;
  std::size_t others_;
};

struct Refit {
  double exponent = 0.0;
  double sum_of_squares = 0.0;
};

std::optional<Refit> refit(const eval::ResidualFunction& residuals, const std::vector<PropertyLevel>& levels, opt::Problem problem,
                           double largest_exponent) {
  problem.variables.push_back(
      {.name = "exponent", .lower = -largest_exponent, .initial = 0.0, .upper = largest_exponent, .scale = 1.0});
  FactorObjective objective(residuals, levels);
  opt::SolveOptions options;
  options.limits.evaluations = kEvaluations;
  options.tolerances.value = 1e-4;
  options.tolerances.step = 1e-4;
  const opt::Solution solved = opt::solve(problem, objective, opt::Algorithm::ceres_lm, options);
  if (!solved.has_point()) return std::nullopt;
  return Refit{.exponent = solved.point.back(), .sum_of_squares = solved.value};
}

std::optional<Refit> best_refit(const eval::ResidualFunction& residuals, const std::vector<PropertyLevel>& levels,
                                const std::vector<opt::Problem>& problems, double largest_exponent) {
  std::optional<Refit> best;
  for (const opt::Problem& problem : problems) {
    const auto reached = refit(residuals, levels, problem, largest_exponent);
    if (reached && (!best || reached->sum_of_squares < best->sum_of_squares)) best = reached;
  }
  return best;
}

}  // namespace

std::optional<FactorFit> fit_factor(const calibrate::PreparedStudy& study, const eval::Dataset& training, const params::Config& tuned,
                                    params::ParameterId id, const std::vector<PropertyLevel>& levels) {
  std::vector<params::FreeParameter> free = study.spec.free;
  std::erase_if(free, [&](const params::FreeParameter& parameter) { return parameter.id == id; });
  free.push_back(params::make_free(id));
  // Where the fit without the factor ended (maybe at a bound, out of which no derivative leads), and where it began.
  std::vector<opt::Problem> problems;
  for (const params::Config* config : {&tuned, &study.start}) {
    for (params::FreeParameter& parameter : free) {
      parameter.initial = std::clamp(params::current_value(*config, parameter), parameter.lower, parameter.upper);
    }
    problems.push_back(calibrate::make_problem(free));
  }
  const params::FreeParameter centre = free.back();
  free.pop_back();
  for (const PropertyLevel& level : levels) {
    free.push_back(centre);
    free.back().where = level.where;
  }
  const eval::ResidualFunction residuals(training, tuned, free, study.spec.objective, core::kOneThread);
  if (!residuals.differentiable()) return std::nullopt;
  const auto without = best_refit(residuals, levels, problems, 0.0);
  const auto with = best_refit(residuals, levels, problems, kLargestExponent);
  if (!without || !with || without->sum_of_squares <= 0.0) return std::nullopt;
  const double gained = std::max(0.0, without->sum_of_squares - with->sum_of_squares);
  const double freedom = static_cast<double>(residuals.rows().size()) - static_cast<double>(problems.front().variables.size()) - 1.0;
  if (freedom < 1.0) return std::nullopt;
  const double left = std::max(with->sum_of_squares, 1e-12 * without->sum_of_squares);
  return FactorFit{
      .exponent = with->exponent, .t = std::sqrt(gained / (left / freedom)), .explained_fraction = gained / without->sum_of_squares};
}

}  // namespace rooftune::improve
