#include "tuned_config.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "rooftune/data/config_file.hpp"
#include "rooftune/data/gpus.hpp"

namespace rooftune::runs {
namespace {

void add_own_gpus(params::Config& tuned, const OpenedStudy& study) {
  const auto shipped = data::default_gpus();
  for (const eval::Dataset* dataset : {&study.prepared.dataset, &study.prepared.held_out}) {
    for (const eval::Case& item : dataset->cases) {
      const bool is_shipped = shipped && std::ranges::find(*shipped, item.gpu) != shipped->end();
      const bool is_listed =
          std::ranges::any_of(tuned.hardware, [&](const params::HardwareEntry& entry) { return entry.gpu.name == item.gpu.name; });
      if (!is_shipped && !is_listed) tuned.hardware.push_back({.gpu = item.gpu, .parameters = {}});
    }
  }
}

bool same_predictions(const eval::Evaluation& a, const eval::Evaluation& b) {
  return std::ranges::equal(a.rows, b.rows, [](const eval::Row& x, const eval::Row& y) {
    return x.experiment == y.experiment && x.stage == y.stage && x.metric == y.metric && x.predicted_ms == y.predicted_ms;
  });
}

/// The runs that were reported.
eval::Dataset reported_runs(const eval::Dataset& dataset, const eval::Evaluation& reported) {
  std::vector<std::size_t> indices;
  for (std::size_t i = 0; i < dataset.cases.size(); ++i) {
    const std::string& id = dataset.cases[i].experiment.id;
    if (std::ranges::find(reported.cases, id, &eval::CaseReport::experiment) != reported.cases.end()) indices.push_back(i);
  }
  return dataset.subset(indices);
}

}  // namespace

params::Config with_origin(params::Config tuned, const OpenedStudy& study, const RunManifest& manifest) {
  tuned.provenance.clear();
  tuned.provenance["study"] = study.prepared.spec.name;
  tuned.provenance["rooftune"] = manifest.versions.at("rooftune");
  tuned.provenance["simulator"] = manifest.simulator_identity;
  tuned.provenance["seed"] = fmt::format("{}", manifest.seed);
  for (const InputFile& input : manifest.inputs) {
    if (!input.path.starts_with("shipped:")) tuned.provenance["input " + input.path] = "sha256 " + input.sha256;
  }
  add_own_gpus(tuned, study);
  return tuned;
}

core::Result<void> check_loads_alone(const std::string& text, const params::Config& tuned, const Outcome& outcome,
                                     const OpenedStudy& study) {
  const auto shipped = data::default_gpus();
  if (!shipped) return tl::unexpected(shipped.error());
  const auto read_back = data::parse_config(text, std::string(kTunedConfigName), *shipped);
  if (!read_back) return tl::unexpected(read_back.error());
  calibrate::PreparedStudy became;
  if (outcome.study) {
    auto prepared = calibrate::prepare(*outcome.study, study.inputs);
    if (!prepared) return tl::unexpected(prepared.error());
    became = *std::move(prepared);
  }
  const calibrate::PreparedStudy& prepared = outcome.study ? became : study.prepared;
  const eval::EvaluationOptions options{.threads = {prepared.spec.threads}, .stepping = sim::Stepping::closed_form};
  const eval::Dataset runs = outcome.predicted ? reported_runs(prepared.dataset, *outcome.predicted) : prepared.dataset;
  const eval::Evaluation reported = outcome.predicted ? *outcome.predicted : eval::evaluate(runs, tuned, options);
  if (same_predictions(eval::evaluate(runs, read_back->config, options), reported)) return {};
  return core::fail({.file = std::string(kTunedConfigName)}, "the written config does not predict what was reported",
                    "nothing was kept; please report this with the study");
}

}  // namespace rooftune::runs
