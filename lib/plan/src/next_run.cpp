#include "rooftune/plan/next_run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "rooftune/calibrate/fit.hpp"
#include "rooftune/core/parallel_map.hpp"
#include "rooftune/core/random.hpp"
#include "rooftune/core/statistics.hpp"
#include "rooftune/eval/evaluate.hpp"
#include "rooftune/sim/kv_estimate.hpp"

namespace rooftune::plan {
namespace {

using domain::Metric;

/// What a run is measured by, and what predictions are judged by: TPOT follows from the two.
bool counts(const calibrate::Sensitivity& sensitivity) {
  return sensitivity.metric == Metric::ttft_mean || sensitivity.metric == Metric::e2e_mean;
}

/// Percent by which a prediction moves when all that takes time takes one percent more: about 1 for a calm server.
double amplification_of(const calibrate::Sensitivity& row) {
  double sum = 0.0;
  for (const double slope : row.row) sum += std::abs(slope);
  return sum;
}

/// Root mean square over the targets, none of which counts as more than `most`.
double deviation_over(const opt::GaussianBelief& belief, std::span<const calibrate::Sensitivity> targets,
                      double most = std::numeric_limits<double>::infinity()) {
  double sum = 0.0;
  std::size_t rows = 0;
  for (const calibrate::Sensitivity& target : targets) {
    if (!counts(target)) continue;
    sum += std::min(belief.variance_along(target.row), most * most);
    ++rows;
  }
  return rows == 0 ? 0.0 : std::sqrt(sum / static_cast<double>(rows));
}

std::vector<double> errors_of(const eval::Dataset& dataset, const params::Config& config) {
  const eval::Evaluation evaluation =
      eval::evaluate(dataset, config, {.threads = core::kOneThread, .stepping = sim::Stepping::closed_form});
  std::vector<double> errors;
  for (const Metric metric : {Metric::ttft_mean, Metric::e2e_mean}) {
    const auto found = evaluation.overall.find(metric);
    if (found != evaluation.overall.end()) errors.push_back(found->second.mean_ape_percent);
  }
  return errors;
}

/// Refits with one more run and scores on `rest`.
double error_with(const calibrate::PreparedStudy& study, std::vector<std::size_t> training, std::size_t added,
                  const eval::Dataset& rest, const calibrate::FitHooks& hooks) {
  training.push_back(added);
  std::ranges::sort(training);
  const calibrate::QuickFit fitted =
      calibrate::fit_quickly(study.spec, study.start, study.dataset.subset(training), core::kOneThread, hooks);
  return core::mean(errors_of(rest, fitted.tuned));
}

/// Nothing where it was cancelled.
std::optional<TrialDraw> run_draw(const calibrate::PreparedStudy& study, const calibrate::TrialSpec& spec, const TrialHooks& of_trial,
                                  int draw) {
  if (of_trial.cancel.stop_requested()) return std::nullopt;
  const calibrate::FitHooks hooks{.cancel = of_trial.cancel, .progress = {}, .store = of_trial.store};
  std::vector<std::size_t> order(study.dataset.cases.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  auto engine = core::make_stream(
      {.seed = study.spec.seed, .experiment_id = "next run", .stage = 0, .purpose = core::StreamPurpose::splits, .replicate = draw});
  const auto below = [&](std::size_t count) { return static_cast<std::size_t>(core::uniform01(engine) * static_cast<double>(count)); };
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[below(i)]);
  std::vector<std::size_t> start(order.begin(), order.begin() + spec.start_runs);
  std::vector<std::size_t> pool(order.begin() + spec.start_runs, order.end());
  std::ranges::sort(start);
  std::ranges::sort(pool);

  const eval::Dataset training = study.dataset.subset(start);
  const eval::Dataset others = study.dataset.subset(pool);
  const calibrate::QuickFit fitted = calibrate::fit_quickly(study.spec, study.start, training, core::kOneThread, hooks);
  if (of_trial.cancel.stop_requested()) return std::nullopt;
  const eval::ResidualFunction residuals(training, fitted.tuned, study.spec.free, study.spec.objective, core::kOneThread);
  std::vector<double> point;
  for (const params::FreeParameter& parameter : study.spec.free) {
    point.push_back(params::to_transformed(parameter, params::current_value(fitted.tuned, parameter)));
  }
  const double noise = study.spec.objective.noise;
  const opt::GaussianBelief belief = calibrate::posterior_belief(residuals, point, noise);
  const std::vector<calibrate::Sensitivity> rows = calibrate::sensitivities(others, fitted.tuned, study.spec.free, core::kOneThread);
  const std::vector<RunValue> ranked = rank_runs(belief, rows, rows, {{Metric::ttft_mean, noise}, {Metric::e2e_mean, noise}});

  const std::size_t recommended = pool[ranked.empty() ? 0 : ranked.front().case_index];
  const std::size_t random = pool[below(pool.size())];
  std::vector<std::size_t> unseen;
  std::ranges::copy_if(pool, std::back_inserter(unseen), [&](std::size_t i) { return i != recommended && i != random; });
  const eval::Dataset rest = study.dataset.subset(unseen);

  TrialDraw result;
  for (const std::size_t i : start) result.start.push_back(study.dataset.cases[i].experiment.id);
  result.recommended = study.dataset.cases[recommended].experiment.id;
  result.random = study.dataset.cases[random].experiment.id;
  result.before_percent = core::mean(errors_of(rest, fitted.tuned));
  result.recommended_percent = error_with(study, start, recommended, rest, hooks);
  result.random_percent = random == recommended ? result.recommended_percent : error_with(study, start, random, rest, hooks);
  return result;
}

}  // namespace

std::vector<RunValue> rank_runs(const opt::GaussianBelief& belief, std::span<const calibrate::Sensitivity> candidates,
                                std::span<const calibrate::Sensitivity> targets, const std::map<Metric, double>& noise_deviation) {
  const double before = deviation_over(belief, targets, calibrate::kUndetermined);
  std::map<std::size_t, std::pair<opt::GaussianBelief, double>> learnt;  // with the bits
  for (const calibrate::Sensitivity& row : candidates) {
    if (!counts(row)) continue;
    const bool is_alone = std::ranges::count_if(candidates, [&](const calibrate::Sensitivity& other) {
                            return other.case_index == row.case_index && other.metric == row.metric;
                          }) == 1;
    // A pooled row repeats what its stages say.
    if (row.stage == domain::kSummaryStage && !is_alone) continue;
    auto& [after, bits] = learnt.try_emplace(row.case_index, belief, 0.0).first->second;
    // What the structure gets wrong of step times comes back in a queue many times larger, and tells the less of parameters.
    const double noise = noise_deviation.at(row.metric) * std::max(1.0, amplification_of(row));
    bits += 0.5 * std::log2(1.0 + after.variance_along(row.row) / (noise * noise));
    after.observe(row.row, noise * noise);
  }
  std::vector<RunValue> values;
  for (const auto& [index, what] : learnt) {
    values.push_back({.case_index = index,
                      .deviation_before = before,
                      .deviation_after = deviation_over(what.first, targets, calibrate::kUndetermined),
                      .bits = what.second,
                      .rms_after = deviation_over(what.first, targets)});
  }
  std::ranges::stable_sort(values, {}, &RunValue::deviation_after);
  return values;
}

std::vector<domain::Experiment> candidate_experiments(const calibrate::CandidateSpec& spec, const std::string& gpu,
                                                      const domain::Deployment& like) {
  std::vector<domain::Experiment> experiments;
  for (const std::string& model : spec.models) {
    for (const int tp : spec.tp) {
      for (const double rate : spec.rates_per_s) {
        for (const int prompt : spec.prompt_tokens) {
          for (const int output : spec.output_tokens) {
            domain::Experiment& experiment = experiments.emplace_back();
            experiment.id = fmt::format("{} tp {} {}/s {}+{}", domain::short_model_name(model), tp, rate, prompt, output);
            experiment.deployment = like;
            experiment.deployment.model = model;
            experiment.deployment.hardware = gpu;
            experiment.deployment.tp = tp;
            experiment.deployment.settings.total_kv_blocks.reset();  // estimated for each
            domain::Workload& workload = experiment.workload;
            workload.name = "candidate";
            workload.arrival.process = domain::ArrivalProcess::conditioned_poisson;
            workload.prompt.mean_tokens = prompt;
            workload.output.mean_tokens = output;
            const int requests = std::max(1, static_cast<int>(std::lround(rate * spec.duration_s)));
            workload.stages = {{.rate = {rate}, .duration = {spec.duration_s}, .num_requests = requests}};
          }
        }
      }
    }
  }
  return experiments;
}

core::Result<eval::Dataset> candidate_dataset(const calibrate::PreparedStudy& study, const calibrate::StudyInputs& inputs,
                                              calibrate::CandidateSpec& spec, const std::string& gpu) {
  if (spec.models.empty()) {
    std::set<std::string> models;
    for (const eval::Case& item : study.dataset.cases) models.insert(item.experiment.deployment.model);
    spec.models.assign(models.begin(), models.end());
  }
  return eval::make_dataset({.experiments = candidate_experiments(spec, gpu, study.dataset.cases.front().experiment.deployment),
                             .models = inputs.models,
                             .gpus = inputs.gpus,
                             .config = study.start,
                             .seed = study.spec.seed,
                             .replicates = 1,
                             .kernels = inputs.kernels,
                             .leaves_out_refused = true});
}

std::vector<RunValue> useful_runs(const eval::Dataset& candidates, const params::Config& config,
                                  std::span<const params::FreeParameter> free, const opt::GaussianBelief& belief, double noise,
                                  core::ThreadCount threads) {
  // A run that saturates measures its queue, not the GPU, and its latencies have no end.
  const auto sound = core::parallel_map<char>(candidates.cases.size(), threads, [&](std::size_t i) -> char {
    const eval::Case& item = candidates.cases[i];
    const domain::Deployment& deployment = item.experiment.deployment;
    const std::int64_t blocks = sim::estimate_kv_blocks(item.model, item.gpu, deployment);
    const double longest = item.experiment.workload.prompt.mean_tokens + item.experiment.workload.output.mean_tokens;
    if (static_cast<double>(blocks * deployment.settings.block_size) < longest) return 0;
    const auto parameters = params::resolve(config, deployment, item.gpu);
    const auto prediction = sim::simulate<double>(config.step_time_model, item.scenario(*item.plan(0)), parameters, {});
    const bool is_calm = prediction.summary.longest_queue < 0.25 * deployment.settings.max_num_seqs &&
                         prediction.counters.preemptions == 0 && prediction.counters.rejected == 0;
    return is_calm ? 1 : 0;
  });
  std::vector<std::size_t> kept;
  for (std::size_t i = 0; i < sound.size(); ++i) {
    if (sound[i] != 0) kept.push_back(i);
  }
  const eval::Dataset calm = candidates.subset(kept);
  const std::vector<calibrate::Sensitivity> rows = calibrate::sensitivities(calm, config, free, threads);
  std::map<Metric, double> noise_deviation;
  for (const Metric metric : {Metric::ttft_mean, Metric::e2e_mean}) {
    double variance = noise * noise;
    // What the structure gets wrong there is no news about the parameters.
    if (config.uncertainty) {
      const auto found = config.uncertainty->held_out_deviation.find(metric);
      if (found != config.uncertainty->held_out_deviation.end()) variance += found->second * found->second;
    }
    noise_deviation[metric] = std::sqrt(variance);
  }
  std::vector<RunValue> values = rank_runs(belief, rows, rows, noise_deviation);
  for (RunValue& value : values) value.case_index = kept[value.case_index];
  return values;
}

std::vector<NextRun> recommend_runs(const calibrate::CandidateSpec& spec, const eval::Dataset& candidates,
                                    const params::Config& config, std::span<const params::FreeParameter> free,
                                    const opt::GaussianBelief& belief, double noise, core::ThreadCount threads) {
  std::vector<NextRun> runs;
  for (const RunValue& value : useful_runs(candidates, config, free, belief, noise, threads)) {
    const domain::Experiment& experiment = candidates.cases[value.case_index].experiment;
    runs.push_back({.model = std::string(domain::short_model_name(experiment.deployment.model)),
                    .tp = experiment.deployment.tp,
                    .rate_per_s = experiment.workload.stages.front().rate.value,
                    .prompt_tokens = static_cast<int>(experiment.workload.prompt.mean_tokens),
                    .output_tokens = static_cast<int>(experiment.workload.output.mean_tokens),
                    .gpu_minutes = experiment.deployment.tp * (spec.duration_s + spec.setup_s) / 60.0,
                    .value = value});
  }
  return runs;
}

core::Result<NextRunTrial> try_recommendation(const calibrate::PreparedStudy& study, const calibrate::TrialSpec& spec,
                                              const TrialHooks& hooks) {
  const auto runs = static_cast<int>(study.dataset.cases.size());
  if (spec.start_runs + 3 > runs) {
    return core::fail({},
                      fmt::format("a trial that starts from {} runs needs {} or more, and {} are selected", spec.start_runs,
                                  spec.start_runs + 3, runs),
                      "select more experiments, or lower onboard.trial.start_runs");
  }
  const auto draws = static_cast<std::size_t>(spec.draws);
  std::size_t finished = 0;
  auto results = *core::parallel_map_watched<std::optional<TrialDraw>>(
      draws, {study.spec.threads}, [&](std::size_t i) { return run_draw(study, spec, hooks, static_cast<int>(i)); },
      [&](const std::optional<TrialDraw>& draw) {
        finished += draw ? 1 : 0;
        if (draw && hooks.progress) hooks.progress(finished, draws);
        return core::Watch::go_on;
      });
  NextRunTrial trial{.start_runs = spec.start_runs, .asked = draws, .draws = {}};
  for (std::optional<TrialDraw>& draw : results) {
    if (draw) trial.draws.push_back(*std::move(draw));
  }
  return trial;
}

}  // namespace rooftune::plan
