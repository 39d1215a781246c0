#include "external_form.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "rooftune/core/limits.hpp"
#include "rooftune/core/printable.hpp"
#include "rooftune/data/config_pieces.hpp"
#include "rooftune/text/pattern.hpp"

namespace rooftune::runs {
namespace {

using calibrate::ExternalSpec;
using calibrate::MetricSource;

/// JSON texts are YAML texts, whatever they hold.
std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// An object of texts: files, environment.
std::map<std::string, std::string> read_texts(const text::Node* object, std::string_view what, text::Problems& problems) {
  std::map<std::string, std::string> texts;
  if (object == nullptr) return texts;
  for (const text::Member& member : object->members) {
    std::string text;
    if (text::convert(member.value, fmt::format("{} '{}'", what, member.key), text, problems)) texts[member.key] = std::move(text);
  }
  return texts;
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

MetricSource read_metric_source(const text::Member& member, text::Problems& problems) {
  MetricSource source;
  if (const auto metric = domain::find_metric(member.key)) {
    source.metric = *metric;
  } else {
    std::vector<std::string_view> names;
    for (const domain::Metric known : domain::kMetrics) names.push_back(domain::metric_name(known));
    problems.error(member.place, fmt::format("unknown metric '{}'", member.key), core::suggest(member.key, names));
  }
  text::ObjectReader reader(member.value, problems, fmt::format("'{}'", member.key));
  if (reader.optional("json", source.json)) is_json_pointer(*source.json, reader.place_of("json"), problems);
  if (reader.optional("regex", source.regex)) is_regex(*source.regex, reader.place_of("regex"), problems);
  reader.optional("scale", source.scale, text::above(0));
  if (source.json.has_value() == source.regex.has_value()) {
    problems.error(member.place, fmt::format("'{}' needs one of 'json' and 'regex'", member.key),
                   "say where the number stands, e.g. {json: /summary/ttft_ms}");
  }
  return source;
}

bool is_word(const std::string& text) {
  return !text.empty() && std::ranges::all_of(text, [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; });
}

params::DeclaredParameter read_declared(const text::Node& item, text::Problems& problems) {
  constexpr std::array<text::Choice<params::Transform>, 3> kTransforms{{
      {"linear", params::Transform::linear},
      {"log", params::Transform::log},
      {"logit", params::Transform::logit},
  }};
  params::DeclaredParameter parameter;
  text::ObjectReader reader(item, problems, "a parameter");
  if (reader.required("name", parameter.name) && !is_word(parameter.name)) {
    problems.error(reader.place_of("name"), fmt::format("'{}' is no name of a parameter", parameter.name),
                   "use letters, digits and '_'");
  }
  reader.optional("unit", parameter.unit);
  const bool has_lower = reader.required("lower", parameter.lower);
  const bool has_initial = reader.required("initial", parameter.initial);
  const bool has_upper = reader.required("upper", parameter.upper);
  reader.optional_choice("transform", parameter.transform, std::span<const text::Choice<params::Transform>>(kTransforms));
  reader.optional("meaning", parameter.meaning);
  if (!has_lower || !has_initial || !has_upper) return parameter;
  if (!(parameter.lower < parameter.upper) || parameter.initial < parameter.lower || parameter.initial > parameter.upper) {
    problems.error(reader.place_of("lower"),
                   fmt::format("'{}' must have lower <= initial <= upper, and lower < upper", parameter.name),
                   "widen its bounds or move its start");
  } else if (parameter.transform == params::Transform::log && parameter.lower <= 0.0) {
    problems.error(reader.place_of("lower"), fmt::format("'{}' has a log transform and a bound that is not positive", parameter.name),
                   "raise 'lower', or use transform: linear");
  }
  return parameter;
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

}  // namespace

ExternalSpec read_external(const text::Node& object, text::Problems& problems) {
  ExternalSpec spec;
  text::ObjectReader reader(object, problems, "'simulator'");
  reader.optional("folder", spec.folder);
  for (const text::Node& item : reader.optional_list("parameters")) {
    spec.parameters.push_back(read_declared(item, problems));
    const auto is_same = [&](const auto& other) { return other.name == spec.parameters.back().name; };
    if (std::ranges::count_if(spec.parameters, is_same) > 1) {
      problems.error(item.place, fmt::format("'{}' is declared twice", spec.parameters.back().name), "remove one of the two");
    }
  }
  if (spec.parameters.size() > params::kMostDeclared) {
    problems.error(reader.place_of("parameters"), fmt::format("{} parameters are too many", spec.parameters.size()),
                   fmt::format("declare at most {}", params::kMostDeclared));
  }
  for (const text::Node& item : reader.required_list("command")) {
    // Options look like numbers at times: --tp 2.
    spec.command.push_back(item.text);
    if (item.kind != text::Node::Kind::scalar)
      problems.error(item.place, "an argument must be a text", "write each argument as one item");
    check_placeholders(item.text, spec, item.place, problems);
  }
  const text::Node* files = reader.optional_object("files");
  spec.files = read_texts(files, "the file", problems);
  const text::Node* environment = reader.optional_object("environment");
  spec.environment = read_texts(environment, "the variable", problems);
  for (const text::Node* texts : {files, environment}) {
    if (texts == nullptr) continue;
    for (const text::Member& member : texts->members) {
      check_placeholders(member.value.text, spec, member.value.place, problems);
      if (texts == files) check_file_name(member.key, member.place, problems);
    }
  }
  if (reader.optional("output", spec.output)) check_file_name(*spec.output, reader.place_of("output"), problems);
  if (const text::Node* metrics = reader.required_object("metrics")) {
    for (const text::Member& member : metrics->members) spec.metrics.push_back(read_metric_source(member, problems));
    if (metrics->members.empty()) problems.error(metrics->place, "'metrics' is empty", "say where a metric stands in the output");
  }
  reader.optional("timeout_s", spec.timeout_s, text::Range{.min = 0, .excludes_min = true, .limit = core::limits::kSeconds});
  reader.optional("version", spec.version);
  if (problems.has_errors()) return spec;
  for (const params::DeclaredParameter& parameter : spec.parameters) params::declare(parameter);
  return spec;
}

eval::FailurePolicy read_failures(const text::Node& object, bool of_external_simulator, text::Problems& problems) {
  eval::FailurePolicy policy;
  text::ObjectReader reader(object, problems, "'failures'");
  // A key or value without effect is an error like any unknown one: the built-in simulation fails the same way every time.
  std::vector<text::Choice<eval::OnFailure>> choices(eval::kOnFailures.begin(), eval::kOnFailures.end());
  if (!of_external_simulator) std::erase_if(choices, [](const auto& choice) { return choice.second == eval::OnFailure::retry; });
  reader.optional_choice("policy", policy.on_failure, std::span<const text::Choice<eval::OnFailure>>(choices));
  if (policy.on_failure == eval::OnFailure::retry)
    reader.optional("retries", policy.retries, text::counted(1, core::limits::kRepeats));
  if (policy.on_failure == eval::OnFailure::penalise) reader.optional("penalty", policy.penalty, text::above(0));
  if (!of_external_simulator) reader.optional("max_events", policy.max_events, text::at_least(1));
  return policy;
}

std::string external_text(const ExternalSpec& spec) {
  std::vector<std::string> arguments;
  for (const std::string& argument : spec.command) arguments.push_back(quoted(argument));
  std::string text = fmt::format("simulator:\n  folder: {}\n  command: [{}]\n", quoted(spec.folder), fmt::join(arguments, ", "));
  for (const auto& [key, texts] : {std::pair{"files", &spec.files}, std::pair{"environment", &spec.environment}}) {
    if (!texts->empty()) text += fmt::format("  {}:\n", key);
    for (const auto& [name, content] : *texts) text += fmt::format("    {}: {}\n", quoted(name), quoted(content));
  }
  if (spec.output) text += fmt::format("  output: {}\n", quoted(*spec.output));
  text += "  metrics:\n";
  for (const MetricSource& source : spec.metrics) {
    text += fmt::format("    {}: {{{}: {}, scale: {}}}\n", domain::metric_name(source.metric), source.json ? "json" : "regex",
                        quoted(source.json ? *source.json : *source.regex), source.scale);
  }
  text += fmt::format("  timeout_s: {}\n", spec.timeout_s);
  if (!spec.version.empty()) text += fmt::format("  version: {}\n", quoted(spec.version));
  if (!spec.parameters.empty()) text += "  parameters:\n";
  for (const params::DeclaredParameter& parameter : spec.parameters) {
    text += fmt::format("    - {{name: {}, unit: {}, lower: {}, initial: {}, upper: {}, transform: {}", quoted(parameter.name),
                        quoted(parameter.unit), parameter.lower, parameter.initial, parameter.upper,
                        params::transform_name(parameter.transform));
    if (!parameter.meaning.empty()) text += fmt::format(", meaning: {}", quoted(parameter.meaning));
    text += "}\n";
  }
  return text;
}

std::string failures_text(const eval::FailurePolicy& policy, bool of_external_simulator) {
  std::string text = fmt::format("failures: {{policy: {}", core::word_of(eval::kOnFailures, policy.on_failure));
  if (policy.on_failure == eval::OnFailure::retry) text += fmt::format(", retries: {}", policy.retries);
  if (policy.on_failure == eval::OnFailure::penalise) text += fmt::format(", penalty: {}", policy.penalty);
  if (!of_external_simulator) text += fmt::format(", max_events: {}", policy.max_events);
  return text + "}\n";
}

}  // namespace rooftune::runs
