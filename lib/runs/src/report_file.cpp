#include "rooftune/runs/report_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <system_error>

#include "improve_json.hpp"
#include "metric_errors_json.hpp"
#include "rooftune/runs/run_folder.hpp"
#include "rooftune/text/csv.hpp"
#include "rooftune/text/document.hpp"
#include "rooftune/text/json_text.hpp"
#include "rooftune/text/object_reader.hpp"

namespace rooftune::runs {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

/// All that parsing, running and drawing a Vega specification requires; maps, force layouts and word clouds are left out.
constexpr std::array<std::string_view, 19> kVegaModules{
    "vega-util",       "vega-time",      "vega-format",         "vega-loader",         "vega-dataflow",
    "vega-statistics", "vega-canvas",    "vega-scale",          "vega-scenegraph",     "vega-expression",
    "vega-selection",  "vega-functions", "vega-event-selector", "vega-parser",         "vega-runtime",
    "vega-transforms", "vega-encode",    "vega-view",           "vega-view-transforms"};
/// The package's file vega-selection holds the module that others require under this name.
constexpr std::string_view kSelectionsModule = "vega-selections";

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

/// The text of a JSON file that parses; the strict parser's messages say where it does not.
core::Result<std::string> read_sound_json(const fs::path& path) {
  if (const auto document = text::read_document(path); !document) return tl::unexpected(document.error());
  return text::read_text(path);
}

core::Result<std::optional<std::string>> read_optional_json(const fs::path& path) {
  if (!is_there(path)) return std::optional<std::string>();
  auto text = read_sound_json(path);
  if (!text) return tl::unexpected(std::move(text.error()));
  return std::optional<std::string>(*std::move(text));
}

core::Result<std::vector<ReportedCase>> read_cases(const fs::path& path) {
  std::vector<ReportedCase> cases;
  if (!is_there(path)) return cases;
  const auto table = text::read_csv(path);
  if (!table) return tl::unexpected(table.error());
  std::vector<ReportedCase> rows(table->rows.size());
  text::Problems problems(table->file);
  text::CsvColumns columns(*table, problems);
  columns.required("experiment", rows, &ReportedCase::experiment);
  columns.required("model", rows, &ReportedCase::model);
  columns.required("hardware", rows, &ReportedCase::hardware);
  columns.required("tp", rows, &ReportedCase::tp);
  columns.required("workload", rows, &ReportedCase::workload);
  if (problems.has_errors()) return tl::unexpected(problems.take_errors());
  for (ReportedCase& row : rows) {
    if (std::ranges::find(cases, row.experiment, &ReportedCase::experiment) == cases.end()) cases.push_back(std::move(row));
  }
  return cases;
}

Json parsed(const std::optional<std::string>& text) { return text ? Json::parse(*text) : Json(nullptr); }

Json latencies_json(const domain::Latencies& latencies) {
  Json json = Json::object();
  for (const domain::Metric metric : domain::kMetrics) {
    if (const auto value = latencies[metric]) json[std::string(domain::metric_name(metric))] = *value;
  }
  return json;
}

Json run_json(const RunDocuments& run) {
  Json cases = Json::array();
  for (const ReportedCase& item : run.cases) {
    cases.push_back({{"experiment", item.experiment},
                     {"model", item.model},
                     {"hardware", item.hardware},
                     {"tp", item.tp},
                     {"workload", item.workload}});
  }
  return {{"folder", run.folder},
          {"manifest", Json::parse(run.manifest_json)},
          {"result", parsed(run.result_json)},
          {"evaluation", parsed(run.evaluation_json)},
          {"cases", std::move(cases)}};
}

Json page_rows_json(const eval::Evaluation& evaluation) {
  Json rows = Json::array();
  for (const eval::Row& row : evaluation.rows) {
    rows.push_back({{"experiment", row.experiment},
                    {"stage", row.stage == domain::kSummaryStage ? Json("summary") : Json(row.stage)},
                    {"metric", domain::metric_name(row.metric)},
                    {"predicted", row.predicted_ms},
                    {"error_percent", row.error_percent()}});
  }
  return {{"rows", std::move(rows)}, {"overall", metric_errors_json(evaluation.overall)}, {"loss_percent", evaluation.loss_percent}};
}

Json peer_json(const domain::PeerPrediction& peer) {
  return {{"experiment", peer.experiment},
          {"simulator", peer.simulator},
          {"stage", peer.stage == domain::kSummaryStage ? Json("summary") : Json(peer.stage)},
          {"metric", domain::metric_name(peer.metric)},
          {"predicted", peer.predicted_ms},
          {"measured", peer.measured_ms}};
}

template <class Item, class Writer>
Json list_json(const std::vector<Item>& items, Writer writer) {
  Json json = Json::array();
  for (const Item& item : items) json.push_back(writer(item));
  return json;
}

Json points_json(const std::vector<plan::CurvePoint>& points) {
  Json json = Json::array();
  for (const plan::CurvePoint& point : points) {
    Json entry{{"load", point.load}, {"stage", point.stage}, {"latencies", latencies_json(point.latencies)}};
    if (point.output_tokens_per_s > 0.0) entry["output_tokens_per_s"] = point.output_tokens_per_s;
    if (!point.intervals.empty()) entry["intervals"] = list_json(point.intervals, interval_json);
    json.push_back(std::move(entry));
  }
  return json;
}

Json curve_json(const plan::LoadCurve& curve) {
  return {{"experiment", curve.experiment},
          {"unit", curve.unit == plan::LoadUnit::clients ? "clients" : "requests/s"},
          {"simulated", points_json(curve.simulated)},
          {"measured", points_json(curve.measured)}};
}

Json pace_json(const plan::Pace& pace) {
  return {{"output_tokens_per_s_per_gpu", pace.tokens_per_s_per_gpu}, {"output_tokens_per_s_per_user", pace.tokens_per_s_per_user}};
}

Json interactivity_json(const plan::InteractivityCurve& curve) {
  return {{"sweep", curve.sweep},
          {"model", curve.model},
          {"gpu", curve.gpu},
          {"tp", curve.tp},
          {"points", list_json(curve.points, [](const plan::InteractivityPoint& point) {
             return Json{{"experiment", point.experiment},
                         {"clients", point.clients},
                         {"predicted", pace_json(point.predicted)},
                         {"measured", pace_json(point.measured)}};
           })}};
}

Json step_time_json(const plan::StepTimeByBatch& steps) {
  Json samples = Json::array();
  for (const plan::StepSample& sample : steps.samples) {
    samples.push_back({{"batch", sample.batch},
                       {"decode_requests", sample.decode_requests},
                       {"prefill_tokens", sample.prefill_tokens},
                       {"total_us", sample.total_us},
                       {"bound", sample.bound},
                       {"terms_us", sample.terms_us}});
  }
  return {{"model", steps.model}, {"gpu", steps.gpu},
          {"tp", steps.tp},       {"context_tokens", steps.context_tokens},
          {"terms", steps.terms}, {"samples", std::move(samples)}};
}

Json roofline_json(const plan::KernelRoofline& roofline) {
  Json points = Json::array();
  for (const plan::KernelPoint& point : roofline.points) {
    points.push_back({{"kernel", point.kernel},
                      {"format", kernels::format_name(point.format)},
                      {"shape", point.shape},
                      {"flops_per_byte", point.flops_per_byte},
                      {"achieved_tflops", point.achieved_tflops},
                      {"latency_us", point.latency_us}});
  }
  return {{"gpu", roofline.gpu},
          {"engine", roofline.engine},
          {"bandwidth_tbs", roofline.bandwidth_tbs},
          {"peak_bf16_tflops", roofline.peak_bf16_tflops},
          {"peak_fp8_tflops", roofline.peak_fp8_tflops ? Json(*roofline.peak_fp8_tflops) : Json(nullptr)},
          {"measured", roofline.measured},
          {"points", std::move(points)}};
}

}  // namespace

core::Result<RunDocuments> read_run_documents(const fs::path& run_folder) {
  RunDocuments run;
  run.folder = run_folder.string();
  core::Diagnostics problems;
  const auto take = [&problems](auto result, auto& target) {
    if (result) {
      target = *std::move(result);
    } else {
      std::ranges::move(result.error(), std::back_inserter(problems));
    }
  };
  // The manifest's own reader says best what is wrong with a folder that is none of ours.
  if (const auto manifest = read_manifest(run_folder); !manifest) return tl::unexpected(manifest.error());
  take(text::read_text(run_folder / kManifestName), run.manifest_json);
  take(read_optional_json(run_folder / kResultName), run.result_json);
  take(read_optional_json(run_folder / kEvaluationName), run.evaluation_json);
  take(read_cases(run_folder / kEvaluationTableName), run.cases);
  if (!problems.empty()) return tl::unexpected(std::move(problems));
  return run;
}

core::Result<std::vector<ScriptModule>> read_vega(const std::optional<fs::path>& folder) {
  const fs::path where = folder.value_or(ROOFTUNE_VEGA_DIR);
  std::vector<ScriptModule> modules;
  for (const std::string_view name : kVegaModules) {
    const fs::path file = where / fmt::format("{}.min.js", name);
    if (where.empty() || !is_there(file)) {
      return core::fail({.file = where.string()}, fmt::format("the plotting library Vega is not there: no {}.min.js", name),
                        "install Debian's package libjs-vega, or name its folder with --vega");
    }
    auto text = text::read_text(file);
    if (!text) return tl::unexpected(text.error());
    modules.push_back({.name = std::string(name == "vega-selection" ? kSelectionsModule : name), .text = *std::move(text)});
  }
  return modules;
}

std::string report_json(const ReportContent& content) {
  Json json{{"schema", "rooftune/report/1"}};
  json["run"] = run_json(content.run);
  json["crossval"] = content.crossval ? run_json(*content.crossval) : Json(nullptr);
  json["others"] = list_json(content.others, run_json);
  json["before"] = content.before ? page_rows_json(*content.before) : Json(nullptr);
  json["noise"] = content.noise ? noise_json(*content.noise) : Json(nullptr);
  json["peers"] = list_json(content.peers, peer_json);
  json["load_curves"] = list_json(content.load_curves, curve_json);
  json["interactivity"] = list_json(content.interactivity, interactivity_json);
  json["intervals"] = list_json(content.intervals, interval_json);
  json["interval_level"] = content.interval_level;
  json["step_time"] = list_json(content.step_time, step_time_json);
  json["kernels"] = list_json(content.kernels, roofline_json);
  json["journal"] = content.journal ? journal_json(*content.journal) : Json(nullptr);
  json["live"] = parsed(content.live_json);
  json["notices"] = content.notices;
  // Names from a user's files may hold bytes that are not UTF-8.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace rooftune::runs
