#include "rooftune/io/evaluation_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include "json_text.hpp"
#include "metric_errors_json.hpp"

namespace rooftune::io {
namespace {

using Json = nlohmann::ordered_json;

Json stage_json(int stage) { return stage == domain::kSummaryStage ? Json("summary") : Json(stage); }

Json row_json(const eval::Row& row) {
  return {
      {"experiment", row.experiment},
      {"stage", stage_json(row.stage)},
      {"metric", domain::metric_name(row.metric)},
      {"predicted", row.predicted_ms},
      {"measured", row.measured_ms},
      {"error_percent", row.error_percent()},
      {"ape_percent", row.ape_percent()},
  };
}

/// A CSV field, quoted where it has to be.
std::string field(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + '"';
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

std::string evaluation_json(const eval::Evaluation& evaluation) {
  Json rows = Json::array();
  for (const eval::Row& row : evaluation.rows) rows.push_back(row_json(row));
  Json overall = metric_errors_json(evaluation.overall);
  overall["loss_percent"] = evaluation.loss_percent;
  Json by = Json::object();
  for (const auto& [field_name, groups] : evaluation.by) {
    by[field_name] = Json::object();
    for (const auto& [group, errors] : groups) by[field_name][group] = metric_errors_json(errors);
  }
  return json_text({
      {"schema", "rooftune/evaluation/1"},
      {"replicates", evaluation.replicates},
      {"rows", std::move(rows)},
      {"overall", std::move(overall)},
      {"by", std::move(by)},
      {"warnings", evaluation.warnings},
  });
}

std::string evaluation_csv(const eval::Evaluation& evaluation) {
  std::string text = "experiment,model,hardware,tp,workload,stage,metric,predicted_ms,measured_ms,error_percent,ape_percent\n";
  for (const eval::Row& row : evaluation.rows) {
    const auto found = std::ranges::find(evaluation.cases, row.experiment, &eval::CaseReport::experiment);
    const eval::CaseReport report = found == evaluation.cases.end() ? eval::CaseReport{} : *found;
    const std::string stage = row.stage == domain::kSummaryStage ? "summary" : fmt::format("{}", row.stage);
    text += fmt::format("{},{},{},{},{},{},{},{},{},{},{}\n", field(row.experiment), field(report.model), field(report.hardware), report.tp,
                        field(report.workload), stage, domain::metric_name(row.metric), row.predicted_ms, row.measured_ms, row.error_percent(),
                        row.ape_percent());
  }
  return text;
}

}  // namespace rooftune::io
