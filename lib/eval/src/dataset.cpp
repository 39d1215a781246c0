#include "rooftune/eval/dataset.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "rooftune/domain/served_model.hpp"
#include "rooftune/latency/catalogue.hpp"
#include "rooftune/params/choice_of.hpp"
#include "rooftune/sim/kv_estimate.hpp"

namespace rooftune::eval {
namespace {

std::vector<std::string_view> names(const std::vector<domain::ModelSpec>& models) {
  std::vector<std::string_view> result;
  for (const auto& model : models) result.push_back(model.name);
  return result;
}

std::vector<std::string_view> names(const std::vector<domain::GpuSpec>& gpus) {
  std::vector<std::string_view> result;
  for (const auto& gpu : gpus) result.push_back(gpu.name);
  return result;
}

core::Diagnostic about(const domain::Experiment& experiment, std::string problem, std::string remedy, core::Severity severity) {
  return {.position = {},
          .problem = fmt::format("experiment '{}': {}", experiment.id, problem),
          .remedy = std::move(remedy),
          .severity = severity};
}

/// A pool that is estimated matters where the estimate is rough.
void warn_of_estimated_pool(const domain::Experiment& experiment, const domain::ModelSpec& model, const domain::GpuSpec& gpu,
                            core::Diagnostics& warnings) {
  constexpr double kRough = 0.1;
  const sim::KvEstimate pool = sim::estimate_kv(model, gpu, experiment.deployment);
  if (pool.uncertainty() < kRough) return;
  warnings.push_back(
      about(experiment, fmt::format("the KV pool is estimated: {} blocks, between {} and {}", pool.blocks, pool.low, pool.high),
            "give the number that the engine logs as total_kv_blocks, or reported_memory_gib of the GPU", core::Severity::warning));
}

std::size_t bytes_of(const sim::RequestPlan& plan) {
  std::size_t bytes = plan.chains.size() * sizeof(sim::PrefixChain);
  for (const sim::StagePlan& stage : plan.stages) bytes += stage.requests.size() * sizeof(sim::PlannedRequest);
  if (plan.warm_up) bytes += plan.warm_up->requests.size() * sizeof(sim::PlannedRequest);
  return bytes;
}

/// Keeps plans as long as there is room for all; from the first that finds none, none.
class KeptPlans {
 public:
  explicit KeptPlans(std::size_t bytes) : left_(bytes) {}

  Plan of(const domain::Experiment& experiment, std::uint64_t seed, int replicate) {
    Plan plan{.seed = seed, .replicate = replicate};
    if (left_ == 0) return plan;
    sim::RequestPlan drawn = sim::make_request_plan(experiment, seed, replicate);
    const std::size_t bytes = bytes_of(drawn);
    left_ = bytes < left_ ? left_ - bytes : 0;
    if (left_ > 0) plan.kept = std::make_shared<const sim::RequestPlan>(std::move(drawn));
    return plan;
  }

 private:
  std::size_t left_;
};

/// What of the deployment's CUDA graphs the step-time model does not price, or empty.
std::string notice_of_graphs(const domain::Deployment& deployment, std::string_view step_time_model) {
  if (deployment.settings.cudagraph_mode != "NONE" || latency::prices_eager_steps(step_time_model)) return "";
  return fmt::format("cudagraph_mode NONE is not priced by {}: steps that only decode take as long as with CUDA graphs",
                     step_time_model);
}

}  // namespace

std::shared_ptr<const sim::RequestPlan> Case::plan(std::size_t replicate) const {
  const Plan& plan = plans[replicate];
  if (plan.kept) return plan.kept;
  return std::make_shared<const sim::RequestPlan>(sim::make_request_plan(experiment, plan.seed, plan.replicate));
}

void Case::keep_plans(std::uint64_t seed, int replicates) {
  plans.clear();
  for (int replicate = 0; replicate < replicates; ++replicate) {
    plans.push_back({.seed = seed,
                     .replicate = replicate,
                     .kept = std::make_shared<const sim::RequestPlan>(sim::make_request_plan(experiment, seed, replicate))});
  }
}

Dataset Dataset::subset(const std::vector<std::size_t>& indices) const {
  Dataset part;
  part.replicates = replicates;
  part.seed = seed;
  part.external = external;
  part.failures = failures;
  for (const std::size_t index : indices) part.cases.push_back(cases[index]);
  return part;
}

std::string out_of_events(const Dataset& dataset, const Case& item) {
  return fmt::format("experiment '{}': more than {} events (failures.max_events)", item.experiment.id,
                     dataset.failures->policy().max_events);
}

core::Result<Dataset> make_dataset(const DatasetInputs& inputs) {
  Dataset dataset;
  dataset.replicates = inputs.replicates;
  dataset.seed = inputs.seed;
  dataset.external = inputs.external;
  dataset.failures = inputs.failures;
  core::Diagnostics problems;
  std::set<std::string_view> ids;
  std::set<std::string_view> unknown_sampling;
  std::set<std::string_view> noted;
  std::set<std::string> notices;
  KeptPlans kept(inputs.kept_plan_bytes);
  const params::SwitchId speculation_switch = params::switch_id("engine.speculation");
  const bool drafts = params::choice_of(inputs.config, speculation_switch) == *params::find_choice(speculation_switch, "on");
  for (const domain::Experiment& experiment : inputs.experiments) {
    const domain::Deployment& deployment = experiment.deployment;
    if (!ids.insert(experiment.id).second) {
      problems.push_back(about(experiment, "is given twice", "give every experiment an id of its own", core::Severity::error));
      continue;
    }
    const domain::ModelSpec* model = domain::find_model(inputs.models, deployment.model);
    const domain::GpuSpec* gpu = params::find_gpu(inputs.config, inputs.gpus, deployment.hardware);
    if (model == nullptr) {
      problems.push_back(about(experiment, fmt::format("unknown model '{}'", deployment.model),
                               core::suggest(domain::short_model_name(deployment.model), names(inputs.models)) +
                                   ", or add a folder of models with --models",
                               core::Severity::error));
    }
    if (gpu == nullptr) {
      problems.push_back(about(experiment, fmt::format("unknown GPU '{}'", deployment.hardware),
                               core::suggest(deployment.hardware, names(inputs.gpus)), core::Severity::error));
    }
    if (model == nullptr || gpu == nullptr) continue;
    const auto measured = inputs.kernels.find(gpu->name);
    const std::shared_ptr<const kernels::KernelTables> tables = measured == inputs.kernels.end() ? nullptr : measured->second;
    domain::Experiment settled_experiment = experiment;
    if (!drafts) settled_experiment.deployment.settings.speculative.reset();
    sim::SettledDeployment settled = sim::settle(settled_experiment.deployment, *model, *gpu);
    settled_experiment.deployment = std::move(settled.deployment);
    auto [served, notice_of_weights] = domain::as_served(*model, settled_experiment.deployment.settings);
    // vLLM samples greedily below any other sampling parameter: nothing is truncated.
    if (experiment.workload.temperature == 0.0) served.sampling.emplace().temperature = 0.0;
    std::optional<domain::ModelSpec> draft;
    if (const auto& speculation = settled_experiment.deployment.settings.speculative;
        speculation && !speculation->draft_model.empty()) {
      if (const domain::ModelSpec* const found = domain::find_model(inputs.models, speculation->draft_model)) {
        draft = domain::as_served(*found, settled_experiment.deployment.settings).model;
      }
    }
    const sim::RequestPlan no_requests;
    const sim::Scenario scenario{.experiment = settled_experiment,
                                 .model = served,
                                 .gpu = *gpu,
                                 .plan = no_requests,
                                 .tables = tables.get(),
                                 .draft = draft ? &*draft : nullptr};
    if (const auto reason = inputs.external ? std::nullopt : sim::refusal(inputs.config.step_time_model, scenario)) {
      if (!inputs.leaves_out_refused) {
        problems.push_back(about(experiment, fmt::format("cannot be simulated: {}", *reason), "", core::Severity::error));
      }
      continue;
    }
    if (!inputs.external && !served.sampling && unknown_sampling.insert(model->name).second) {
      dataset.warnings.push_back(about(experiment, fmt::format("the default sampling of {} is unknown, treated as none", model->name),
                                       "put its generation_config.json beside its config.json", core::Severity::warning));
    }
    if (!inputs.external && noted.insert(model->name).second) {
      for (const std::string& note : model->notes) {
        dataset.warnings.push_back(
            {.position = {.file = model->source}, .problem = note, .remedy = "", .severity = core::Severity::warning});
      }
    }
    if (!inputs.external && !deployment.settings.total_kv_blocks) {
      warn_of_estimated_pool(settled_experiment, served, *gpu, dataset.warnings);
    }
    const auto notice_once = [&](const std::string& notice, const char* remedy) {
      if (notice.empty() || !notices.insert(notice).second) return;
      dataset.warnings.push_back(about(experiment, notice, remedy, core::Severity::warning));
    };
    notice_once(settled.notice, "record the settings under 'vllm'");
    if (!inputs.external) {
      notice_once(notice_of_weights, "name a model whose config is quantised so");
      notice_once(domain::contradiction(deployment.precision, served), "name the checkpoint that was served");
      notice_once(notice_of_graphs(settled_experiment.deployment, inputs.config.step_time_model),
                  "start from a config of the step-time model kernels");
    }
    Case& added = dataset.cases.emplace_back(Case{.experiment = std::move(settled_experiment),
                                                  .model = served,
                                                  .gpu = *gpu,
                                                  .plans = {},
                                                  .tables = tables,
                                                  .assumed = std::move(settled.assumed),
                                                  .draft = std::move(draft)});
    for (int replicate = 0; replicate < inputs.replicates; ++replicate) {
      added.plans.push_back(kept.of(added.experiment, inputs.seed, replicate));
    }
  }
  const auto unknown =
      std::ranges::count_if(dataset.cases, [](const Case& item) { return !item.experiment.measured.unknown_statistic.empty(); });
  if (unknown > 0) {
    dataset.warnings.push_back({.position = {},
                                .problem = fmt::format("of {} experiments it is not known whether their figures are means or medians: "
                                                       "they are compared as means",
                                                       unknown),
                                .remedy = "say so under 'statistic' when it is",
                                .severity = core::Severity::warning});
  }
  if (problems.empty() && dataset.cases.empty() && !inputs.leaves_out_refused) {
    return core::fail({}, "no experiment is selected", "loosen the selection or name other ground truth");
  }
  if (!problems.empty()) return tl::unexpected(problems);
  return dataset;
}

}  // namespace rooftune::eval
