#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "rooftune/core/limits.hpp"
#include "rooftune/core/printable.hpp"
#include "rooftune/data/config_forms.hpp"
#include "rooftune/data/config_pieces.hpp"
#include "rooftune/text/json_pieces.hpp"
#include "rooftune/text/pattern.hpp"
#include "study_form.hpp"

namespace rooftune::runs {
namespace {

using calibrate::ExternalSpec;
using calibrate::MetricSource;
using params::DeclaredParameter;
using text::Json;

using Texts = std::map<std::string, std::string>;

/// An object of texts: files, environment.
void add_texts(text::Form<ExternalSpec>& form, std::string_view name, Texts ExternalSpec::*member, std::string_view what,
               std::string_view says, Json example) {
  const auto read = [member, what = std::string(what)](text::ObjectReader& reader, const text::KeySpec& key, ExternalSpec& spec) {
    const text::Node* object = reader.optional_object(key.name);
    if (object == nullptr) return;
    for (const text::Member& item : object->members) {
      std::string text;
      if (text::convert(item.value, fmt::format("{} '{}'", what, item.key), text, reader.problems()))
        (spec.*member)[item.key] = std::move(text);
    }
  };
  form.own(
          name, says, [] { return text::map_schema(text::text_schema()); }, read,
          [member](const ExternalSpec& spec) { return Json(spec.*member); })
      .example(std::move(example));
}

bool is_regex(const std::string& expression, text::Place place, text::Problems& problems) {
  const auto pattern = text::Pattern::compile(expression);
  if (!pattern) {
    problems.error(place, pattern.error(), "write it in RE2's form, without look-around and back-references");
    return false;
  }
  if (pattern->groups() >= 1) return true;
  problems.error(place, fmt::format("'{}' has no group", core::shown(expression)),
                 "put the number in parentheses, e.g. 'ttft: ([0-9.]+) ms'");
  return false;
}

bool is_json_pointer(const std::string& pointer, text::Place place, text::Problems& problems) {
  try {
    static_cast<void>(nlohmann::json::json_pointer(pointer));
    return true;
  } catch (const nlohmann::json::exception&) {
    problems.error(place, fmt::format("'{}' is no JSON pointer", core::shown(pointer)), "write it as /key/key or /key/0 (RFC 6901)");
    return false;
  }
}

text::Form<MetricSource> metric_form(const std::string& name) {
  text::Form<MetricSource> form(fmt::format("'{}'", name));
  form.text("json", &MetricSource::json, "JSON pointer (RFC 6901) to the number");
  form.text("regex", &MetricSource::regex, "RE2 expression whose first group in its first match is the number");
  form.number("scale", &MetricSource::scale, text::above(0), "factor to milliseconds");
  form.check([name](text::ObjectReader& reader, MetricSource& source) {
    if (source.json) is_json_pointer(*source.json, reader.place_of("json"), reader.problems());
    if (source.regex) is_regex(*source.regex, reader.place_of("regex"), reader.problems());
  });
  return form;
}

void read_metrics(text::ObjectReader& reader, const text::KeySpec& key, ExternalSpec& spec) {
  const text::Node* metrics = reader.required_object(key.name);
  if (metrics == nullptr) return;
  text::Problems& problems = reader.problems();
  for (const text::Member& member : metrics->members) {
    MetricSource& source = spec.metrics.emplace_back();
    if (const auto metric = domain::find_metric(member.key)) {
      source.metric = *metric;
    } else {
      std::vector<std::string_view> names;
      for (const domain::Metric known : domain::kMetrics) names.push_back(domain::metric_name(known));
      problems.error(member.place, fmt::format("unknown metric '{}'", member.key), core::suggest(member.key, names));
    }
    metric_form(member.key).read(member.value, problems, source);
    if (source.json.has_value() == source.regex.has_value()) {
      problems.error(member.place, fmt::format("'{}' needs one of 'json' and 'regex'", member.key),
                     "say where the number stands, e.g. {json: /summary/ttft_ms}");
    }
  }
  if (metrics->members.empty()) problems.error(metrics->place, "'metrics' is empty", "say where a metric stands in the output");
}

Json metrics_json(const ExternalSpec& spec) {
  Json json = Json::object();
  for (const MetricSource& source : spec.metrics)
    json[std::string(domain::metric_name(source.metric))] = metric_form("").write(source);
  return json;
}

bool is_word(const std::string& text) {
  return !text.empty() && std::ranges::all_of(text, [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; });
}

void check_declared(text::ObjectReader& reader, const DeclaredParameter& parameter) {
  text::Problems& problems = reader.problems();
  if (!parameter.name.empty() && !is_word(parameter.name)) {
    problems.error(reader.place_of("name"), fmt::format("'{}' is no name of a parameter", parameter.name),
                   "use letters, digits and '_'");
  }
  const auto is_number = [&](std::string_view key) {
    double number = 0.0;
    text::Problems said("");
    const text::Node* node = reader.find(key);
    return node != nullptr && text::convert(*node, key, number, said);
  };
  if (!is_number("lower") || !is_number("initial") || !is_number("upper")) return;
  if (!(parameter.lower < parameter.upper) || parameter.initial < parameter.lower || parameter.initial > parameter.upper) {
    problems.error(reader.place_of("lower"),
                   fmt::format("'{}' must have lower <= initial <= upper, and lower < upper", parameter.name),
                   "widen its bounds or move its start");
  } else if (parameter.transform == params::Transform::log && parameter.lower <= 0.0) {
    problems.error(reader.place_of("lower"), fmt::format("'{}' has a log transform and a bound that is not positive", parameter.name),
                   "raise 'lower', or use transform: linear");
  }
}

text::Form<DeclaredParameter> declared_form() {
  text::Form<DeclaredParameter> form("a parameter");
  form.text("name", &DeclaredParameter::name, "its id is external.<name>").required();
  form.text("unit", &DeclaredParameter::unit, "of its values");
  form.number("lower", &DeclaredParameter::lower, text::any_number(), "lower bound").required();
  form.number("initial", &DeclaredParameter::initial, text::any_number(), "where the fit starts").required();
  form.number("upper", &DeclaredParameter::upper, text::any_number(), "upper bound").required();
  form.word("transform", &DeclaredParameter::transform, data::kTransforms, "space in which the solver sees it");
  form.text("meaning", &DeclaredParameter::meaning, "one sentence");
  form.check([](text::ObjectReader& reader, const DeclaredParameter& parameter) { check_declared(reader, parameter); });
  return form;
}

/// Placeholders that nothing stands for.
void check_placeholders(const std::string& text, const ExternalSpec& spec, text::Place place, text::Problems& problems) {
  std::vector<std::string> parameters;
  for (const params::DeclaredParameter& parameter : spec.parameters) parameters.push_back("parameter:" + parameter.name);
  std::vector<std::string_view> known = calibrate::placeholder_names();
  known.insert(known.end(), parameters.begin(), parameters.end());
  for (const std::string& name : calibrate::placeholders_in(text)) {
    if (std::ranges::find(known, name) == known.end()) {
      problems.error(place, fmt::format("unknown placeholder '${{{}}}'", name), core::suggest(name, known));
    }
  }
}

/// Whether a file of that name stays in the working directory.
void check_file_name(const std::string& name, text::Place place, text::Problems& problems) {
  if (!name.empty() && name.find('/') == std::string::npos && name != "stdout" && name != "stderr") return;
  problems.error(place, fmt::format("'{}' is no name of a file in the working directory", name),
                 "give a plain name, other than stdout and stderr");
}

void read_parameters(text::ObjectReader& reader, const text::KeySpec& key, ExternalSpec& spec) {
  const text::Form<DeclaredParameter> form = declared_form();
  for (const text::Node& item : reader.optional_list(key.name)) {
    form.read(item, reader.problems(), spec.parameters.emplace_back());
    const auto is_same = [&](const auto& other) { return other.name == spec.parameters.back().name; };
    if (std::ranges::count_if(spec.parameters, is_same) > 1) {
      reader.problems().error(item.place, fmt::format("'{}' is declared twice", spec.parameters.back().name), "remove one of the two");
    }
  }
  if (spec.parameters.size() > params::kMostDeclared) {
    reader.problems().error(reader.place_of(key.name), fmt::format("{} parameters are too many", spec.parameters.size()),
                            fmt::format("declare at most {}", params::kMostDeclared));
  }
}

void read_command(text::ObjectReader& reader, const text::KeySpec& key, ExternalSpec& spec) {
  for (const text::Node& item : reader.required_list(key.name)) {
    // Options look like numbers at times: --tp 2.
    spec.command.push_back(item.text);
    if (item.kind != text::Node::Kind::scalar)
      reader.problems().error(item.place, "an argument must be a text", "write each argument as one item");
  }
}

/// What can be judged once all keys are read.
void check_external(text::ObjectReader& reader, const ExternalSpec& spec) {
  text::Problems& problems = reader.problems();
  if (const text::Node* command = reader.find("command")) {
    for (const text::Node& item : command->items) check_placeholders(item.text, spec, item.place, problems);
  }
  for (const std::string_view key : {"files", "environment"}) {
    const text::Node* texts = reader.find(key);
    if (texts == nullptr) continue;
    for (const text::Member& member : texts->members) {
      check_placeholders(member.value.text, spec, member.value.place, problems);
      if (key == "files") check_file_name(member.key, member.place, problems);
    }
  }
  if (spec.output) check_file_name(*spec.output, reader.place_of("output"), problems);
  if (problems.has_errors()) return;
  for (const DeclaredParameter& parameter : spec.parameters) params::declare(parameter);
}

}  // namespace

text::Form<ExternalSpec> external_form() {
  text::Form<ExternalSpec> form("'simulator'");
  form.text("folder", &ExternalSpec::folder, "folder of the program's files: ${folder}");
  form.own("command", "program and arguments, each an item; no shell. Placeholders such as ${rate} stand for values",
           text::list_schema({{"type", Json::array({"string", "number", "boolean"})}}), read_command,
           [](const ExternalSpec& spec) { return Json(spec.command); })
      .required()
      .example(Json::array({"python3", "${folder}/simulator.py", "--rate", "${rate}", "--parameters", "parameters.json"}));
  add_texts(form, "files", &ExternalSpec::files, "the file", "written into the working directory before each run, by name",
            {{"parameters.json", "${parameters_json}"}});
  add_texts(form, "environment", &ExternalSpec::environment, "the variable", "variables beside PATH; no others are passed on",
            nullptr);
  form.text("output", &ExternalSpec::output, "file that the program writes there; without it its standard output is read")
      .example("result.json");
  form.own(
          "metrics", "where each metric stands in the output", [] { return data::metrics_schema(metric_form("").schema()); },
          read_metrics, metrics_json)
      .required()
      .example({{"ttft_mean_ms", {{"json", "/summary/ttft_ms"}}}, {"e2e_mean_ms", {{"regex", "e2e: ([0-9.]+) s"}, {"scale", 1000}}}});
  form.number("timeout_s", &ExternalSpec::timeout_s, text::Range{.min = 0, .excludes_min = true, .limit = core::limits::kSeconds},
              "seconds of one run, at most");
  form.text("version", &ExternalSpec::version, "change it when the program changes in a way that no file shows");
  form.own(
          "parameters", "what the program may be calibrated by", [] { return text::list_schema(declared_form().schema()); },
          read_parameters,
          [](const ExternalSpec& spec) {
            const text::Form<DeclaredParameter> declared = declared_form();
            return text::list_of(spec.parameters, [&](const DeclaredParameter& parameter) { return declared.write(parameter); });
          })
      .example(Json::array(
          {{{"name", "decode_us"}, {"unit", "us"}, {"lower", 3000}, {"initial", 12000}, {"upper", 30000}, {"transform", "log"}}}));
  form.check([](text::ObjectReader& reader, const ExternalSpec& spec) { check_external(reader, spec); });
  return form;
}

text::Form<eval::FailurePolicy> failures_form(SimulatorKind kind) {
  using eval::FailurePolicy;
  text::Form<FailurePolicy> form("'failures'");
  constexpr std::string_view kPolicyKey = "policy";
  constexpr std::string_view kPolicySays =
      "abort; penalise: the rows of the experiment get a stated residual; skip: the point is turned down; retry, of a `simulator` of "
      "its "
      "own alone: ours would fail the same way";
  if (kind == SimulatorKind::built_in) {
    std::array<core::Word<eval::OnFailure>, eval::kOnFailures.size() - 1> words;
    std::ranges::copy_if(eval::kOnFailures, words.begin(), [](const auto& word) { return word.second != eval::OnFailure::retry; });
    form.word(kPolicyKey, &FailurePolicy::on_failure, words, kPolicySays);
  } else {
    form.word(kPolicyKey, &FailurePolicy::on_failure, eval::kOnFailures, kPolicySays);
  }
  form.number("retries", &FailurePolicy::retries, text::counted(1, core::limits::kRepeats), "so often, then abort")
      .only_with("policy", {"retry"});
  form.number("penalty", &FailurePolicy::penalty, text::above(0), "residual of each row: 3 is a factor of 20 in a log ratio")
      .only_with("policy", {"penalise"});
  if (kind == SimulatorKind::external) return form;
  form.number(
      "max_events", &FailurePolicy::max_events, text::at_least(1),
      "the built-in simulation fails when one engine needs more events for an experiment (an event is an arrival, a first token, a "
      "completion or the end of a linear piece, at most one a step)");
  return form;
}

}  // namespace rooftune::runs
