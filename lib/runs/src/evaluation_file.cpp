#include "rooftune/runs/evaluation_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>

#include "metric_errors_json.hpp"
#include "rooftune/data/metric_columns.hpp"
#include "rooftune/text/csv_text.hpp"
#include "rooftune/text/document.hpp"
#include "rooftune/text/json_text.hpp"
#include "rooftune/text/object_reader.hpp"

namespace rooftune::runs {
namespace {

using Json = nlohmann::ordered_json;

Json stage_json(int stage) { return stage == domain::kSummaryStage ? Json("summary") : Json(stage); }

Json row_json(const eval::Row& row) {
  return {
      {"experiment", row.experiment},     {"stage", stage_json(row.stage)}, {"metric", domain::metric_name(row.metric)},
      {"predicted", row.predicted_ms},    {"measured", row.measured_ms},    {"error_percent", row.error_percent()},
      {"ape_percent", row.ape_percent()},
  };
}

/// "summary" or the index of a stage.
void read_stage(const text::Node& node, int& stage, text::Problems& problems) {
  if (node.quoted && node.text == "summary") {
    stage = domain::kSummaryStage;
  } else {
    text::convert(node, "'stage'", stage, problems, text::at_least(0));
  }
}

eval::Row read_row(const text::Node& node, text::Problems& problems) {
  eval::Row row;
  text::ObjectReader reader(node, problems, "a row", text::OtherKeys::tolerate);
  reader.required("experiment", row.experiment);
  if (const text::Node* stage = reader.required_node("stage")) read_stage(*stage, row.stage, problems);
  if (std::string name; reader.required("metric", name)) {
    const auto metric = domain::find_metric(name);
    if (metric) row.metric = *metric;
    if (!metric) problems.error(reader.place_of("metric"), fmt::format("unknown metric '{}'", name), "the file is of another version");
  }
  reader.required("predicted", row.predicted_ms);
  reader.required("measured", row.measured_ms);
  return row;
}

}  // namespace

nlohmann::ordered_json metric_errors_json(const eval::MetricErrors& errors) {
  Json json = Json::object();
  for (const auto& [metric, statistics] : errors) {
    json[std::string(domain::metric_name(metric))] = {
        {"mean_ape_percent", statistics.mean_ape_percent},
        {"median_ape_percent", statistics.median_ape_percent},
        {"rmse_ape_percent", statistics.rmse_ape_percent},
        {"experiments", statistics.experiments},
    };
  }
  return json;
}

nlohmann::ordered_json domain_exits_json(const std::vector<eval::DomainExit>& exits) {
  Json json = Json::array();
  for (const eval::DomainExit& exit : exits) {
    json.push_back({{"field", exit.field},
                    {"value", exit.value},
                    {"calibrated", exit.calibrated},
                    {"factor", exit.factor},
                    {"experiments", exit.experiments}});
  }
  return json;
}

nlohmann::ordered_json peers_json(const std::vector<eval::PeerComparison>& peers) {
  Json json = Json::array();
  for (const eval::PeerComparison& peer : peers) {
    Json errors = Json::object();
    for (std::size_t i = 0; i < eval::kPeerMetrics.size(); ++i) {
      const auto& theirs = peer.theirs[i];
      const auto& ours = peer.ours[i];
      if (!theirs) continue;
      errors[std::string(domain::metric_name(eval::kPeerMetrics[i]))] = {{"theirs_mean_ape_percent", theirs->mean_percent},
                                                                         {"theirs_median_ape_percent", theirs->median_percent},
                                                                         {"ours_mean_ape_percent", ours->mean_percent},
                                                                         {"ours_median_ape_percent", ours->median_percent}};
    }
    json.push_back({{"simulator", peer.simulator},
                    {"experiments", peer.experiments},
                    {"not_predicted", peer.unanswered},
                    {"errors", std::move(errors)},
                    {"measurements_differ_percent", peer.measurements_differ_percent}});
  }
  return json;
}

nlohmann::ordered_json interval_json(const calibrate::PredictionInterval& interval) {
  return {{"experiment", interval.experiment},
          {"stage", interval.stage == domain::kSummaryStage ? Json("summary") : Json(interval.stage)},
          {"metric", domain::metric_name(interval.metric)},
          {"predicted", interval.predicted_ms},
          {"lower", interval.lower_ms},
          {"upper", interval.upper_ms},
          {"parameter_deviation", interval.parameter_deviation},
          {"structural_deviation", interval.structural_deviation ? Json(*interval.structural_deviation) : Json(nullptr)},
          {"arrival_deviation", interval.arrival_deviation}};
}

Json noise_json(const eval::Noise& noise) {
  Json json = Json::object();
  for (const auto& [metric, repeats] : noise.repeats) {
    json[std::string(domain::metric_name(metric))] = {
        {"two_runs_percent", repeats.percent},
        {"pairs", repeats.pairs},
        {"elsewhere", repeats.elsewhere.empty() ? Json(nullptr) : Json(repeats.elsewhere)}};
  }
  for (const auto& [metric, percent] : noise.arrival_percent) {
    json[std::string(domain::metric_name(metric))]["other_arrivals_percent"] = percent;
  }
  return json;
}

std::string evaluation_json(const eval::Evaluation& evaluation, const std::vector<eval::PeerComparison>& peers,
                            const std::optional<eval::Noise>& noise) {
  Json rows = Json::array();
  for (const eval::Row& row : evaluation.rows) rows.push_back(row_json(row));
  Json findings = Json::array();
  for (const eval::QualityFinding& finding : evaluation.findings) {
    findings.push_back({{"experiment", finding.experiment},
                        {"source", core::word_of(eval::kRunSources, finding.source)},
                        {"issue", core::word_of(eval::kQualityIssues, finding.issue)},
                        {"stage", stage_json(finding.stage)},
                        {"text", finding.text}});
  }
  Json overall = metric_errors_json(evaluation.overall);
  overall["loss_percent"] = evaluation.loss_percent;
  Json by = Json::object();
  for (const auto& [field_name, groups] : evaluation.by) {
    by[field_name] = Json::object();
    for (const auto& [group, errors] : groups) by[field_name][group] = metric_errors_json(errors);
  }
  Json json{
      {"schema", "rooftune/evaluation/1"},
      {"replicates", evaluation.replicates},
      {"rows", std::move(rows)},
      {"overall", std::move(overall)},
      {"by", std::move(by)},
      {"data_quality", std::move(findings)},
      {"warnings", evaluation.warnings},
      {"outside_domain", domain_exits_json(evaluation.domain_exits)},
  };
  if (!peers.empty()) json["peers"] = peers_json(peers);
  if (noise) json["noise"] = noise_json(*noise);
  return text::json_text(json);
}

std::string evaluation_csv(const eval::Evaluation& evaluation) {
  std::string text = "experiment,model,hardware,tp,workload,stage,metric,predicted_ms,measured_ms,error_percent,ape_percent\n";
  std::map<std::string_view, const eval::CaseReport*> reports;
  for (const eval::CaseReport& report : evaluation.cases) reports.emplace(report.experiment, &report);
  const eval::CaseReport none{};
  for (const eval::Row& row : evaluation.rows) {
    const auto found = reports.find(row.experiment);
    const eval::CaseReport& report = found == reports.end() ? none : *found->second;
    text += fmt::format("{},{},{},{},{},{},{},{},{},{},{}\n", text::csv_cell(row.experiment), text::csv_cell(report.model),
                        text::csv_cell(report.hardware), report.tp, text::csv_cell(report.workload), data::stage_cell(row.stage),
                        domain::metric_name(row.metric), row.predicted_ms, row.measured_ms, row.error_percent(), row.ape_percent());
  }
  return text;
}

core::Result<std::vector<eval::Row>> read_evaluation_rows(const std::filesystem::path& file) {
  const auto document = text::read_document(file);
  if (!document) return tl::unexpected(document.error());
  text::Problems problems(document->file);
  std::vector<eval::Row> rows;
  {
    text::ObjectReader reader(document->root, problems, "an evaluation", text::OtherKeys::tolerate);
    for (const text::Node& node : reader.required_list("rows")) rows.push_back(read_row(node, problems));
  }
  if (problems.has_errors()) return tl::unexpected(problems.take_errors());
  return rows;
}

}  // namespace rooftune::runs
