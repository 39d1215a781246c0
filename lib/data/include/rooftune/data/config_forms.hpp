#pragma once

#include <map>
#include <string_view>

#include "rooftune/params/config.hpp"
#include "rooftune/text/form.hpp"

/// How what configs and studies have in common is written, and its JSON Schema; how it is read: config_pieces.hpp.
namespace rooftune::data {

using text::Json;

/// `{model:, gpu:, tp:}`, at least one of them.
[[nodiscard]] text::Form<params::DeploymentFilter> where_form();

/// `{id: value}`: each an object with its source, and its standard error where it has one.
[[nodiscard]] Json assignments_json(const params::Assignments& assignments);
/// The same, with numbers alone for values that somebody gave.
[[nodiscard]] Json short_assignments_json(const params::Assignments& assignments);

/// `{id: choice}`
[[nodiscard]] Json switches_json(const std::map<params::SwitchId, std::size_t>& switches);
/// `{id: choice}` of the switches whose ids begin with `group` ("engine." or nothing), without it.
[[nodiscard]] Json switches_schema(std::string_view group);
[[nodiscard]] Json step_time_model_schema();
/// A number for each of some metrics.
[[nodiscard]] Json metrics_schema(const Json& number);

/// What schemas refer to by name: `parameter_id`, `value` and `assignments`, with what the registry says about each parameter.
[[nodiscard]] Json parameter_definitions();
/// `{"$ref": "#/$defs/<name>"}`
[[nodiscard]] Json defined(std::string_view name);

}  // namespace rooftune::data
