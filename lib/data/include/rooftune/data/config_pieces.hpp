#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/core/word.hpp"
#include "rooftune/params/config.hpp"
#include "rooftune/text/document.hpp"
#include "rooftune/text/object_reader.hpp"

/// What configs and studies have in common: parameter values, switches, scopes.
namespace rooftune::data {

inline constexpr std::array<core::Word<params::Transform>, 3> kTransforms{{
    {"linear", params::Transform::linear},
    {"log", params::Transform::log},
    {"logit", params::Transform::logit},
}};

/// Where a value came from, in words.
[[nodiscard]] std::vector<core::Word<params::ValueSource>> value_sources();

/// The parameter called `id`; an unknown one is reported.
[[nodiscard]] std::optional<params::ParameterId> read_parameter_id(std::string_view id, text::Place place, text::Problems& problems);

/// Reports a value that no deployment can have (an error), or one outside the registry's bounds (a warning).
void check_value(params::ParameterId id, std::string_view name, double value, text::Place place, text::Problems& problems);

/// `{ id: value }` or `{ id: {value:, stderr:, source:} }`; a plain value has the source `given`.
[[nodiscard]] params::Assignments read_assignments(const text::Node& object, text::Problems& problems);

/// `{ id: choice }`; `group` ("engine.") stands before every key.
void read_switches(const text::Node& object, std::string_view group, std::map<params::SwitchId, std::size_t>& switches,
                   text::Problems& problems);

/// A name of the catalogue of step-time models; another one is reported.
bool read_step_time_model(const text::Node& node, std::string& target, text::Problems& problems);

}  // namespace rooftune::data
