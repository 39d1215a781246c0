#include <fmt/format.h>

#include <algorithm>

#include "rooftune/core/limits.hpp"
#include "rooftune/data/config_forms.hpp"
#include "study_form.hpp"

namespace rooftune::runs {
namespace {

using calibrate::ImproveSpec;
using calibrate::Selection;
using text::Json;

/// `{tp: 1}`, or a list of such: experiments that match any of them.
Selection read_selection(const text::Node& node, std::string_view key, text::Problems& problems) {
  Selection selection;
  const std::span<const text::Node> items =
      node.kind == text::Node::Kind::list ? std::span<const text::Node>(node.items) : std::span(&node, 1);
  for (const text::Node& item : items) {
    if (item.kind != text::Node::Kind::object || item.members.empty()) {
      problems.error(item.place, fmt::format("'{}' needs selectors, not {}", key, text::describe(item)),
                     "e.g. {tp: [1], model: [Yi-34B]}");
    } else {
      selection.push_back(read_selectors(item, problems));
    }
  }
  return selection;
}

void add_selection(text::Form<ImproveSpec>& form, std::string_view name, Selection ImproveSpec::*member, std::string_view says,
                   Json example) {
  const auto read = [member](text::ObjectReader& reader, const text::KeySpec& key, ImproveSpec& improve) {
    const text::Node* node = reader.find(key.name);
    if (node != nullptr) improve.*member = read_selection(*node, key.name, reader.problems());
  };
  form.own(name, says, text::one_or_list_schema(data::defined("selectors")), read,
           [member](const ImproveSpec& improve) {
             Json items = Json::array();
             for (const auto& selectors : improve.*member) items.push_back(selectors_json(selectors));
             return items;
           })
      .example(std::move(example));
}

void read_proposer_command(text::ObjectReader& reader, const text::KeySpec& key, calibrate::ProposerSpec& proposer) {
  for (const text::Node& item : reader.required_list(key.name)) {
    proposer.command.push_back(item.text);
    if (item.kind != text::Node::Kind::scalar) {
      reader.problems().error(item.place, "an argument must be a text", "write each argument as one item");
      continue;
    }
    for (const std::string& name : calibrate::placeholders_in(item.text)) {
      if (name == "folder") continue;
      reader.problems().error(item.place, fmt::format("'${{{}}}' stands for nothing in a proposer's command", name),
                              "use ${folder}, or take it from the question on standard input");
    }
  }
}

text::Form<calibrate::ProposerSpec> proposer_form() {
  using calibrate::ProposerSpec;
  text::Form<ProposerSpec> form("'proposer'");
  form.text("folder", &ProposerSpec::folder, "folder of the program's files: ${folder}");
  form.own("command", "program and arguments, each an item; no shell",
           text::list_schema({{"type", Json::array({"string", "number", "boolean"})}}), read_proposer_command,
           [](const ProposerSpec& proposer) { return Json(proposer.command); })
      .required()
      .example(Json::array({"python3", "${folder}/proposer.py"}));
  form.number("timeout_s", &ProposerSpec::timeout_s, text::Range{.min = 0, .excludes_min = true, .limit = core::limits::kSeconds},
              "seconds of one answer, at most");
  return form;
}

}  // namespace

text::Form<ImproveSpec> improve_form() {
  text::Form<ImproveSpec> form("'improve'");
  add_selection(form, "train", &ImproveSpec::train,
                "runs that fits see at first, without it all but `test`; the others are held out until a move adds them",
                Json::array({{{"tp", Json::array({1})}}}));
  add_selection(form, "extend", &ImproveSpec::extend, "runs that a move may add to them, entry by entry",
                Json::array({{{"tp", Json::array({2})}}}));
  add_selection(form, "test", &ImproveSpec::test, "runs that no decision sees: scored before the first round and after the last",
                Json::array({{{"tp", Json::array({4})}}, {{"model", Json::array({"Yi-34B"})}}}));
  form.text_or_texts(
          "extrapolate", &ImproveSpec::extrapolate,
          "model, tp, gpu: what folds check beside the split (each TP degree from the lower ones, each model or GPU left out); "
          "without it what of these is new in `test`")
      .narrowed(text::one_or_list_schema(text::words_schema(calibrate::kExtrapolations)));
  form.text_or_texts("quarantine", &ImproveSpec::quarantine, "ids of suspicious runs: neither fitted nor scored, always shown");
  form.text_or_texts("moves", &ImproveSpec::moves, "ids of the catalogue, or prefix*; without it all");
  form.text_or_texts("without", &ImproveSpec::without, "those of them that are not tried");
  form.number("rounds", &ImproveSpec::rounds, text::counted(0, core::limits::kRepeats), "changes that are judged, at most");
  form.number("max_evaluations", &ImproveSpec::max_evaluations, text::at_least(1),
              "evaluations of an experiment in all fits together, at most")
      .example(100000);
  form.number("max_seconds", &ImproveSpec::max_seconds, text::above(0), "seconds, at most; results then depend on the machine")
      .example(600);
  form.number("candidates", &ImproveSpec::candidates, text::counted(1, core::limits::kRepeats), "moves that are screened together");
  form.number("seeds", &ImproveSpec::seeds, text::counted(2, core::limits::kRepeats),
              "repeats with other arrivals by which a verdict knows its noise");
  form.number("starts", &ImproveSpec::starts, text::counted(1, core::limits::kRepeats), "of each fit that a verdict rests on");
  form.number("min_gain_percent", &ImproveSpec::min_gain_percent, text::at_least(0),
              "of the held-out score that a change must gain, beside more than its noise");
  form.number("price_percent", &ImproveSpec::price_percent, text::at_least(0),
              "of the held-out score that every further free parameter must gain");
  form.number("tolerance_percent", &ImproveSpec::tolerance_percent, text::at_least(0),
              "points by which the held-out error of a group may grow");
  form.number("tolerance_fraction", &ImproveSpec::tolerance_fraction, text::at_least(0),
              "or this part of the error that it had, whichever is larger");
  form.flag("naked", &ImproveSpec::naked,
            "moves free parameters without priors; otherwise each starts with what kernels and the registry know about it");
  form.object("proposer", &ImproveSpec::proposer, proposer_form(),
              "a program that is asked for moves and terms at every diagnosis (docs/proposers.md)");
  form.check([](text::ObjectReader& reader, ImproveSpec& improve) {
    for (const std::string& kind : improve.extrapolate) {
      if (std::ranges::find(calibrate::kExtrapolations, kind) != calibrate::kExtrapolations.end()) continue;
      reader.problems().error(reader.place_of("extrapolate"), fmt::format("folds cannot extrapolate to another '{}'", kind),
                              core::suggest(kind, {calibrate::kExtrapolations.begin(), calibrate::kExtrapolations.end()}));
    }
    if (!improve.extend.empty() && improve.train.empty()) {
      reader.problems().error(reader.place_of("extend"), "there is nothing to extend: every run is fitted from the beginning",
                              "say in 'train' which runs are, or remove 'extend'");
    }
  });
  return form;
}

}  // namespace rooftune::runs
