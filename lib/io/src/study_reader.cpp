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

#include "config_pieces.hpp"
#include "external_form.hpp"
#include "onboard_form.hpp"
#include "rooftune/core/word.hpp"
#include "rooftune/io/document.hpp"
#include "rooftune/io/object_reader.hpp"
#include "rooftune/io/study_file.hpp"
#include "rooftune/opt/algorithm.hpp"

namespace rooftune::io {
namespace {

constexpr std::array<Choice<params::Transform>, 3> kTransforms{{
    {"linear", params::Transform::linear},
    {"log", params::Transform::log},
    {"logit", params::Transform::logit},
}};

template <class Enum, std::size_t N>
void read_word(ObjectReader& reader, std::string_view key, Enum& target, const std::array<core::Word<Enum>, N>& words) {
  reader.optional_choice(key, target, std::span<const Choice<Enum>>(words));
}

/// A text that must be one of `names`.
void read_name(ObjectReader& reader, std::string_view key, std::string& target, const std::vector<std::string_view>& names) {
  std::string name;
  if (!reader.optional(key, name)) return;
  if (std::ranges::find(names, name) != names.end()) {
    target = std::move(name);
  } else {
    reader.problems().error(reader.find(key)->place, fmt::format("unknown {} '{}'", key, name), core::suggest(name, names));
  }
}

/// One text, or a list of them.
void read_texts(ObjectReader& reader, std::string_view key, std::vector<std::string>& target) {
  const Node* node = reader.find(key);
  if (node == nullptr) return;
  if (node->kind == Node::Kind::list) {
    reader.optional(key, target);
  } else if (std::string text; reader.optional(key, text)) {
    target = {std::move(text)};
  }
}

bool is_acceptable(std::string_view field, const Node& value, Problems& problems) {
  if (value.kind != Node::Kind::scalar) {
    problems.error(value.place, fmt::format("'{}' is {}", field, describe(value)), "give a value or a list of values");
    return false;
  }
  if (field == "tp") {
    int tp = 0;
    return convert(value, "'tp'", tp, problems, at_least(1));
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
std::vector<study::Selector> read_selectors(const Node& object, Problems& problems) {
  std::vector<study::Selector> selectors;
  for (const Member& member : object.members) {
    if (std::ranges::find(study::kSelectorFields, member.key) == study::kSelectorFields.end()) {
      problems.error(member.place, fmt::format("experiments cannot be selected by '{}'", member.key),
                     fmt::format("use one of: {}", fmt::join(study::kSelectorFields, ", ")));
      continue;
    }
    const bool is_list = member.value.kind == Node::Kind::list;
    const std::span<const Node> values = is_list ? std::span<const Node>(member.value.items) : std::span<const Node>(&member.value, 1);
    if (values.empty())
      problems.error(member.value.place, fmt::format("'{}' is an empty list", member.key), "name a value, or remove it");
    for (const Node& value : values) {
      if (is_acceptable(member.key, value, problems)) selectors.push_back({.field = member.key, .value = value.text});
    }
  }
  return selectors;
}

/// `{tp: 1}`, or a list of such: experiments that match any of them.
study::Selection read_selection(ObjectReader& reader, std::string_view key, Problems& problems) {
  study::Selection selection;
  const Node* node = reader.find(key);
  if (node == nullptr) return selection;
  const std::span<const Node> items = node->kind == Node::Kind::list ? std::span<const Node>(node->items) : std::span(node, 1);
  for (const Node& item : items) {
    if (item.kind != Node::Kind::object || item.members.empty()) {
      problems.error(item.place, fmt::format("'{}' needs selectors, not {}", key, describe(item)), "e.g. {tp: [1], model: [Yi-34B]}");
    } else {
      selection.push_back(read_selectors(item, problems));
    }
  }
  return selection;
}

/// `{Qwen2.5-7B-Instruct: {truncated_sampling: true}}`
std::vector<study::ModelAssumption> read_assumptions(const Node* object, Problems& problems) {
  std::vector<study::ModelAssumption> assumptions;
  if (object == nullptr) return assumptions;
  for (const Member& member : object->members) {
    study::ModelAssumption assumed{.model = member.key, .moe_layers = {}, .truncated_sampling = {}};
    if (member.value.kind != Node::Kind::object) {
      problems.error(member.value.place, fmt::format("what is assumed about '{}' is {}", member.key, describe(member.value)),
                     "e.g. {truncated_sampling: true}");
      continue;
    }
    ObjectReader reader(member.value, problems, fmt::format("what is assumed about '{}'", member.key));
    reader.optional("moe_layers", assumed.moe_layers, at_least(0));
    if (bool sampling = false; reader.optional("truncated_sampling", sampling)) assumed.truncated_sampling = sampling;
    assumptions.push_back(std::move(assumed));
  }
  return assumptions;
}

study::SimulatedSpec read_simulated(const Node& object, Problems& problems) {
  study::SimulatedSpec simulated;
  ObjectReader reader(object, problems, "'simulated_by'");
  reader.required("config", simulated.config);
  reader.optional("noise", simulated.noise, at_least(0));
  reader.optional("seed", simulated.seed);
  return simulated;
}

void read_data(const Node& object, study::DataSpec& data, Problems& problems) {
  ObjectReader reader(object, problems, "'data'");
  read_texts(reader, "ground_truth", data.ground_truth);
  read_texts(reader, "models", data.models);
  read_texts(reader, "hardware", data.hardware);
  read_texts(reader, "kernels", data.kernels);
  if (const Node* select = reader.optional_object("select")) data.select = read_selectors(*select, problems);
  if (const Node* exclude = reader.optional_object("exclude")) data.exclude = read_selectors(*exclude, problems);
  if (const Node* held_out = reader.optional_object("held_out")) data.held_out = read_selectors(*held_out, problems);
  if (const Node* assume = reader.optional_object("assume")) data.assume = read_assumptions(assume, problems);
  if (const Node* simulated = reader.optional_object("simulated_by")) data.simulated_by = read_simulated(*simulated, problems);
}

/// The list of free parameters: single ids, whole groups ("physics.*") and objects that say more.
class FreeReader {
 public:
  FreeReader(const params::Assignments& fixed, Problems& problems) : fixed_(fixed), problems_(problems) {}

  std::vector<params::FreeParameter> read(std::span<const Node> items) {
    for (const Node& item : items) {
      if (!is_group(item)) note_explicit(item);
    }
    for (const Node& item : items) {
      if (item.kind == Node::Kind::object) {
        read_object(item);
      } else if (is_group(item)) {
        read_group(item);
      } else if (std::string id; convert(item, "a free parameter", id, problems_)) {
        if (const auto found = read_parameter_id(id, item.place, problems_)) add(params::make_free(*found), item.place);
      }
    }
    return std::exchange(free_, {});
  }

 private:
  static bool is_group(const Node& item) { return item.kind == Node::Kind::scalar && item.text.ends_with(".*"); }

  void note_explicit(const Node& item) {
    const Node* id = item.kind == Node::Kind::object ? item.find("id") : &item;
    if (id == nullptr || id->kind != Node::Kind::scalar) return;
    if (const auto found = params::find_parameter(id->text)) explicit_.insert(*found);
  }

  /// Every parameter of the group, but for those that the study fixes or describes itself.
  void read_group(const Node& item) {
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

  void read_object(const Node& item) {
    ObjectReader reader(item, problems_, "a free parameter");
    std::string id;
    std::optional<params::ParameterId> found;
    if (reader.required("id", id)) found = read_parameter_id(id, reader.find("id")->place, problems_);
    params::FreeParameter parameter = params::make_free(found.value_or(params::ParameterId{}));
    const auto read_number = [&](std::string_view key, double& target) {
      const bool is_given = reader.optional(key, target);
      if (is_given && found) check_value(*found, fmt::format("'{}' of '{}'", key, id), target, reader.find(key)->place, problems_);
      return is_given;
    };
    read_number("lower", parameter.lower);
    read_number("upper", parameter.upper);
    parameter.initial_is_given = read_number("initial", parameter.initial);
    reader.optional_choice("transform", parameter.transform, std::span<const Choice<params::Transform>>(kTransforms));
    if (const Node* where = reader.optional_object("where")) parameter.where = read_where(*where, problems_);
    if (const Node* node = reader.optional_object("prior")) {
      params::Prior prior;
      ObjectReader prior_reader(*node, problems_, "'prior'");
      const bool has_centre = prior_reader.required("centre", prior.centre);
      prior_reader.required("standard_deviation", prior.standard_deviation, above(0));
      if (has_centre && found)
        check_value(*found, fmt::format("'centre' of '{}'", id), prior.centre, prior_reader.find("centre")->place, problems_);
      parameter.prior = prior;
    }
    if (reader.find("together_with") != nullptr) read_companions(reader, parameter);
    if (!found) return;
    if (!parameter.initial_is_given) move_inside(parameter);
    add(parameter, reader.find("lower") != nullptr ? reader.place_of("lower") : item.place);
  }

  void read_companions(ObjectReader& reader, params::FreeParameter& parameter) {
    std::vector<std::string> ids;
    if (!reader.optional("together_with", ids)) return;
    for (const std::string& companion : ids) {
      if (const auto id = read_parameter_id(companion, reader.find("together_with")->place, problems_))
        parameter.together_with.push_back(*id);
    }
  }

  /// The registry's start may lie outside bounds that the study narrows; the middle of those is the natural start then.
  static void move_inside(params::FreeParameter& parameter) {
    if (parameter.initial >= parameter.lower && parameter.initial <= parameter.upper) return;
    const bool is_log = parameter.transform == params::Transform::log && parameter.lower > 0.0;
    parameter.initial = is_log ? std::sqrt(parameter.lower * parameter.upper) : 0.5 * (parameter.lower + parameter.upper);
  }

  void add(params::FreeParameter parameter, Place place) {
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
  Problems& problems_;
  std::set<params::ParameterId> explicit_;
  std::vector<params::FreeParameter> free_;
};

/// `{physics.fp8_gemm_fraction: 0.9 * physics.gemm_fraction}`
void read_ties(const Node& object, std::vector<params::Tie>& ties, Problems& problems) {
  for (const Member& member : object.members) {
    const auto id = read_parameter_id(member.key, member.place, problems);
    std::string text;
    if (!convert(member.value, fmt::format("'{}'", member.key), text, problems) || !id) continue;
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

void read_how_sure(const Node& object, study::HowSureSpec& how_sure, Problems& problems) {
  ObjectReader reader(object, problems, "'how_sure'");
  read_texts(reader, "profile", how_sure.profile);
  reader.optional("bootstrap", how_sure.bootstrap, at_least(0));
}

std::optional<domain::Metric> read_metric(std::string_view name, Place place, Problems& problems) {
  const auto metric = domain::find_metric(name);
  if (!metric) {
    std::vector<std::string_view> names;
    for (const domain::Metric known : domain::kMetrics) names.push_back(domain::metric_name(known));
    problems.error(place, fmt::format("unknown metric '{}'", name), core::suggest(name, names));
  }
  return metric;
}

/// `[ttft_mean_ms, e2e_mean_ms]` weighs 1 each; `{ttft_mean_ms: 1, e2e_mean_ms: 2}` says how much.
std::map<domain::Metric, double> read_metrics(const Node& node, Problems& problems) {
  std::map<domain::Metric, double> metrics;
  if (node.kind == Node::Kind::list) {
    for (const Node& item : node.items) {
      if (const auto metric = read_metric(item.text, item.place, problems)) metrics[*metric] = 1.0;
    }
  } else if (node.kind == Node::Kind::object) {
    for (const Member& member : node.members) {
      double weight = 0.0;
      const bool is_weight = convert(member.value, fmt::format("'{}'", member.key), weight, problems, above(0));
      const auto metric = read_metric(member.key, member.place, problems);
      if (metric && is_weight) metrics[*metric] = weight;
    }
  } else {
    problems.error(node.place, fmt::format("'metrics' must be an object or a list, not {}", describe(node)),
                   "e.g. {ttft_mean_ms: 1, e2e_mean_ms: 1}");
  }
  if (node.items.empty() && node.members.empty() && node.kind != Node::Kind::scalar) {
    problems.error(node.place, "'metrics' is empty", "name at least one, e.g. {e2e_mean_ms: 1}");
  }
  return metrics;
}

void read_objective(const Node& object, study::ObjectiveSpec& objective, Problems& problems) {
  ObjectReader reader(object, problems, "'objective'");
  read_word(reader, "residual", objective.residual, study::kResidualKinds);
  if (const Node* metrics = reader.find("metrics")) objective.metrics = read_metrics(*metrics, problems);
  read_word(reader, "rows", objective.rows, study::kStageRows);
  read_word(reader, "balance", objective.balance, study::kBalances);
  read_word(reader, "loss", objective.loss, study::kLossKinds);
  reader.optional("loss_scale", objective.loss_scale, above(0));
  read_word(reader, "scalar", objective.scalar, study::kScalarObjectives);
  reader.optional("noise", objective.noise, above(0));
}

study::SolverStage read_solver_stage(const Node& item, Problems& problems) {
  study::SolverStage stage;
  ObjectReader reader(item, problems, "a solver stage");
  read_name(reader, "algorithm", stage.algorithm, opt::algorithm_names());
  reader.optional("starts", stage.starts, at_least(1));
  reader.optional("max_evaluations", stage.max_evaluations, at_least(1));
  reader.optional("max_seconds", stage.max_seconds, above(0));
  reader.optional("tolerance", stage.tolerance, at_least(0));
  return stage;
}

std::map<std::string, int> read_folds(const Node& object, Problems& problems) {
  std::map<std::string, int> folds;
  for (const Member& member : object.members) {
    int fold = 0;
    if (convert(member.value, fmt::format("the fold of '{}'", member.key), fold, problems, at_least(-1))) folds[member.key] = fold;
  }
  return folds;
}

/// Reads only the keys that the kind of split uses, so that a key without effect is an error like any unknown one.
study::SplitSpec read_split(const Node& object, Problems& problems) {
  study::SplitSpec split;
  const Node* kind = object.find("split");
  ObjectReader reader(
      object, problems,
      kind != nullptr && kind->kind == Node::Kind::scalar ? fmt::format("'crossval' with {}", kind->text) : "'crossval'");
  if (reader.required_node("split") != nullptr)
    read_name(reader, "split", split.kind, {study::kSplitKinds.begin(), study::kSplitKinds.end()});
  const auto is = [&](std::initializer_list<std::string_view> kinds) { return std::ranges::find(kinds, split.kind) != kinds.end(); };
  if (!is({"KFold", "PredefinedSplit"}))
    read_name(reader, "group", split.group, {study::kSplitGroups.begin(), study::kSplitGroups.end()});
  if (is({"KFold", "GroupKFold"})) reader.optional("folds", split.folds, at_least(2));
  if (is({"GroupShuffleSplit"})) reader.optional("folds", split.folds, at_least(1));
  if (is({"LeavePGroupsOut"})) reader.optional("groups_out", split.groups_out, at_least(1));
  if (is({"GroupShuffleSplit"})) reader.optional("test_fraction", split.test_fraction, within(0.01, 0.99));
  if (is({"PredefinedSplit"})) {
    if (const Node* node = reader.required_object("predefined")) split.predefined = read_folds(*node, problems);
  }
  return split;
}

/// A variant; `spec` is the study read so far.
study::VariantSpec read_variant(const Node& item, const study::StudySpec& spec, Problems& problems) {
  study::VariantSpec variant;
  ObjectReader reader(item, problems, "a variant");
  reader.required("name", variant.name);
  if (const Node* model = reader.find("step_time_model")) read_step_time_model(*model, variant.step_time_model.emplace(), problems);
  if (const Node* node = reader.optional_object("switches")) read_switches(*node, "", variant.switches, problems);
  if (const Node* node = reader.optional_object("fixed")) variant.fixed = read_assignments(*node, problems);
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

study::CompareSpec read_compare(const Node& object, const study::StudySpec& spec, Problems& problems) {
  study::CompareSpec compare;
  ObjectReader reader(object, problems, "'compare'");
  std::vector<std::string_view> names;
  for (const Node& item : reader.required_list("variants")) {
    compare.variants.push_back(read_variant(item, spec, problems));
    const std::string& name = compare.variants.back().name;
    const auto is_same = [&](const study::VariantSpec& other) { return other.name == name; };
    if (std::ranges::count_if(compare.variants, is_same) > 1) {
      problems.error(item.place, fmt::format("a second variant is named '{}'", name), "give every variant a name of its own");
    }
  }
  for (const study::VariantSpec& variant : compare.variants) names.push_back(variant.name);
  if (const Node* node = reader.optional_object("one_by_one")) {
    ObjectReader one_by_one(*node, problems, "'one_by_one'");
    compare.one_by_one.emplace();
    for (const auto& [key, target] : {std::pair{"from", &compare.one_by_one->from}, std::pair{"to", &compare.one_by_one->to}}) {
      if (!one_by_one.required(key, *target) || std::ranges::find(names, *target) != names.end()) continue;
      problems.error(one_by_one.place_of(key), fmt::format("no variant is named '{}'", *target), core::suggest(*target, names));
    }
  }
  return compare;
}

study::ImproveSpec read_improve(const Node& object, Problems& problems) {
  study::ImproveSpec improve;
  ObjectReader reader(object, problems, "'improve'");
  improve.train = read_selection(reader, "train", problems);
  improve.extend = read_selection(reader, "extend", problems);
  improve.test = read_selection(reader, "test", problems);
  read_texts(reader, "extrapolate", improve.extrapolate);
  for (const std::string& kind : improve.extrapolate) {
    if (std::ranges::find(study::kExtrapolations, kind) != study::kExtrapolations.end()) continue;
    problems.error(reader.place_of("extrapolate"), fmt::format("folds cannot extrapolate to another '{}'", kind),
                   core::suggest(kind, {study::kExtrapolations.begin(), study::kExtrapolations.end()}));
  }
  read_texts(reader, "quarantine", improve.quarantine);
  read_texts(reader, "moves", improve.moves);
  read_texts(reader, "without", improve.without);
  reader.optional("rounds", improve.rounds, at_least(0));
  if (std::int64_t limit = 0; reader.optional("max_evaluations", limit, at_least(1))) improve.max_evaluations = limit;
  reader.optional("max_seconds", improve.max_seconds, above(0));
  reader.optional("candidates", improve.candidates, at_least(1));
  reader.optional("seeds", improve.seeds, at_least(2));
  reader.optional("starts", improve.starts, at_least(1));
  reader.optional("min_gain_percent", improve.min_gain_percent, at_least(0));
  reader.optional("price_percent", improve.price_percent, at_least(0));
  reader.optional("tolerance_percent", improve.tolerance_percent, at_least(0));
  reader.optional("tolerance_fraction", improve.tolerance_fraction, at_least(0));
  if (!improve.extend.empty() && improve.train.empty()) {
    problems.error(reader.place_of("extend"), "there is nothing to extend: every run is fitted from the beginning",
                   "say in 'train' which runs are, or remove 'extend'");
  }
  return improve;
}

/// What a study takes over from the one that it extends: all but its name and description.
study::StudySpec inherited_from(study::StudySpec base) {
  base.name.clear();
  base.description.clear();
  return base;
}

/// Keys given here replace those of `spec`, which holds the defaults or what an extended study says: `data`, `start`, `switches`,
/// `fixed` and `objective` key by key, everything else whole. What is fixed here is free no longer.
/// An external simulator must give what is compared.
void check_metrics(const ObjectReader& reader, const study::StudySpec& spec, Problems& problems) {
  for (const auto& [metric, weight] : spec.objective.metrics) {
    const auto is_same = [metric = metric](const study::MetricSource& source) { return source.metric == metric; };
    if (std::ranges::any_of(spec.simulator->metrics, is_same)) continue;
    problems.error(reader.place_of("objective"), fmt::format("the simulator gives no {}", domain::metric_name(metric)),
                   "name it under 'metrics' of 'simulator', or leave it out of the objective");
  }
}

study::StudySpec read_root(const Node& root, study::StudySpec spec, Problems& problems) {
  ObjectReader reader(root, problems, "the study");
  reader.ignore({"extends"});
  reader.required("name", spec.name);
  reader.optional("description", spec.description);
  if (const Node* node = reader.optional_object("data")) read_data(*node, spec.data, problems);
  // Before anything that may name a parameter which it declares.
  const Node* simulator = reader.optional_object("simulator");
  if (simulator != nullptr) {
    spec.simulator = read_external(*simulator, problems);
  }
  if (const Node* node = reader.optional_object("failures")) {
    spec.failures = read_failures(*node, spec.simulator.has_value(), problems);
  }
  if (const Node* node = reader.optional_object("start")) {
    ObjectReader start(*node, problems, "'start'");
    start.optional("config", spec.start_config);
    if (spec.simulator && start.find("step_time_model") != nullptr) {
      problems.error(start.place_of("step_time_model"), "a step-time model has no effect beside 'simulator'", "remove it");
    }
    if (const Node* model = start.find("step_time_model")) read_step_time_model(*model, spec.step_time_model.emplace(), problems);
  }
  if (const Node* node = reader.optional_object("switches")) read_switches(*node, "", spec.switches, problems);
  if (const Node* node = reader.optional_object("fixed")) {
    for (const auto& [id, value] : read_assignments(*node, problems)) {
      spec.fixed[id] = value;
      std::erase_if(spec.free, [fixed = id](const params::FreeParameter& parameter) { return parameter.id == fixed; });
    }
  }
  if (reader.find("free") != nullptr) spec.free = FreeReader(spec.fixed, problems).read(reader.optional_list("free"));
  if (const Node* node = reader.optional_object("tied")) read_ties(*node, spec.tied, problems);
  if (const Node* node = reader.optional_object("objective")) read_objective(*node, spec.objective, problems);
  if (spec.simulator) check_metrics(reader, spec, problems);
  if (reader.find("solver") != nullptr) {
    spec.solver.clear();
    for (const Node& item : reader.required_list("solver")) spec.solver.push_back(read_solver_stage(item, problems));
  } else if (spec.solver.empty()) {
    spec.solver = {study::SolverStage{}};
  }
  if (const Node* node = reader.optional_object("how_sure")) read_how_sure(*node, spec.how_sure, problems);
  if (const Node* node = reader.optional_object("crossval")) spec.split = read_split(*node, problems);
  if (const Node* node = reader.optional_object("compare")) spec.compare = read_compare(*node, spec, problems);
  if (const Node* node = reader.optional_object("improve")) spec.improve = read_improve(*node, problems);
  if (const Node* node = reader.optional_object("onboard")) spec.onboard = read_onboard(*node, problems);
  reader.optional("seed", spec.seed);
  reader.optional("replicates", spec.replicates, at_least(1));
  reader.optional("threads", spec.threads, at_least(0));
  return spec;
}

/// Studies may extend one another in a row of this length; a longer one most likely bites its own tail.
constexpr int kLongestChain = 8;

core::Result<StudyFile> read(const Document& document, int chain = 1);

/// The study under the key `extends`, its paths counting from the folder of `document`; an empty one without the key.
core::Result<StudyFile> read_extended(const Document& document, int chain) {
  const Node* node = document.root.kind == Node::Kind::object ? document.root.find("extends") : nullptr;
  if (node == nullptr) return StudyFile{};
  Problems problems(document.file);
  std::string name;
  if (!convert(*node, "'extends'", name, problems)) return tl::unexpected(problems.take_errors());
  if (chain == kLongestChain) {
    problems.error(node->place, fmt::format("more than {} studies extend one another", kLongestChain),
                   "let none of them extend itself, and flatten long chains");
    return tl::unexpected(problems.take_errors());
  }
  const std::filesystem::path folder = std::filesystem::path(document.file).parent_path();
  const std::filesystem::path path = folder / name;
  if (!std::filesystem::is_regular_file(path)) {
    problems.error(node->place, fmt::format("there is no study '{}'", name), "paths count from the folder of this study");
    return tl::unexpected(problems.take_errors());
  }
  auto base = read_document(path).and_then([&](const Document& extended) { return read(extended, chain + 1); });
  if (!base) return base;
  base->spec = inherited_from(with_paths_from(std::move(base->spec), path.parent_path(), folder));
  base->extended.push_back(path);
  return base;
}

core::Result<StudyFile> read(const Document& document, int chain) {
  auto result = read_extended(document, chain);
  if (!result) return result;
  Problems problems(document.file);
  result->spec = read_root(document.root, std::move(result->spec), problems);
  if (problems.has_errors()) return tl::unexpected(problems.take_errors());
  std::ranges::move(problems.take_warnings(), std::back_inserter(result->warnings));
  return result;
}

}  // namespace

core::Result<StudyFile> read_study(const std::filesystem::path& path) {
  return read_document(path).and_then([](const Document& document) { return read(document); });
}

core::Result<StudyFile> parse_study(std::string_view text, const std::string& file) {
  return parse_document(text, file, Syntax::yaml).and_then([](const Document& document) { return read(document); });
}

}  // namespace rooftune::io
