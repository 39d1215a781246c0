#include "rooftune/plan/simulated_transfers.hpp"

#include <fmt/format.h>

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "onboarder.hpp"
#include "rooftune/calibrate/posterior.hpp"
#include "rooftune/core/parallel_map.hpp"
#include "rooftune/core/random.hpp"
#include "rooftune/core/statistics.hpp"
#include "rooftune/eval/evaluate.hpp"

namespace rooftune::plan {
namespace {

using domain::Metric;

/// Arrivals of simulated measurements come from replicates that no prediction draws.
constexpr int kMeasuredReplicate = 1'000'000;

/// A choice is judged on some of the candidates: enough for a mean, few enough for hundreds of draws.
constexpr std::size_t kJudgedCandidates = 24;

core::RandomEngine stream(std::uint64_t seed, std::string_view what, int draw) {
  return core::make_stream({.seed = seed, .experiment_id = what, .purpose = core::StreamPurpose::noise, .replicate = draw});
}

/// The priors' GPU as one of those that the priors allow.
params::Config draw_truth(const params::Config& start, const std::vector<GpuPrior>& priors, const opt::GaussianBelief& belief,
                          core::RandomEngine& random) {
  const auto size = static_cast<Eigen::Index>(priors.size());
  Eigen::MatrixXd covariance(size, size);
  for (Eigen::Index i = 0; i < size; ++i) {
    for (Eigen::Index j = 0; j < size; ++j) {
      covariance(i, j) = belief.covariance(static_cast<std::size_t>(i), static_cast<std::size_t>(j));
    }
  }
  Eigen::VectorXd normal(size);
  for (double& value : normal) value = core::standard_normal(random);
  const Eigen::VectorXd moved = covariance.llt().matrixL() * normal;
  std::vector<params::FreeParameter> free;
  std::vector<double> values;
  for (std::size_t i = 0; i < priors.size(); ++i) {
    const params::FreeParameter& parameter = free.emplace_back(priors[i].parameter);
    const double transformed = params::to_transformed(parameter, parameter.initial) + moved[static_cast<Eigen::Index>(i)];
    values.push_back(std::clamp(params::from_transformed(parameter, transformed), parameter.lower, parameter.upper));
  }
  return params::with_values(start, free, values, params::ValueSource::given);
}

/// The dataset with what `truth` does in place of its measurements, and errors of the model on top: one for each experiment and
/// metric, as a structure that is wrong is wrong for all stages of a run.
eval::Dataset measured_on(const eval::Dataset& dataset, const params::Config& truth, const std::map<Metric, double>& model_deviation,
                          std::uint64_t seed, int draw) {
  eval::Dataset result = dataset;
  for (eval::Case& item : result.cases) {
    const std::vector<eval::Plan> own = std::exchange(item.plans, {{.seed = seed, .replicate = kMeasuredReplicate + draw}});
    const auto prediction = sim::simulate<double>(
        truth.step_time_model, item.scenario(*item.plan(0)), params::resolve(truth, item.experiment.deployment, item.gpu),
        {.stepping = sim::Stepping::closed_form, .percentiles = sim::Percentiles::compute, .observer = nullptr});
    item.plans = own;
    core::RandomEngine random = stream(seed, item.experiment.id, draw);
    std::map<Metric, double> factor;
    for (const Metric metric : domain::kMetrics) {
      const auto found = model_deviation.find(metric);
      factor[metric] = std::exp((found == model_deviation.end() ? 0.0 : found->second) * core::standard_normal(random));
    }
    const auto with_errors = [&](domain::Latencies latencies) {
      for (const Metric metric : domain::kMetrics) {
        if (auto& value = latencies[metric]) *value *= factor[metric];
      }
      return latencies;
    };
    item.experiment.measured.summary = with_errors(prediction.summary.latencies);
    item.experiment.measured.stages.clear();
    for (const auto& stage : prediction.stages) item.experiment.measured.stages.push_back(with_errors(stage.latencies));
  }
  return result;
}

/// Mean |log error| of TTFT and E2E over a dataset whose measurements are the truth's own predictions.
double distance(const eval::Dataset& truth, const params::Config& config) {
  const eval::Evaluation evaluation = eval::evaluate(truth, config, {.threads = {1}, .stepping = sim::Stepping::closed_form});
  std::vector<double> errors;
  for (const eval::Row& row : evaluation.rows) {
    if (row.stage != domain::kSummaryStage || (row.metric != Metric::ttft_mean && row.metric != Metric::e2e_mean)) continue;
    if (row.predicted_ms > 0.0 && row.measured_ms > 0.0) errors.push_back(std::abs(std::log(row.predicted_ms / row.measured_ms)));
  }
  return 100.0 * core::mean(errors);
}

struct Chosen {
  double before_percent = 0.0;
  std::map<Choice, double> percent;
};

struct Draw {
  std::vector<OnboardStep> steps;
  std::vector<std::optional<Chosen>> choices;  ///< by step
};

/// What all draws share.
struct Ground {
  const calibrate::PreparedStudy& study;
  const Onboarder& onboarder;
  const std::vector<GpuPrior>& priors;
  const eval::Dataset& candidates;
  std::string prior_name;
  std::map<Metric, double> model_deviation;
  std::stop_token cancel;
};

std::vector<std::size_t> some_of(std::size_t count, std::size_t wanted, core::RandomEngine& random) {
  std::vector<std::size_t> all(count);
  std::iota(all.begin(), all.end(), std::size_t{0});
  for (std::size_t i = 0; i < std::min(count, wanted); ++i) {
    std::swap(all[i], all[i + static_cast<std::size_t>(core::uniform01(random) * static_cast<double>(count - i))]);
  }
  all.resize(std::min(count, wanted));
  return all;
}

/// The candidate that each way of choosing takes.
std::map<Choice, std::size_t> chosen_runs(const std::vector<RunValue>& values, core::RandomEngine& random) {
  const auto best = [&](auto projection) { return std::ranges::min_element(values, {}, projection)->case_index; };
  return {
      {Choice::at_random, values[static_cast<std::size_t>(core::uniform01(random) * static_cast<double>(values.size()))].case_index},
      {Choice::root_mean_square, best(&RunValue::rms_after)},
      {Choice::typical, best(&RunValue::deviation_after)},
      {Choice::bits, best([](const RunValue& value) { return -value.bits; })}};
}

/// The dataset with the truth's own predictions as measurements: the same arrivals, so that what differs is the GPU alone.
eval::Dataset goal_of(eval::Dataset dataset, const params::Config& truth) {
  for (eval::Case& item : dataset.cases) {
    const auto prediction = sim::simulate<double>(
        truth.step_time_model, item.scenario(*item.plan(0)), params::resolve(truth, item.experiment.deployment, item.gpu),
        {.stepping = sim::Stepping::closed_form, .percentiles = sim::Percentiles::skip, .observer = nullptr});
    item.experiment.measured.summary = prediction.summary.latencies;
    item.experiment.measured.stages.clear();
    for (const auto& stage : prediction.stages) item.experiment.measured.stages.push_back(stage.latencies);
  }
  return dataset;
}

/// One more run after the runs of `known`, by every way of choosing.
std::optional<Chosen> try_choices(const Ground& ground, const OnboardStep& state, const eval::Dataset& known,
                                  const params::Config& truth, core::RandomEngine& random, int draw) {
  const auto free = calibrate::free_parameters(state.config, *state.config.uncertainty);
  const std::vector<RunValue> values = useful_runs(
      ground.candidates, state.config, free, calibrate::belief_of(*state.config.uncertainty), ground.study.spec.objective.noise, {1});
  if (values.size() < 2) return std::nullopt;
  std::vector<std::size_t> judged;
  for (const std::size_t i : some_of(values.size(), kJudgedCandidates, random)) judged.push_back(values[i].case_index);
  const eval::Dataset goal = goal_of(ground.candidates.subset(judged), truth);
  Chosen result{.before_percent = distance(goal, state.config), .percent = {}};
  std::map<std::size_t, double> by_candidate;
  for (const auto& [choice, candidate] : chosen_runs(values, random)) {
    if (!by_candidate.contains(candidate)) {
      eval::Dataset all = known;
      all.cases.push_back(
          measured_on(ground.candidates.subset({candidate}), truth, ground.model_deviation, ground.study.spec.seed, draw)
              .cases.front());
      std::vector<std::size_t> runs(all.cases.size());
      std::iota(runs.begin(), runs.end(), std::size_t{0});
      by_candidate[candidate] = distance(goal, ground.onboarder.learn("one more", ground.priors, all, runs).config);
    }
    result.percent[choice] = by_candidate[candidate];
  }
  return result;
}

/// Nothing where it was cancelled.
std::optional<Draw> run_draw(const Ground& ground, int draw) {
  core::RandomEngine random = stream(ground.study.spec.seed, "simulated transfer", draw);
  const params::Config truth =
      draw_truth(ground.onboarder.start(), ground.priors, ground.onboarder.belief_before(ground.priors), random);
  const eval::Dataset dataset = measured_on(ground.study.dataset, truth, ground.model_deviation, ground.study.spec.seed, draw);
  Draw result;
  const auto add = [&](std::string name, const std::vector<std::size_t>& runs) {
    if (ground.cancel.stop_requested()) return;
    OnboardStep step = ground.onboarder.learn(std::move(name), ground.priors, dataset, runs);
    if (ground.cancel.stop_requested()) return;
    ground.onboarder.score(step, dataset, runs);
    result.choices.push_back(try_choices(ground, step, dataset.subset(runs), truth, random, draw));
    result.steps.push_back(std::move(step));
  };
  add(ground.prior_name, {});
  add("run " + dataset.cases.front().experiment.id, {0});
  if (ground.cancel.stop_requested()) return std::nullopt;
  return result;
}

SimulatedStep summarise_step(const std::vector<Draw>& draws, std::size_t index) {
  SimulatedStep result{.name = draws.front().steps[index].name, .inside = {}, .width_percent = {}, .error_percent = {}};
  std::map<Metric, std::vector<double>> widths;
  std::map<Metric, std::vector<double>> errors;
  for (const Draw& draw : draws) {
    const OnboardStep& step = draw.steps[index];
    result.undetermined += step.undetermined;
    for (const JudgedInterval& judged : judged_intervals(step)) {
      calibrate::Coverage& counts = result.inside[judged.interval->metric];
      ++counts.measurements;
      if (judged.is_inside()) ++counts.inside;
      widths[judged.interval->metric].push_back(100.0 * (judged.interval->upper_ms / judged.interval->predicted_ms - 1.0));
      errors[judged.interval->metric].push_back(judged.row->ape_percent());
    }
  }
  for (auto& [metric, values] : widths) result.width_percent[metric] = core::median(values);
  for (const auto& [metric, values] : errors) result.error_percent[metric] = core::mean(values);
  return result;
}

ChoiceTrial summarise_choice(const std::vector<Draw>& draws, std::size_t index) {
  ChoiceTrial trial{.name = draws.front().steps[index].name, .draws = 0, .before_percent = 0.0, .outcomes = {}};
  std::vector<double> before;
  std::map<Choice, std::vector<double>> errors;
  std::map<Choice, std::vector<double>> differences;
  for (const Draw& draw : draws) {
    const auto& chosen = draw.choices[index];
    if (!chosen) continue;
    before.push_back(chosen->before_percent);
    for (const auto& [choice, percent] : chosen->percent) {
      errors[choice].push_back(percent);
      differences[choice].push_back(percent - chosen->percent.at(Choice::at_random));
    }
  }
  trial.draws = static_cast<int>(before.size());
  if (before.size() < 2) return trial;
  trial.before_percent = core::mean(before);
  for (const auto& [choice, percents] : errors) {
    trial.outcomes[choice] = {
        .error_percent = core::mean(percents),
        .against_random = core::mean(differences[choice]),
        .against_random_error = core::standard_deviation(differences[choice]) / std::sqrt(static_cast<double>(percents.size()))};
  }
  return trial;
}

}  // namespace

core::Result<SimulatedTransfers> simulate_transfers(const calibrate::PreparedStudy& study, const calibrate::StudyInputs& inputs,
                                                    const std::vector<kernels::KernelSummary>& summaries, int draws,
                                                    const SimulatedTransferHooks& hooks) {
  auto transfer = prepare_transfer(study, inputs, summaries);
  if (!transfer) return tl::unexpected(transfer.error());
  const auto candidates = candidate_dataset(study, inputs, transfer->spec.candidates, transfer->spec.gpu);
  if (!candidates) return tl::unexpected(candidates.error());
  calibrate::PreparedStudy alone = study;
  alone.spec.threads = 1;  // draws run side by side
  const Onboarder onboarder(alone, transfer->spec, *transfer->gpu, {}, hooks.cancel);
  const Ground ground{.study = alone,
                      .onboarder = onboarder,
                      .priors = transfer->priors.back().second,
                      .candidates = *candidates,
                      .prior_name = transfer->priors.back().first,
                      .model_deviation = study.start.uncertainty->held_out_deviation,
                      .cancel = hooks.cancel};
  std::size_t finished = 0;
  const auto count = static_cast<std::size_t>(draws);
  auto drawn = *core::parallel_map_watched<std::optional<Draw>>(
      count, {study.spec.threads}, [&](std::size_t i) { return run_draw(ground, static_cast<int>(i) + 1); },
      [&](const std::optional<Draw>& draw) {
        finished += draw ? 1 : 0;
        if (draw && hooks.progress) hooks.progress(finished, count);
        return core::Watch::go_on;
      });
  std::vector<Draw> results;
  for (std::optional<Draw>& draw : drawn) {
    if (draw) results.push_back(*std::move(draw));
  }
  SimulatedTransfers transfers{.asked = draws, .draws = static_cast<int>(results.size()), .steps = {}, .choices = {}};
  if (results.empty()) return transfers;
  for (std::size_t i = 0; i < results.front().steps.size(); ++i) {
    transfers.steps.push_back(summarise_step(results, i));
    transfers.choices.push_back(summarise_choice(results, i));
  }
  return transfers;
}

}  // namespace rooftune::plan
