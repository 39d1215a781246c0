#include "version_defaults.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <vector>

#include "rooftune/data/gpus.hpp"
#include "rooftune/data/models.hpp"
#include "rooftune/sim/engine_releases.hpp"

namespace rooftune::app {
namespace {

/// What ships and what the user described.
struct Known {
  std::vector<domain::ModelSpec> models;
  std::vector<domain::GpuSpec> gpus;
};

/// "vLLM 0.11.0" of "vllm"; other engines as they are called.
std::string engine_of(const domain::Deployment& deployment) {
  return fmt::format("{} {}", deployment.engine == "vllm" ? "vLLM" : deployment.engine, deployment.settings.version);
}

std::string with_values(const domain::Deployment& deployment, const domain::ModelSpec& model, const domain::GpuSpec& gpu) {
  const sim::SettledDeployment settled = sim::settle(deployment, model, gpu);
  std::vector<std::string> values;
  for (const sim::AssumedSetting& assumed : settled.assumed) values.push_back(fmt::format("{} {}", assumed.setting, assumed.value));
  if (deployment.settings.max_model_len == 0) values.push_back(fmt::format("max_model_len {} (the model's own)", model.max_positions));
  if (values.empty()) return {};
  return fmt::format("not recorded, so by default of {} on {}: {} (else --set){}", engine_of(deployment), gpu.name,
                     fmt::join(values, ", "), settled.notice.empty() ? "" : "; " + settled.notice);
}

std::string without_values(const domain::Deployment& deployment, const std::vector<std::string>& inferred) {
  std::vector<std::string_view> names;
  for (const std::string& name : inferred) {
    for (const std::string_view decided : {"max_model_len", "max_num_batched_tokens", "max_num_seqs", "async_scheduling"}) {
      if (name == decided) names.push_back(decided);
    }
  }
  return names.empty()
             ? std::string()
             : fmt::format("not recorded, so by default of {}: {} (else --set)", engine_of(deployment), fmt::join(names, ", "));
}

std::string defaults_of(const data::WrittenExperiment& written, const Known& known) {
  const domain::Deployment& deployment = written.experiment.deployment;
  const domain::ModelSpec* model = domain::find_model(known.models, deployment.model);
  const domain::GpuSpec* gpu = domain::find_gpu(known.gpus, deployment.hardware);
  return model != nullptr && gpu != nullptr ? with_values(deployment, *model, *gpu) : without_values(deployment, written.inferred);
}

}  // namespace

void tell_version_defaults(importers::ImportedGroundTruth& imported, std::span<const domain::GpuSpec> own_gpus) {
  Known known;
  if (auto models = data::default_models()) known.models = *std::move(models);
  if (auto gpus = data::default_gpus()) known.gpus = *std::move(gpus);
  known.gpus.insert(known.gpus.begin(), own_gpus.begin(), own_gpus.end());
  std::vector<std::pair<std::string, std::vector<std::string>>> told;  // in the order of the experiments
  std::map<std::string, std::size_t> place;
  for (const data::WrittenExperiment& written : imported.experiments) {
    const std::string text = defaults_of(written, known);
    if (text.empty()) continue;
    const auto [found, is_new] = place.emplace(text, told.size());
    if (is_new) told.push_back({text, {}});
    told[found->second].second.push_back(fmt::format("'{}'", written.experiment.id));
  }
  for (const auto& [text, ids] : told) {
    imported.assumptions.push_back(ids.size() == 1 ? fmt::format("experiment {}: {}", ids.front(), text)
                                                   : fmt::format("experiments {}: {}", fmt::join(ids, ", "), text));
  }
}

}  // namespace rooftune::app
