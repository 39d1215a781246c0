#include "rooftune/runs/run_difference.hpp"

#include <fmt/format.h>

#include <map>
#include <set>
#include <tuple>

#include "rooftune/data/config_file.hpp"
#include "rooftune/data/gpus.hpp"
#include "rooftune/runs/evaluation_file.hpp"
#include "rooftune/runs/run_folder.hpp"
#include "rooftune/text/files.hpp"
#include "rooftune/text/json_pieces.hpp"
#include "rooftune/text/json_text.hpp"

namespace rooftune::runs {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

/// What identifies a row within an evaluation.
using RowKey = std::tuple<std::string, int, domain::Metric>;

/// What two runs are compared by.
struct Run {
  RunManifest manifest;
  std::map<std::string, double> parameters;  ///< empty: no tuned config
  std::vector<eval::Row> rows;
};

std::map<std::string, double> parameters_of(const params::Config& config) {
  std::map<std::string, double> values;
  const auto add = [&](const params::Assignments& assignments, const std::string& scope) {
    for (const auto& [id, value] : assignments) values[std::string(id.spec().id) + scope] = value.value;
  };
  add(config.parameters, "");
  for (const params::HardwareEntry& entry : config.hardware) add(entry.parameters, fmt::format("[gpu={}]", entry.gpu.name));
  for (const params::ScopedAssignments& scoped : config.scoped) {
    const auto& where = scoped.where;
    add(scoped.parameters, fmt::format("[{}{}{}]", where.model ? "model=" + *where.model + " " : "",
                                       where.gpu ? "gpu=" + *where.gpu + " " : "", where.tp ? fmt::format("tp={}", *where.tp) : ""));
  }
  return values;
}

core::Result<Run> read_run(const fs::path& folder) {
  Run run;
  const auto manifest = read_manifest(folder);
  if (!manifest) return tl::unexpected(manifest.error());
  run.manifest = *manifest;
  if (text::exists(folder / kTunedConfigName)) {
    const auto gpus = data::default_gpus();
    if (!gpus) return tl::unexpected(gpus.error());
    const auto config = data::read_config(folder / kTunedConfigName, *gpus);
    if (!config) return tl::unexpected(config.error());
    run.parameters = parameters_of(config->config);
  }
  auto rows = read_evaluation_rows(folder / kEvaluationName);
  if (!rows) return tl::unexpected(rows.error());
  run.rows = *std::move(rows);
  return run;
}

/// Members of two maps that differ or that only one of them has, by key.
template <class Value, class Add>
void compare_maps(const std::map<std::string, Value>& first, const std::map<std::string, Value>& second, Add add) {
  std::set<std::string> keys;
  for (const auto& [key, value] : first) keys.insert(key);
  for (const auto& [key, value] : second) keys.insert(key);
  for (const std::string& key : keys) {
    const auto a = first.find(key);
    const auto b = second.find(key);
    const auto value_in = [&](const auto& found, const auto& map) {
      return found == map.end() ? std::optional<Value>() : std::optional<Value>(found->second);
    };
    if (value_in(a, first) != value_in(b, second)) add(key, value_in(a, first), value_in(b, second));
  }
}

std::map<std::string, std::string> facts(const RunManifest& manifest) {
  std::map<std::string, std::string> facts{{"command", manifest.command},
                                           {"seed", fmt::format("{}", manifest.seed)},
                                           {"replicates", fmt::format("{}", manifest.replicates)},
                                           {"simulator", manifest.simulator_identity}};
  for (const auto& [name, version] : manifest.versions) facts["version of " + name] = version;
  for (const InputFile& input : manifest.inputs) facts["input " + input.path] = "sha256 " + input.sha256;
  return facts;
}

std::map<std::string, std::string> facts(const params::Config& config) {
  std::map<std::string, std::string> facts{{"step-time model", config.step_time_model}};
  for (const auto& [id, choice] : config.switches) {
    facts[fmt::format("switch {}", id.spec().id)] = std::string(id.spec().choices[choice]);
  }
  return facts;
}

void compare_facts(RunDifference& difference, const std::map<std::string, std::string>& first,
                   const std::map<std::string, std::string>& second) {
  compare_maps(first, second, [&](const std::string& what, auto a, auto b) {
    difference.manifest.push_back({.what = what, .first = std::move(a), .second = std::move(b)});
  });
}

void compare_parameters(RunDifference& difference, const std::map<std::string, double>& first,
                        const std::map<std::string, double>& second) {
  compare_maps(first, second, [&](const std::string& id, auto a, auto b) {
    difference.parameters.push_back({.parameter = id, .first = a, .second = b});
  });
}

}  // namespace

std::optional<double> ParameterDifference::change_percent() const {
  if (!first || !second) return std::nullopt;
  return 100.0 * (*second / *first - 1.0);
}

core::Result<RunDifference> compare_runs(const fs::path& first_folder, const fs::path& second_folder) {
  const auto first = read_run(first_folder);
  const auto second = read_run(second_folder);
  if (!first || !second) {
    core::Diagnostics problems;
    if (!first) problems.insert(problems.end(), first.error().begin(), first.error().end());
    if (!second) problems.insert(problems.end(), second.error().begin(), second.error().end());
    return tl::unexpected(std::move(problems));
  }
  RunDifference difference;
  compare_facts(difference, facts(first->manifest), facts(second->manifest));
  compare_parameters(difference, first->parameters, second->parameters);
  compare_predictions(difference, first->rows, second->rows);
  return difference;
}

RunDifference compare_configs(const params::Config& first, const params::Config& second) {
  RunDifference difference;
  compare_facts(difference, facts(first), facts(second));
  compare_parameters(difference, parameters_of(first), parameters_of(second));
  return difference;
}

void compare_predictions(RunDifference& difference, std::span<const eval::Row> first, std::span<const eval::Row> second) {
  std::map<RowKey, const eval::Row*> others;
  for (const eval::Row& row : second) others[{row.experiment, row.stage, row.metric}] = &row;
  std::size_t common = 0;
  for (const eval::Row& a : first) {
    const auto found = others.find({a.experiment, a.stage, a.metric});
    if (found == others.end()) continue;
    ++common;
    const eval::Row& b = *found->second;
    if (a.predicted_ms != b.predicted_ms || a.measured_ms != b.measured_ms)
      difference.predictions.push_back({.first = a, .second = b});
  }
  difference.unmatched_predictions += first.size() + second.size() - 2 * common;
}

std::string difference_json(const RunDifference& difference) {
  Json manifest = Json::array();
  for (const TextDifference& one : difference.manifest) {
    manifest.push_back({{"what", one.what}, {"first", text::or_null(one.first)}, {"second", text::or_null(one.second)}});
  }
  Json parameters = Json::array();
  for (const ParameterDifference& one : difference.parameters) {
    parameters.push_back({{"parameter", one.parameter},
                          {"first", text::or_null(one.first)},
                          {"second", text::or_null(one.second)},
                          {"change_percent", text::or_null(one.change_percent())}});
  }
  Json predictions = Json::array();
  for (const PredictionDifference& one : difference.predictions) {
    const auto& [a, b] = one;
    predictions.push_back({{"experiment", a.experiment},
                           {"stage", a.stage == domain::kSummaryStage ? Json("summary") : Json(a.stage)},
                           {"metric", domain::metric_name(a.metric)},
                           {"first", a.predicted_ms},
                           {"second", b.predicted_ms},
                           {"change_percent", one.change_percent()},
                           {"first_error_percent", a.error_percent()},
                           {"second_error_percent", b.error_percent()}});
  }
  return text::json_text({{"schema", "rooftune/diff/1"},
                          {"same", difference.empty()},
                          {"manifest", std::move(manifest)},
                          {"parameters", std::move(parameters)},
                          {"predictions", std::move(predictions)},
                          {"unmatched_predictions", difference.unmatched_predictions}});
}

}  // namespace rooftune::runs
