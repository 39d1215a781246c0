#include "config_form.hpp"

#include <fmt/format.h>

#include <map>
#include <set>
#include <string>

#include "rooftune/data/config_forms.hpp"
#include "rooftune/data/config_pieces.hpp"
#include "rooftune/data/term_forms.hpp"
#include "rooftune/text/json_pieces.hpp"
#include "rooftune/text/json_text.hpp"

namespace rooftune::data {
namespace {

using params::CalibratedDomain;
using params::Config;
using params::FitUncertainty;
using text::KeySpec;
using text::ObjectReader;

constexpr std::string_view kConfigSchema = "rooftune/config/1";
constexpr std::string_view kEnginePrefix = "engine.";

void read_schema(ObjectReader& reader, const KeySpec& key, Config&) {
  std::string schema;
  text::Problems& problems = reader.problems();
  if (reader.find(key.name) == nullptr) {
    problems.error(reader.node().place, "the config lacks 'schema'", fmt::format(R"(add "schema": "{}")", kConfigSchema));
  } else if (reader.optional(key.name, schema) && schema != kConfigSchema) {
    problems.error(reader.find(key.name)->place, fmt::format("the schema is '{}'", schema),
                   fmt::format("this version reads '{}'", kConfigSchema));
  }
}

std::map<std::string, std::string> read_provenance(const text::Node& object, text::Problems& problems) {
  std::map<std::string, std::string> provenance;
  for (const text::Member& member : object.members) {
    if (member.value.kind == text::Node::Kind::scalar) {
      provenance[member.key] = member.value.text;
    } else {
      problems.error(member.value.place, fmt::format("'{}' must be a text, not {}", member.key, text::describe(member.value)),
                     "give a text");
    }
  }
  return provenance;
}

/// The switches whose ids begin with `engine.`, without it, or the others.
Json switches_of(const Config& config, bool are_the_engines) {
  Json json = Json::object();
  for (const auto& [id, choice] : config.switches) {
    const params::SwitchSpec& spec = id.spec();
    if (spec.id.starts_with(kEnginePrefix) != are_the_engines) continue;
    json[std::string(are_the_engines ? spec.id.substr(kEnginePrefix.size()) : spec.id)] = spec.choices[choice];
  }
  return json;
}

void add_switches(text::Form<Config>& form, std::string_view name, std::string_view group, std::string_view says) {
  const auto read = [group](ObjectReader& reader, const KeySpec& key, Config& config) {
    if (const text::Node* node = reader.optional_object(key.name)) read_switches(*node, group, config.switches, reader.problems());
  };
  form.own(
      name, says, [group] { return switches_schema(group); }, read,
      [group](const Config& config) { return switches_of(config, group == kEnginePrefix); });
}

text::Form<CalibratedDomain::Range> range_form(const std::string& name) {
  using Range = CalibratedDomain::Range;
  text::Form<Range> form(fmt::format("the range '{}'", name));
  form.number("lowest", &Range::lowest, text::any_number(), "lowest value of the calibration").required();
  form.number("highest", &Range::highest, text::any_number(), "highest value of the calibration").required();
  return form;
}

text::Form<CalibratedDomain> domain_form() {
  text::Form<CalibratedDomain> form("'domain'");
  const auto read_ranges = [](ObjectReader& reader, const KeySpec& key, CalibratedDomain& domain) {
    const text::Node* ranges = reader.optional_object(key.name);
    if (ranges == nullptr) return;
    for (const text::Member& member : ranges->members) {
      CalibratedDomain::Range& range = domain.ranges[member.key];
      range_form(member.key).read(member.value, reader.problems(), range);
      if (range.lowest <= range.highest) continue;
      reader.problems().error(member.place,
                              fmt::format("the range '{}' goes from {} down to {}", member.key, range.lowest, range.highest),
                              "swap 'lowest' and 'highest'");
    }
  };
  form.own(
      "ranges", "by field: tp, prompt_tokens, rate_per_s ...", [] { return text::map_schema(range_form("").schema()); }, read_ranges,
      [](const CalibratedDomain& domain) {
        Json json = Json::object();
        for (const auto& [name, range] : domain.ranges) json[name] = range_form(name).write(range);
        return json;
      });
  const auto read_sets = [](ObjectReader& reader, const KeySpec& key, CalibratedDomain& domain) {
    const text::Node* sets = reader.optional_object(key.name);
    if (sets == nullptr) return;
    for (const text::Member& member : sets->members) {
      text::convert(member.value, fmt::format("'{}'", member.key), domain.sets[member.key], reader.problems());
    }
  };
  form.own("sets", "by field: model, gpu, precision, engine_version, moe", text::map_schema(text::list_schema(text::text_schema())),
           read_sets, [](const CalibratedDomain& domain) { return Json(domain.sets); });
  return form;
}

text::Form<FitUncertainty::Parameter> uncertain_parameter_form() {
  using Parameter = FitUncertainty::Parameter;
  text::Form<Parameter> form("an uncertain parameter");
  form.own(
          "id", "the parameter", defined("parameter_id"),
          [](ObjectReader& reader, const KeySpec& key, Parameter& parameter) {
            std::string id;
            if (!reader.required(key.name, id)) return;
            if (const auto found = read_parameter_id(id, reader.find(key.name)->place, reader.problems())) parameter.id = *found;
          },
          [](const Parameter& parameter) { return Json(parameter.id.spec().id); })
      .required();
  form.object("where", &Parameter::where, where_form(), "deployments that its value is for");
  form.word("transform", &Parameter::transform, kTransforms, "space in which its errors are normal").required();
  form.number("lower", &Parameter::lower, text::any_number(), "lower bound").required().only_with("transform", {"logit"});
  form.number("upper", &Parameter::upper, text::any_number(), "upper bound").required().only_with("transform", {"logit"});
  form.number("standard_deviation", &Parameter::standard_deviation, text::at_least(0), "in that space: 0.1 of a log parameter is 10 %")
      .required();
  return form;
}

void report_unknown_metric(const text::Member& member, text::Problems& problems) {
  std::vector<std::string_view> names;
  for (const domain::Metric known : domain::kMetrics) names.push_back(domain::metric_name(known));
  problems.error(member.place, fmt::format("unknown metric '{}'", member.key), core::suggest(member.key, names));
}

/// How wrong held-out runs were: two members of the whole.
text::Form<FitUncertainty> held_out_form() {
  text::Form<FitUncertainty> form("'held_out'");
  form.text("basis", &FitUncertainty::held_out_basis, "how that was found").required();
  const auto read_deviations = [](ObjectReader& reader, const KeySpec& key, FitUncertainty& uncertainty) {
    const text::Node* deviations = reader.required_object(key.name);
    if (deviations == nullptr) return;
    for (const text::Member& member : deviations->members) {
      const auto metric = domain::find_metric(member.key);
      double deviation = 0.0;
      const bool is_number =
          text::convert(member.value, fmt::format("'{}'", member.key), deviation, reader.problems(), text::at_least(0));
      if (metric && is_number) uncertainty.held_out_deviation[*metric] = deviation;
      if (!metric) report_unknown_metric(member, reader.problems());
    }
  };
  form.own("deviation", "by metric, standard deviation of log(measured / predicted) that neither parameters nor arrivals explain",
           metrics_schema(text::number_schema(false, text::at_least(0))), read_deviations,
           [](const FitUncertainty& uncertainty) {
             Json json = Json::object();
             for (const auto& [metric, deviation] : uncertainty.held_out_deviation) {
               json[std::string(domain::metric_name(metric))] = deviation;
             }
             return json;
           })
      .required();
  return form;
}

void read_correlation(ObjectReader& reader, const KeySpec& key, FitUncertainty& uncertainty) {
  text::Problems& problems = reader.problems();
  const std::span<const text::Node> rows = reader.required_list(key.name);
  if (rows.size() != uncertainty.parameters.size()) {
    problems.error(reader.place_of(key.name),
                   fmt::format("'correlation' has {} rows for {} parameters", rows.size(), uncertainty.parameters.size()),
                   "give a row for each parameter");
  }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::vector<double>& row = uncertainty.correlation.emplace_back();
    if (!text::convert(rows[i], fmt::format("row {} of 'correlation'", i + 1), row, problems, text::within(-1, 1)) || row.size() == i)
      continue;
    problems.error(rows[i].place, fmt::format("row {} of 'correlation' has {} numbers, not {}", i + 1, row.size(), i),
                   "give the correlations with the parameters before it");
  }
}

text::Form<FitUncertainty> uncertainty_form() {
  text::Form<FitUncertainty> form("'uncertainty'");
  form.objects("parameters", &FitUncertainty::parameters, uncertain_parameter_form(), "what the fit moved")
      .required()
      .always_written();
  form.own("correlation", "row i: with the parameters before parameter i",
           text::list_schema(text::list_schema(text::number_schema(false, text::within(-1, 1)))), read_correlation,
           [](const FitUncertainty& uncertainty) { return Json(uncertainty.correlation); })
      .required()
      .always_written();
  form.own(
      "held_out", "what the model's structure gets wrong on runs outside the fit", [] { return held_out_form().schema(); },
      [](ObjectReader& reader, const KeySpec& key, FitUncertainty& uncertainty) {
        if (const text::Node* node = reader.optional_object(key.name)) held_out_form().read(*node, reader.problems(), uncertainty);
      },
      [](const FitUncertainty& uncertainty) {
        return uncertainty.held_out_deviation.empty() ? Json(nullptr) : held_out_form().write(uncertainty);
      });
  return form;
}

void check_gpu_of_scope(const text::Node& where, const params::Config& config, const std::vector<domain::GpuSpec>& shipped,
                        text::Problems& problems) {
  const text::Node* gpu = where.find("gpu");
  if (gpu == nullptr || gpu->kind != text::Node::Kind::scalar || params::find_gpu(config, shipped, gpu->text) != nullptr) return;
  std::vector<std::string_view> names;
  for (const domain::GpuSpec& known : shipped) {
    names.push_back(known.name);
    names.insert(names.end(), known.aliases.begin(), known.aliases.end());
  }
  for (const params::HardwareEntry& entry : config.hardware) names.push_back(entry.gpu.name);
  problems.error(gpu->place, fmt::format("unknown GPU '{}'", gpu->text), core::suggest(gpu->text, names));
}

/// Coefficients that the config has values for: what a reader has to know of them.
std::vector<params::ParameterId> terms_of(const Config& config) {
  std::set<params::ParameterId> ids;
  const auto add = [&](const params::Assignments& assignments) {
    for (const auto& [id, value] : assignments) {
      if (params::find_term(id) != nullptr) ids.insert(id);
    }
  };
  add(config.parameters);
  for (const params::HardwareEntry& entry : config.hardware) add(entry.parameters);
  for (const params::ScopedAssignments& scoped : config.scoped) add(scoped.parameters);
  return {ids.begin(), ids.end()};
}

text::Form<params::ScopedAssignments> scoped_form() {
  using params::ScopedAssignments;
  text::Form<ScopedAssignments> form("an item of 'scoped'");
  form.object("where", &ScopedAssignments::where, where_form(), "the deployments").required().always_written();
  form.own(
          "parameters", "values by id", defined("assignments"),
          [](ObjectReader& reader, const KeySpec& key, ScopedAssignments& scoped) {
            if (const text::Node* node = reader.required_object(key.name))
              scoped.parameters = read_assignments(*node, reader.problems());
          },
          [](const ScopedAssignments& scoped) { return assignments_json(scoped.parameters); })
      .required()
      .always_written();
  return form;
}

}  // namespace

text::Form<Config> config_form(const std::vector<domain::GpuSpec>& shipped) {
  text::Form<Config> form("the config");
  form.own("schema", "format and version", Json{{"const", kConfigSchema}}, read_schema,
           [](const Config&) { return Json(kConfigSchema); })
      .required();
  form.own(
      "provenance", "texts about where the config comes from",
      text::map_schema({{"type", Json::array({"string", "number", "boolean"})}}),
      [](ObjectReader& reader, const KeySpec& key, Config& config) {
        if (const text::Node* node = reader.optional_object(key.name)) config.provenance = read_provenance(*node, reader.problems());
      },
      [](const Config& config) { return Json(config.provenance); });
  form.own(
          "step_time_model", "what predicts a step's time", step_time_model_schema,
          [](ObjectReader& reader, const KeySpec& key, Config& config) {
            if (const text::Node* node = reader.required_node(key.name))
              read_step_time_model(*node, config.step_time_model, reader.problems());
          },
          [](const Config& config) { return Json(config.step_time_model); })
      .required();
  add_switches(form, "engine", kEnginePrefix, "switches of the engine");
  add_switches(form, "switches", "", "all other switches, by id");
  // Before everything that names a coefficient.
  form.own(
      "terms",
      "time that steps take beside what the step-time model says: each a coefficient, which is a parameter, times an expression",
      [] { return terms_schema(TermsIn::config); },
      [](ObjectReader& reader, const KeySpec& key, Config&) {
        static_cast<void>(read_terms(reader.optional_list(key.name), TermsIn::config, reader.problems()));
      },
      [](const Config& config) { return terms_json(terms_of(config)); });
  form.own(
          "parameters", "values that hold for every deployment", defined("assignments"),
          [](ObjectReader& reader, const KeySpec& key, Config& config) {
            if (const text::Node* node = reader.optional_object(key.name))
              config.parameters = read_assignments(*node, reader.problems());
          },
          [](const Config& config) { return assignments_json(config.parameters); })
      .always_written();
  form.own(
          "hardware", "GPUs by name: facts and values of their own; facts that are left out are those of the shipped GPU of that name",
          hardware_schema,
          [&shipped](ObjectReader& reader, const KeySpec& key, Config& config) {
            if (const text::Node* node = reader.optional_object(key.name))
              config.hardware = read_hardware(*node, shipped, ConfigForm::config, reader.problems());
          },
          [](const Config& config) {
            Json json = Json::object();
            for (const params::HardwareEntry& entry : config.hardware) {
              json[entry.name_in_file.empty() ? entry.gpu.name : entry.name_in_file] = hardware_json(entry);
            }
            return json;
          })
      .always_written();
  form.own(
          "scoped", "values of some deployments, in this order: later ones win",
          [] { return text::list_schema(scoped_form().schema()); },
          [&shipped](ObjectReader& reader, const KeySpec& key, Config& config) {
            const text::Form<params::ScopedAssignments> scoped = scoped_form();
            for (const text::Node& item : reader.optional_list(key.name)) {
              scoped.read(item, reader.problems(), config.scoped.emplace_back());
              const text::Node* where = item.kind == text::Node::Kind::object ? item.find("where") : nullptr;
              if (where != nullptr) check_gpu_of_scope(*where, config, shipped, reader.problems());
            }
          },
          [](const Config& config) {
            const text::Form<params::ScopedAssignments> scoped = scoped_form();
            return text::list_of(config.scoped, [&](const params::ScopedAssignments& item) { return scoped.write(item); });
          })
      .always_written();
  form.object("domain", &Config::domain, domain_form(), "what the calibration has seen: predictions outside are flagged")
      .always_written();
  form.object("uncertainty", &Config::uncertainty, uncertainty_form(),
              "how sure the fit is of its parameters, and of runs that it has not seen: prediction intervals need it");
  return form;
}

std::string config_text(const Config& config) { return text::json_text(config_form({}).write(config)); }

std::string config_schema() {
  return text::json_text(
      text::root_schema("A config of rooftune",
                        "What a prediction needs besides the experiment. Of several values for one parameter the last of "
                        "these wins: registry default, data sheet, parameters, the GPU's own, scoped in file order.",
                        config_form({}).schema(), parameter_definitions()));
}

}  // namespace rooftune::data
