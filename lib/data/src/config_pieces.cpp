#include "rooftune/data/config_pieces.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <span>
#include <vector>

#include "rooftune/data/config_forms.hpp"
#include "rooftune/latency/catalogue.hpp"

namespace rooftune::data {
namespace {

/// Times may be 0 whatever their search box says: that switches the term off. Other values divide or scale something.
bool may_be_zero(const params::ParameterSpec& spec) { return spec.lower == 0.0 || spec.unit == "us" || spec.unit == "us/token"; }

/// The registry is too long to be listed in a message.
std::string suggest_from_registry(std::string_view id, const std::vector<std::string_view>& ids) {
  return core::closest_match(id, ids).empty() ? "`rooftune params` lists them all" : core::suggest(id, ids);
}

std::optional<params::ParameterValue> read_value(params::ParameterId id, const text::Member& member, text::Problems& problems) {
  params::ParameterValue result;
  const std::string name = fmt::format("'{}'", member.key);
  if (member.value.kind != text::Node::Kind::object) {
    if (!text::convert(member.value, name, result.value, problems)) return std::nullopt;
    check_value(id, name, result.value, member.value.place, problems);
    return result;
  }
  text::ObjectReader reader(member.value, problems, name);
  const bool has_value = reader.required("value", result.value);
  if (has_value) check_value(id, name, result.value, reader.find("value")->place, problems);
  reader.optional("stderr", result.standard_error, text::at_least(0));
  const auto sources = value_sources();
  reader.optional_choice("source", result.source, std::span<const text::Choice<params::ValueSource>>(sources));
  return has_value ? std::optional(result) : std::nullopt;
}

}  // namespace

std::vector<core::Word<params::ValueSource>> value_sources() {
  std::vector<core::Word<params::ValueSource>> sources;
  for (const auto source : {params::ValueSource::default_value, params::ValueSource::datasheet, params::ValueSource::kernel_table,
                            params::ValueSource::inherited, params::ValueSource::fitted, params::ValueSource::given}) {
    sources.emplace_back(params::source_name(source), source);
  }
  return sources;
}

std::optional<params::ParameterId> read_parameter_id(std::string_view id, text::Place place, text::Problems& problems) {
  const auto found = params::find_parameter(id);
  if (!found) {
    problems.error(place, fmt::format("unknown parameter '{}'", id), suggest_from_registry(id, params::parameter_ids()));
  }
  return found;
}

/// Beyond its bound by more than any mistaken unit; steps of such a length have no end.
constexpr double kAbsurd = 1e9;

void check_value(params::ParameterId id, std::string_view name, double value, text::Place place, text::Problems& problems) {
  const params::ParameterSpec& spec = id.spec();
  if (value < 0.0 || (value == 0.0 && !may_be_zero(spec))) {
    problems.error(place, fmt::format("{} is {}", name, value),
                   fmt::format("it must be {} 0", may_be_zero(spec) ? "at least" : "above"));
  } else if (value > kAbsurd * spec.upper) {
    problems.error(place, fmt::format("{} is {} {}, more than {} times what it is at most", name, value, spec.unit, kAbsurd),
                   fmt::format("expected {} to {}; check the unit", spec.lower, spec.upper));
  } else if ((value < spec.lower && value != 0.0) || value > spec.upper) {
    problems.warning(place, fmt::format("{} is {} {}, outside its usual range", name, value, spec.unit),
                     fmt::format("expected {} to {}; check the unit", spec.lower, spec.upper));
  }
}

params::Assignments read_assignments(const text::Node& object, text::Problems& problems) {
  params::Assignments assignments;
  for (const text::Member& member : object.members) {
    const auto id = read_parameter_id(member.key, member.place, problems);
    if (!id) continue;
    if (const auto value = read_value(*id, member, problems)) assignments[*id] = *value;
  }
  return assignments;
}

void read_switches(const text::Node& object, std::string_view group, std::map<params::SwitchId, std::size_t>& switches,
                   text::Problems& problems) {
  std::vector<std::string_view> known;
  for (const std::string_view id : params::switch_ids()) {
    if (id.starts_with(group)) known.push_back(id.substr(group.size()));
  }
  for (const text::Member& member : object.members) {
    const auto id = params::find_switch(fmt::format("{}{}", group, member.key));
    if (!id) {
      problems.error(member.place, fmt::format("unknown switch '{}'", member.key), suggest_from_registry(member.key, known));
      continue;
    }
    const auto choice = member.value.kind == text::Node::Kind::scalar ? params::find_choice(*id, member.value.text) : std::nullopt;
    if (choice) {
      switches[*id] = *choice;
    } else {
      problems.error(member.value.place,
                     fmt::format("'{}' is {}, which is not one of its choices", member.key, text::describe(member.value)),
                     fmt::format("choose one of: {}", fmt::join(id->spec().choices, ", ")));
    }
  }
}

bool read_step_time_model(const text::Node& node, std::string& target, text::Problems& problems) {
  std::string name;
  if (!text::convert(node, "'step_time_model'", name, problems)) return false;
  if (name != latency::kExternalModel && !latency::is_step_time_model(name)) {
    std::vector<std::string_view> names;
    for (const latency::ModelEntry& entry : latency::step_time_models()) names.push_back(entry.name);
    problems.error(node.place, fmt::format("unknown step-time model '{}'", name), core::suggest(name, names));
    return false;
  }
  target = std::move(name);
  return true;
}

}  // namespace rooftune::data
