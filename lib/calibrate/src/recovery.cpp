#include "rooftune/calibrate/recovery.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

#include "rooftune/calibrate/fit.hpp"
#include "rooftune/core/random.hpp"
#include "rooftune/core/ranks.hpp"
#include "rooftune/core/statistics.hpp"
#include "rooftune/sim/simulate.hpp"

namespace rooftune::calibrate {
namespace {

/// Arrivals of the simulated measurements come from replicates that no prediction and no noise estimate of a fit draws.
constexpr int kMeasuredReplicate = 1'000'000;

class Noise {
 public:
  Noise(const domain::Experiment& experiment, std::uint64_t seed, int repeat, double fraction)
      : random_(core::make_stream(
            {.seed = seed, .experiment_id = experiment.id, .purpose = core::StreamPurpose::noise, .replicate = repeat})),
        fraction_(fraction) {}

  void on(domain::Latencies& latencies) {
    for (const domain::Metric metric : domain::kMetrics) {
      const double normal = core::standard_normal(random_);
      if (auto& value = latencies[metric]) *value *= std::exp(fraction_ * normal);
    }
  }

 private:
  core::RandomEngine random_;
  double fraction_;
};

/// The value that made the data. Where the truth says nothing, the simulation took the registry's.
double true_value(const params::Config& truth, params::FreeParameter parameter) {
  parameter.initial = parameter.id.spec().initial;
  return params::current_value(truth, parameter);
}

/// A prior is a measurement of its parameter, wrong by its standard deviation. With centres that always stood at the truth, or
/// always off it to the same side, intervals that take priors at their word would cover too often or too rarely.
void draw_priors(PreparedStudy& study, const params::Config& truth, std::uint64_t seed, int repeat) {
  for (params::FreeParameter& parameter : study.spec.free) {
    if (!parameter.prior) continue;
    const std::string name = parameter.label();
    core::RandomEngine random =
        core::make_stream({.seed = seed, .experiment_id = name, .purpose = core::StreamPurpose::noise, .replicate = repeat});
    const double centre = params::to_transformed(parameter, true_value(truth, parameter));
    parameter.prior->centre =
        params::from_transformed(parameter, centre + parameter.prior->standard_deviation * core::standard_normal(random));
  }
}

/// The study with what `truth` predicts in place of its measurements, and other arrivals for its own predictions.
PreparedStudy simulated(const PreparedStudy& study, const params::Config& truth, int repeat, double noise_fraction) {
  PreparedStudy result = study;
  draw_priors(result, truth, study.spec.seed, repeat);
  const std::uint64_t seed = study.spec.seed + static_cast<std::uint64_t>(repeat);
  result.spec.seed = seed;
  result.spec.threads = 1;
  result.dataset.seed = seed;
  for (eval::Case& item : result.dataset.cases) {
    item.plans = {{.seed = seed, .replicate = kMeasuredReplicate}};
    const auto prediction = sim::simulate<double>(
        truth.step_time_model, item.scenario(*item.plan(0)), params::resolve(truth, item.experiment.deployment, item.gpu),
        {.stepping = sim::Stepping::closed_form, .percentiles = sim::Percentiles::compute, .observer = nullptr});
    Noise noise(item.experiment, study.spec.seed, repeat, noise_fraction);
    item.experiment.measured.summary = prediction.summary.latencies;
    noise.on(item.experiment.measured.summary);
    item.experiment.measured.stages.clear();
    for (const auto& stage : prediction.stages) noise.on(item.experiment.measured.stages.emplace_back(stage.latencies));
    item.keep_plans(seed, study.dataset.replicates);
  }
  return result;
}

bool is_identified(const Estimate& estimate) {
  constexpr double kLargestPriorShare = 0.25;
  constexpr double kLargestRelativeError = 0.5;
  return estimate.bound == opt::BoundState::free && estimate.interval && !estimate.without_effect &&
         estimate.prior_share.value_or(0.0) <= kLargestPriorShare &&
         estimate.relative_standard_error.value_or(1.0) <= kLargestRelativeError;
}

/// What one repeat found of a parameter that it identified; the standard error is in the transformed space.
struct Found {
  double value = 0.0;
  double lower_95 = 0.0;
  double upper_95 = 0.0;
  double standard_error = 0.0;
};

template <class Archive, core::ValueOf<Found> Value>
void fields(Archive& archive, Value& found) {
  auto& [value, lower_95, upper_95, standard_error] = found;
  archive(value, lower_95, upper_95, standard_error);
}

/// What became of one repeat.
struct Outcome {
  bool is_finished = false;                                ///< it was not cancelled
  std::optional<std::vector<std::optional<Found>>> found;  ///< by parameter; nothing where the fit came to nothing
};

template <class Archive, core::ValueOf<Outcome> Value>
void fields(Archive& archive, Value& outcome) {
  auto& [is_finished, found] = outcome;
  archive(is_finished, found);
}

Outcome outcome_of(const FitResult& result) {
  if (result.interrupted) return {};
  if (!result.usable) return {.is_finished = true, .found = {}};
  std::vector<std::optional<Found>> found;
  for (std::size_t i = 0; i < result.estimates.size(); ++i) {
    const Estimate& estimate = result.estimates[i];
    found.emplace_back();
    if (!is_identified(estimate)) continue;
    found.back() = Found{.value = estimate.value,
                         .lower_95 = estimate.interval->lower,
                         .upper_95 = estimate.interval->upper,
                         .standard_error = result.uncertainty.standard_errors[i]};
  }
  return {.is_finished = true, .found = std::move(found)};
}

ParameterRecovery summarise(const std::vector<Outcome>& outcomes, const params::FreeParameter& parameter, double truth,
                            std::size_t index) {
  ParameterRecovery result{.parameter = parameter, .truth = truth};
  std::vector<double> deviations;
  std::vector<double> errors;
  for (const Outcome& outcome : outcomes) {
    if (!outcome.found || !(*outcome.found)[index]) continue;
    const Found& found = *(*outcome.found)[index];
    ++result.identified;
    result.covered += found.lower_95 <= truth && truth <= found.upper_95 ? 1 : 0;
    deviations.push_back(params::to_transformed(parameter, found.value) - params::to_transformed(parameter, truth));
    errors.push_back(found.standard_error);
  }
  if (deviations.empty()) return result;
  result.bias = core::mean(deviations);
  result.spread = core::standard_deviation(deviations);
  result.mean_standard_error = core::root_mean_square(errors);
  return result;
}

}  // namespace

Recovery recover(const PreparedStudy& study, const params::Config& truth, const RecoveryOptions& options) {
  const auto repeats = static_cast<std::size_t>(options.repeats);
  std::size_t finished = 0;
  const auto body = [&](std::size_t k) {
    if (options.cancel.stop_requested()) return Outcome{};
    return outcome_of(fit(simulated(study, truth, static_cast<int>(k) + 1, options.noise_fraction),
                          {.cancel = options.cancel, .progress = {}, .store = options.store}));
  };
  if (options.ranks != nullptr && !options.ranks->leads()) {
    core::serve(*options.ranks, "repeats", {study.spec.threads}, body);
    return {};
  }
  const core::RankedMap map{.name = "repeats", .count = repeats, .threads = {study.spec.threads}, .cancel = options.cancel};
  const auto outcomes = core::map_over_ranks<Outcome>(options.ranks, map, body, [&](const Outcome&) {
    if (options.progress) options.progress(++finished, repeats);
  });

  Recovery recovery{.repeats = options.repeats, .noise_fraction = options.noise_fraction, .parameters = {}};
  for (const Outcome& outcome : outcomes) {
    recovery.finished += outcome.is_finished ? 1 : 0;
    recovery.failed += outcome.is_finished && !outcome.found ? 1 : 0;
  }
  for (std::size_t i = 0; i < study.spec.free.size(); ++i) {
    const params::FreeParameter& parameter = study.spec.free[i];
    recovery.parameters.push_back(summarise(outcomes, parameter, true_value(truth, parameter), i));
    recovery.counted += recovery.parameters.back().identified;
    recovery.covered += recovery.parameters.back().covered;
  }
  return recovery;
}

}  // namespace rooftune::calibrate
