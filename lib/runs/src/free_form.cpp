#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "rooftune/data/config_forms.hpp"
#include "rooftune/data/config_pieces.hpp"
#include "rooftune/params/declared.hpp"
#include "rooftune/params/term.hpp"
#include "study_form.hpp"

namespace rooftune::runs {
namespace {

using data::defined;
using params::FreeParameter;
using text::Json;

text::Form<params::Prior> prior_form() {
  using params::Prior;
  text::Form<Prior> form("'prior'");
  form.number("centre", &Prior::centre, text::any_number(), "in the parameter's own unit").required();
  form.number("standard_deviation", &Prior::standard_deviation, text::above(0),
              "in the transformed space: 0.1 of a log parameter is 10 %")
      .required();
  return form;
}

/// A number in the parameter's own unit, which its registry entry judges.
void add_value(text::Form<FreeParameter>& form, bool is_known, std::string_view name, double FreeParameter::*member,
               std::string_view says) {
  const auto read = [is_known, member](text::ObjectReader& reader, const text::KeySpec& key, FreeParameter& parameter) {
    if (!reader.optional(key.name, parameter.*member)) return;
    if (key.name == "initial") parameter.initial_is_given = true;
    if (!is_known) return;
    data::check_value(parameter.id, fmt::format("'{}' of '{}'", key.name, parameter.id.spec().id), parameter.*member,
                      reader.find(key.name)->place, reader.problems());
  };
  form.own(name, says, text::number_schema(false, text::at_least(0)), read, [member, name](const FreeParameter& parameter) {
    return name == "initial" && !parameter.initial_is_given ? Json(nullptr) : Json(parameter.*member);
  });
}

/// An item that says more than its id. `is_known`: the id is in the registry, which has then something to say about values.
text::Form<FreeParameter> free_form(bool is_known) {
  text::Form<FreeParameter> form("a free parameter");
  form.own(
      "id", "the parameter", defined("parameter_id"), [](auto&, const auto&, FreeParameter&) {},
      [](const FreeParameter& parameter) { return Json(parameter.id.spec().id); });
  add_value(form, is_known, "lower", &FreeParameter::lower, "lower bound; the registry's unless given");
  add_value(form, is_known, "upper", &FreeParameter::upper, "upper bound; the registry's unless given");
  add_value(
      form, is_known, "initial", &FreeParameter::initial,
      "where the fit starts; without it the start config's value, else the registry's, or the middle of bounds that leave that out");
  form.word("transform", &FreeParameter::transform, data::kTransforms,
            "space in which the solver sees it; the registry's unless given");
  form.object("where", &FreeParameter::where, data::where_form(), "limits it to a model, GPU or TP degree");
  form.object("prior", &FreeParameter::prior, prior_form(), "pulls it to a value");
  const auto read_companions = [](text::ObjectReader& reader, const text::KeySpec& key, FreeParameter& parameter) {
    std::vector<std::string> ids;
    if (!reader.optional(key.name, ids)) return;
    for (const std::string& companion : ids) {
      if (const auto id = data::read_parameter_id(companion, reader.find(key.name)->place, reader.problems()))
        parameter.together_with.push_back(*id);
    }
  };
  form.own("together_with", "parameters that keep their ratio to it: one multiplier over several",
           text::list_schema(defined("parameter_id")), read_companions, [](const FreeParameter& parameter) {
             Json ids = Json::array();
             for (const params::ParameterId id : parameter.together_with) ids.push_back(id.spec().id);
             return ids;
           });
  form.check([is_known](text::ObjectReader& reader, FreeParameter& parameter) {
    if (!is_known || !parameter.prior) return;
    const text::Node* centre = reader.find("prior")->find("centre");
    if (centre == nullptr) return;
    data::check_value(parameter.id, fmt::format("'centre' of '{}'", parameter.id.spec().id), parameter.prior->centre, centre->place,
                      reader.problems());
  });
  return form;
}

class FreeReader {
 public:
  FreeReader(const params::Assignments& fixed, text::Problems& problems) : fixed_(fixed), problems_(problems) {}

  std::vector<FreeParameter> read(std::span<const text::Node> items) {
    for (const text::Node& item : items) {
      if (!is_group(item)) note_explicit(item);
    }
    for (const text::Node& item : items) {
      if (item.kind == text::Node::Kind::object) {
        read_object(item);
      } else if (is_group(item)) {
        read_group(item);
      } else if (std::string id; text::convert(item, "a free parameter", id, problems_)) {
        if (const auto found = data::read_parameter_id(id, item.place, problems_)) add(params::make_free(*found), item.place);
      }
    }
    return std::exchange(free_, {});
  }

 private:
  static bool is_group(const text::Node& item) { return item.kind == text::Node::Kind::scalar && item.text.ends_with(".*"); }

  void note_explicit(const text::Node& item) {
    const text::Node* id = item.kind == text::Node::Kind::object ? item.find("id") : &item;
    if (id == nullptr || id->kind != text::Node::Kind::scalar) return;
    if (const auto found = params::find_parameter(id->text)) explicit_.insert(*found);
  }

  /// Every parameter of the group, but for those that the study fixes or describes itself.
  void read_group(const text::Node& item) {
    std::set<std::string> groups;
    for (const params::ParameterSpec& spec : params::parameter_registry()) {
      const std::string group = fmt::format("{}.*", spec.group());
      groups.insert(group);
      if (group != item.text) continue;
      const params::ParameterId id = params::parameter(spec.id);
      if (!fixed_.contains(id) && !explicit_.contains(id)) add(params::make_free(id), item.place);
    }
    if (groups.contains(item.text)) return;
    problems_.error(item.place, fmt::format("unknown group of parameters '{}'", item.text),
                    core::suggest(item.text, {groups.begin(), groups.end()}));
  }

  void read_object(const text::Node& item) {
    text::ObjectReader reader(item, problems_, "a free parameter");
    std::string id;
    std::optional<params::ParameterId> found;
    if (reader.required("id", id)) found = data::read_parameter_id(id, reader.find("id")->place, problems_);
    FreeParameter parameter = params::make_free(found.value_or(params::ParameterId{}));
    free_form(found.has_value()).read(reader, parameter);
    if (!found) return;
    if (!parameter.initial_is_given) move_inside(parameter);
    add(parameter, reader.find("lower") != nullptr ? reader.place_of("lower") : item.place);
  }

  /// The registry's start may lie outside bounds that the study narrows; the middle of those is the natural start then.
  static void move_inside(FreeParameter& parameter) {
    if (parameter.initial >= parameter.lower && parameter.initial <= parameter.upper) return;
    const bool is_log = parameter.transform == params::Transform::log && parameter.lower > 0.0;
    parameter.initial = is_log ? std::sqrt(parameter.lower * parameter.upper) : 0.5 * (parameter.lower + parameter.upper);
  }

  void add(FreeParameter parameter, text::Place place) {
    for (const core::Diagnostic& problem : params::check(std::span(&parameter, 1)))
      problems_.error(place, problem.problem, problem.remedy);
    const bool is_duplicate = std::ranges::any_of(
        free_, [&](const FreeParameter& other) { return other.id == parameter.id && other.where == parameter.where; });
    if (is_duplicate) problems_.error(place, fmt::format("'{}' is listed twice", parameter.label()), "remove one of the two");
    if (fixed_.contains(parameter.id)) {
      problems_.error(place, fmt::format("'{}' is both free and fixed", parameter.id.spec().id),
                      "remove it from 'free' or from 'fixed'");
    }
    free_.push_back(std::move(parameter));
  }

  const params::Assignments& fixed_;
  text::Problems& problems_;
  std::set<params::ParameterId> explicit_;
  std::vector<FreeParameter> free_;
};

}  // namespace

std::vector<FreeParameter> read_free(std::span<const text::Node> items, const params::Assignments& fixed, text::Problems& problems) {
  return FreeReader(fixed, problems).read(items);
}

Json free_json(const std::vector<FreeParameter>& free) {
  const text::Form<FreeParameter> form = free_form(true);
  Json items = Json::array();
  for (const FreeParameter& parameter : free) items.push_back(form.write(parameter));
  return items;
}

Json free_schema() {
  std::set<std::string> groups;
  for (const params::ParameterSpec& spec : params::parameter_registry()) {
    if (spec.group() != params::kExternalGroup && spec.group() != params::kUserGroup) groups.insert(fmt::format("{}.*", spec.group()));
  }
  Json details = free_form(true).schema();
  // Of the parameter that a form is made with; those of the others are in the registry.
  for (auto& property : details["properties"]) property.erase("default");
  details["required"] = Json::array({"id"});
  const Json group = {{"enum", groups}, {"description", "all of a group but what `fixed` or another item names"}};
  const Json external_group = {{"const", fmt::format("{}.*", params::kExternalGroup)},
                               {"description", "all that `simulator` declares"}};
  return text::list_schema({{"anyOf", Json::array({defined("parameter_id"), group, external_group, details})}});
}

}  // namespace rooftune::runs
