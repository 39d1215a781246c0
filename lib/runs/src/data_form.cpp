#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <string>

#include "rooftune/data/config_forms.hpp"
#include "study_form.hpp"

namespace rooftune::runs {
namespace {

using calibrate::DataSpec;
using calibrate::ModelAssumption;
using calibrate::Selector;
using text::Json;

std::vector<std::string_view> roles() {
  std::vector<std::string_view> roles;
  for (const auto role : {domain::Role::calibration, domain::Role::new_gpu, domain::Role::overload})
    roles.push_back(domain::role_name(role));
  return roles;
}

bool is_acceptable(std::string_view field, const text::Node& value, text::Problems& problems) {
  if (value.kind != text::Node::Kind::scalar) {
    problems.error(value.place, fmt::format("'{}' is {}", field, text::describe(value)), "give a value or a list of values");
    return false;
  }
  if (field == "tp") {
    int tp = 0;
    return text::convert(value, "'tp'", tp, problems, text::at_least(1));
  }
  const std::vector<std::string_view> known = roles();
  if (field != "role" || std::ranges::find(known, value.text) != known.end()) return true;
  problems.error(value.place, fmt::format("unknown role '{}'", value.text), core::suggest(value.text, known));
  return false;
}

text::Form<ModelAssumption> assumption_form(const std::string& model) {
  text::Form<ModelAssumption> form(fmt::format("what is assumed about '{}'", model));
  form.number("moe_layers", &ModelAssumption::moe_layers, text::at_least(0), "layers with experts");
  form.flag("truncated_sampling", &ModelAssumption::truncated_sampling, "whether it samples by top-p or top-k by default");
  return form;
}

/// `{Qwen2.5-7B-Instruct: {truncated_sampling: true}}`
void read_assumptions(text::ObjectReader& reader, const text::KeySpec& key, DataSpec& data) {
  const text::Node* object = reader.optional_object(key.name);
  if (object == nullptr) return;
  data.assume.clear();
  for (const text::Member& member : object->members) {
    if (member.value.kind != text::Node::Kind::object) {
      reader.problems().error(member.value.place,
                              fmt::format("what is assumed about '{}' is {}", member.key, text::describe(member.value)),
                              "e.g. {truncated_sampling: true}");
      continue;
    }
    assumption_form(member.key)
        .read(member.value, reader.problems(),
              data.assume.emplace_back(ModelAssumption{.model = member.key, .moe_layers = {}, .truncated_sampling = {}}));
  }
}

text::Form<calibrate::SimulatedSpec> simulated_form() {
  using calibrate::SimulatedSpec;
  text::Form<SimulatedSpec> form("'simulated_by'");
  form.text("config", &SimulatedSpec::config, "config that is the truth: the name of a shipped one, or a path")
      .required()
      .example("truth.json");
  form.number("noise", &SimulatedSpec::noise, text::at_least(0), "standard deviation of the logarithm of every latency");
  form.number("seed", &SimulatedSpec::seed, text::at_least(0),
              "seed of its arrivals, which differ from the study's, and of the noise");
  return form;
}

void add_selectors(text::Form<DataSpec>& form, std::string_view name, std::vector<Selector> DataSpec::*member, std::string_view says,
                   Json example) {
  const auto read = [member](text::ObjectReader& reader, const text::KeySpec& key, DataSpec& data) {
    if (const text::Node* node = reader.optional_object(key.name)) data.*member = read_selectors(*node, reader.problems());
  };
  form.own(name, says, data::defined("selectors"), read, [member](const DataSpec& data) { return selectors_json(data.*member); })
      .example(std::move(example));
}

}  // namespace

std::vector<Selector> read_selectors(const text::Node& object, text::Problems& problems) {
  std::vector<Selector> selectors;
  for (const text::Member& member : object.members) {
    if (std::ranges::find(calibrate::kSelectorFields, member.key) == calibrate::kSelectorFields.end()) {
      problems.error(member.place, fmt::format("experiments cannot be selected by '{}'", member.key),
                     fmt::format("use one of: {}", fmt::join(calibrate::kSelectorFields, ", ")));
      continue;
    }
    const bool is_list = member.value.kind == text::Node::Kind::list;
    const std::span<const text::Node> values =
        is_list ? std::span<const text::Node>(member.value.items) : std::span<const text::Node>(&member.value, 1);
    if (values.empty())
      problems.error(member.value.place, fmt::format("'{}' is an empty list", member.key), "name a value, or remove it");
    for (const text::Node& value : values) {
      if (is_acceptable(member.key, value, problems)) selectors.push_back({.field = member.key, .value = value.text});
    }
  }
  return selectors;
}

Json selectors_json(const std::vector<Selector>& selectors) {
  Json json = Json::object();
  for (const Selector& selector : selectors) {
    int tp = 0;
    const std::string& text = selector.value;
    const bool is_number = selector.field == "tp" && std::from_chars(text.data(), text.data() + text.size(), tp).ec == std::errc{};
    json[selector.field].push_back(is_number ? Json(tp) : Json(text));
  }
  return json;
}

Json selectors_schema() {
  Json schema = {{"type", "object"},
                 {"additionalProperties", false},
                 {"description", "values of one field are alternatives, fields must all match"}};
  for (const std::string_view field : calibrate::kSelectorFields) {
    Json value = {{"type", Json::array({"string", "number", "boolean"})}};
    if (field == "tp") value = text::number_schema(true, text::at_least(1));
    if (field == "role") value = text::words_schema(roles());
    Json& property = schema["properties"][std::string(field)] = text::one_or_list_schema(value);
    property["anyOf"][1]["minItems"] = 1;
  }
  return schema;
}

text::Form<DataSpec> data_form() {
  text::Form<DataSpec> form("'data'");
  form.text_or_texts("ground_truth", &DataSpec::ground_truth, "files of measured experiments")
      .example(Json::array({"../ground_truth/h100.json"}));
  form.text_or_texts("models", &DataSpec::models, "files or folders of models beside the shipped ones");
  form.text_or_texts("hardware", &DataSpec::hardware, "files of GPUs beside the shipped ones");
  form.text_or_texts("kernels", &DataSpec::kernels, "folders of kernel tables");
  add_selectors(
      form, "select", &DataSpec::select,
      "which experiments: values of one field are alternatives, fields must all match; without it every experiment whose role is "
      "calibration",
      {{"hardware", Json::array({"H100"})}, {"tp", Json::array({1, 2})}});
  add_selectors(form, "exclude", &DataSpec::exclude, "which of them are left out", {{"id", Json::array({"48"})}});
  add_selectors(form, "held_out", &DataSpec::held_out, "which of them are never fitted; `fit` predicts them at every iteration",
                {{"model", "Yi-34B"}});
  form.own(
          "assume", "by model, what is taken for granted where its own config says nothing; what contradicts it is an error",
          [] { return text::map_schema(assumption_form("").schema()); }, read_assumptions,
          [](const DataSpec& data) {
            Json json = Json::object();
            for (const ModelAssumption& assumed : data.assume) json[assumed.model] = assumption_form("").write(assumed);
            return json;
          })
      .example({{"Qwen2.5-7B-Instruct", {{"truncated_sampling", true}}}});
  form.object(
      "simulated_by", &DataSpec::simulated_by, simulated_form(),
      "a twin experiment: latencies that this config predicts, with other arrivals and with noise in their logarithms, in place of "
      "the measured ones");
  return form;
}

}  // namespace rooftune::runs
