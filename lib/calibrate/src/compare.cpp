#include "rooftune/calibrate/compare.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iterator>

#include "clock.hpp"
#include "rooftune/calibrate/crossval.hpp"
#include "rooftune/calibrate/fit.hpp"
#include "rooftune/core/contract.hpp"
#include "rooftune/core/statistics.hpp"
#include "rooftune/eval/residuals.hpp"
#include "rooftune/eval/splits.hpp"

namespace rooftune::calibrate {
namespace {

using domain::Metric;

/// Share of the time per token that starts as the step's own where the loads do not tell it from the requests' share.
constexpr double kFixedShare = 0.8;

/// A (model, GPU, TP) of the data with its experiments.
struct DeploymentGroup {
  params::DeploymentFilter where;
  std::vector<const domain::Experiment*> experiments;
};

std::vector<DeploymentGroup> deployments(const StudySpec& spec, const StudyInputs& inputs) {
  std::vector<DeploymentGroup> groups;
  for (const domain::Experiment& experiment : inputs.experiments) {
    if (!is_selected(experiment, spec.data, inputs.gpus)) continue;
    const domain::Deployment& deployment = experiment.deployment;
    const params::DeploymentFilter where{
        .model = std::string(domain::short_model_name(deployment.model)), .gpu = deployment.hardware, .tp = deployment.tp};
    auto group = std::ranges::find(groups, where, &DeploymentGroup::where);
    if (group == groups.end()) group = groups.insert(group, {.where = where, .experiments = {}});
    group->experiments.push_back(&experiment);
  }
  return groups;
}

/// The parameter for one deployment, started from its measurements where it is a coefficient of the blackbox.
params::FreeParameter for_deployment(params::FreeParameter parameter, const DeploymentGroup& group) {
  parameter.where = group.where;
  if (parameter.initial_is_given) return parameter;
  const auto start = linear_start(group.experiments);
  if (!start) return parameter;
  const auto begin_at = [&](double value) {
    parameter.initial = std::clamp(value, parameter.lower, parameter.upper);
    parameter.initial_is_given = true;
  };
  if (parameter.id.spec().id == "blackbox.step_us") begin_at(start->step_us);
  if (parameter.id.spec().id == "blackbox.per_decode_us") begin_at(start->per_decode_us);
  return parameter;
}

/// What the switch is set to in a variant: its own choice, the study's, the start config's or the registry's.
std::size_t choice_in(const VariantSpec& variant, const StudySpec& spec, const StudyInputs& inputs, params::SwitchId id) {
  for (const auto* switches : {&variant.switches, &spec.switches}) {
    if (const auto found = switches->find(id); found != switches->end()) return found->second;
  }
  if (inputs.start) {
    if (const auto found = inputs.start->switches.find(id); found != inputs.start->switches.end()) return found->second;
  }
  return id.spec().initial;
}

bool is_of_one_deployment(const params::FreeParameter& parameter) {
  return parameter.where.model && parameter.where.gpu && parameter.where.tp;
}

/// The first fold that holds out a deployment for which the study has coefficients of its own, which only that fold could fit.
std::optional<std::string> fold_without_coefficients(const PreparedStudy& study, const std::vector<eval::Fold>& folds) {
  for (const params::FreeParameter& parameter : study.spec.free) {
    if (!is_of_one_deployment(parameter)) continue;
    const auto concerns = [&](std::size_t index) {
      const eval::Case& item = study.dataset.cases[index];
      return parameter.where.matches(item.experiment.deployment, item.gpu);
    };
    for (const eval::Fold& fold : folds) {
      if (std::ranges::any_of(fold.test, concerns) && std::ranges::none_of(fold.training, concerns)) return fold.name;
    }
  }
  return std::nullopt;
}

/// Free parameters on which no residual depends at the fitted point.
std::size_t count_without_effect(const PreparedStudy& study, const params::Config& tuned) {
  const auto& free = study.spec.free;
  const eval::ResidualFunction function(study.dataset, tuned, free, study.spec.objective, {study.spec.threads});
  if (!function.differentiable()) return 0;
  std::vector<double> point;
  for (const params::FreeParameter& parameter : free)
    point.push_back(params::to_transformed(parameter, params::current_value(tuned, parameter)));
  const eval::Residuals residuals = function(point, eval::Derivatives::yes);
  if (residuals.refusal) return 0;
  std::size_t without = 0;
  for (std::size_t column = 0; column < free.size(); ++column) {
    bool is_constant = true;
    for (std::size_t row = 0; row < function.rows().size(); ++row)
      is_constant &= residuals.jacobian[row * free.size() + column] == 0.0;
    without += is_constant ? 1U : 0U;
  }
  return without;
}

void hold_out(VariantResult& result, const PreparedStudy& study, const CompareHooks& hooks) {
  const eval::SplitSpec& split = *study.spec.split;
  const auto folds = eval::make_folds(study.dataset, split, study.spec.seed);
  if (!folds) {
    result.no_held_out = core::format(folds.error());
    return;
  }
  if (const auto fold = fold_without_coefficients(study, *folds)) {
    result.no_held_out = fmt::format("it has coefficients for each deployment, and none for what it has not seen ({})", *fold);
    return;
  }
  auto validated = crossval(study, split, {.cancel = hooks.cancel, .store = hooks.store});
  if (validated && validated->usable()) {
    result.held_out = std::move(validated->pooled);
  } else {
    result.no_held_out = validated ? validated->failures.front() : core::format(validated.error());
  }
}

VariantResult run(const std::string& name, const PreparedStudy& study, const CompareHooks& hooks) {
  VariantResult result;
  result.name = name;
  result.step_time_model = study.start.step_time_model;
  result.free_parameters = study.spec.free.size();
  const Clock::time_point begin = Clock::now();
  const core::ThreadCount threads{study.spec.threads};
  const QuickFit fitted =
      fit_quickly(study.spec, study.start, study.dataset, threads, {.cancel = hooks.cancel, .progress = {}, .store = hooks.store});
  result.fit_seconds = seconds_since(begin);
  result.counts = fitted.counts;
  result.termination = fitted.termination;
  if (fitted.usable) {
    result.tuned = fitted.tuned;
    result.training = eval::evaluate(study.dataset, fitted.tuned, {.threads = threads, .stepping = sim::Stepping::closed_form});
    result.without_effect = count_without_effect(study, fitted.tuned);
    hold_out(result, study, hooks);
  } else {
    result.failure = opt::format(fitted.termination);
  }
  result.total_seconds = seconds_since(begin);
  return result;
}

const VariantSpec& named(const CompareSpec& compare, const std::string& name) {
  const auto found = std::ranges::find(compare.variants, name, &VariantSpec::name);
  ROOFTUNE_EXPECTS(found != compare.variants.end());
  return *found;
}

}  // namespace

const VariantResult* Comparison::find(std::string_view name) const {
  const auto found = std::ranges::find(variants, name, &VariantResult::name);
  return found == variants.end() ? nullptr : &*found;
}

std::optional<LinearStart> linear_start(const std::vector<const domain::Experiment*>& experiments) {
  std::vector<double> requests;
  std::vector<double> token_us;
  for (const domain::Experiment* experiment : experiments) {
    const std::size_t stages = std::min(experiment->workload.stages.size(), experiment->measured.stages.size());
    for (std::size_t stage = 0; stage < stages; ++stage) {
      const domain::Latencies& measured = experiment->measured.stages[stage];
      if (!measured[Metric::e2e_mean] || !measured[Metric::tpot_mean]) continue;
      const double in_service = experiment->workload.stages[stage].rate.value * *measured[Metric::e2e_mean] * 1e-3;
      requests.push_back(in_service / std::max(1, domain::schedulers(experiment->deployment)));
      token_us.push_back(*measured[Metric::tpot_mean] * 1e3);
    }
  }
  if (requests.empty()) return std::nullopt;
  const double mean_requests = core::mean(requests);
  const double mean_token_us = core::mean(token_us);
  double covariance = 0.0;
  double variance = 0.0;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    covariance += (requests[i] - mean_requests) * (token_us[i] - mean_token_us);
    variance += (requests[i] - mean_requests) * (requests[i] - mean_requests);
  }
  const double slope_us = variance > 0.0 ? covariance / variance : 0.0;
  const double step_us = mean_token_us - slope_us * mean_requests;
  if (slope_us > 0.0 && step_us > 0.0) return LinearStart{.step_us = step_us, .per_decode_us = slope_us};
  // One load, or noise larger than the slope: both terms positive, and right on average.
  return LinearStart{.step_us = kFixedShare * mean_token_us, .per_decode_us = (1.0 - kFixedShare) * mean_token_us / mean_requests};
}

StudySpec variant_study(const StudySpec& spec, const VariantSpec& variant, const StudyInputs& inputs) {
  StudySpec own = spec;
  own.compare.reset();
  own.name = variant.name;
  if (variant.step_time_model) own.step_time_model = variant.step_time_model;
  for (const auto& [id, choice] : variant.switches) own.switches[id] = choice;
  for (const auto& [id, value] : variant.fixed) own.fixed[id] = value;
  own.free.insert(own.free.end(), variant.free.begin(), variant.free.end());
  std::erase_if(own.free, [&](const params::FreeParameter& parameter) { return variant.fixed.contains(parameter.id); });
  for (const DeploymentGroup& group : deployments(spec, inputs)) {
    for (const params::FreeParameter& parameter : variant.free_per_deployment) own.free.push_back(for_deployment(parameter, group));
  }
  return own;
}

std::vector<VariantSpec> reverted_one_by_one(const StudySpec& spec, const VariantSpec& from, const VariantSpec& to,
                                             const StudyInputs& inputs) {
  std::vector<VariantSpec> reverted;
  for (std::size_t index = 0; index < params::switch_registry().size(); ++index) {
    const params::SwitchId id{index};
    const std::size_t choice = choice_in(to, spec, inputs, id);
    if (choice == choice_in(from, spec, inputs, id)) continue;
    VariantSpec& variant = reverted.emplace_back(from);
    variant.switches[id] = choice;
    variant.name = fmt::format("{}: {}", id.spec().id, id.spec().choices[choice]);
  }
  for (const auto& [id, value] : to.fixed) {
    const auto own = from.fixed.find(id);
    if (own != from.fixed.end() && own->second == value) continue;
    VariantSpec& variant = reverted.emplace_back(from);
    variant.fixed[id] = value;
    variant.name = fmt::format("{} = {}", id.spec().id, value.value);
  }
  return reverted;
}

core::Result<Comparison> compare(const StudySpec& spec, const StudyInputs& inputs, const CompareHooks& hooks) {
  ROOFTUNE_EXPECTS(spec.compare && spec.split);
  std::vector<VariantSpec> variants = spec.compare->variants;
  const std::size_t listed = variants.size();
  if (const auto& one_by_one = spec.compare->one_by_one) {
    std::ranges::move(reverted_one_by_one(spec, named(*spec.compare, one_by_one->from), named(*spec.compare, one_by_one->to), inputs),
                      std::back_inserter(variants));
  }
  std::vector<PreparedStudy> studies;
  core::Diagnostics problems;
  for (const VariantSpec& variant : variants) {
    auto prepared = prepare(variant_study(spec, variant, inputs), inputs);
    if (prepared) {
      if (prepared->spec.free.empty()) {
        problems.push_back(
            {.position = {}, .problem = fmt::format("variant '{}' leaves no parameter free", variant.name), .remedy = "list some"});
      }
      studies.push_back(*std::move(prepared));
      continue;
    }
    for (core::Diagnostic& problem : prepared.error()) {
      problem.problem = fmt::format("variant '{}': {}", variant.name, problem.problem);
      problems.push_back(std::move(problem));
    }
  }
  if (!problems.empty()) return tl::unexpected(std::move(problems));

  Comparison comparison;
  comparison.one_by_one = spec.compare->one_by_one;
  comparison.asked = studies.size();
  for (std::size_t i = 0; i < studies.size(); ++i) {
    if (hooks.progress) hooks.progress(i, studies.size(), variants[i].name);
    VariantResult result = run(variants[i].name, studies[i], hooks);
    if (hooks.cancel.stop_requested()) break;  // it may have ended early
    (i < listed ? comparison.variants : comparison.reverted).push_back(std::move(result));
  }
  return comparison;
}

}  // namespace rooftune::calibrate
