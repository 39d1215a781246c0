#include "rooftune/study/improve_trial.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "rooftune/core/parallel_for.hpp"
#include "rooftune/core/statistics.hpp"
#include "rooftune/opt/termination.hpp"
#include "rooftune/study/fit.hpp"

namespace rooftune::study {
namespace {

constexpr core::ThreadCount kOneThread{1};

/// The kinds of groups whose errors a change may not make worse.
constexpr std::array<std::string_view, 4> kGuardedGroups{"model", "tp", "workload", "gpu"};

/// Student's t at 95 % (one-sided) by degrees of freedom from 1; the normal quantile beyond.
constexpr std::array kStudent95{6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833};

double student95(std::size_t degrees_of_freedom) {
  return degrees_of_freedom <= kStudent95.size() ? kStudent95[degrees_of_freedom - 1] : 1.645;
}

/// How far the mean of `values` may be off by chance.
double noise_of_mean(const std::vector<double>& values) {
  if (values.size() < 2) return 0.0;
  return student95(values.size() - 1) * core::standard_deviation(values) / std::sqrt(static_cast<double>(values.size()));
}

/// One structure with one seed, and its folds.
struct SeededStudy {
  PreparedStudy study;
  std::vector<eval::Fold> folds;
};

struct Task {
  std::size_t request = 0;
  std::size_t seed = 0;
  std::size_t fold = 0;
};

struct Outcome {
  FoldFit fit;
  eval::Evaluation held_out;
  std::optional<std::string> failure;
};

Outcome run(const SeededStudy& seeded, const eval::Fold& fold) {
  const PreparedStudy& study = seeded.study;
  Outcome outcome;
  outcome.fit = {.seed = study.spec.seed, .fold = fold.name, .objective = 0.0, .evaluations = 0, .termination = {}, .values = {}};
  params::Config tuned = study.start;
  if (!study.spec.free.empty()) {
    const QuickFit fitted = fit_quickly(study.spec, study.start, study.dataset.subset(fold.training), kOneThread);
    outcome.fit.objective = fitted.objective;
    outcome.fit.evaluations = fitted.counts.total();
    outcome.fit.termination = opt::format(fitted.termination);
    if (!fitted.usable) {
      outcome.failure = fmt::format("fold '{}' could not be fitted: {}", fold.name, outcome.fit.termination);
      return outcome;
    }
    tuned = fitted.tuned;
  }
  for (const params::FreeParameter& parameter : study.spec.free) outcome.fit.values.push_back(params::current_value(tuned, parameter));
  outcome.held_out =
      eval::evaluate(study.dataset.subset(fold.test), tuned, {.threads = kOneThread, .stepping = sim::Stepping::closed_form});
  return outcome;
}

void add_errors(std::vector<RunError>& errors, const eval::Evaluation& evaluation, const ObjectiveSpec& objective) {
  for (const eval::Row& row : evaluation.rows) {
    const auto weight = objective.metrics.find(row.metric);
    if (row.stage != domain::kSummaryStage || weight == objective.metrics.end()) continue;
    errors.push_back({.experiment = row.experiment,
                      .metric = row.metric,
                      .weight = weight->second,
                      .log_error_percent = 100.0 * std::abs(std::log(row.predicted_ms / row.measured_ms)),
                      .ape_percent = row.ape_percent()});
  }
}

core::Result<SeededStudy> prepare_seed(const TrialRequest& request, const StudyInputs& inputs, int seed) {
  StudySpec spec = request.spec;
  for (SolverStage& stage : spec.solver) stage.starts = std::max(stage.starts, request.options.starts);
  const std::uint64_t first_seed = spec.seed;
  auto prepared = prepare(spec, inputs);
  if (!prepared) return tl::unexpected(prepared.error());
  const ImproveRuns runs = improve_runs(*prepared, inputs.gpus);
  // Folds are those of the study's own seed, so that repeats differ in arrivals and starts alone.
  auto folds = improve_folds(*prepared, runs);
  if (!folds) return tl::unexpected(folds.error());
  if (!request.options.folds.empty()) {
    std::erase_if(*folds, [&](const eval::Fold& fold) {
      return std::ranges::find(request.options.folds, fold.name) == request.options.folds.end();
    });
  }
  if (seed > 0) {
    spec.seed = first_seed + static_cast<std::uint64_t>(seed);
    prepared = prepare(spec, inputs);
    if (!prepared) return tl::unexpected(prepared.error());
  }
  return SeededStudy{.study = *std::move(prepared), .folds = *std::move(folds)};
}

void note_groups(Trial& trial, const PreparedStudy& study) {
  for (const eval::Case& item : study.dataset.cases) {
    std::vector<GroupKey>& keys = trial.groups[item.experiment.id];
    for (const std::string_view kind : kGuardedGroups) keys.emplace_back(kind, eval::group_of(item, kind));
  }
}

/// Errors of both trials on the runs that both judge: those in quarantine do not count, before or after.
struct CommonRuns {
  std::set<std::string> experiments;
  CommonRuns(const Trial& before, const Trial& after) {
    std::set<std::string> judged;
    for (const RunError& error : after.errors.front()) judged.insert(error.experiment);
    for (const RunError& error : before.errors.front()) {
      if (judged.contains(error.experiment)) experiments.insert(error.experiment);
    }
  }
};

double score_of(const std::vector<RunError>& errors, const std::set<std::string>& experiments) {
  double sum = 0.0;
  double weights = 0.0;
  for (const RunError& error : errors) {
    if (!experiments.contains(error.experiment)) continue;
    sum += error.weight * error.log_error_percent;
    weights += error.weight;
  }
  return weights > 0.0 ? sum / weights : 0.0;
}

using GroupMetric = std::pair<GroupKey, domain::Metric>;

/// Mean errors of every group, over runs and seeds: log error, APE, and the number of runs.
struct GroupMeans {
  double log_error_percent = 0.0;
  double ape_percent = 0.0;
  int rows = 0;
};

std::map<GroupMetric, GroupMeans> group_means(const Trial& trial, const std::set<std::string>& experiments) {
  std::map<GroupMetric, GroupMeans> means;
  for (const auto& errors : trial.errors) {
    for (const RunError& error : errors) {
      if (!experiments.contains(error.experiment)) continue;
      std::vector<GroupKey> keys = trial.groups.at(error.experiment);
      keys.emplace_back("all", "all");
      for (const GroupKey& key : keys) {
        GroupMeans& mean = means[{key, error.metric}];
        mean.log_error_percent += error.log_error_percent;
        mean.ape_percent += error.ape_percent;
        ++mean.rows;
      }
    }
  }
  for (auto& [key, mean] : means) {
    mean.log_error_percent /= mean.rows;
    mean.ape_percent /= mean.rows;
  }
  return means;
}

}  // namespace

ImproveRuns improve_runs(const PreparedStudy& study, const std::vector<domain::GpuSpec>& gpus) {
  static const ImproveSpec kEverything;
  const ImproveSpec& improve = study.spec.improve ? *study.spec.improve : kEverything;
  ImproveRuns runs;
  for (std::size_t i = 0; i < study.dataset.cases.size(); ++i) {
    const domain::Experiment& experiment = study.dataset.cases[i].experiment;
    if (is_in(experiment, improve.test, gpus)) {
      runs.test.push_back(i);
    } else if (std::ranges::find(improve.quarantine, experiment.id) == improve.quarantine.end()) {
      runs.judged.push_back(i);
      if (improve.train.empty() || is_in(experiment, improve.train, gpus)) runs.training.push_back(i);
    }
  }
  return runs;
}

core::Result<std::vector<eval::Fold>> improve_folds(const PreparedStudy& study, const ImproveRuns& runs) {
  const eval::Dataset judged = study.dataset.subset(runs.judged);
  auto folds = eval::make_folds(judged, study.spec.split.value_or(SplitSpec{}), study.spec.seed);
  if (!folds) return folds;
  for (eval::Fold& fold : *folds) {
    for (auto* indices : {&fold.training, &fold.test}) {
      for (std::size_t& index : *indices) index = runs.judged[index];
    }
    std::erase_if(fold.training, [&](std::size_t index) { return std::ranges::find(runs.training, index) == runs.training.end(); });
    if (fold.training.empty()) {
      return core::fail({}, fmt::format("fold '{}' leaves no run to fit: every run of 'improve.train' is held out", fold.name),
                        "split by something else, or train on more runs");
    }
  }
  return folds;
}

double Trial::score_percent(std::size_t seed) const {
  double sum = 0.0;
  double weights = 0.0;
  for (const RunError& error : errors[seed]) {
    sum += error.weight * error.log_error_percent;
    weights += error.weight;
  }
  return weights > 0.0 ? sum / weights : 0.0;
}

double Trial::mean_score_percent() const {
  double sum = 0.0;
  for (std::size_t seed = 0; seed < errors.size(); ++seed) sum += score_percent(seed);
  return errors.empty() ? 0.0 : sum / static_cast<double>(errors.size());
}

std::vector<Trial> run_trials(const std::vector<TrialRequest>& requests, const StudyInputs& inputs) {
  std::vector<Trial> trials(requests.size());
  std::vector<std::vector<SeededStudy>> studies(requests.size());
  core::parallel_for(requests.size(), {requests.empty() ? 0 : requests.front().spec.threads}, [&](std::size_t i) {
    trials[i].free_parameters = requests[i].spec.free.size();
    for (int seed = 0; seed < requests[i].options.seeds; ++seed) {
      auto prepared = prepare_seed(requests[i], inputs, seed);
      if (!prepared) {
        trials[i].failure = core::format(prepared.error());
        studies[i].clear();
        return;
      }
      studies[i].push_back(*std::move(prepared));
    }
    note_groups(trials[i], studies[i].front().study);
  });
  std::vector<Task> tasks;
  for (std::size_t request = 0; request < requests.size(); ++request) {
    for (std::size_t seed = 0; seed < studies[request].size(); ++seed) {
      for (std::size_t fold = 0; fold < studies[request][seed].folds.size(); ++fold) tasks.push_back({request, seed, fold});
    }
  }
  std::vector<Outcome> outcomes(tasks.size());
  core::parallel_for(tasks.size(), {requests.empty() ? 0 : requests.front().spec.threads}, [&](std::size_t i) {
    const SeededStudy& seeded = studies[tasks[i].request][tasks[i].seed];
    outcomes[i] = run(seeded, seeded.folds[tasks[i].fold]);
  });
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    Trial& trial = trials[tasks[i].request];
    Outcome& outcome = outcomes[i];
    trial.errors.resize(studies[tasks[i].request].size());
    trial.evaluations += outcome.fit.evaluations;
    trial.fits.push_back(std::move(outcome.fit));
    if (outcome.failure && !trial.failure) trial.failure = outcome.failure;
    add_errors(trial.errors[tasks[i].seed], outcome.held_out, requests[tasks[i].request].spec.objective);
    if (tasks[i].seed > 0) continue;
    trial.held_out.rows.insert(trial.held_out.rows.end(), outcome.held_out.rows.begin(), outcome.held_out.rows.end());
    trial.held_out.cases.insert(trial.held_out.cases.end(), outcome.held_out.cases.begin(), outcome.held_out.cases.end());
  }
  for (Trial& trial : trials) {
    // A latency that is no number would make every comparison false.
    for (const auto& errors : trial.errors) {
      for (const RunError& error : errors) {
        if (!std::isfinite(error.log_error_percent) && !trial.failure) {
          trial.failure = fmt::format("the prediction of '{}' is not a number", error.experiment);
        }
      }
    }
    eval::summarise(trial.held_out);
  }
  return trials;
}

Verdict judge(const Trial& before, const Trial& after, const ImproveSpec& rules) {
  Verdict verdict;
  verdict.extra_parameters = static_cast<long>(after.free_parameters) - static_cast<long>(before.free_parameters);
  if (after.failure) {
    verdict.before_percent = before.mean_score_percent();
    verdict.why = *after.failure;
    return verdict;
  }
  const CommonRuns common(before, after);
  const std::size_t seeds = std::min(before.errors.size(), after.errors.size());
  std::vector<double> gains;
  for (std::size_t seed = 0; seed < seeds; ++seed) {
    const double score_before = score_of(before.errors[seed], common.experiments);
    const double score_after = score_of(after.errors[seed], common.experiments);
    verdict.before_percent += score_before / static_cast<double>(seeds);
    verdict.after_percent += score_after / static_cast<double>(seeds);
    gains.push_back(score_before - score_after);
  }
  verdict.gain_percent = core::mean(gains);
  verdict.noise_percent = noise_of_mean(gains);

  const auto means_after = group_means(after, common.experiments);
  const GroupChange* worst = nullptr;
  for (const auto& [key, mean] : group_means(before, common.experiments)) {
    const GroupMeans& changed = means_after.at(key);
    verdict.groups.push_back({.group = key.first,
                              .metric = key.second,
                              .before_percent = mean.log_error_percent,
                              .after_percent = changed.log_error_percent,
                              .ape_before_percent = mean.ape_percent,
                              .ape_after_percent = changed.ape_percent,
                              .runs = mean.rows / static_cast<int>(seeds)});
  }
  double worst_excess = 0.0;
  for (const GroupChange& change : verdict.groups) {
    const double tolerance = std::max(rules.tolerance_percent, rules.tolerance_fraction * change.before_percent);
    const double excess = change.after_percent - change.before_percent - tolerance;
    if (excess <= worst_excess) continue;
    worst_excess = excess;
    worst = &change;
  }
  const double price = rules.price_percent * static_cast<double>(verdict.extra_parameters);
  const double net = verdict.gain_percent - price;
  // A change that gives up parameters need not gain anything: it is enough that it loses less than they cost.
  const double least = verdict.extra_parameters < 0 ? 0.0 : rules.min_gain_percent;
  if (net <= std::max(verdict.noise_percent, least)) {
    if (verdict.gain_percent <= 0.0) {
      verdict.why = fmt::format("held-out error does not fall ({:+.2f})", -verdict.gain_percent);
    } else if (verdict.gain_percent <= verdict.noise_percent) {
      verdict.why = fmt::format("a gain of {:.2f} is within its noise of {:.2f}", verdict.gain_percent, verdict.noise_percent);
    } else {
      verdict.why = fmt::format(
          "a gain of {:.2f} does not pay for {}", verdict.gain_percent,
          verdict.extra_parameters > 0 ? fmt::format("{} more parameters", verdict.extra_parameters) : std::string("the change"));
    }
  } else if (worst != nullptr) {
    verdict.why = fmt::format("{} of {} {} would go from {:.1f} to {:.1f}", domain::metric_name(worst->metric), worst->group.first,
                              worst->group.second, worst->before_percent, worst->after_percent);
  } else {
    verdict.keep = true;
    verdict.why = verdict.extra_parameters < 0 ? fmt::format("{} fewer parameters at no loss beyond noise", -verdict.extra_parameters)
                                               : fmt::format("gains {:.2f} of {:.2f}, noise {:.2f}", verdict.gain_percent,
                                                             verdict.before_percent, verdict.noise_percent);
  }
  return verdict;
}

}  // namespace rooftune::study
