#include "rooftune/data/registry_file.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "rooftune/params/registry.hpp"
#include "rooftune/text/csv_text.hpp"
#include "rooftune/text/json_text.hpp"

namespace rooftune::data {

std::string registry_json() {
  using Json = nlohmann::ordered_json;
  Json parameters = Json::array();
  for (const params::ParameterSpec& spec : params::parameter_registry()) {
    parameters.push_back({{"id", spec.id},
                          {"unit", spec.unit},
                          {"lower", spec.lower},
                          {"initial", spec.initial},
                          {"upper", spec.upper},
                          {"transform", params::transform_name(spec.transform)},
                          {"scope", params::scope_name(spec.scope)},
                          {"meaning", spec.meaning},
                          {"source", spec.source}});
  }
  Json switches = Json::array();
  for (const params::SwitchSpec& spec : params::switch_registry()) {
    Json choices = Json::array();
    for (const std::string_view choice : spec.choices) choices.push_back(choice);
    switches.push_back({{"id", spec.id},
                        {"initial", spec.choices[spec.initial]},
                        {"choices", std::move(choices)},
                        {"meaning", spec.meaning},
                        {"source", spec.source}});
  }
  return text::json_text(
      {{"schema", "rooftune/parameters/1"}, {"parameters", std::move(parameters)}, {"switches", std::move(switches)}});
}

std::string registry_csv() {
  std::string text = "kind,id,unit,lower,initial,upper,choices,transform,scope,meaning,source\n";
  for (const params::ParameterSpec& spec : params::parameter_registry()) {
    text += fmt::format("parameter,{},{},{},{},{},,{},{},{},{}\n", spec.id, spec.unit, spec.lower, spec.initial, spec.upper,
                        params::transform_name(spec.transform), params::scope_name(spec.scope), text::csv_cell(spec.meaning),
                        text::csv_cell(spec.source));
  }
  for (const params::SwitchSpec& spec : params::switch_registry()) {
    text += fmt::format("switch,{},,,{},,{},,,{},{}\n", spec.id, spec.choices[spec.initial], fmt::join(spec.choices, " "),
                        text::csv_cell(spec.meaning), text::csv_cell(spec.source));
  }
  return text;
}

}  // namespace rooftune::data
