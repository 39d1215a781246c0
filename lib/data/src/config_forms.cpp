#include "rooftune/data/config_forms.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "rooftune/data/config_pieces.hpp"
#include "rooftune/latency/catalogue.hpp"
#include "rooftune/params/declared.hpp"
#include "rooftune/params/term.hpp"

namespace rooftune::data {
namespace {

/// Ids of parameters that studies declare: those of a simulator of their own, and the coefficients of terms.
Json declared_id_schema() {
  return {{"type", "string"}, {"pattern", fmt::format("^({}|{})\\.\\w+$", params::kExternalGroup, params::kUserGroup)}};
}

std::string meaning_of(const params::ParameterSpec& spec) {
  return fmt::format("{} to {} {}, starts at {}: {}", spec.lower, spec.upper, spec.unit, spec.initial, spec.meaning);
}

/// What the process has not been told by a study.
template <class Visit>
void for_each_shipped(const Visit& visit) {
  for (const params::ParameterSpec& spec : params::parameter_registry()) {
    if (spec.group() != params::kExternalGroup && spec.group() != params::kUserGroup) visit(spec);
  }
}

/// Every field that holds a number alone.
Json value_schema() {
  std::vector<std::string_view> sources;
  for (const auto& [word, source] : value_sources()) sources.push_back(word);
  const Json object =
      text::object_schema({{.name = "value",
                            .says = "in the parameter's unit",
                            .schema = text::number_schema(false, text::at_least(0)),
                            .is_required = true},
                           {.name = "stderr", .says = "standard error", .schema = text::number_schema(false, text::at_least(0))},
                           {.name = "source", .says = "where the value came from", .schema = text::words_schema(sources)}},
                          {{"value", nullptr}, {"stderr", nullptr}, {"source", params::source_name(params::ValueSource::given)}});
  return {{"anyOf", Json::array({text::number_schema(false, text::at_least(0)), object})}};
}

}  // namespace

text::Form<params::DeploymentFilter> where_form() {
  using Where = params::DeploymentFilter;
  text::Form<Where> form("'where'");
  form.text("model", &Where::model, "name of a model");
  form.text("gpu", &Where::gpu, "name or alias of a GPU");
  form.number("tp", &Where::tp, text::at_least(1), "TP degree");
  form.check([](text::ObjectReader& reader, Where&) {
    if (reader.node().kind != text::Node::Kind::object || !reader.node().members.empty()) return;
    reader.problems().error(reader.node().place, "'where' is empty", "give at least one of model, gpu, tp, or leave 'where' out");
  });
  return form;
}

Json assignments_json(const params::Assignments& assignments) {
  Json json = Json::object();
  // As the registry has them, then coefficients of terms by name: the order in which a process came to know those means nothing.
  std::vector<params::ParameterId> ids;
  for (const auto& [id, assigned] : assignments) ids.push_back(id);
  std::ranges::stable_sort(
      ids, {}, [](params::ParameterId id) { return params::find_term(id) != nullptr ? id.spec().id : std::string_view(); });
  for (const params::ParameterId id : ids) {
    const params::ParameterValue& assigned = assignments.at(id);
    Json entry = {{"value", assigned.value}};
    if (assigned.standard_error && std::isfinite(*assigned.standard_error)) entry["stderr"] = *assigned.standard_error;
    entry["source"] = params::source_name(assigned.source);
    json[std::string(id.spec().id)] = std::move(entry);
  }
  return json;
}

Json short_assignments_json(const params::Assignments& assignments) {
  Json json = assignments_json(assignments);
  for (const auto& [id, assigned] : assignments) {
    const bool is_plain = assigned.source == params::ValueSource::given && !assigned.standard_error;
    if (is_plain) json[std::string(id.spec().id)] = assigned.value;
  }
  return json;
}

Json switches_json(const std::map<params::SwitchId, std::size_t>& switches) {
  Json json = Json::object();
  for (const auto& [id, choice] : switches) json[std::string(id.spec().id)] = id.spec().choices[choice];
  return json;
}

Json switches_schema(std::string_view group) {
  std::vector<text::KeySpec> keys;
  Json defaults = Json::object();
  for (const params::SwitchSpec& spec : params::switch_registry()) {
    if (!spec.id.starts_with(group)) continue;
    const std::string name(spec.id.substr(group.size()));
    keys.push_back({.name = name, .says = std::string(spec.meaning), .schema = text::words_schema(spec.choices)});
    defaults[name] = spec.choices[spec.initial];
  }
  return text::object_schema(keys, defaults);
}

Json step_time_model_schema() {
  Json known = Json::array();
  for (const latency::ModelEntry& entry : latency::step_time_models()) {
    known.push_back({{"const", entry.name}, {"description", entry.summary}});
  }
  known.push_back({{"const", latency::kExternalModel}, {"description", "predictions of a study's own simulator"}});
  return {{"anyOf", std::move(known)}};
}

Json metrics_schema(const Json& number) {
  Json schema = {{"type", "object"}, {"additionalProperties", false}};
  for (const domain::Metric metric : domain::kMetrics) schema["properties"][std::string(domain::metric_name(metric))] = number;
  return schema;
}

Json parameter_definitions() {
  Json ids = Json::array();
  Json assignments = {{"type", "object"}, {"additionalProperties", false}};
  for_each_shipped([&](const params::ParameterSpec& spec) {
    ids.push_back({{"const", spec.id}, {"description", meaning_of(spec)}});
    Json& property = assignments["properties"][std::string(spec.id)] = defined("value");
    property["description"] = meaning_of(spec);
  });
  const Json declared = declared_id_schema();
  ids.push_back(declared);
  assignments["patternProperties"][declared.at("pattern").get<std::string>()] = defined("value");
  return {{"parameter_id", {{"anyOf", std::move(ids)}}}, {"value", value_schema()}, {"assignments", std::move(assignments)}};
}

Json defined(std::string_view name) { return {{"$ref", fmt::format("#/$defs/{}", name)}}; }

}  // namespace rooftune::data
