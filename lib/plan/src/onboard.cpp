#include "rooftune/plan/onboard.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "onboarder.hpp"
#include "problem.hpp"
#include "rooftune/calibrate/posterior.hpp"

namespace rooftune::plan {
namespace {

using domain::Metric;

/// The experiment's errors over a range of block counts around the recorded one.
std::vector<KvBlocksRow> over_kv_blocks(const eval::Dataset& dataset, const params::Config& config, const std::string& id,
                                        core::ThreadCount threads) {
  std::vector<KvBlocksRow> rows;
  for (std::size_t i = 0; i < dataset.cases.size(); ++i) {
    if (dataset.cases[i].experiment.id != id || !dataset.cases[i].experiment.deployment.settings.total_kv_blocks) continue;
    const int recorded = *dataset.cases[i].experiment.deployment.settings.total_kv_blocks;
    for (const double factor : {0.9, 0.91, 0.92, 0.93, 0.94, 0.95, 0.975, 1.0, 1.05, 1.1}) {
      eval::Dataset changed = dataset.subset({i});
      KvBlocksRow row{.experiment = id, .total_kv_blocks = static_cast<int>(std::lround(recorded * factor))};
      row.is_recorded = row.total_kv_blocks == recorded;
      changed.cases.front().experiment.deployment.settings.total_kv_blocks = row.total_kv_blocks;
      const eval::Evaluation evaluation =
          eval::evaluate(changed, config, {.threads = threads, .stepping = sim::Stepping::closed_form});
      const auto error = [&](Metric metric) {
        const eval::Row* found = evaluation.find(id, domain::kSummaryStage, metric);
        return found == nullptr ? std::nan("") : found->error_percent();
      };
      row.ttft_error_percent = error(Metric::ttft_mean);
      row.e2e_error_percent = error(Metric::e2e_mean);
      rows.push_back(row);
    }
  }
  return rows;
}

/// The release that a config was fitted on, where it is one.
std::optional<domain::Release> release_of(const params::Config& config) {
  const auto found = config.domain.sets.find("engine_version");
  if (found == config.domain.sets.end() || found->second.size() != 1) return std::nullopt;
  const std::string& engine = found->second.front();  // "vllm 0.15.1"
  return domain::find_release(std::string_view(engine).substr(engine.find(' ') + 1));
}

/// What tables of two releases say of the change from one to the other.
std::optional<std::vector<GpuPrior>> release_step(const calibrate::PreparedStudy& study, const calibrate::OnboardSpec& spec,
                                                  const std::vector<kernels::KernelSummary>& summaries) {
  const auto from = release_of(study.start);
  const auto to = domain::find_release(study.dataset.cases.front().experiment.deployment.settings.version);
  if (!from || !to) return std::nullopt;
  return release_priors(study.start, spec, summaries, *from, *to);
}

}  // namespace

core::Result<Transfer> prepare_transfer(const calibrate::PreparedStudy& study, const calibrate::StudyInputs& inputs,
                                        const std::vector<kernels::KernelSummary>& summaries) {
  Transfer transfer{.spec = *study.spec.onboard, .gpu = nullptr, .priors = {}};
  calibrate::OnboardSpec& spec = transfer.spec;
  core::Diagnostics problems;
  transfer.gpu = domain::find_gpu(inputs.gpus, spec.gpu);
  const domain::GpuSpec* reference = domain::find_gpu(inputs.gpus, spec.reference);
  std::vector<std::string_view> names;
  for (const domain::GpuSpec& known : inputs.gpus) names.push_back(known.name);
  if (transfer.gpu == nullptr) problems.push_back(problem(fmt::format("unknown GPU '{}'", spec.gpu), core::suggest(spec.gpu, names)));
  if (reference == nullptr)
    problems.push_back(problem(fmt::format("unknown GPU '{}'", spec.reference), core::suggest(spec.reference, names)));
  if (!study.start.uncertainty) {
    problems.push_back(problem("the start config does not say how sure it is ('uncertainty')",
                               "start from a config that rooftune fit wrote, best with --held-out"));
  }
  for (const eval::Case& item : study.dataset.cases) {
    if (transfer.gpu == nullptr || item.gpu.name == transfer.gpu->name) continue;
    problems.push_back(
        problem(fmt::format("experiment '{}' ran on {}, not on {}", item.experiment.id, item.gpu.name, transfer.gpu->name),
                fmt::format("select hardware: {}", transfer.gpu->name)));
  }
  if (!problems.empty()) return tl::unexpected(std::move(problems));
  spec.gpu = transfer.gpu->name;
  spec.reference = reference->name;
  const bool same_gpu = spec.gpu == spec.reference;
  transfer.priors.emplace_back(same_gpu ? "as it is" : "data sheet", datasheet_priors(study.start, spec, summaries));
  if (!same_gpu && kernels::find_summary(summaries, spec.gpu) != nullptr &&
      kernels::find_summary(summaries, spec.reference) != nullptr) {
    transfer.priors.emplace_back("kernel tables", kernel_priors(study.start, spec, summaries, *transfer.gpu, *reference));
  }
  if (auto priors = same_gpu ? release_step(study, spec, summaries) : std::nullopt)
    transfer.priors.emplace_back("kernel tables", *std::move(priors));
  return transfer;
}

std::vector<JudgedInterval> held_out_intervals(const OnboardStep& step) {
  std::vector<JudgedInterval> pairs;
  for (const calibrate::PredictionInterval& interval : step.intervals) {
    const eval::Row* row = step.held_out.find(interval.experiment, interval.stage, interval.metric);
    if (row == nullptr) continue;
    // A pooled row repeats what its stages say.
    if (row->stage == domain::kSummaryStage && step.held_out.find(row->experiment, 1, row->metric) != nullptr) continue;
    pairs.push_back({&interval, row});
  }
  return pairs;
}

std::vector<JudgedInterval> judged_intervals(const OnboardStep& step) {
  std::vector<JudgedInterval> judged = held_out_intervals(step);
  std::erase_if(judged, [](const JudgedInterval& pair) { return !pair.interval->is_determined(); });
  return judged;
}

core::Result<Onboarding> onboard(const calibrate::PreparedStudy& study, const calibrate::StudyInputs& inputs,
                                 const std::vector<kernels::KernelSummary>& summaries, const OnboardHooks& hooks) {
  auto transfer = prepare_transfer(study, inputs, summaries);
  if (!transfer) return tl::unexpected(transfer.error());
  calibrate::OnboardSpec& spec = transfer->spec;
  const auto candidates = candidate_dataset(study, inputs, spec.candidates, spec.gpu);
  if (!candidates) return tl::unexpected(candidates.error());

  const Onboarder onboarder(study, spec, *transfer->gpu, hooks.store, hooks.cancel);
  const domain::Deployment& deployment = study.dataset.cases.front().experiment.deployment;
  Onboarding result{.gpu = spec.gpu,
                    .reference = spec.reference,
                    .engine = fmt::format("{} {}", deployment.engine, deployment.settings.version),
                    .steps = {},
                    .kv_blocks = {},
                    .asked = 0};
  const auto add = [&](const std::string& name, const std::vector<GpuPrior>& priors, const std::vector<std::size_t>& runs) {
    ++result.asked;
    if (hooks.cancel.stop_requested()) return;
    if (hooks.progress) hooks.progress(name);
    OnboardStep step = onboarder.learn(name, priors, study.dataset, runs);
    if (hooks.cancel.stop_requested()) return;
    onboarder.score(step, study.dataset, runs);
    step.next_runs =
        recommend_runs(spec.candidates, *candidates, step.config, calibrate::free_parameters(step.config, *step.config.uncertainty),
                       calibrate::belief_of(*step.config.uncertainty), study.spec.objective.noise, {study.spec.threads});
    result.steps.push_back(std::move(step));
  };
  for (const auto& [name, priors] : transfer->priors) add(name, priors, {});
  const std::vector<GpuPrior>& priors = transfer->priors.back().second;
  const params::Config before_runs = result.steps.empty() ? study.start : result.steps.back().config;
  const std::size_t runs = study.dataset.cases.size();
  for (std::size_t run = 0; run < runs; ++run) add("run " + study.dataset.cases[run].experiment.id, priors, {run});
  std::vector<std::size_t> sofar{0};
  for (std::size_t run = 1; run < runs; ++run) {
    sofar.push_back(run);
    add(fmt::format("{} runs", sofar.size()), priors, sofar);
  }
  for (const std::string& id : spec.unsure_kv_blocks) {
    if (result.interrupted()) break;
    const auto rows = over_kv_blocks(study.dataset, before_runs, id, {study.spec.threads});
    result.kv_blocks.insert(result.kv_blocks.end(), rows.begin(), rows.end());
  }
  return result;
}

}  // namespace rooftune::plan
