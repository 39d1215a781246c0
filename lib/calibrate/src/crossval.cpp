#include "rooftune/calibrate/crossval.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "rooftune/calibrate/fit.hpp"
#include "rooftune/core/parallel_map.hpp"
#include "rooftune/core/statistics.hpp"

namespace rooftune::calibrate {
namespace {

constexpr core::ThreadCount kOneThread{1};

std::vector<std::string> ids(const eval::Dataset& dataset) {
  std::vector<std::string> result;
  for (const eval::Case& item : dataset.cases) result.push_back(item.experiment.id);
  return result;
}

/// The study with other random numbers: requests and starts of the search.
PreparedStudy with_seed(const PreparedStudy& study, std::uint64_t seed) {
  PreparedStudy reseeded = study;
  reseeded.spec.seed = seed;
  reseeded.dataset.seed = seed;
  for (eval::Case& item : reseeded.dataset.cases) {
    for (eval::Plan& plan : item.plans) {
      const bool keep = plan.kept != nullptr;
      plan = {.seed = seed, .replicate = plan.replicate};
      if (keep) plan.kept = std::make_shared<const sim::RequestPlan>(sim::make_request_plan(item.experiment, seed, plan.replicate));
    }
  }
  return reseeded;
}

std::optional<std::string> failure_of(const QuickFit& fitted) {
  const bool is_failed = !fitted.usable || fitted.termination.reason == opt::Reason::failed ||
                         fitted.termination.reason == opt::Reason::cancelled ||
                         fitted.termination.reason == opt::Reason::refused_start || fitted.termination.reason == opt::Reason::not_run;
  if (!is_failed) return std::nullopt;
  return opt::format(fitted.termination);
}

FoldResult run_fold(const PreparedStudy& study, const eval::Fold& fold, const FitHooks& hooks) {
  const eval::Dataset training = study.dataset.subset(fold.training);
  const eval::Dataset held_out = study.dataset.subset(fold.test);
  const QuickFit fitted = fit_quickly(study.spec, study.start, training, kOneThread, hooks);
  FoldResult result;
  result.name = fold.name;
  result.training_experiments = ids(training);
  result.held_out_experiments = ids(held_out);
  result.lost_coverage = fold.lost_coverage;
  result.termination = fitted.termination;
  result.objective = fitted.objective;
  result.failure = failure_of(fitted);
  result.tuned = fitted.tuned;
  if (result.failure) return result;
  for (const params::FreeParameter& parameter : study.spec.free)
    result.values.push_back(params::current_value(fitted.tuned, parameter));
  const eval::EvaluationOptions options{.threads = kOneThread, .stepping = sim::Stepping::closed_form};
  result.training = eval::evaluate(training, fitted.tuned, options);
  result.held_out = eval::evaluate(held_out, fitted.tuned, options);
  result.errors = held_out_errors(fold.name, held_out, fitted.tuned, {.level = kIntervalLevel, .threads = kOneThread});
  return result;
}

/// A refit that did not happen shows in parameters that equal another fold's to the last bit.
void report_failures(CrossValidation& result) {
  for (std::size_t i = 0; i < result.folds.size(); ++i) {
    const FoldResult& fold = result.folds[i];
    if (fold.failure) {
      result.failures.push_back(fmt::format("fold '{}' could not be fitted: {}", fold.name, *fold.failure));
      continue;
    }
    for (std::size_t j = 0; j < i; ++j) {
      const FoldResult& other = result.folds[j];
      if (other.failure || other.values != fold.values || other.training_experiments == fold.training_experiments) continue;
      result.failures.push_back(
          fmt::format("folds '{}' and '{}' saw different data but ended at the same parameters: not refitted", other.name, fold.name));
    }
  }
}

eval::Evaluation pool(const std::vector<FoldResult>& folds) {
  eval::Evaluation pooled;
  for (const FoldResult& fold : folds) {
    const eval::Evaluation& part = fold.held_out;
    pooled.replicates = std::max(pooled.replicates, part.replicates);
    pooled.rows.insert(pooled.rows.end(), part.rows.begin(), part.rows.end());
    pooled.cases.insert(pooled.cases.end(), part.cases.begin(), part.cases.end());
    eval::merge(pooled.domain_exits, part.domain_exits);
    for (const std::string& warning : part.warnings) pooled.warnings.push_back(fmt::format("{}: {}", fold.name, warning));
  }
  eval::summarise(pooled);
  return pooled;
}

double mean_ape(const eval::Evaluation& evaluation, domain::Metric metric) {
  const auto found = evaluation.overall.find(metric);
  return found == evaluation.overall.end() ? 0.0 : found->second.mean_ape_percent;
}

/// Spread over repeats, by fold and metric; `outcomes` holds repeat after repeat, each with every fold.
std::vector<SeedNoise> seed_noise(const std::vector<FoldResult>& outcomes, std::size_t folds) {
  std::vector<SeedNoise> noise;
  for (std::size_t fold = 0; fold < folds; ++fold) {
    for (const domain::Metric metric : domain::kMetrics) {
      if (!outcomes[fold].held_out.overall.contains(metric)) continue;
      std::vector<double> training;
      std::vector<double> held_out;
      for (std::size_t i = fold; i < outcomes.size(); i += folds) {
        if (outcomes[i].failure) continue;
        training.push_back(mean_ape(outcomes[i].training, metric));
        held_out.push_back(mean_ape(outcomes[i].held_out, metric));
      }
      noise.push_back({.fold = outcomes[fold].name,
                       .metric = metric,
                       .training_deviation_percent = core::standard_deviation(training),
                       .held_out_deviation_percent = core::standard_deviation(held_out)});
    }
  }
  return noise;
}

}  // namespace

core::Result<CrossValidation> crossval(const PreparedStudy& study, const eval::SplitSpec& split,
                                       const CrossValidationOptions& options) {
  const auto folds = eval::make_folds(study.dataset, split, study.spec.seed);
  if (!folds) return tl::unexpected(folds.error());

  const auto repeats = static_cast<std::size_t>(std::max(1, options.repeats));
  std::vector<PreparedStudy> studies{study};
  for (std::size_t repeat = 1; repeat < repeats; ++repeat) studies.push_back(with_seed(study, study.spec.seed + repeat));

  const std::size_t fits = repeats * folds->size();
  std::size_t finished = 0;
  const FitHooks hooks{.cancel = options.cancel, .progress = {}, .store = options.store};
  auto outcomes = *core::parallel_map_watched<FoldResult>(
      fits, {study.spec.threads},
      [&](std::size_t i) { return run_fold(studies[i / folds->size()], (*folds)[i % folds->size()], hooks); },
      [&](const FoldResult&) {
        if (options.progress) options.progress(++finished, fits);
        return core::Watch::go_on;
      });

  CrossValidation result;
  if (study.dataset.failures->aborted().stop_requested()) {
    result.failures.push_back(study.dataset.failures->first());
    result.aborted = true;
    return result;
  }
  result.interrupted =
      std::ranges::any_of(outcomes, [](const FoldResult& fold) { return fold.termination.reason == opt::Reason::cancelled; });
  result.free = study.spec.free;
  result.repeats = static_cast<int>(repeats);
  if (repeats > 1) result.noise = seed_noise(outcomes, folds->size());
  for (std::size_t i = folds->size(); i < outcomes.size(); ++i) {
    if (!outcomes[i].failure) continue;
    result.failures.push_back(fmt::format("fold '{}' could not be fitted with seed {}: {}", outcomes[i].name,
                                          study.spec.seed + i / folds->size(), *outcomes[i].failure));
  }
  outcomes.resize(folds->size());
  result.folds = std::move(outcomes);
  report_failures(result);
  result.pooled = pool(result.folds);
  std::vector<HeldOutError> errors;
  for (const FoldResult& fold : result.folds) errors.insert(errors.end(), fold.errors.begin(), fold.errors.end());
  result.structural_deviation = structural_deviation(errors);
  result.coverage = interval_coverage(errors, kIntervalLevel);
  return result;
}

void add_held_out_error(params::Config& config, const CrossValidation& result, const eval::SplitSpec& split) {
  if (!config.uncertainty || !result.usable()) return;
  config.uncertainty->held_out_deviation = result.structural_deviation;
  std::size_t runs = 0;
  for (const FoldResult& fold : result.folds) runs += fold.held_out_experiments.size();
  const std::string by = split.kind == "KFold" || split.kind == "PredefinedSplit" ? "" : fmt::format(" by {}", split.group);
  config.uncertainty->held_out_basis = fmt::format("{}{}: {} runs in {} folds", split.kind, by, runs, result.folds.size());
}

}  // namespace rooftune::calibrate
