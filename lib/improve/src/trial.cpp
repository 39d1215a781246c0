#include "rooftune/improve/trial.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <mutex>
#include <numeric>
#include <set>

#include "parts.hpp"
#include "rooftune/calibrate/fit.hpp"
#include "rooftune/calibrate/packing.hpp"
#include "rooftune/core/distributions.hpp"
#include "rooftune/core/parallel_map.hpp"
#include "rooftune/core/ranks.hpp"
#include "rooftune/core/statistics.hpp"
#include "rooftune/eval/residuals.hpp"
#include "rooftune/eval/splits.hpp"
#include "rooftune/opt/termination.hpp"

namespace rooftune::improve {

template <class Archive, core::ValueOf<FoldFit> Value>
static void fields(Archive& archive, Value& fit) {
  auto& [seed, fold, objective, evaluations, termination, values] = fit;
  archive(seed, fold, objective, evaluations, termination, values);
}

template <class Archive, core::ValueOf<TrialOptions> Value>
static void fields(Archive& archive, Value& options) {
  auto& [folds, seeds, starts] = options;
  archive(folds, seeds, starts);
}

namespace {

/// Runs that know less of a parameter than its prior does leave it where that is.
constexpr double kLeastInformation = 1.0;

/// How far the mean of `values` may be off by chance, to one side (95 %).
double noise_of_mean(const std::vector<double>& values) {
  if (values.size() < 2) return 0.0;
  return core::student_t_quantile(0.95, static_cast<long>(values.size()) - 1) * core::standard_deviation(values) /
         std::sqrt(static_cast<double>(values.size()));
}

/// One structure with one seed, and its folds.
struct SeededStudy {
  calibrate::PreparedStudy study;
  std::vector<JudgedFold> folds;
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

template <class Archive, core::ValueOf<Task> Value>
void fields(Archive& archive, Value& task) {
  auto& [request, seed, fold] = task;
  archive(request, seed, fold);
}

template <class Archive, core::ValueOf<Outcome> Value>
void fields(Archive& archive, Value& outcome) {
  auto& [fit, held_out, failure] = outcome;
  archive(fit, held_out, failure);
}

Outcome run(const SeededStudy& seeded, const JudgedFold& fold, const std::stop_token& cancel) {
  const calibrate::PreparedStudy& study = seeded.study;
  Outcome outcome;
  if (cancel.stop_requested()) {
    outcome.failure = "interrupted";
    return outcome;
  }
  outcome.fit = {.seed = study.spec.seed, .fold = fold.name, .objective = 0.0, .evaluations = 0, .termination = {}, .values = {}};
  params::Config tuned = study.start;
  if (!study.spec.free.empty()) {
    const calibrate::QuickFit fitted = calibrate::fit_quickly(study.spec, study.start, study.dataset.subset(fold.training),
                                                              core::kOneThread, {.cancel = cancel, .progress = {}});
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
      eval::evaluate(study.dataset.subset(fold.test), tuned, {.threads = core::kOneThread, .stepping = sim::Stepping::closed_form});
  return outcome;
}

void add_errors(std::vector<RunError>& errors, const eval::Evaluation& evaluation, const eval::ObjectiveSpec& objective,
                const std::string& unseen) {
  for (const eval::Row& row : evaluation.rows) {
    const auto weight = objective.metrics.find(row.metric);
    if (row.stage != domain::kSummaryStage || weight == objective.metrics.end()) continue;
    errors.push_back({.experiment = row.experiment,
                      .unseen = unseen,
                      .metric = row.metric,
                      .weight = weight->second,
                      .log_error_percent = 100.0 * std::abs(std::log(row.predicted_ms / row.measured_ms)),
                      .ape_percent = row.ape_percent()});
  }
}

core::Result<SeededStudy> prepare_seed(const TrialRequest& request, const calibrate::StudyInputs& inputs, int seed) {
  calibrate::StudySpec spec = request.spec;
  for (calibrate::SolverStage& stage : spec.solver) stage.starts = std::max(stage.starts, request.options.starts);
  const std::uint64_t first_seed = spec.seed;
  auto prepared = calibrate::prepare(spec, inputs);
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
    prepared = calibrate::prepare(spec, inputs);
    if (!prepared) return tl::unexpected(prepared.error());
  }
  return SeededStudy{.study = *std::move(prepared), .folds = *std::move(folds)};
}

void note_groups(Trial& trial, const calibrate::PreparedStudy& study) {
  for (const eval::Case& item : study.dataset.cases) {
    std::vector<GroupKey>& keys = trial.groups[item.experiment.id];
    // A change may make the errors of none of them worse.
    for (const std::string_view kind : eval::kGroupKinds) keys.emplace_back(kind, eval::group_of(item, kind));
    keys.emplace_back(kOneRun, item.experiment.id);
  }
}

/// A trial without its fits, and the studies that are fitted for it, one a seed.
struct PreparedTrial {
  Trial trial;
  std::vector<SeededStudy> studies;
};

PreparedTrial prepare_trial(const TrialRequest& request, const calibrate::StudyInputs& inputs) {
  PreparedTrial result;
  result.trial.free_parameters = request.spec.free.size();
  for (int seed = 0; seed < request.options.seeds; ++seed) {
    auto prepared = prepare_seed(request, inputs, seed);
    if (!prepared) {
      result.trial.failure = core::format(prepared.error());
      result.studies.clear();
      return result;
    }
    result.studies.push_back(*std::move(prepared));
  }
  note_groups(result.trial, result.studies.front().study);
  return result;
}

/// What other ranks need to know of trials: the requests, and which fold of which an index is.
std::string context_of_trials(const std::vector<TrialRequest>& requests, const std::vector<Task>& tasks, const TrialRanks& ranks) {
  if (ranks.ranks == nullptr) return {};
  std::vector<std::pair<std::string, TrialOptions>> texts;
  for (const TrialRequest& request : requests) texts.emplace_back(ranks.text_of(request.spec), request.options);
  return core::packed(Part::folds, texts, tasks);
}

/// Trials of another rank, each prepared when the first of its folds is to be fitted.
class ServedTrials {
 public:
  ServedTrials(core::Unpacker& context, const calibrate::StudyInputs& inputs, const TrialRanks& ranks, std::stop_token cancel)
      : inputs_(inputs), cancel_(std::move(cancel)) {
    std::vector<std::pair<std::string, TrialOptions>> texts;
    context(texts, tasks_);
    for (const auto& [text, options] : texts) requests_.push_back({.spec = ranks.spec_of(text), .options = options});
    prepared_.resize(requests_.size());
  }

  [[nodiscard]] Outcome outcome(std::size_t index) {
    const Task& task = tasks_.at(index);
    const SeededStudy& seeded = studies_of(task.request).at(task.seed);
    return run(seeded, seeded.folds.at(task.fold), cancel_);
  }

 private:
  const std::vector<SeededStudy>& studies_of(std::size_t request) {
    const std::scoped_lock lock(mutex_);
    std::optional<PreparedTrial>& prepared = prepared_.at(request);
    if (!prepared) prepared = prepare_trial(requests_[request], inputs_);
    return prepared->studies;
  }

  const calibrate::StudyInputs& inputs_;
  std::stop_token cancel_;
  std::vector<TrialRequest> requests_;
  std::vector<Task> tasks_;
  std::mutex mutex_;
  std::vector<std::optional<PreparedTrial>> prepared_;
};

/// A run in a kind of fold.
using JudgedRun = std::pair<std::string, std::string>;

JudgedRun judged_run(const RunError& error) { return {error.unseen, error.experiment}; }

/// What both trials judge: runs in quarantine do not count, before or after.
std::set<JudgedRun> common_runs(const Trial& before, const Trial& after) {
  std::set<JudgedRun> judged;
  for (const RunError& error : after.errors.front()) judged.insert(judged_run(error));
  std::set<JudgedRun> common;
  for (const RunError& error : before.errors.front()) {
    if (judged.contains(judged_run(error))) common.insert(judged_run(error));
  }
  return common;
}

/// The weighted mean error of each kind of fold.
std::map<std::string, double> kind_scores(const std::vector<RunError>& errors, const std::set<JudgedRun>& runs) {
  std::map<std::string, std::pair<double, double>> sums;
  for (const RunError& error : errors) {
    if (!runs.contains(judged_run(error))) continue;
    auto& [sum, weights] = sums[error.unseen];
    sum += error.weight * error.log_error_percent;
    weights += error.weight;
  }
  std::map<std::string, double> scores;
  for (const auto& [unseen, what] : sums) scores[unseen] = what.second > 0.0 ? what.first / what.second : 0.0;
  return scores;
}

/// What counts is the study's own split; folds of an extrapolation can only object.
double own_score(const std::map<std::string, double>& scores) {
  const auto own = scores.find("");
  return own == scores.end() ? 0.0 : own->second;
}

using GroupMetric = std::pair<GroupKey, domain::Metric>;

/// Mean errors of every group, over runs and seeds: log error, APE, and the number of runs.
struct GroupMeans {
  double log_error_percent = 0.0;
  double ape_percent = 0.0;
  int rows = 0;
};

std::vector<GroupKey> keys_of(const Trial& trial, const RunError& error) {
  std::vector<GroupKey> keys = trial.groups.at(error.experiment);
  if (error.unseen.empty()) {
    keys.emplace_back("all", "all");
    return keys;
  }
  std::erase_if(keys, [&](const GroupKey& key) { return key.first != error.unseen; });
  for (GroupKey& key : keys) key.first = "unseen " + key.first;
  return keys;
}

std::map<GroupMetric, GroupMeans> group_means(const Trial& trial, const std::set<JudgedRun>& runs) {
  std::map<GroupMetric, GroupMeans> means;
  for (const auto& errors : trial.errors) {
    for (const RunError& error : errors) {
      if (!runs.contains(judged_run(error))) continue;
      const std::vector<GroupKey> keys = keys_of(trial, error);
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

/// What one kind of fold says, by seed.
struct KindGains {
  double before_percent = 0.0;
  std::vector<double> gains;
};

/// The group that gets worse beyond its tolerance by most.
const GroupChange* worst_change(const std::vector<GroupChange>& groups, const calibrate::ImproveSpec& rules) {
  const GroupChange* worst = nullptr;
  double worst_excess = 0.0;
  for (const GroupChange& change : groups) {
    if (change.group.first == kOneRun) continue;
    const double tolerance = std::max(rules.tolerance_percent, rules.tolerance_fraction * change.before_percent);
    const double excess = change.after_percent - change.before_percent - tolerance;
    if (excess <= worst_excess) continue;
    worst_excess = excess;
    worst = &change;
  }
  return worst;
}

/// Why the gain as a whole is not enough; empty where it is.
std::string objection_to_gain(const Verdict& verdict, const calibrate::ImproveSpec& rules, Burden burden) {
  const double price = rules.price_percent * static_cast<double>(verdict.extra_parameters);
  const double net = verdict.gain_percent - price;
  if (burden == Burden::must_not_lose) {
    if (net >= -std::max(verdict.noise_percent, rules.min_gain_percent)) return "";
    return fmt::format("held-out error speaks against it ({:+.2f}, noise {:.2f})", -verdict.gain_percent, verdict.noise_percent);
  }
  // A change that gives up parameters need not gain anything, nor is it asked whether seeds agree: it is enough that nothing is lost.
  if (verdict.extra_parameters < 0) {
    return verdict.gain_percent >= 0.0 ? "" : fmt::format("held-out error rises by {:.2f} without it", -verdict.gain_percent);
  }
  if (net > std::max(verdict.noise_percent, rules.min_gain_percent)) return "";
  if (verdict.gain_percent <= 0.0) return fmt::format("held-out error does not fall ({:+.2f})", -verdict.gain_percent);
  if (verdict.gain_percent <= verdict.noise_percent) {
    return fmt::format("a gain of {:.2f} is within its noise of {:.2f}", verdict.gain_percent, verdict.noise_percent);
  }
  if (verdict.extra_parameters == 0) return fmt::format("a gain of {:.2f} does not pay for the change", verdict.gain_percent);
  const std::string paid =
      fmt::format("the price of {} more {}", verdict.extra_parameters, verdict.extra_parameters == 1 ? "parameter" : "parameters");
  if (net <= verdict.noise_percent && net > rules.min_gain_percent) {
    return fmt::format("a gain of {:.2f} less {} is within its noise of {:.2f}", verdict.gain_percent, paid, verdict.noise_percent);
  }
  return fmt::format("a gain of {:.2f} does not cover {}", verdict.gain_percent, paid);
}

/// Why a change is not kept; empty where nothing speaks against it.
std::string objection(const Verdict& verdict, const std::map<std::string, KindGains>& kinds, const calibrate::ImproveSpec& rules,
                      Burden burden) {
  if (std::string text = objection_to_gain(verdict, rules, burden); !text.empty()) return text;
  for (const auto& [unseen, kind] : kinds) {
    const double loss = -core::mean(kind.gains);
    if (unseen.empty() || loss <= std::max(noise_of_mean(kind.gains), rules.tolerance_fraction * kind.before_percent)) continue;
    return fmt::format("predictions for a {} that was not fitted get worse by {:.2f} of {:.2f}", unseen, loss, kind.before_percent);
  }
  if (const GroupChange* worst = worst_change(verdict.groups, rules)) {
    return fmt::format("{} of {} {} would go from {:.1f} to {:.1f}", domain::metric_name(worst->metric), worst->group.first,
                       worst->group.second, worst->before_percent, worst->after_percent);
  }
  return "";
}

std::string recommendation(const Verdict& verdict, Burden burden) {
  if (burden == Burden::must_not_lose && verdict.gain_percent <= verdict.noise_percent) {
    return fmt::format("nothing speaks against it ({:+.2f}, noise {:.2f})", -verdict.gain_percent, verdict.noise_percent);
  }
  if (verdict.extra_parameters < 0 && verdict.gain_percent <= verdict.noise_percent) {
    return fmt::format("{} fewer {} at no loss ({:+.2f}, noise {:.2f})", -verdict.extra_parameters,
                       verdict.extra_parameters == -1 ? "parameter" : "parameters", -verdict.gain_percent, verdict.noise_percent);
  }
  return fmt::format("gains {:.2f} of {:.2f}, noise {:.2f}", verdict.gain_percent, verdict.before_percent, verdict.noise_percent);
}

/// Index folds count from the judged runs; here from the dataset. Fits see training runs only.
void translate(JudgedFold& fold, const ImproveRuns& runs) {
  for (auto* indices : {&fold.training, &fold.test}) {
    for (std::size_t& index : *indices) index = runs.judged[index];
  }
  std::erase_if(fold.training, [&](std::size_t index) { return std::ranges::find(runs.training, index) == runs.training.end(); });
}

/// Each degree of TP but the lowest, predicted from the lower ones: how it will be used beyond the highest.
std::vector<JudgedFold> upward_folds(const eval::Dataset& judged) {
  std::map<int, std::vector<std::size_t>> degrees;
  for (std::size_t i = 0; i < judged.cases.size(); ++i) degrees[judged.cases[i].experiment.deployment.tp].push_back(i);
  std::vector<JudgedFold> folds;
  std::vector<std::size_t> lower;
  for (const auto& [degree, members] : degrees) {
    if (!lower.empty()) {
      JudgedFold& fold = folds.emplace_back();
      fold.name = fmt::format("tp={} from lower", degree);
      fold.training = lower;
      fold.test = members;
      fold.unseen = "tp";
    }
    lower.insert(lower.end(), members.begin(), members.end());
  }
  return folds;
}

/// Folds of one extrapolation; none where the judged runs have one group only.
std::vector<JudgedFold> extrapolation_folds(const eval::Dataset& judged, const std::string& unseen, std::uint64_t seed) {
  if (unseen == "tp") return upward_folds(judged);
  std::vector<JudgedFold> folds;
  const auto split = eval::make_folds(judged, {.kind = "LeaveOneGroupOut", .group = unseen}, seed);
  if (!split) return folds;
  for (const eval::Fold& fold : *split) folds.push_back({fold, unseen});
  return folds;
}

/// Columns of d log(prediction) / d transformed parameter at the structure's start, one row per mean that the objective compares.
struct Sensitivities {
  std::vector<double> strongest;  ///< by free parameter: the largest change that its prior (or one unit) makes of any row
  /// By free parameter: what the rows tell about it beside its prior. At 1 they know as much as the prior does.
  std::vector<double> information;
};

Sensitivities sensitivities_at_start(const calibrate::PreparedStudy& study, const std::vector<std::size_t>& runs) {
  const eval::Dataset dataset = study.dataset.subset(runs);
  const std::vector<params::FreeParameter>& free = study.spec.free;
  Sensitivities result{.strongest = std::vector<double>(free.size(), 0.0), .information = std::vector<double>(free.size(), 0.0)};
  const eval::ResidualFunction function(dataset, study.start, free, study.spec.objective, core::kOneThread);
  if (!function.differentiable()) return result;
  std::vector<double> point;
  for (const params::FreeParameter& parameter : free) {
    point.push_back(params::to_transformed(
        parameter, std::clamp(params::current_value(study.start, parameter), parameter.lower, parameter.upper)));
  }
  const eval::Residuals residuals = function(point, eval::Derivatives::yes);
  if (residuals.refusal) return result;
  for (std::size_t row = 0; row < function.rows().size(); ++row) {
    for (std::size_t i = 0; i < free.size(); ++i) {
      const double reach = free[i].prior ? free[i].prior->standard_deviation : 1.0;
      const double moved = std::abs(residuals.jacobian[row * free.size() + i]) * reach;
      result.information[i] += moved * moved / (study.spec.objective.noise * study.spec.objective.noise);
      // Of the prediction itself: balance and weights make residuals smaller.
      const double change = moved / function.rows()[row].weight;
      result.strongest[i] = std::max(result.strongest[i], change);
    }
  }
  return result;
}

}  // namespace

ImproveRuns improve_runs(const calibrate::PreparedStudy& study, const std::vector<domain::GpuSpec>& gpus) {
  static const calibrate::ImproveSpec kEverything;
  const calibrate::ImproveSpec& improve = study.spec.improve ? *study.spec.improve : kEverything;
  ImproveRuns runs;
  for (std::size_t i = 0; i < study.dataset.cases.size(); ++i) {
    const domain::Experiment& experiment = study.dataset.cases[i].experiment;
    if (calibrate::is_in(experiment, improve.test, gpus)) {
      runs.test.push_back(i);
    } else if (std::ranges::find(improve.quarantine, experiment.id) == improve.quarantine.end()) {
      runs.judged.push_back(i);
      if (improve.train.empty() || calibrate::is_in(experiment, improve.train, gpus)) runs.training.push_back(i);
    }
  }
  return runs;
}

std::vector<std::string> asked_extrapolations(const calibrate::PreparedStudy& study, const ImproveRuns& runs) {
  if (study.spec.improve && !study.spec.improve->extrapolate.empty()) return study.spec.improve->extrapolate;
  const eval::SplitSpec split = study.spec.split.value_or(eval::SplitSpec{});
  std::vector<std::string> asked;
  for (const std::string_view kind : calibrate::kExtrapolations) {
    if (split.kind != "KFold" && split.kind != "PredefinedSplit" && split.group == kind && kind != "tp") continue;
    std::set<std::string> known;
    int highest = 0;
    for (const std::size_t index : runs.judged) {
      known.insert(eval::group_of(study.dataset.cases[index], kind));
      highest = std::max(highest, study.dataset.cases[index].experiment.deployment.tp);
    }
    const auto is_new = [&](std::size_t index) {
      const eval::Case& item = study.dataset.cases[index];
      // A degree between two that are fitted is no extrapolation.
      return kind == "tp" ? item.experiment.deployment.tp > highest : !known.contains(eval::group_of(item, kind));
    };
    if (std::ranges::any_of(runs.test, is_new)) asked.emplace_back(kind);
  }
  return asked;
}

core::Result<std::vector<JudgedFold>> improve_folds(const calibrate::PreparedStudy& study, const ImproveRuns& runs) {
  const eval::Dataset judged = study.dataset.subset(runs.judged);
  auto own = eval::make_folds(judged, study.spec.split.value_or(eval::SplitSpec{}), study.spec.seed);
  if (!own) return tl::unexpected(own.error());
  std::vector<JudgedFold> folds;
  for (eval::Fold& fold : *own) {
    JudgedFold& item = folds.emplace_back(JudgedFold{std::move(fold), {}});
    translate(item, runs);
    if (item.training.empty()) {
      return core::fail({}, fmt::format("fold '{}' leaves no run to fit: every run of 'improve.train' is held out", item.name),
                        "split by something else, or train on more runs");
    }
  }
  for (const std::string& unseen : asked_extrapolations(study, runs)) {
    for (JudgedFold& fold : extrapolation_folds(judged, unseen, study.spec.seed)) {
      translate(fold, runs);
      if (!fold.training.empty()) folds.push_back(std::move(fold));
    }
  }
  return folds;
}

std::vector<UncheckedParameter> unchecked_parameters(const calibrate::PreparedStudy& study, const std::vector<JudgedFold>& folds) {
  // Below the noise of a residual a prediction does not depend on a parameter, whatever its prior allows.
  const double noise = study.spec.objective.noise;
  std::map<std::string, std::pair<std::vector<char>, std::vector<char>>> kinds;  // moved in tests, checked by a fit
  for (const JudgedFold& fold : folds) {
    if (fold.unseen.empty()) continue;
    auto& [moved, checked] = kinds[fold.unseen];
    moved.resize(study.spec.free.size(), 0);
    checked.resize(study.spec.free.size(), 0);
    const Sensitivities test = sensitivities_at_start(study, fold.test);
    const Sensitivities training = sensitivities_at_start(study, fold.training);
    for (std::size_t i = 0; i < study.spec.free.size(); ++i) {
      if (test.strongest[i] < noise) continue;
      moved[i] = 1;
      if (training.strongest[i] >= noise) checked[i] = 1;
    }
  }
  std::vector<UncheckedParameter> unchecked;
  for (const auto& [unseen, what] : kinds) {
    for (std::size_t i = 0; i < study.spec.free.size(); ++i) {
      if (what.first[i] != 0 && what.second[i] == 0) unchecked.push_back({.label = study.spec.free[i].label(), .unseen = unseen});
    }
  }
  return unchecked;
}

std::vector<std::string> idle_parameters(const calibrate::PreparedStudy& study, const ImproveRuns& runs) {
  const Sensitivities training = sensitivities_at_start(study, runs.training);
  std::vector<std::string> idle;
  for (std::size_t i = 0; i < study.spec.free.size(); ++i) {
    if (training.information[i] < kLeastInformation) idle.push_back(study.spec.free[i].label());
  }
  return idle;
}

double Trial::score_percent(std::size_t seed) const {
  std::set<JudgedRun> all;
  for (const RunError& error : errors[seed]) all.insert(judged_run(error));
  return own_score(kind_scores(errors[seed], all));
}

double Trial::score_on(const Trial& other) const {
  std::set<JudgedRun> judged;
  for (const RunError& error : other.errors.front()) judged.insert(judged_run(error));
  return own_score(kind_scores(errors.front(), judged));
}

double Trial::mean_score_percent() const {
  double sum = 0.0;
  for (std::size_t seed = 0; seed < errors.size(); ++seed) sum += score_percent(seed);
  return errors.empty() ? 0.0 : sum / static_cast<double>(errors.size());
}

std::vector<Trial> run_trials(const std::vector<TrialRequest>& requests, const calibrate::StudyInputs& inputs, const TrialRanks& ranks,
                              const std::stop_token& cancel) {
  const core::ThreadCount threads{requests.empty() ? 0 : requests.front().spec.threads};
  auto prepared =
      core::parallel_map<PreparedTrial>(requests.size(), threads, [&](std::size_t i) { return prepare_trial(requests[i], inputs); });
  std::vector<Trial> trials;
  std::vector<std::vector<SeededStudy>> studies;
  for (PreparedTrial& one : prepared) {
    trials.push_back(std::move(one.trial));
    studies.push_back(std::move(one.studies));
  }
  std::vector<Task> tasks;
  for (std::size_t request = 0; request < requests.size(); ++request) {
    for (std::size_t seed = 0; seed < studies[request].size(); ++seed) {
      for (std::size_t fold = 0; fold < studies[request][seed].folds.size(); ++fold) tasks.push_back({request, seed, fold});
    }
  }
  const auto work = [&](const Task& task) {
    const SeededStudy& seeded = studies[task.request][task.seed];
    return (1 + seeded.study.spec.free.size()) * seeded.folds[task.fold].training.size();
  };
  // The longest first: what is dealt last is waited for.
  std::vector<std::size_t> order(tasks.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::ranges::greater{}, [&](std::size_t i) { return work(tasks[i]); });
  std::vector<Task> dealt;
  for (const std::size_t i : order) dealt.push_back(tasks[i]);
  const core::RankedMap map{.name = kImprovement,
                            .count = dealt.size(),
                            .threads = threads,
                            .context = context_of_trials(requests, dealt, ranks),
                            .cancel = cancel};
  const auto body = [&](std::size_t i) {
    const SeededStudy& seeded = studies[dealt[i].request][dealt[i].seed];
    return run(seeded, seeded.folds[dealt[i].fold], cancel);
  };
  auto delivered = core::map_over_ranks<Outcome>(ranks.ranks, map, body, [](const Outcome&) {});
  std::vector<Outcome> outcomes(tasks.size());
  for (std::size_t i = 0; i < order.size(); ++i) outcomes[order[i]] = std::move(delivered[i]);
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    Trial& trial = trials[tasks[i].request];
    Outcome& outcome = outcomes[i];
    trial.errors.resize(studies[tasks[i].request].size());
    trial.evaluations += outcome.fit.evaluations;
    trial.fits.push_back(std::move(outcome.fit));
    if (outcome.failure && !trial.failure) trial.failure = outcome.failure;
    const std::string& unseen = studies[tasks[i].request][tasks[i].seed].folds[tasks[i].fold].unseen;
    add_errors(trial.errors[tasks[i].seed], outcome.held_out, requests[tasks[i].request].spec.objective, unseen);
    if (tasks[i].seed > 0 || !unseen.empty()) continue;
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

core::Ranks::Body served_folds(core::Unpacker& context, const calibrate::StudyInputs& inputs, const TrialRanks& ranks,
                               const std::stop_token& cancel) {
  const auto trials = std::make_shared<ServedTrials>(context, inputs, ranks, cancel);
  return [trials](std::size_t index) { return core::packed(trials->outcome(index)); };
}

Verdict judge(const Trial& before, const Trial& after, const calibrate::ImproveSpec& rules, Burden burden) {
  Verdict verdict;
  verdict.extra_parameters = static_cast<long>(after.free_parameters) - static_cast<long>(before.free_parameters);
  if (after.failure) {
    verdict.before_percent = before.mean_score_percent();
    verdict.why = *after.failure;
    return verdict;
  }
  const std::set<JudgedRun> common = common_runs(before, after);
  const std::size_t seeds = std::min(before.errors.size(), after.errors.size());
  std::vector<double> gains;
  std::map<std::string, KindGains> kinds;
  for (std::size_t seed = 0; seed < seeds; ++seed) {
    const auto scores_before = kind_scores(before.errors[seed], common);
    const auto scores_after = kind_scores(after.errors[seed], common);
    verdict.before_percent += own_score(scores_before) / static_cast<double>(seeds);
    verdict.after_percent += own_score(scores_after) / static_cast<double>(seeds);
    gains.push_back(own_score(scores_before) - own_score(scores_after));
    for (const auto& [unseen, score] : scores_before) {
      kinds[unseen].before_percent += score / static_cast<double>(seeds);
      kinds[unseen].gains.push_back(score - scores_after.at(unseen));
    }
  }
  verdict.gain_percent = core::mean(gains);
  verdict.noise_percent = noise_of_mean(gains);
  const auto means_after = group_means(after, common);
  for (const auto& [key, mean] : group_means(before, common)) {
    const GroupMeans& changed = means_after.at(key);
    verdict.groups.push_back({.group = key.first,
                              .metric = key.second,
                              .before_percent = mean.log_error_percent,
                              .after_percent = changed.log_error_percent,
                              .ape_before_percent = mean.ape_percent,
                              .ape_after_percent = changed.ape_percent,
                              .runs = mean.rows / static_cast<int>(seeds)});
  }
  verdict.why = objection(verdict, kinds, rules, burden);
  verdict.keep = verdict.why.empty();
  if (verdict.keep) verdict.why = recommendation(verdict, burden);
  return verdict;
}

}  // namespace rooftune::improve
