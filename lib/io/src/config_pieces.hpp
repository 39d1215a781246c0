#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "rooftune/io/document.hpp"
#include "rooftune/io/object_reader.hpp"
#include "rooftune/params/config.hpp"

/// What configs and studies have in common: parameter values, switches, scopes.
namespace rooftune::io {

/// The parameter called `id`; an unknown one is reported.
[[nodiscard]] std::optional<params::ParameterId> read_parameter_id(std::string_view id, Place place, Problems& problems);

/// Reports a value that no deployment can have (an error), or one outside the registry's bounds (a warning).
void check_value(params::ParameterId id, std::string_view name, double value, Place place, Problems& problems);

/// `{ id: value }` or `{ id: {value:, stderr:, source:} }`; a plain value has the source `given`.
[[nodiscard]] params::Assignments read_assignments(const Node& object, Problems& problems);

/// `{ id: choice }`; `group` ("engine.") stands before every key.
void read_switches(const Node& object, std::string_view group, std::map<params::SwitchId, std::size_t>& switches, Problems& problems);

/// `{model:, gpu:, tp:}`, at least one of them.
[[nodiscard]] params::DeploymentFilter read_where(const Node& object, Problems& problems);

/// A name of the catalogue of step-time models; another one is reported.
bool read_step_time_model(const Node& node, std::string& target, Problems& problems);

}  // namespace rooftune::io
