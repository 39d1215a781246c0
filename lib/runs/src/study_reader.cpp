#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <initializer_list>
#include <iterator>
#include <set>
#include <span>
#include <utility>

#include "external_form.hpp"
#include "onboard_form.hpp"
#include "rooftune/core/limits.hpp"
#include "rooftune/core/printable.hpp"
#include "rooftune/core/word.hpp"
#include "rooftune/data/config_pieces.hpp"
#include "rooftune/opt/algorithm.hpp"
#include "rooftune/runs/study_file.hpp"
#include "rooftune/text/document.hpp"
#include "rooftune/text/files.hpp"
#include "rooftune/text/object_reader.hpp"

namespace rooftune::runs {
namespace {

constexpr std::array<text::Choice<params::Transform>, 3> kTransforms{{
    {"linear", params::Transform::linear},
    {"log", params::Transform::log},
    {"logit", params::Transform::logit},
}};

template <class Enum, std::size_t N>
void read_word(text::ObjectReader& reader, std::string_view key, Enum& target, const std::array<core::Word<Enum>, N>& words) {
  reader.optional_choice(key, target, std::span<const text::Choice<Enum>>(words));
}

/// A text that must be one of `names`.
void read_name(text::ObjectReader& reader, std::string_view key, std::string& target, const std::vector<std::string_view>& names) {
  std::string name;
  if (!reader.optional(key, name)) return;
  if (std::ranges::find(names, name) != names.end()) {
    target = std::move(name);
  } else {
    reader.problems().error(reader.find(key)->place, fmt::format("unknown {} '{}'", key, name), core::suggest(name, names));
  }
}

/// One text, or a list of them.
void read_texts(text::ObjectReader& reader, std::string_view key, std::vector<std::string>& target) {
  const text::Node* node = reader.find(key);
  if (node == nullptr) return;
  if (node->kind == text::Node::Kind::list) {
    reader.optional(key, target);
  } else if (std::string text; reader.optional(key, text)) {
    target = {std::move(text)};
  }
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
  if (field == "role") {
    std::vector<std::string_view> roles;
    for (const auto role : {domain::Role::calibration, domain::Role::new_gpu, domain::Role::overload})
      roles.push_back(domain::role_name(role));
    if (std::ranges::find(roles, value.text) == roles.end()) {
      problems.error(value.place, fmt::format("unknown role '{}'", value.text), core::suggest(value.text, roles));
      return false;
    }
  }
  return true;
}

/// `{hardware: [H100, A100-80GB], tp: 1}`
std::vector<calibrate::Selector> read_selectors(const text::Node& object, text::Problems& problems) {
  std::vector<calibrate::Selector> selectors;
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

/// `{tp: 1}`, or a list of such: experiments that match any of them.
calibrate::Selection read_selection(text::ObjectReader& reader, std::string_view key, text::Problems& problems) {
  calibrate::Selection selection;
  const text::Node* node = reader.find(key);
  if (node == nullptr) return selection;
  const std::span<const text::Node> items =
      node->kind == text::Node::Kind::list ? std::span<const text::Node>(node->items) : std::span(node, 1);
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

/// `{Qwen2.5-7B-Instruct: {truncated_sampling: true}}`
std::vector<calibrate::ModelAssumption> read_assumptions(const text::Node* object, text::Problems& problems) {
  std::vector<calibrate::ModelAssumption> assumptions;
  if (object == nullptr) return assumptions;
  for (const text::Member& member : object->members) {
    calibrate::ModelAssumption assumed{.model = member.key, .moe_layers = {}, .truncated_sampling = {}};
    if (member.value.kind != text::Node::Kind::object) {
      problems.error(member.value.place, fmt::format("what is assumed about '{}' is {}", member.key, text::describe(member.value)),
                     "e.g. {truncated_sampling: true}");
      continue;
    }
    text::ObjectReader reader(member.value, problems, fmt::format("what is assumed about '{}'", member.key));
    reader.optional("moe_layers", assumed.moe_layers, text::at_least(0));
    if (bool sampling = false; reader.optional("truncated_sampling", sampling)) assumed.truncated_sampling = sampling;
    assumptions.push_back(std::move(assumed));
  }
  return assumptions;
}

calibrate::SimulatedSpec read_simulated(const text::Node& object, text::Problems& problems) {
  calibrate::SimulatedSpec simulated;
  text::ObjectReader reader(object, problems, "'simulated_by'");
  reader.required("config", simulated.config);
  reader.optional("noise", simulated.noise, text::at_least(0));
  reader.optional("seed", simulated.seed);
  return simulated;
}

void read_data(const text::Node& object, calibrate::DataSpec& data, text::Problems& problems) {
  text::ObjectReader reader(object, problems, "'data'");
  read_texts(reader, "ground_truth", data.ground_truth);
  read_texts(reader, "models", data.models);
  read_texts(reader, "hardware", data.hardware);
  read_texts(reader, "kernels", data.kernels);
  if (const text::Node* select = reader.optional_object("select")) data.select = read_selectors(*select, problems);
  if (const text::Node* exclude = reader.optional_object("exclude")) data.exclude = read_selectors(*exclude, problems);
  if (const text::Node* held_out = reader.optional_object("held_out")) data.held_out = read_selectors(*held_out, problems);
  if (const text::Node* assume = reader.optional_object("assume")) data.assume = read_assumptions(assume, problems);
  if (const text::Node* simulated = reader.optional_object("simulated_by")) data.simulated_by = read_simulated(*simulated, problems);
}

/// The list of free parameters: single ids, whole groups ("physics.*") and objects that say more.
class FreeReader {
 public:
  FreeReader(const params::Assignments& fixed, text::Problems& problems) : fixed_(fixed), problems_(problems) {}

  std::vector<params::FreeParameter> read(std::span<const text::Node> items) {
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
    params::FreeParameter parameter = params::make_free(found.value_or(params::ParameterId{}));
    const auto read_number = [&](std::string_view key, double& target) {
      const bool is_given = reader.optional(key, target);
      if (is_given && found)
        data::check_value(*found, fmt::format("'{}' of '{}'", key, id), target, reader.find(key)->place, problems_);
      return is_given;
    };
    read_number("lower", parameter.lower);
    read_number("upper", parameter.upper);
    parameter.initial_is_given = read_number("initial", parameter.initial);
    reader.optional_choice("transform", parameter.transform, std::span<const text::Choice<params::Transform>>(kTransforms));
    if (const text::Node* where = reader.optional_object("where")) parameter.where = data::read_where(*where, problems_);
    if (const text::Node* node = reader.optional_object("prior")) {
      params::Prior prior;
      text::ObjectReader prior_reader(*node, problems_, "'prior'");
      const bool has_centre = prior_reader.required("centre", prior.centre);
      prior_reader.required("standard_deviation", prior.standard_deviation, text::above(0));
      if (has_centre && found)
        data::check_value(*found, fmt::format("'centre' of '{}'", id), prior.centre, prior_reader.find("centre")->place, problems_);
      parameter.prior = prior;
    }
    if (reader.find("together_with") != nullptr) read_companions(reader, parameter);
    if (!found) return;
    if (!parameter.initial_is_given) move_inside(parameter);
    add(parameter, reader.find("lower") != nullptr ? reader.place_of("lower") : item.place);
  }

  void read_companions(text::ObjectReader& reader, params::FreeParameter& parameter) {
    std::vector<std::string> ids;
    if (!reader.optional("together_with", ids)) return;
    for (const std::string& companion : ids) {
      if (const auto id = data::read_parameter_id(companion, reader.find("together_with")->place, problems_))
        parameter.together_with.push_back(*id);
    }
  }

  /// The registry's start may lie outside bounds that the study narrows; the middle of those is the natural start then.
  static void move_inside(params::FreeParameter& parameter) {
    if (parameter.initial >= parameter.lower && parameter.initial <= parameter.upper) return;
    const bool is_log = parameter.transform == params::Transform::log && parameter.lower > 0.0;
    parameter.initial = is_log ? std::sqrt(parameter.lower * parameter.upper) : 0.5 * (parameter.lower + parameter.upper);
  }

  void add(params::FreeParameter parameter, text::Place place) {
    for (const core::Diagnostic& problem : params::check(std::span(&parameter, 1)))
      problems_.error(place, problem.problem, problem.remedy);
    const bool is_duplicate = std::ranges::any_of(
        free_, [&](const params::FreeParameter& other) { return other.id == parameter.id && other.where == parameter.where; });
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
  std::vector<params::FreeParameter> free_;
};

/// `{physics.fp8_gemm_fraction: 0.9 * physics.gemm_fraction}`
void read_ties(const text::Node& object, std::vector<params::Tie>& ties, text::Problems& problems) {
  for (const text::Member& member : object.members) {
    const auto id = data::read_parameter_id(member.key, member.place, problems);
    std::string text;
    if (!text::convert(member.value, fmt::format("'{}'", member.key), text, problems) || !id) continue;
    // Positions inside a text hold for plain ones; in quotes they are one off.
    auto formula = params::Expression::parse(text, {.file = {}, .line = member.value.place.line, .column = member.value.place.column});
    if (formula) {
      std::erase_if(ties, [&](const params::Tie& inherited) { return inherited.id == *id; });
      ties.push_back({.id = *id, .where = {}, .expression = std::move(*formula)});
      continue;
    }
    for (const core::Diagnostic& problem : formula.error()) {
      problems.error({problem.position.line, problem.position.column}, problem.problem, problem.remedy);
    }
  }
}

void read_uncertainty(const text::Node& object, calibrate::UncertaintySpec& uncertainty, text::Problems& problems) {
  text::ObjectReader reader(object, problems, "'uncertainty'");
  read_texts(reader, "profile", uncertainty.profile);
  reader.optional("bootstrap", uncertainty.bootstrap, text::counted(0, core::limits::kRepeats));
}

std::optional<domain::Metric> read_metric(std::string_view name, text::Place place, text::Problems& problems) {
  const auto metric = domain::find_metric(name);
  if (!metric) {
    std::vector<std::string_view> names;
    for (const domain::Metric known : domain::kMetrics) names.push_back(domain::metric_name(known));
    problems.error(place, fmt::format("unknown metric '{}'", name), core::suggest(name, names));
  }
  return metric;
}

/// `[ttft_mean_ms, e2e_mean_ms]` weighs 1 each; `{ttft_mean_ms: 1, e2e_mean_ms: 2}` says how much.
std::map<domain::Metric, double> read_metrics(const text::Node& node, text::Problems& problems) {
  std::map<domain::Metric, double> metrics;
  if (node.kind == text::Node::Kind::list) {
    for (const text::Node& item : node.items) {
      if (const auto metric = read_metric(item.text, item.place, problems)) metrics[*metric] = 1.0;
    }
  } else if (node.kind == text::Node::Kind::object) {
    for (const text::Member& member : node.members) {
      double weight = 0.0;
      const bool is_weight = text::convert(member.value, fmt::format("'{}'", member.key), weight, problems, text::above(0));
      const auto metric = read_metric(member.key, member.place, problems);
      if (metric && is_weight) metrics[*metric] = weight;
    }
  } else {
    problems.error(node.place, fmt::format("'metrics' must be an object or a list, not {}", text::describe(node)),
                   "e.g. {ttft_mean_ms: 1, e2e_mean_ms: 1}");
  }
  if (node.items.empty() && node.members.empty() && node.kind != text::Node::Kind::scalar) {
    problems.error(node.place, "'metrics' is empty", "name at least one, e.g. {e2e_mean_ms: 1}");
  }
  return metrics;
}

void read_objective(const text::Node& object, calibrate::ObjectiveSpec& objective, text::Problems& problems) {
  text::ObjectReader reader(object, problems, "'objective'");
  read_word(reader, "residual", objective.residual, calibrate::kResidualKinds);
  if (const text::Node* metrics = reader.find("metrics")) objective.metrics = read_metrics(*metrics, problems);
  read_word(reader, "rows", objective.rows, calibrate::kStageRows);
  read_word(reader, "balance", objective.balance, calibrate::kBalances);
  read_word(reader, "loss", objective.loss, calibrate::kLossKinds);
  reader.optional("loss_scale", objective.loss_scale, text::above(0));
  read_word(reader, "scalar", objective.scalar, calibrate::kScalarObjectives);
  reader.optional("noise", objective.noise, text::above(0));
}

calibrate::SolverStage read_solver_stage(const text::Node& item, text::Problems& problems) {
  calibrate::SolverStage stage;
  text::ObjectReader reader(item, problems, "a solver stage");
  read_name(reader, "algorithm", stage.algorithm, opt::algorithm_names());
  reader.optional("starts", stage.starts, text::counted(1, core::limits::kRepeats));
  reader.optional("max_evaluations", stage.max_evaluations, text::at_least(1));
  reader.optional("max_seconds", stage.max_seconds, text::above(0));
  reader.optional("tolerance", stage.tolerance, text::at_least(0));
  return stage;
}

std::map<std::string, int> read_folds(const text::Node& object, text::Problems& problems) {
  std::map<std::string, int> folds;
  for (const text::Member& member : object.members) {
    int fold = 0;
    if (text::convert(member.value, fmt::format("the fold of '{}'", member.key), fold, problems, text::at_least(-1)))
      folds[member.key] = fold;
  }
  return folds;
}

/// Reads only the keys that the kind of split uses, so that a key without effect is an error like any unknown one.
calibrate::SplitSpec read_split(const text::Node& object, text::Problems& problems) {
  calibrate::SplitSpec split;
  const text::Node* kind = object.find("split");
  text::ObjectReader reader(
      object, problems,
      kind != nullptr && kind->kind == text::Node::Kind::scalar ? fmt::format("'crossval' with {}", kind->text) : "'crossval'");
  if (reader.required_node("split") != nullptr)
    read_name(reader, "split", split.kind, {calibrate::kSplitKinds.begin(), calibrate::kSplitKinds.end()});
  const auto is = [&](std::initializer_list<std::string_view> kinds) { return std::ranges::find(kinds, split.kind) != kinds.end(); };
  if (!is({"KFold", "PredefinedSplit"}))
    read_name(reader, "group", split.group, {calibrate::kSplitGroups.begin(), calibrate::kSplitGroups.end()});
  if (is({"KFold", "GroupKFold"})) reader.optional("folds", split.folds, text::counted(2, core::limits::kRepeats));
  if (is({"GroupShuffleSplit"})) reader.optional("folds", split.folds, text::counted(1, core::limits::kRepeats));
  if (is({"LeavePGroupsOut"})) reader.optional("groups_out", split.groups_out, text::counted(1, core::limits::kRepeats));
  if (is({"GroupShuffleSplit"})) reader.optional("test_fraction", split.test_fraction, text::within(0.01, 0.99));
  if (is({"PredefinedSplit"})) {
    if (const text::Node* node = reader.required_object("predefined")) split.predefined = read_folds(*node, problems);
  }
  return split;
}

/// A variant; `spec` is the study read so far.
calibrate::VariantSpec read_variant(const text::Node& item, const calibrate::StudySpec& spec, text::Problems& problems) {
  calibrate::VariantSpec variant;
  text::ObjectReader reader(item, problems, "a variant");
  reader.required("name", variant.name);
  if (const text::Node* model = reader.find("step_time_model"))
    data::read_step_time_model(*model, variant.step_time_model.emplace(), problems);
  if (const text::Node* node = reader.optional_object("switches")) data::read_switches(*node, "", variant.switches, problems);
  if (const text::Node* node = reader.optional_object("fixed")) variant.fixed = data::read_assignments(*node, problems);
  params::Assignments fixed = spec.fixed;
  for (const auto& [id, value] : variant.fixed) fixed[id] = value;
  variant.free = FreeReader(fixed, problems).read(reader.optional_list("free"));
  variant.free_per_deployment = FreeReader(fixed, problems).read(reader.optional_list("free_per_deployment"));
  for (const params::FreeParameter& parameter : variant.free) {
    const auto is_same = [&](const params::FreeParameter& other) {
      return other.id == parameter.id && other.where == parameter.where;
    };
    if (std::ranges::none_of(spec.free, is_same)) continue;
    problems.error(reader.place_of("free"), fmt::format("'{}' is free in the whole study", parameter.label()),
                   "remove it from the variant");
  }
  for (const params::FreeParameter& parameter : variant.free_per_deployment) {
    if (parameter.where.matches_everything()) continue;
    problems.error(reader.place_of("free_per_deployment"), fmt::format("'{}' is limited to a deployment", parameter.label()),
                   "remove its 'where': every deployment gets one");
  }
  return variant;
}

calibrate::CompareSpec read_compare(const text::Node& object, const calibrate::StudySpec& spec, text::Problems& problems) {
  calibrate::CompareSpec compare;
  text::ObjectReader reader(object, problems, "'compare'");
  std::vector<std::string_view> names;
  for (const text::Node& item : reader.required_list("variants")) {
    compare.variants.push_back(read_variant(item, spec, problems));
    const std::string& name = compare.variants.back().name;
    const auto is_same = [&](const calibrate::VariantSpec& other) { return other.name == name; };
    if (std::ranges::count_if(compare.variants, is_same) > 1) {
      problems.error(item.place, fmt::format("a second variant is named '{}'", name), "give every variant a name of its own");
    }
  }
  for (const calibrate::VariantSpec& variant : compare.variants) names.push_back(variant.name);
  if (const text::Node* node = reader.optional_object("one_by_one")) {
    text::ObjectReader one_by_one(*node, problems, "'one_by_one'");
    compare.one_by_one.emplace();
    for (const auto& [key, target] : {std::pair{"from", &compare.one_by_one->from}, std::pair{"to", &compare.one_by_one->to}}) {
      if (!one_by_one.required(key, *target) || std::ranges::find(names, *target) != names.end()) continue;
      problems.error(one_by_one.place_of(key), fmt::format("no variant is named '{}'", *target), core::suggest(*target, names));
    }
  }
  return compare;
}

calibrate::ImproveSpec read_improve(const text::Node& object, text::Problems& problems) {
  calibrate::ImproveSpec improve;
  text::ObjectReader reader(object, problems, "'improve'");
  improve.train = read_selection(reader, "train", problems);
  improve.extend = read_selection(reader, "extend", problems);
  improve.test = read_selection(reader, "test", problems);
  read_texts(reader, "extrapolate", improve.extrapolate);
  for (const std::string& kind : improve.extrapolate) {
    if (std::ranges::find(calibrate::kExtrapolations, kind) != calibrate::kExtrapolations.end()) continue;
    problems.error(reader.place_of("extrapolate"), fmt::format("folds cannot extrapolate to another '{}'", kind),
                   core::suggest(kind, {calibrate::kExtrapolations.begin(), calibrate::kExtrapolations.end()}));
  }
  read_texts(reader, "quarantine", improve.quarantine);
  read_texts(reader, "moves", improve.moves);
  read_texts(reader, "without", improve.without);
  reader.optional("rounds", improve.rounds, text::counted(0, core::limits::kRepeats));
  if (std::int64_t limit = 0; reader.optional("max_evaluations", limit, text::at_least(1))) improve.max_evaluations = limit;
  reader.optional("max_seconds", improve.max_seconds, text::above(0));
  reader.optional("candidates", improve.candidates, text::counted(1, core::limits::kRepeats));
  reader.optional("seeds", improve.seeds, text::counted(2, core::limits::kRepeats));
  reader.optional("starts", improve.starts, text::counted(1, core::limits::kRepeats));
  reader.optional("min_gain_percent", improve.min_gain_percent, text::at_least(0));
  reader.optional("price_percent", improve.price_percent, text::at_least(0));
  reader.optional("tolerance_percent", improve.tolerance_percent, text::at_least(0));
  reader.optional("tolerance_fraction", improve.tolerance_fraction, text::at_least(0));
  if (!improve.extend.empty() && improve.train.empty()) {
    problems.error(reader.place_of("extend"), "there is nothing to extend: every run is fitted from the beginning",
                   "say in 'train' which runs are, or remove 'extend'");
  }
  return improve;
}

/// What a study takes over from the one that it extends: all but its name and description.
calibrate::StudySpec inherited_from(calibrate::StudySpec base) {
  base.name.clear();
  base.description.clear();
  return base;
}

/// An external simulator must give what is compared.
void check_metrics(const text::ObjectReader& reader, const calibrate::StudySpec& spec, text::Problems& problems) {
  for (const auto& [metric, weight] : spec.objective.metrics) {
    const auto is_same = [metric = metric](const calibrate::MetricSource& source) { return source.metric == metric; };
    if (std::ranges::any_of(spec.simulator->metrics, is_same)) continue;
    problems.error(reader.place_of("objective"), fmt::format("the simulator gives no {}", domain::metric_name(metric)),
                   "name it under 'metrics' of 'simulator', or leave it out of the objective");
  }
}

/// Keys given here replace those of `spec`, which holds the defaults or what an extended study says: `data`, `start`, `switches`,
/// `fixed` and `objective` key by key, everything else whole. What is fixed here is free no longer.
calibrate::StudySpec read_root(const text::Node& root, calibrate::StudySpec spec, text::Problems& problems) {
  text::ObjectReader reader(root, problems, "the study");
  reader.ignore({"extends"});
  reader.required("name", spec.name);
  reader.optional("description", spec.description);
  if (const text::Node* node = reader.optional_object("data")) read_data(*node, spec.data, problems);
  // Before anything that may name a parameter which it declares.
  const text::Node* simulator = reader.optional_object("simulator");
  if (simulator != nullptr) {
    spec.simulator = read_external(*simulator, problems);
  }
  if (const text::Node* node = reader.optional_object("failures")) {
    spec.failures = read_failures(*node, spec.simulator.has_value(), problems);
  }
  if (const text::Node* node = reader.optional_object("start")) {
    text::ObjectReader start(*node, problems, "'start'");
    start.optional("config", spec.start_config);
    if (spec.simulator && start.find("step_time_model") != nullptr) {
      problems.error(start.place_of("step_time_model"), "a step-time model has no effect beside 'simulator'", "remove it");
    }
    if (const text::Node* model = start.find("step_time_model"))
      data::read_step_time_model(*model, spec.step_time_model.emplace(), problems);
  }
  if (const text::Node* node = reader.optional_object("switches")) data::read_switches(*node, "", spec.switches, problems);
  if (const text::Node* node = reader.optional_object("fixed")) {
    for (const auto& [id, value] : data::read_assignments(*node, problems)) {
      spec.fixed[id] = value;
      std::erase_if(spec.free, [fixed = id](const params::FreeParameter& parameter) { return parameter.id == fixed; });
    }
  }
  if (reader.find("free") != nullptr) spec.free = FreeReader(spec.fixed, problems).read(reader.optional_list("free"));
  if (const text::Node* node = reader.optional_object("tied")) read_ties(*node, spec.tied, problems);
  if (const text::Node* node = reader.optional_object("objective")) read_objective(*node, spec.objective, problems);
  if (spec.simulator) check_metrics(reader, spec, problems);
  if (reader.find("solver") != nullptr) {
    spec.solver.clear();
    for (const text::Node& item : reader.required_list("solver")) spec.solver.push_back(read_solver_stage(item, problems));
  } else if (spec.solver.empty()) {
    spec.solver = {calibrate::SolverStage{}};
  }
  if (const text::Node* node = reader.optional_object("uncertainty")) read_uncertainty(*node, spec.uncertainty, problems);
  // Its name before 0.1. Runs of then have it in their resolved studies.
  if (reader.find("how_sure") != nullptr) {
    problems.error(reader.place_of("how_sure"), "unknown key 'how_sure' in the study", "did you mean 'uncertainty'?");
  }
  if (const text::Node* node = reader.optional_object("crossval")) spec.split = read_split(*node, problems);
  if (const text::Node* node = reader.optional_object("compare")) spec.compare = read_compare(*node, spec, problems);
  if (const text::Node* node = reader.optional_object("improve")) spec.improve = read_improve(*node, problems);
  if (const text::Node* node = reader.optional_object("onboard")) spec.onboard = read_onboard(*node, problems);
  reader.optional("seed", spec.seed);
  reader.optional("replicates", spec.replicates, text::counted(1, core::limits::kRepeats));
  reader.optional("threads", spec.threads, text::counted(0, core::limits::kThreads));
  return spec;
}

/// Studies may extend one another in a row of this length; a longer one most likely bites its own tail.
constexpr int kLongestChain = 8;

core::Result<StudyFile> read(const text::Document& document, int chain = 1);

/// The study under the key `extends`, its paths counting from the folder of `document`; an empty one without the key.
core::Result<StudyFile> read_extended(const text::Document& document, int chain) {
  const text::Node* node = document.root.kind == text::Node::Kind::object ? document.root.find("extends") : nullptr;
  if (node == nullptr) return StudyFile{};
  text::Problems problems(document.file);
  std::string name;
  if (!text::convert(*node, "'extends'", name, problems)) return tl::unexpected(problems.take_errors());
  if (chain == kLongestChain) {
    problems.error(node->place, fmt::format("more than {} studies extend one another", kLongestChain),
                   "let none of them extend itself, and flatten long chains");
    return tl::unexpected(problems.take_errors());
  }
  const std::filesystem::path folder = std::filesystem::path(document.file).parent_path();
  const std::filesystem::path path = folder / name;
  if (!text::is_file(path)) {
    problems.error(node->place, fmt::format("there is no study '{}'", core::shown(name)), "paths count from the folder of this study");
    return tl::unexpected(problems.take_errors());
  }
  auto base = text::read_document(path).and_then([&](const text::Document& extended) { return read(extended, chain + 1); });
  if (!base) return base;
  base->spec = inherited_from(with_paths_from(std::move(base->spec), path.parent_path(), folder));
  base->extended.push_back(path);
  return base;
}

core::Result<StudyFile> read(const text::Document& document, int chain) {
  auto result = read_extended(document, chain);
  if (!result) return result;
  text::Problems problems(document.file);
  result->spec = read_root(document.root, std::move(result->spec), problems);
  if (problems.has_errors()) return tl::unexpected(problems.take_errors());
  std::ranges::move(problems.take_warnings(), std::back_inserter(result->warnings));
  return result;
}

}  // namespace

core::Result<StudyFile> read_study(const std::filesystem::path& path) {
  return text::read_document(path).and_then([](const text::Document& document) { return read(document); });
}

core::Result<StudyFile> parse_study(std::string_view text, const std::string& file) {
  return text::parse_document(text, file, text::Syntax::yaml).and_then([](const text::Document& document) { return read(document); });
}

}  // namespace rooftune::runs
