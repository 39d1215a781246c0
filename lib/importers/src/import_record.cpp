#include "rooftune/importers/import_record.hpp"

#include <fmt/format.h>

#include "rooftune/data/metric_columns.hpp"
#include "rooftune/text/csv_text.hpp"
#include "rooftune/text/json_pieces.hpp"
#include "rooftune/text/json_text.hpp"

namespace rooftune::importers {
namespace {

using Json = nlohmann::ordered_json;
using domain::Experiment;
using domain::Latencies;

/// Empty where clients, not a rate, make the load.
std::optional<double> rate_of(const Experiment& experiment, std::size_t stage) {
  const double rate_per_s = experiment.workload.stages[stage].rate.value;
  return rate_per_s > 0.0 ? std::optional(rate_per_s) : std::nullopt;
}

Json latencies_json(const Latencies& latencies) {
  Json json = Json::object();
  for (const domain::Metric metric : domain::kMetrics)
    json[std::string(domain::metric_name(metric))] = text::or_null(latencies[metric]);
  return json;
}

Json experiment_json(const data::WrittenExperiment& written) {
  const Experiment& experiment = written.experiment;
  Json stages = Json::array();
  for (std::size_t stage = 0; stage < experiment.measured.stages.size(); ++stage) {
    Json json{{"rate_per_s", text::or_null(rate_of(experiment, stage))}, {"requests", experiment.workload.stages[stage].num_requests}};
    json.update(latencies_json(experiment.measured.stages[stage]));
    stages.push_back(std::move(json));
  }
  return {{"id", experiment.id},
          {"role", domain::role_name(experiment.role)},
          {"model", experiment.deployment.model},
          {"hardware", experiment.deployment.hardware},
          {"tp", experiment.deployment.tp},
          {"workload", experiment.workload.name},
          {"summary", latencies_json(experiment.measured.summary)},
          {"stages", std::move(stages)}};
}

void add_row(std::string& text, const Experiment& experiment, int stage, std::optional<double> rate_per_s, int requests,
             const Latencies& latencies) {
  text += fmt::format("{},{},{},{},{},{},{},{}", text::csv_cell(experiment.id), text::csv_cell(experiment.deployment.model),
                      text::csv_cell(experiment.deployment.hardware), experiment.deployment.tp,
                      text::csv_cell(experiment.workload.name), data::stage_cell(stage), text::csv_cell(rate_per_s), requests);
  for (const domain::Metric metric : domain::kMetrics) text += "," + text::csv_cell(latencies[metric]);
  text += "\n";
}

}  // namespace

std::string import_json(const ImportedGroundTruth& imported, const std::filesystem::path& file) {
  return text::json_text({{"schema", "rooftune/import/1"},
                          {"file", file.string()},
                          {"tables", text::list_of(imported.tables, [](const ImportedTable& table) { return table.name; })},
                          {"experiments", text::list_of(imported.experiments, experiment_json)},
                          {"assumptions", imported.assumptions},
                          {"warnings", text::texts_of(imported.warnings)}});
}

std::string import_csv(const ImportedGroundTruth& imported) {
  std::string text = "experiment,model,hardware,tp,workload,stage,rate_per_s,requests" + data::metric_columns() + "\n";
  for (const data::WrittenExperiment& written : imported.experiments) {
    const Experiment& experiment = written.experiment;
    int requests = 0;
    for (const domain::Stage& stage : experiment.workload.stages) requests += stage.num_requests;
    add_row(text, experiment, domain::kSummaryStage, std::nullopt, requests, experiment.measured.summary);
    for (std::size_t stage = 0; stage < experiment.measured.stages.size(); ++stage) {
      add_row(text, experiment, static_cast<int>(stage), rate_of(experiment, stage), experiment.workload.stages[stage].num_requests,
              experiment.measured.stages[stage]);
    }
  }
  return text;
}

}  // namespace rooftune::importers
