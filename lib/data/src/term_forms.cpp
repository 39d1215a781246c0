#include "rooftune/data/term_forms.hpp"

#include <fmt/format.h>

#include <string>

#include "rooftune/params/prior_knowledge.hpp"
#include "rooftune/text/object_reader.hpp"

namespace rooftune::data {
namespace {

using params::Term;
using text::Json;

/// Bounds that nobody gave: of a time per count, and of a factor.
constexpr double kLargestUs = 1000.0;
constexpr double kLargestFactor = 10.0;

/// An item as it stands in a file.
struct Item {
  Term term;
  std::optional<double> start;
  std::optional<params::Prior> prior;
  core::SourcePosition expression;
};

text::Form<params::Prior> prior_form() {
  using params::Prior;
  text::Form<Prior> form("'prior'");
  form.number("centre", &Prior::centre, text::at_least(0), "in the coefficient's own unit").required();
  form.number("standard_deviation", &Prior::standard_deviation, text::above(0), "in the coefficient's own unit").required();
  return form;
}

void read_id(text::ObjectReader& reader, const text::KeySpec& key, Item& item) {
  const std::string prefix = fmt::format("{}.", params::kUserGroup);
  std::string id;
  if (!reader.required(key.name, id)) return;
  if (!id.starts_with(prefix)) {
    reader.problems().error(reader.place_of(key.name), fmt::format("'{}' is no id of a term", id),
                            fmt::format("let it begin with '{}', e.g. user.norm_us", prefix));
    return;
  }
  item.term.name = id.substr(prefix.size());
  item.term.upper = item.term.name.ends_with("_factor") ? kLargestFactor : kLargestUs;
}

void read_bounds(text::ObjectReader& reader, const text::KeySpec& key, Item& item) {
  std::vector<double> bounds;
  if (!reader.optional(key.name, bounds, text::at_least(0))) return;
  if (bounds.size() != 2 || !(bounds.front() < bounds.back())) {
    reader.problems().error(reader.place_of(key.name), "'bounds' are two numbers, the lower one first", "e.g. [0, 20]");
    return;
  }
  item.term.lower = bounds.front();
  item.term.upper = bounds.back();
}

text::Form<Item> item_form(TermsIn where) {
  text::Form<Item> form("a term");
  const Json id_schema{{"type", "string"}, {"pattern", fmt::format("^{}\\.[a-z0-9_]+_(us|factor)$", params::kUserGroup)}};
  form.own("id", "of its coefficient: user.<name>, which ends in _us (times a number) or _factor (times a time)", id_schema, read_id,
           [](const Item& item) { return Json(fmt::format("{}.{}", params::kUserGroup, item.term.name)); })
      .required();
  form.own(
      "scale", "what the expression counts for: once a step, or for each layer, sequence or token of it",
      [] {
        std::vector<std::string_view> words;
        for (const auto& [word, value] : params::kTermScales) words.push_back(word);
        return text::words_schema(words);
      },
      [](text::ObjectReader& reader, const text::KeySpec& key, Item& item) {
        reader.optional_choice(key.name, item.term.scale, std::span<const text::Choice<params::TermScale>>(params::kTermScales));
      },
      [](const Item& item) { return Json(core::word_of(params::kTermScales, item.term.scale)); });
  form.own(
          "expression", "formula over what a step knows (docs/parameters.md lists it)", text::text_schema(),
          [](text::ObjectReader& reader, const text::KeySpec& key, Item& item) {
            if (!reader.required(key.name, item.term.expression)) return;
            const text::Place place = reader.find(key.name)->place;
            item.expression = {.file = {}, .line = place.line, .column = place.column};
          },
          [](const Item& item) { return Json(item.term.expression); })
      .required();
  form.own(
      "bounds", "lower and upper bound of the coefficient; without them 0 to 1000 us, or a factor of 0 to 10",
      [] {
        Json list = text::list_schema(text::number_schema(false, text::at_least(0)));
        list["minItems"] = list["maxItems"] = 2;
        return list;
      },
      read_bounds,
      [](const Item& item) {
        return item.term.upper > 0.0 ? Json::array({item.term.lower, item.term.upper}) : Json(nullptr);
      });
  if (where == TermsIn::config) return form;
  form.number("start", &Item::start, text::at_least(0), "where the fit starts; without it the lower bound");
  form.object("prior", &Item::prior, prior_form(), "pulls the coefficient to a value");
  return form;
}

}  // namespace

std::vector<TermItem> read_terms(std::span<const text::Node> items, TermsIn where, text::Problems& problems) {
  const text::Form<Item> form = item_form(where);
  std::vector<TermItem> terms;
  for (const text::Node& node : items) {
    Item item;
    const std::size_t before = problems.error_count();
    form.read(node, problems, item);
    if (problems.error_count() != before) continue;
    const auto id = params::declare_term(item.term, item.expression);
    if (!id) {
      for (const core::Diagnostic& problem : id.error()) {
        problems.error({problem.position.line, problem.position.column}, problem.problem, problem.remedy);
      }
      continue;
    }
    TermItem& term = terms.emplace_back(TermItem{.id = *id, .free = params::make_free(*id), .place = node.place});
    term.free.lower = item.term.lower;
    term.free.upper = item.term.upper;
    term.free.initial = item.start.value_or(item.term.lower);
    term.free.initial_is_given = true;
    term.free.prior = item.prior;
    if (term.free.initial < term.free.lower || term.free.initial > term.free.upper) {
      problems.error(node.place, fmt::format("the start of '{}' lies outside its bounds", id->spec().id),
                     fmt::format("start between {} and {}", term.free.lower, term.free.upper));
    }
  }
  return terms;
}

Json terms_json(const std::vector<params::ParameterId>& ids) {
  const text::Form<Item> form = item_form(TermsIn::config);
  Json json = Json::array();
  for (const params::ParameterId id : ids) {
    if (const Term* term = params::find_term(id))
      json.push_back(form.write({.term = *term, .start = {}, .prior = {}, .expression = {}}));
  }
  return json;
}

Json terms_schema(TermsIn where) { return text::list_schema(item_form(where).schema()); }

}  // namespace rooftune::data
