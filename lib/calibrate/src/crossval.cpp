#include "rooftune/calibrate/crossval.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <numeric>

#include "rooftune/calibrate/fit.hpp"
#include "rooftune/calibrate/packing.hpp"
#include "rooftune/core/ranks.hpp"
#include "rooftune/core/statistics.hpp"
#include "search_stop.hpp"

namespace rooftune::calibrate {

template <class Archive, core::ValueOf<FoldResult> Value>
static void fields(Archive& archive, Value& fold) {
  auto& [name, training_experiments, held_out_experiments, lost_coverage, termination, objective, failure, values, training, held_out,
         errors] = fold;
  archive(name, training_experiments, held_out_experiments, lost_coverage, termination, objective, failure, values, training, held_out,
          errors);
}

namespace {

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
  FoldResult result;
  result.name = fold.name;
  if (hooks.cancel.stop_requested()) {
    result.termination = {.reason = opt::Reason::cancelled, .limit = {}, .detail = {}};
    result.failure = opt::format(result.termination);
    return result;
  }
  const eval::Dataset training = study.dataset.subset(fold.training);
  const eval::Dataset held_out = study.dataset.subset(fold.test);
  const QuickFit fitted = fit_quickly(study.spec, study.start, training, core::kOneThread, hooks);
  result.training_experiments = ids(training);
  result.held_out_experiments = ids(held_out);
  result.lost_coverage = fold.lost_coverage;
  result.termination = fitted.termination;
  result.objective = fitted.objective;
  result.failure = failure_of(fitted);
  if (result.failure) return result;
  for (const params::FreeParameter& parameter : study.spec.free)
    result.values.push_back(params::current_value(fitted.tuned, parameter));
  const eval::EvaluationOptions options{.threads = core::kOneThread, .stepping = sim::Stepping::closed_form};
  result.training = eval::evaluate(training, fitted.tuned, options);
  result.held_out = eval::evaluate(held_out, fitted.tuned, options);
  result.errors = held_out_errors(fold.name, held_out, fitted.tuned, {.level = kIntervalLevel, .threads = core::kOneThread});
  return result;
}

/// A fold as it travels between ranks.
struct FittedFold {
  FoldResult fold;
  std::optional<std::string> abort;  ///< the failure of the simulator that ends the run
};

template <class Archive, core::ValueOf<FittedFold> Value>
void fields(Archive& archive, Value& fitted) {
  auto& [fold, abort] = fitted;
  archive(fold, abort);
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

/// Every fold with every seed.
class FoldFits {
 public:
  static core::Result<FoldFits> make(const PreparedStudy& study, const eval::SplitSpec& split, const CrossValidationOptions& options) {
    auto folds = eval::make_folds(study.dataset, split, study.spec.seed);
    if (!folds) return tl::unexpected(folds.error());
    return FoldFits(study, *std::move(folds), options);
  }

  [[nodiscard]] std::size_t folds() const { return folds_.size(); }
  [[nodiscard]] std::size_t repeats() const { return studies_.size(); }

  [[nodiscard]] std::vector<std::size_t> all() const {
    std::vector<std::size_t> fits(repeats() * folds());
    std::iota(fits.begin(), fits.end(), std::size_t{0});
    return fits;
  }

  /// Some of them, in their order, by all ranks. Nothing on a rank that serves.
  [[nodiscard]] std::vector<FoldResult> fit_together(const std::vector<std::size_t>& fits) const {
    const auto body = [&](std::size_t i) { return fit(fits[i]); };
    const core::ThreadCount threads{study_.spec.threads};
    if (options_.ranks != nullptr && !options_.ranks->leads()) {
      core::serve(*options_.ranks, "folds", threads, body);
      return {};
    }
    const SearchStop stop(options_.cancel, study_.dataset);
    const core::RankedMap map{.name = "folds", .count = fits.size(), .threads = threads, .cancel = stop.token()};
    std::size_t finished = 0;
    auto fitted = core::map_over_ranks<FittedFold>(options_.ranks, map, body, [&](const FittedFold& one) {
      // On another rank the simulator failed: this one ends as well.
      if (one.abort && !study_.dataset.failures->aborted().stop_requested()) study_.dataset.failures->note(*one.abort);
      if (options_.progress) options_.progress(++finished, fits.size());
    });
    std::vector<FoldResult> results;
    for (FittedFold& one : fitted) results.push_back(std::move(one.fold));
    return results;
  }

 private:
  FoldFits(const PreparedStudy& study, std::vector<eval::Fold> folds, const CrossValidationOptions& options)
      : study_(study), options_(options), folds_(std::move(folds)), studies_{study} {
    for (int repeat = 1; repeat < options.repeats; ++repeat)
      studies_.push_back(with_seed(study, study.spec.seed + static_cast<std::uint64_t>(repeat)));
  }

  [[nodiscard]] FittedFold fit(std::size_t i) const {
    const FitHooks hooks{.cancel = options_.cancel, .progress = {}, .store = options_.store};
    FittedFold fitted{.fold = run_fold(studies_[i / folds()], folds_[i % folds()], hooks), .abort = {}};
    const eval::Failures& failures = *study_.dataset.failures;
    if (failures.aborted().stop_requested()) fitted.abort = failures.first();
    return fitted;
  }

  const PreparedStudy& study_;
  const CrossValidationOptions& options_;
  std::vector<eval::Fold> folds_;
  std::vector<PreparedStudy> studies_;  ///< one a seed
};

bool is_interrupted(const std::vector<FoldResult>& folds) {
  return std::ranges::any_of(folds, [](const FoldResult& fold) { return fold.termination.reason == opt::Reason::cancelled; });
}

}  // namespace

core::Result<ShardResult> fit_shard(const PreparedStudy& study, const eval::SplitSpec& split, Shard shard,
                                    const CrossValidationOptions& options) {
  const auto fits = FoldFits::make(study, split, options);
  if (!fits) return tl::unexpected(fits.error());
  ShardResult result;
  std::vector<std::size_t> own;
  for (const std::size_t fit : fits->all()) {
    ++result.of;
    if (fit % static_cast<std::size_t>(shard.of) == static_cast<std::size_t>(shard.number - 1)) own.push_back(fit);
  }
  result.fits = own.size();
  const std::vector<FoldResult> folds = fits->fit_together(own);
  if (study.dataset.failures->aborted().stop_requested()) {
    result.aborted = true;
    result.failures.push_back(study.dataset.failures->first());
    return result;
  }
  result.interrupted = is_interrupted(folds);
  for (const FoldResult& fold : folds) {
    if (fold.failure) result.failures.push_back(fmt::format("fold '{}' could not be fitted: {}", fold.name, *fold.failure));
  }
  return result;
}

core::Result<CrossValidation> crossval(const PreparedStudy& study, const eval::SplitSpec& split,
                                       const CrossValidationOptions& options) {
  auto fits = FoldFits::make(study, split, options);
  if (!fits) return tl::unexpected(fits.error());
  auto outcomes = fits->fit_together(fits->all());
  const std::size_t folds = fits->folds();
  const std::size_t repeats = fits->repeats();
  if (outcomes.empty()) return CrossValidation{};  // of a rank that served

  CrossValidation result;
  if (study.dataset.failures->aborted().stop_requested()) {
    result.failures.push_back(study.dataset.failures->first());
    result.aborted = true;
    return result;
  }
  result.interrupted = is_interrupted(outcomes);
  result.free = study.spec.free;
  result.repeats = static_cast<int>(repeats);
  if (repeats > 1) result.noise = seed_noise(outcomes, folds);
  for (std::size_t i = folds; i < outcomes.size(); ++i) {
    if (!outcomes[i].failure) continue;
    result.failures.push_back(fmt::format("fold '{}' could not be fitted with seed {}: {}", outcomes[i].name,
                                          study.spec.seed + i / folds, *outcomes[i].failure));
  }
  outcomes.resize(folds);
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
