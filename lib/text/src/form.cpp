#include "rooftune/text/form.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "rooftune/core/diagnostics.hpp"

namespace rooftune::text {

namespace form_values {

void read_name(ObjectReader& reader, const KeySpec& key, std::string& target, const std::vector<std::string_view>& names) {
  const Node* node = key.is_required ? reader.required_node(key.name) : reader.find(key.name);
  std::string name;
  if (node == nullptr || !convert(*node, fmt::format("'{}'", key.name), name, reader.problems())) return;
  if (std::ranges::find(names, name) != names.end()) {
    target = std::move(name);
  } else {
    reader.problems().error(node->place, fmt::format("unknown {} '{}'", key.name, name), core::suggest(name, names));
  }
}

void read_texts(ObjectReader& reader, const KeySpec& key, std::vector<std::string>& target) {
  const Node* node = key.is_required ? reader.required_node(key.name) : reader.find(key.name);
  if (node == nullptr) return;
  if (node->kind == Node::Kind::list) {
    reader.optional(key.name, target);
  } else if (std::string text; reader.optional(key.name, text)) {
    target = {std::move(text)};
  }
}

const Node* read_object(ObjectReader& reader, const KeySpec& key) {
  return key.is_required ? reader.required_object(key.name) : reader.optional_object(key.name);
}

}  // namespace form_values

bool is_empty(const Json& value) {
  if (value.is_string()) return value.get_ref<const std::string&>().empty();
  return value.is_null() || ((value.is_array() || value.is_object()) && value.empty());
}

Json text_schema() { return {{"type", "string"}, {"minLength", 1}}; }

Json number_schema(bool is_whole, Range range) {
  // Bounds that are whole numbers are written as such.
  const auto bound = [](double value) {
    const bool fits = value == std::floor(value) && std::abs(value) < 1e15;
    return fits ? Json(static_cast<std::int64_t>(value)) : Json(value);
  };
  Json schema = {{"type", is_whole ? "integer" : "number"}};
  if (std::isfinite(range.min)) schema[range.excludes_min ? "exclusiveMinimum" : "minimum"] = bound(range.min);
  if (const double most = std::min(range.max, range.limit); std::isfinite(most)) schema["maximum"] = bound(most);
  return schema;
}

Json words_schema(std::span<const std::string_view> words) { return {{"enum", std::vector<std::string>(words.begin(), words.end())}}; }

Json list_schema(Json items) {
  Json schema = {{"type", "array"}};
  schema["items"] = std::move(items);
  return schema;
}

Json one_or_list_schema(const Json& schema) { return {{"anyOf", Json::array({schema, list_schema(schema)})}}; }

Json map_schema(Json value) {
  Json schema = {{"type", "object"}};
  schema["additionalProperties"] = std::move(value);
  return schema;
}

Json object_schema(const std::vector<KeySpec>& keys, const Json& defaults) {
  Json schema = {{"type", "object"}, {"additionalProperties", false}};
  Json required = Json::array();
  Json& properties = schema["properties"] = Json::object();
  Json rules = Json::array();
  for (const KeySpec& key : keys) {
    Json& property = properties[key.name] = Json::object();
    property["description"] = key.says;
    property.update(key.schema);
    const Json& standard = defaults.at(key.name);
    // What an object holds by default its own keys say.
    const bool is_said = standard.is_null() || standard == Json("") || (is_empty(standard) && !key.example.is_null());
    if (!is_said && !key.is_required && !key.schema.contains("properties")) property["default"] = standard;
    if (!key.example.is_null()) property["examples"] = Json::array({key.example});
    if (key.is_required && key.deciding_words.empty()) required.push_back(key.name);
    if (key.deciding_words.empty()) continue;
    Json decides = {{"properties", {{key.deciding_key, {{"enum", key.deciding_words}}}}}};
    // Without the deciding key its default holds.
    const Json& decided = defaults.at(key.deciding_key);
    if (std::ranges::none_of(key.deciding_words, [&](const std::string& word) { return decided == word; }))
      decides["required"] = Json::array({key.deciding_key});
    Json rule = {{"if", std::move(decides)}};
    if (key.is_required) rule["then"] = {{"required", Json::array({key.name})}};
    rule["else"] = {{"properties", {{key.name, false}}}};
    rules.push_back(std::move(rule));
  }
  if (!required.empty()) schema["required"] = std::move(required);
  if (!rules.empty()) schema["allOf"] = std::move(rules);
  return schema;
}

Json root_schema(std::string_view title, std::string_view says, Json schema, Json definitions) {
  Json root = {{"$schema", "https://json-schema.org/draft/2020-12/schema"}, {"title", title}, {"description", says}};
  for (auto& [key, value] : schema.items()) root[key] = std::move(value);
  if (!definitions.empty()) root["$defs"] = std::move(definitions);
  return root;
}

}  // namespace rooftune::text
