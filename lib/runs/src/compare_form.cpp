#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "rooftune/data/config_forms.hpp"
#include "rooftune/data/config_pieces.hpp"
#include "study_form.hpp"

namespace rooftune::runs {
namespace {

using calibrate::CompareSpec;
using calibrate::OneByOneSpec;
using calibrate::StudySpec;
using calibrate::VariantSpec;
using text::Json;

using FreeList = std::vector<params::FreeParameter> VariantSpec::*;

/// What the study fixes, and what the variant does instead.
params::Assignments fixed_for(const VariantSpec& variant, const StudySpec& study) {
  params::Assignments fixed = study.fixed;
  for (const auto& [id, value] : variant.fixed) fixed[id] = value;
  return fixed;
}

void add_free(text::Form<VariantSpec>& form, std::string_view name, FreeList member, const StudySpec& study, std::string_view says,
              Json example) {
  const auto read = [member, &study](text::ObjectReader& reader, const text::KeySpec& key, VariantSpec& variant) {
    variant.*member = read_free(reader.optional_list(key.name), fixed_for(variant, study), reader.problems());
  };
  form.own(name, says, free_schema, read, [member](const VariantSpec& variant) { return free_json(variant.*member); })
      .example(std::move(example));
}

void check_free(text::ObjectReader& reader, const VariantSpec& variant, const StudySpec& study) {
  for (const params::FreeParameter& parameter : variant.free) {
    const auto is_same = [&](const params::FreeParameter& other) {
      return other.id == parameter.id && other.where == parameter.where;
    };
    if (std::ranges::none_of(study.free, is_same)) continue;
    reader.problems().error(reader.place_of("free"), fmt::format("'{}' is free in the whole study", parameter.label()),
                            "remove it from the variant");
  }
  for (const params::FreeParameter& parameter : variant.free_per_deployment) {
    if (parameter.where.matches_everything()) continue;
    reader.problems().error(reader.place_of("free_per_deployment"), fmt::format("'{}' is limited to a deployment", parameter.label()),
                            "remove its 'where': every deployment gets one");
  }
}

text::Form<VariantSpec> variant_form(const StudySpec& study) {
  text::Form<VariantSpec> form("a variant");
  form.text("name", &VariantSpec::name, "how tables call it").required();
  form.own(
      "step_time_model", "in place of the study's", data::step_time_model_schema,
      [](text::ObjectReader& reader, const text::KeySpec& key, VariantSpec& variant) {
        if (const text::Node* model = reader.find(key.name))
          data::read_step_time_model(*model, variant.step_time_model.emplace(), reader.problems());
      },
      [](const VariantSpec& variant) { return variant.step_time_model ? Json(*variant.step_time_model) : Json(nullptr); });
  form.own(
      "switches", "override the study's", data::defined("switches"),
      [](text::ObjectReader& reader, const text::KeySpec& key, VariantSpec& variant) {
        if (const text::Node* node = reader.optional_object(key.name))
          data::read_switches(*node, "", variant.switches, reader.problems());
      },
      [](const VariantSpec& variant) { return data::switches_json(variant.switches); });
  form.own(
      "fixed", "override the study's", data::defined("assignments"),
      [](text::ObjectReader& reader, const text::KeySpec& key, VariantSpec& variant) {
        if (const text::Node* node = reader.optional_object(key.name))
          variant.fixed = data::read_assignments(*node, reader.problems());
      },
      [](const VariantSpec& variant) { return data::short_assignments_json(variant.fixed); });
  add_free(form, "free", &VariantSpec::free, study, "fitted beside the study's", Json::array({"physics.*"}));
  add_free(form, "free_per_deployment", &VariantSpec::free_per_deployment, study, "fitted once for every (model, GPU, TP) of the data",
           Json::array({"blackbox.*"}));
  form.check([&study](text::ObjectReader& reader, const VariantSpec& variant) { check_free(reader, variant, study); });
  return form;
}

text::Form<OneByOneSpec> one_by_one_form() {
  text::Form<OneByOneSpec> form("'one_by_one'");
  form.text("from", &OneByOneSpec::from, "name of the variant that is fitted again").required().example("corrected");
  form.text("to", &OneByOneSpec::to, "name of the variant that the changes come from").required().example("as first written");
  return form;
}

void check_names(text::ObjectReader& reader, const CompareSpec& compare) {
  std::vector<std::string_view> names;
  for (std::size_t i = 0; i < compare.variants.size(); ++i) {
    const std::string& name = compare.variants[i].name;
    if (std::ranges::find(names, name) != names.end()) {
      reader.problems().error(reader.find("variants")->items[i].place, fmt::format("a second variant is named '{}'", name),
                              "give every variant a name of its own");
    }
    names.push_back(name);
  }
  if (!compare.one_by_one) return;
  for (const text::Member& member : reader.find("one_by_one")->members) {
    if (member.key != "from" && member.key != "to") continue;
    const std::string& name = member.key == "from" ? compare.one_by_one->from : compare.one_by_one->to;
    if (name.empty() || std::ranges::find(names, name) != names.end()) continue;
    reader.problems().error(member.place, fmt::format("no variant is named '{}'", name), core::suggest(name, names));
  }
}

}  // namespace

text::Form<CompareSpec> compare_form(const StudySpec& study) {
  text::Form<CompareSpec> form("'compare'");
  form.objects("variants", &CompareSpec::variants, variant_form(study), "what is fitted side by side")
      .required()
      .example(Json::array(
          {{{"name", "physics"}, {"step_time_model", "physics"}, {"free", Json::array({"physics.*"})}},
           {{"name", "blackbox"}, {"step_time_model", "blackbox"}, {"free_per_deployment", Json::array({"blackbox.*"})}}}));
  form.object("one_by_one", &CompareSpec::one_by_one, one_by_one_form(),
              "`from` is fitted again with each switch and fixed value in which `to` differs");
  form.check([](text::ObjectReader& reader, const CompareSpec& compare) { check_names(reader, compare); });
  return form;
}

}  // namespace rooftune::runs
