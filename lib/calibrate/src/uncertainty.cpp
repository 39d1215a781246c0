#include "rooftune/calibrate/uncertainty.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <stop_token>

#include "rooftune/calibrate/calibration_objective.hpp"
#include "rooftune/core/random.hpp"
#include "rooftune/core/statistics.hpp"

namespace rooftune::calibrate {
namespace {

/// The dataset with the arrivals of a replicate that no prediction uses.
eval::Dataset with_other_arrivals(const eval::Dataset& dataset, int replicate) {
  eval::Dataset other = dataset;
  for (eval::Case& item : other.cases) item.plans = {{.seed = dataset.seed, .replicate = replicate}};
  // A simulator that is not ours draws its own requests, from the seed that it is given.
  if (other.external) other.seed += static_cast<std::uint64_t>(replicate);
  return other;
}

/// Covariance of rows [first, last) over realisations, times `factor`.
opt::NoiseModel::Block covariance_block(const std::vector<std::vector<double>>& realisations, std::size_t first, std::size_t last,
                                        double factor) {
  opt::NoiseModel::Block block{.first = first, .size = last - first, .covariance = {}};
  const auto count = static_cast<double>(realisations.size());
  std::vector<double> means(block.size, 0.0);
  for (const auto& values : realisations) {
    for (std::size_t i = 0; i < block.size; ++i) means[i] += values[first + i] / count;
  }
  block.covariance.assign(block.size * block.size, 0.0);
  for (const auto& values : realisations) {
    for (std::size_t i = 0; i < block.size; ++i) {
      for (std::size_t j = 0; j < block.size; ++j) {
        block.covariance[i * block.size + j] +=
            factor * (values[first + i] - means[i]) * (values[first + j] - means[j]) / (count - 1.0);
      }
    }
  }
  return block;
}

/// How a refit that begins near its solution is solved.
opt::SolveOptions refit_options(const StudySpec& spec, long evaluations) {
  opt::SolveOptions options = make_stages(spec).back().options;
  options.merit = opt::Merit::least_squares;
  options.limits = {};
  options.limits.evaluations = evaluations;
  return options;
}

constexpr long kRefitEvaluations = 60;

/// Traces a profile in one direction.
class ProfileWalk {
 public:
  ProfileWalk(const PreparedStudy& study, const opt::Solution& best, std::size_t parameter, const StoreUse& store)
      : residuals_(study.dataset, study.start, study.spec.free, study.spec.objective, core::kOneThread),
        objective_(objective_factory(residuals_, store)(0)),
        stop_(store.stop),
        options_(refit_options(study.spec, kRefitEvaluations)),
        problem_(make_problem(study.spec.free)),
        best_(best),
        parameter_(parameter) {}

  /// Transformed value and objective of each step, outwards; ends at the bound, beyond the threshold, or when refused.
  std::vector<ProfilePoint> walk(double step, double threshold) {
    // Half a standard error at first; longer steps once it is clear that the objective hardly rises.
    constexpr int kSteps = 14;
    constexpr double kGrowth = 1.3;
    std::vector<ProfilePoint> points;
    std::vector<double> point = best_.point;
    const opt::Variable& variable = problem_.variables[parameter_];
    for (int k = 0; k < kSteps; ++k, step *= kGrowth) {
      const double value = std::clamp(point[parameter_] + step, variable.lower, variable.upper);
      if (value == point[parameter_]) break;
      opt::Problem held = problem_;
      held.variables[parameter_].lower = held.variables[parameter_].upper = held.variables[parameter_].initial = value;
      point[parameter_] = value;
      const opt::Solution solution = opt::solve(opt::starting_from(std::move(held), point), *objective_, opt::Algorithm::ceres_lm,
                                                options_, {.cancel = stop_, .observe = {}});
      if (!solution.has_point()) break;
      point = solution.point;
      points.push_back({.value = value, .objective = solution.value});
      if (solution.value > threshold) break;
    }
    return points;
  }

 private:
  eval::ResidualFunction residuals_;
  std::unique_ptr<opt::Objective> objective_;
  std::stop_token stop_;
  opt::SolveOptions options_;
  opt::Problem problem_;
  const opt::Solution& best_;
  std::size_t parameter_;
};

/// Where the line between the last two points crosses the threshold; empty when they stay below.
std::optional<double> crossing(const std::vector<ProfilePoint>& outwards, double threshold) {
  for (std::size_t k = 1; k < outwards.size(); ++k) {
    const ProfilePoint& a = outwards[k - 1];
    const ProfilePoint& b = outwards[k];
    if (b.objective <= threshold) continue;
    return a.value + (b.value - a.value) * (threshold - a.objective) / (b.objective - a.objective);
  }
  return std::nullopt;
}

/// The study on experiments drawn with replacement and priors drawn from themselves.
PreparedStudy resampled(const PreparedStudy& study, int refit) {
  core::RandomEngine random = core::make_stream(
      {.seed = study.spec.seed, .experiment_id = "bootstrap", .purpose = core::StreamPurpose::bootstrap, .replicate = refit});
  const std::size_t count = study.dataset.cases.size();
  std::vector<std::size_t> drawn;
  for (std::size_t i = 0; i < count; ++i) {
    drawn.push_back(std::min(count - 1, static_cast<std::size_t>(core::uniform01(random) * static_cast<double>(count))));
  }
  PreparedStudy result{.spec = study.spec, .start = study.start, .dataset = study.dataset.subset(drawn), .held_out = {}};
  for (params::FreeParameter& parameter : result.spec.free) {
    if (!parameter.prior) continue;
    // A prior is one more observation: left where it is, it would make what only it determines look certain.
    const double centre = params::to_transformed(parameter, parameter.prior->centre) +
                          parameter.prior->standard_deviation * core::standard_normal(random);
    parameter.prior->centre = params::from_transformed(parameter, centre);
  }
  return result;
}

}  // namespace

opt::NoiseModel noise_model(const PreparedStudy& study, std::span<const double> point, core::ThreadCount threads, int realisations) {
  const StudySpec& spec = study.spec;
  auto values = core::parallel_map<std::vector<double>>(static_cast<std::size_t>(realisations), threads, [&](std::size_t k) {
    const eval::Dataset other = with_other_arrivals(study.dataset, study.dataset.replicates + static_cast<int>(k));
    const eval::ResidualFunction residuals(other, study.start, spec.free, spec.objective, core::kOneThread);
    return residuals(point, eval::Derivatives::no).values;
  });
  std::erase_if(values, [](const std::vector<double>& one) { return one.empty(); });

  const eval::ResidualFunction residuals(study.dataset, study.start, spec.free, spec.objective, core::kOneThread);
  const std::vector<eval::ResidualRow>& rows = residuals.rows();
  opt::NoiseModel noise;
  for (const eval::ResidualRow& row : rows) noise.shares.push_back(row.weight * row.weight);
  noise.shares.resize(residuals.size(), 0.0);
  if (values.size() >= 2) {
    const double factor = 1.0 + 1.0 / static_cast<double>(study.dataset.replicates);
    for (std::size_t first = 0; first < rows.size();) {
      std::size_t last = first;
      while (last < rows.size() && rows[last].case_index == rows[first].case_index) ++last;
      noise.known.push_back(covariance_block(values, first, last, factor));
      first = last;
    }
  }
  const double prior_variance = spec.objective.noise * spec.objective.noise;
  for (std::size_t row = rows.size(); row < residuals.size(); ++row) {
    noise.known.push_back({.first = row, .size = 1, .covariance = {prior_variance}});
  }
  return noise;
}

Profile profile(const PreparedStudy& study, const opt::Solution& best, const opt::Uncertainty& uncertainty, std::size_t parameter,
                const StoreUse& store) {
  const params::FreeParameter& free = study.spec.free[parameter];
  const double quantile = opt::interval_factor_95(uncertainty.degrees_of_freedom);
  const double variance = uncertainty.residual_standard_deviation * uncertainty.residual_standard_deviation;
  Profile result{
      .parameter = parameter, .points = {}, .threshold = best.value + quantile * quantile * variance, .lower_95 = {}, .upper_95 = {}};
  const double error = uncertainty.standard_errors[parameter];
  const opt::Variable variable = make_problem(study.spec.free).variables[parameter];
  const double step = std::isfinite(error) && error > 0.0 ? 0.5 * error : 0.1 * variable.scale;

  auto sides = core::parallel_map<std::vector<ProfilePoint>>(2, {study.spec.threads}, [&](std::size_t side) {
    return ProfileWalk(study, best, parameter, store).walk(side == 0 ? -step : step, result.threshold);
  });
  const ProfilePoint middle{.value = best.point[parameter], .objective = best.value};
  for (auto& side : sides) side.insert(side.begin(), middle);
  const auto in_unit = [&](const std::optional<double>& transformed) -> std::optional<double> {
    if (!transformed) return std::nullopt;
    return params::from_transformed(free, *transformed);
  };
  result.lower_95 = in_unit(crossing(sides[0], result.threshold));
  result.upper_95 = in_unit(crossing(sides[1], result.threshold));
  std::ranges::reverse(sides[0]);
  sides[0].insert(sides[0].end(), sides[1].begin() + 1, sides[1].end());
  for (const ProfilePoint& point : sides[0]) {
    result.points.push_back({.value = params::from_transformed(free, point.value), .objective = point.objective});
  }
  return result;
}

Bootstrap bootstrap(const PreparedStudy& study, const opt::Solution& best, int refits, core::ThreadCount threads,
                    const StoreUse& store) {
  auto values = core::parallel_map<std::vector<double>>(static_cast<std::size_t>(refits), threads, [&](std::size_t k) {
    const PreparedStudy drawn = resampled(study, static_cast<int>(k));
    const eval::ResidualFunction residuals(drawn.dataset, drawn.start, drawn.spec.free, drawn.spec.objective, core::kOneThread);
    const auto objective = objective_factory(residuals, store)(0);
    const opt::Solution solution =
        opt::solve(opt::starting_from(make_problem(drawn.spec.free), best.point), *objective, opt::Algorithm::ceres_lm,
                   refit_options(drawn.spec, kRefitEvaluations), {.cancel = store.stop, .observe = {}});
    std::vector<double> refitted;
    for (std::size_t i = 0; i < solution.point.size(); ++i) {
      refitted.push_back(params::from_transformed(drawn.spec.free[i], solution.point[i]));
    }
    return refitted;
  });
  std::erase_if(values, [](const std::vector<double>& one) { return one.empty(); });
  Bootstrap result{.refits = static_cast<int>(values.size()), .failed = refits - static_cast<int>(values.size()), .parameters = {}};
  for (std::size_t i = 0; i < study.spec.free.size(); ++i) {
    std::vector<double> spread;
    for (const auto& one : values) spread.push_back(one[i]);
    if (spread.size() < 2) break;
    result.parameters.push_back({.standard_deviation = core::standard_deviation(spread),
                                 .lower_95 = core::quantile_in_place(spread, 0.025),
                                 .upper_95 = core::quantile_in_place(spread, 0.975)});
  }
  return result;
}

}  // namespace rooftune::calibrate
