#include "study_form.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>

#include "rooftune/core/limits.hpp"
#include "rooftune/data/config_forms.hpp"
#include "rooftune/data/config_pieces.hpp"
#include "rooftune/data/term_forms.hpp"
#include "rooftune/opt/algorithm.hpp"

namespace rooftune::runs {
namespace {

using calibrate::ObjectiveSpec;
using calibrate::SolverStage;
using calibrate::StudySpec;
using data::defined;
using text::Json;
using text::KeySpec;
using text::ObjectReader;

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

Json metrics_schema() {
  std::vector<std::string_view> names;
  for (const domain::Metric metric : domain::kMetrics) names.push_back(domain::metric_name(metric));
  Json list = text::list_schema(text::words_schema(names));
  Json weights = data::metrics_schema(text::number_schema(false, text::above(0)));
  list["minItems"] = 1;
  weights["minProperties"] = 1;
  return {{"anyOf", Json::array({std::move(weights), std::move(list)})}};
}

text::Form<ObjectiveSpec> objective_form() {
  text::Form<ObjectiveSpec> form("'objective'");
  form.word("residual", &ObjectiveSpec::residual, calibrate::kResidualKinds,
            "what is compared: log(predicted / measured), or the difference relative to what was measured");
  form.own(
      "metrics", "weights; a list weighs 1 each", metrics_schema,
      [](ObjectReader& reader, const KeySpec& key, ObjectiveSpec& objective) {
        if (const text::Node* metrics = reader.find(key.name)) objective.metrics = read_metrics(*metrics, reader.problems());
      },
      [](const ObjectiveSpec& objective) {
        Json json = Json::object();
        for (const auto& [metric, weight] : objective.metrics) json[std::string(domain::metric_name(metric))] = weight;
        return json;
      });
  form.word("rows", &ObjectiveSpec::rows, calibrate::kStageRows, "rows of an experiment that are compared");
  form.word("balance", &ObjectiveSpec::balance, calibrate::kBalances,
            "what weighs the same: rows, experiments, or groups of experiments");
  form.word("loss", &ObjectiveSpec::loss, calibrate::kLossKinds, "how residuals add up");
  form.number("loss_scale", &ObjectiveSpec::loss_scale, text::above(0), "residual at which a robust loss bends");
  form.word("scalar", &ObjectiveSpec::scalar, calibrate::kScalarObjectives, "what scalar solvers see");
  form.number("noise", &ObjectiveSpec::noise, text::above(0), "residual expected at the best fit, which priors are weighed against");
  form.flag("weigh_by_noise", &ObjectiveSpec::weigh_by_noise,
            "rows whose run is short or near saturation, or whose server repeats itself badly, weigh less");
  return form;
}

text::Form<SolverStage> solver_stage_form() {
  text::Form<SolverStage> form("a solver stage");
  form.name("algorithm", &SolverStage::algorithm, opt::algorithm_names(), "solver of this stage");
  form.number("starts", &SolverStage::starts, text::counted(1, core::limits::kRepeats),
              "points to start from: the first is the given one, the others fill the box");
  form.number("max_evaluations", &SolverStage::max_evaluations, text::at_least(1), "evaluations of each start, at most");
  form.number("max_seconds", &SolverStage::max_seconds, text::above(0), "seconds, at most; results then depend on the machine");
  form.number("tolerance", &SolverStage::tolerance, text::at_least(0), "relative change of the objective at which a start stops");
  return form;
}

text::Form<calibrate::UncertaintySpec> uncertainty_form() {
  using calibrate::UncertaintySpec;
  text::Form<UncertaintySpec> form("'uncertainty'");
  form.text_or_texts("profile", &UncertaintySpec::profile, "free parameters whose profile likelihood is traced (also --profile)");
  form.number("bootstrap", &UncertaintySpec::bootstrap, text::counted(0, core::limits::kRepeats),
              "refits on experiments drawn with replacement (also --bootstrap)");
  return form;
}

/// Where the fit starts: two keys of the study.
text::Form<StudySpec> start_form() {
  text::Form<StudySpec> form("'start'");
  form.text("config", &StudySpec::start_config,
            "a shipped config's name (h100) or the path of one; without it the registry's defaults")
      .example("h100");
  form.own(
          "step_time_model", "in place of the config's", data::step_time_model_schema,
          [](ObjectReader& reader, const KeySpec& key, StudySpec& spec) {
            if (const text::Node* model = reader.find(key.name))
              data::read_step_time_model(*model, spec.step_time_model.emplace(), reader.problems());
          },
          [](const StudySpec& spec) { return spec.step_time_model ? Json(*spec.step_time_model) : Json(nullptr); })
      .example("roofline_v1");
  form.check([](ObjectReader& reader, const StudySpec& spec) {
    if (!spec.simulator || reader.find("step_time_model") == nullptr) return;
    reader.problems().error(reader.place_of("step_time_model"), "a step-time model has no effect beside 'simulator'", "remove it");
  });
  return form;
}

void read_fixed(ObjectReader& reader, const KeySpec& key, StudySpec& spec) {
  const text::Node* node = reader.optional_object(key.name);
  if (node == nullptr) return;
  for (const auto& [id, value] : data::read_assignments(*node, reader.problems())) {
    spec.fixed[id] = value;
    std::erase_if(spec.free, [fixed = id](const params::FreeParameter& parameter) { return parameter.id == fixed; });
  }
}

/// `{physics.fp8_gemm_fraction: 0.9 * physics.gemm_fraction}`
void read_ties(ObjectReader& reader, const KeySpec& key, StudySpec& spec) {
  const text::Node* object = reader.optional_object(key.name);
  if (object == nullptr) return;
  text::Problems& problems = reader.problems();
  for (const text::Member& member : object->members) {
    const auto id = data::read_parameter_id(member.key, member.place, problems);
    std::string text;
    if (!text::convert(member.value, fmt::format("'{}'", member.key), text, problems) || !id) continue;
    // Positions inside a text hold for plain ones; in quotes they are one off.
    auto formula = params::Expression::parse(text, {.file = {}, .line = member.value.place.line, .column = member.value.place.column});
    if (formula) {
      std::erase_if(spec.tied, [&](const params::Tie& inherited) { return inherited.id == *id; });
      spec.tied.push_back({.id = *id, .where = {}, .expression = std::move(*formula)});
      continue;
    }
    for (const core::Diagnostic& problem : formula.error()) {
      problems.error({problem.position.line, problem.position.column}, problem.problem, problem.remedy);
    }
  }
}

void read_split(ObjectReader& reader, const KeySpec& key, StudySpec& spec) {
  const text::Node* object = reader.optional_object(key.name);
  if (object == nullptr) return;
  const text::Node* kind = object->find("split");
  const bool is_named = kind != nullptr && kind->kind == text::Node::Kind::scalar;
  ObjectReader inner(*object, reader.problems(), is_named ? fmt::format("'crossval' with {}", kind->text) : "'crossval'");
  split_form().read(inner, spec.split.emplace());
}

/// Compares with what the rest of the study says, and is read after it.
void read_compare(ObjectReader& reader, const KeySpec& key, StudySpec& spec) {
  if (const text::Node* node = reader.optional_object(key.name))
    compare_form(spec).read(*node, reader.problems(), spec.compare.emplace());
}

void read_failures(ObjectReader& reader, const KeySpec& key, StudySpec& spec) {
  const text::Node* node = reader.optional_object(key.name);
  if (node == nullptr) return;
  spec.failures = {};
  failures_form(spec.simulator ? SimulatorKind::external : SimulatorKind::built_in).read(*node, reader.problems(), spec.failures);
}

/// An external simulator must give what is compared.
void check_metrics(const ObjectReader& reader, const StudySpec& spec, text::Problems& problems) {
  for (const auto& [metric, weight] : spec.objective.metrics) {
    const auto is_same = [metric = metric](const calibrate::MetricSource& source) { return source.metric == metric; };
    if (std::ranges::any_of(spec.simulator->metrics, is_same)) continue;
    problems.error(reader.place_of("objective"), fmt::format("the simulator gives no {}", domain::metric_name(metric)),
                   "name it under 'metrics' of 'simulator', or leave it out of the objective");
  }
}

/// The terms that a study frees, fixes or ties.
std::vector<params::ParameterId> terms_of(const StudySpec& spec) {
  std::set<params::ParameterId> ids;
  for (const params::FreeParameter& parameter : spec.free) ids.insert(parameter.id);
  for (const auto& [id, value] : spec.fixed) ids.insert(id);
  for (const params::Tie& tie : spec.tied) {
    ids.insert(tie.id);
    ids.insert(tie.expression.variables().begin(), tie.expression.variables().end());
  }
  std::erase_if(ids, [](params::ParameterId id) { return params::find_term(id) == nullptr; });
  return {ids.begin(), ids.end()};
}

/// A term is free as its item says; what `free`, `fixed` or `tied` say of its coefficient comes after that.
void read_study_terms(ObjectReader& reader, const KeySpec& key, StudySpec& spec) {
  for (const data::TermItem& term : data::read_terms(reader.optional_list(key.name), data::TermsIn::study, reader.problems())) {
    std::erase_if(spec.free, [&](const params::FreeParameter& inherited) { return inherited.id == term.id; });
    spec.fixed.erase(term.id);
    spec.free.push_back(term.free);
  }
}

/// Of what is free, the coefficients of terms that this very file describes: a list of others beside them does not replace them.
std::vector<params::FreeParameter> own_terms(ObjectReader& reader, const StudySpec& spec) {
  const text::Node* terms = reader.find("terms");
  std::vector<params::FreeParameter> own;
  if (terms == nullptr) return own;
  for (const text::Node& item : terms->items) {
    const text::Node* id = item.find("id");
    const auto free =
        std::ranges::find_if(spec.free, [&](const auto& other) { return id != nullptr && other.id.spec().id == id->text; });
    if (free != spec.free.end()) own.push_back(*free);
  }
  return own;
}

void read_free_list(ObjectReader& reader, const KeySpec& key, StudySpec& spec) {
  if (reader.find(key.name) == nullptr) return;
  const std::vector<params::FreeParameter> terms = own_terms(reader, spec);
  spec.free = read_free(reader.optional_list(key.name), spec.fixed, reader.problems());
  for (const params::FreeParameter& term : terms) {
    if (std::ranges::none_of(spec.free, [&](const auto& other) { return other.id == term.id; })) spec.free.push_back(term);
  }
}

/// Parameters of a first fit.
Json example_of_free() {
  Json ids = Json::array();
  for (const params::ParameterSpec& spec : params::parameter_registry()) {
    const bool has_no_effect = spec.name() == "perLayerOverhead";
    if ((spec.group() == "roofline_v1" || spec.group() == "frontend") && !has_no_effect) ids.push_back(spec.id);
  }
  return ids;
}

/// Formulas by id.
Json ties_json(const StudySpec& spec) {
  Json json = Json::object();
  for (const params::Tie& tie : spec.tied) json[std::string(tie.id.spec().id)] = tie.expression.text();
  return json;
}

Json ties_schema() {
  Json schema = text::map_schema(text::text_schema());
  schema["propertyNames"] = defined("parameter_id");
  return schema;
}

}  // namespace

text::Form<eval::SplitSpec> split_form() {
  using eval::SplitSpec;
  text::Form<SplitSpec> form("'crossval'");
  form.name("split", &SplitSpec::kind, {calibrate::kSplitKinds.begin(), calibrate::kSplitKinds.end()},
            "with the names of scikit-learn")
      .required()
      .example("LeaveOneGroupOut");
  form.name("group", &SplitSpec::group, {calibrate::kSplitGroups.begin(), calibrate::kSplitGroups.end()}, "what stays together")
      .only_with("split", {"GroupKFold", "LeaveOneGroupOut", "LeavePGroupsOut", "GroupShuffleSplit"});
  form.own(
          "folds", "parts, or draws of GroupShuffleSplit", text::number_schema(true, text::at_least(1)),
          [](ObjectReader& reader, const KeySpec& key, SplitSpec& split) {
            reader.optional(key.name, split.folds, text::counted(split.kind == "GroupShuffleSplit" ? 1 : 2, core::limits::kRepeats));
          },
          [](const SplitSpec& split) { return Json(split.folds); })
      .only_with("split", {"KFold", "GroupKFold", "GroupShuffleSplit"});
  form.number("groups_out", &SplitSpec::groups_out, text::counted(1, core::limits::kRepeats), "groups left out together")
      .only_with("split", {"LeavePGroupsOut"});
  form.number("test_fraction", &SplitSpec::test_fraction, text::within(0.01, 0.99), "share of the groups that is left out")
      .only_with("split", {"GroupShuffleSplit"});
  form.own(
          "predefined", "fold by experiment id; -1: always in training",
          text::map_schema(text::number_schema(true, text::at_least(-1))),
          [](ObjectReader& reader, const KeySpec& key, SplitSpec& split) {
            const text::Node* object = reader.required_object(key.name);
            if (object == nullptr) return;
            for (const text::Member& member : object->members) {
              int fold = 0;
              if (text::convert(member.value, fmt::format("the fold of '{}'", member.key), fold, reader.problems(),
                                text::at_least(-1)))
                split.predefined[member.key] = fold;
            }
          },
          [](const SplitSpec& split) { return Json(split.predefined); })
      .required()
      .example({{"17", 0}, {"48", -1}})
      .only_with("split", {"PredefinedSplit"});
  return form;
}

text::Form<StudySpec> study_form() {
  text::Form<StudySpec> form("the study");
  form.text("name", &StudySpec::name, "name of the study, from which run folders are named").required().example("my_study");
  form.text("description", &StudySpec::description, "what it is for").example("What this study is for");
  form.own(
          "extends",
          "path of another study, whose keys hold where this one has none: data, start, switches, fixed, tied, objective and "
          "uncertainty are "
          "completed key by key, other keys replaced whole; what is fixed here is free no longer",
          text::text_schema(), [](ObjectReader& reader, const KeySpec& key, StudySpec&) { static_cast<void>(reader.find(key.name)); },
          [](const StudySpec&) { return Json(nullptr); })
      .example("physics_h100.yaml");
  form.object("data", &StudySpec::data, data_form(),
              "Which files and which of their experiments. Paths count from the folder of this file. Any command also takes "
              "--ground-truth FILE and --select field=value");
  // Before everything that may name a parameter which it declares.
  form.object("simulator", &StudySpec::simulator, external_form(),
              "A program that predicts in place of the built-in simulation (docs/external_simulators.md). Its parameters have the ids "
              "external.<name>, in the study and in the tuned config, whose step_time_model is then external");
  form.own(
      "failures", "What happens when the simulation fails on an experiment", [] { return failures_form(SimulatorKind::any).schema(); },
      read_failures,
      [](const StudySpec& spec) {
        return failures_form(spec.simulator ? SimulatorKind::external : SimulatorKind::built_in).write(spec.failures);
      });
  form.section("start", start_form(), "Where the fit starts");
  // Before everything that names a coefficient.
  form.own(
          "terms",
          "Time that steps take beside what the step-time model says: a coefficient, which the fit moves, times an expression of what "
          "a "
          "step knows. `free`, `fixed` and `tied` may say more of the coefficient",
          [] { return data::terms_schema(data::TermsIn::study); }, read_study_terms,
          [](const StudySpec& spec) { return data::terms_json(terms_of(spec)); })
      .example(Json::array({{{"id", "user.norm_us"},
                             {"scale", "per_step"},
                             {"expression", "layers * (decodes + prefill_tokens)"},
                             {"start", 0.01},
                             {"bounds", Json::array({0, 1})},
                             {"prior", {{"centre", 0.01}, {"standard_deviation", 0.02}}}}}));
  form.own(
      "switches", "Structural choices; they override the config's", [] { return data::switches_schema(""); },
      [](ObjectReader& reader, const KeySpec& key, StudySpec& spec) {
        if (const text::Node* node = reader.optional_object(key.name))
          data::read_switches(*node, "", spec.switches, reader.problems());
      },
      [](const StudySpec& spec) { return data::switches_json(spec.switches); });
  form.own("fixed", "Values that the fit may not move; they override the config's", defined("assignments"), read_fixed,
           [](const StudySpec& spec) { return data::short_assignments_json(spec.fixed); })
      .example({{"roofline_v1.BwEffConstant", 0.72}});
  form.own("free",
           "What the fit moves: ids, whole groups (physics.*: all of it but what `fixed` or another item names), or objects that say "
           "more, e.g. {id: roofline_v1.mfuPrefill, lower: 0.3, upper: 1, initial: 0.6, transform: log, where: {gpu: H100}, "
           "prior: {centre: 0.65, standard_deviation: 0.2}, together_with: [roofline_v1.mfuDecode]}",
           free_schema, read_free_list, [](const StudySpec& spec) { return free_json(spec.free); })
      .example(example_of_free());
  form.own("tied",
           "Parameters that follow others by a formula of + - * / ^, comparisons with ? :, sqrt, exp, ln, log10, min, max, abs. Works "
           "on "
           "values that hold for every deployment; a tied value outside its registry bounds makes the point refused. The tuned config "
           "holds "
           "the value that came out",
           ties_schema, read_ties, ties_json)
      .example({{"physics.fp8_gemm_fraction", "0.7 * physics.gemm_fraction"}});
  form.object("objective", &StudySpec::objective, objective_form(), "What is minimised");
  form.objects("solver", &StudySpec::solver, solver_stage_form(), "Stages in turn, each from the best point so far")
      .example(Json::array({solver_stage_form().write({})}));
  form.object("uncertainty", &StudySpec::uncertainty, uncertainty_form(),
              "What the fit finds out beside standard errors; each refits many times");
  form.own(
      "crossval", "How `rooftune crossval` splits the data", [] { return split_form().schema(); }, read_split,
      [](const StudySpec& spec) { return spec.split ? split_form().write(*spec.split) : Json(nullptr); });
  form.own(
      "compare", "What `rooftune compare` fits side by side with this study's solver and split",
      [] { return compare_form({}).schema(); }, read_compare,
      [](const StudySpec& spec) { return spec.compare ? compare_form(spec).write(*spec.compare) : Json(nullptr); });
  form.object("improve", &StudySpec::improve, improve_form(),
              "What `rooftune improve` may do (docs/improve.md). A selector object or a list of them: any may match");
  form.object("onboard", &StudySpec::onboard, onboard_form(),
              "How `rooftune onboard` carries the start config to a new GPU, whose runs are the study's data");
  form.number("seed", &StudySpec::seed, text::at_least(0), "seed of every random stream");
  form.number("replicates", &StudySpec::replicates, text::counted(1, core::limits::kRepeats),
              "simulations that a prediction is the mean of");
  form.number("threads", &StudySpec::threads, text::counted(0, core::limits::kThreads), "0: all cores; results do not depend on it");
  form.check([](ObjectReader& reader, StudySpec& spec) {
    if (spec.simulator) check_metrics(reader, spec, reader.problems());
    // Its name before 0.1. Runs of then have it in their resolved studies.
    if (reader.find("how_sure") != nullptr) {
      reader.problems().error(reader.place_of("how_sure"), "unknown key 'how_sure' in the study", "did you mean 'uncertainty'?");
    }
    if (spec.solver.empty()) spec.solver = {SolverStage{}};
  });
  return form;
}

}  // namespace rooftune::runs
