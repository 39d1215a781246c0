#pragma once

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "rooftune/eval/dataset.hpp"
#include "rooftune/params/config.hpp"
#include "rooftune/params/registry.hpp"
#include "rooftune/sim/simulate.hpp"
#include "support/example_targets.hpp"

/// Small runs that the simulator itself "measured", so that tests know the truth behind them.
namespace rooftune::examples {

inline params::Config config_with(std::string step_time_model, const std::vector<std::pair<std::string, double>>& values) {
  params::Config config;
  config.step_time_model = std::move(step_time_model);
  for (const auto& [id, value] : values) config.parameters[params::parameter(id)] = {.value = value, .standard_error = {}};
  return config;
}

/// Enough that a fit is not ruled by a single request, few enough that a test takes milliseconds.
inline constexpr int kRequestsPerStage = 200;

/// A run without measurements: one stage, or one for each rate.
inline domain::Experiment unmeasured_run(std::string id, const domain::ModelSpec& model, int tp,
                                         const std::vector<double>& rates_per_s) {
  domain::Experiment experiment;
  experiment.id = std::move(id);
  experiment.deployment = deployment(model, h100(), tp);
  experiment.deployment.settings.total_kv_blocks = 8000;
  experiment.workload.name = "small";
  experiment.workload.prompt.mean_tokens = 500.0;
  experiment.workload.output.mean_tokens = 60.0;
  for (const double rate : rates_per_s) {
    experiment.workload.stages.push_back({.rate = {rate}, .duration = {kRequestsPerStage / rate}, .num_requests = kRequestsPerStage});
  }
  return experiment;
}

inline std::vector<domain::ModelSpec> models() { return {llama_2_7b(), llama_3_1_70b(), mistral_nemo_12b()}; }
inline std::vector<domain::GpuSpec> gpus() { return {h100(), a100()}; }

inline eval::Dataset dataset_of(const std::vector<domain::Experiment>& experiments, const params::Config& config,
                                std::uint64_t seed = 1) {
  const auto all_models = models();
  const auto all_gpus = gpus();
  auto dataset = eval::make_dataset(
      {.experiments = experiments, .models = all_models, .gpus = all_gpus, .config = config, .seed = seed, .replicates = 1});
  if (!dataset) throw std::runtime_error(core::format(dataset.error()));
  return *std::move(dataset);
}

/// The runs with what the simulator predicts for them as their measurements.
inline std::vector<domain::Experiment> measured(const std::vector<domain::Experiment>& runs, const params::Config& truth,
                                                std::uint64_t seed = 1) {
  std::vector<domain::Experiment> result;
  for (const eval::Case& item : dataset_of(runs, truth, seed).cases) {
    const auto parameters = params::resolve(truth, item.experiment.deployment, item.gpu);
    const auto prediction =
        sim::simulate<double>(truth.step_time_model, item.scenario(*item.plan(0)), parameters,
                              {.stepping = sim::Stepping::closed_form, .percentiles = sim::Percentiles::compute, .observer = nullptr});
    domain::Experiment experiment = item.experiment;
    experiment.measured.summary = prediction.summary.latencies;
    for (const auto& stage : prediction.stages) experiment.measured.stages.push_back(stage.latencies);
    result.push_back(std::move(experiment));
  }
  return result;
}

/// Four runs of three models at low and high load.
inline std::vector<domain::Experiment> four_runs() {
  return {unmeasured_run("a", llama_2_7b(), 1, {2.0, 8.0}), unmeasured_run("b", llama_2_7b(), 2, {5.0}),
          unmeasured_run("c", mistral_nemo_12b(), 1, {4.0}), unmeasured_run("d", llama_3_1_70b(), 4, {2.0})};
}

}  // namespace rooftune::examples
