#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

#include "rooftune/data/config_file.hpp"
#include "rooftune/text/json_text.hpp"

namespace rooftune::data {
namespace {

using Json = nlohmann::ordered_json;

Json parameters_json(const params::Assignments& parameters) {
  Json json = Json::object();
  for (const auto& [id, assigned] : parameters) {
    Json entry = {{"value", assigned.value}};
    if (assigned.standard_error && std::isfinite(*assigned.standard_error)) entry["stderr"] = *assigned.standard_error;
    entry["source"] = params::source_name(assigned.source);
    json[std::string(id.spec().id)] = std::move(entry);
  }
  return json;
}

Json hardware_json(const params::HardwareEntry& entry) {
  const domain::GpuSpec& gpu = entry.gpu;
  Json json = Json::object();
  if (!gpu.aliases.empty()) json["aliases"] = gpu.aliases;
  json["TFlopsPeak"] = gpu.peak_bf16.value;
  json["TFlopsFP8"] = gpu.peak_fp8 ? gpu.peak_fp8->value : 0.0;
  if (gpu.peak_fp4) json["TFlopsFP4"] = gpu.peak_fp4->value;
  if (gpu.peak_int8) json["TFlopsINT8"] = gpu.peak_int8->value;
  json["BwPeakTBs"] = gpu.hbm_bandwidth.value;
  json["MemoryGiB"] = gpu.memory.value;
  json["link_GBs"] = gpu.link_bandwidth.value;
  json["interconnect"] = gpu.interconnect == domain::Interconnect::nvlink ? "nvlink" : "pcie";
  if (!gpu.source.empty()) json["source"] = gpu.source;
  if (!entry.parameters.empty()) json["parameters"] = parameters_json(entry.parameters);
  return json;
}

Json where_json(const params::DeploymentFilter& where) {
  Json json = Json::object();
  if (where.model) json["model"] = *where.model;
  if (where.gpu) json["gpu"] = *where.gpu;
  if (where.tp) json["tp"] = *where.tp;
  return json;
}

Json domain_json(const params::CalibratedDomain& domain) {
  Json json = Json::object();
  for (const auto& [name, range] : domain.ranges) json["ranges"][name] = {{"lowest", range.lowest}, {"highest", range.highest}};
  for (const auto& [name, values] : domain.sets) json["sets"][name] = values;
  return json;
}

Json uncertainty_json(const params::FitUncertainty& uncertainty) {
  Json json = {{"parameters", Json::array()}};
  for (const params::FitUncertainty::Parameter& parameter : uncertainty.parameters) {
    Json entry = {{"id", parameter.id.spec().id}};
    if (!parameter.where.matches_everything()) entry["where"] = where_json(parameter.where);
    entry["transform"] = params::transform_name(parameter.transform);
    if (parameter.transform == params::Transform::logit) {
      entry["lower"] = parameter.lower;
      entry["upper"] = parameter.upper;
    }
    entry["standard_deviation"] = parameter.standard_deviation;
    json["parameters"].push_back(std::move(entry));
  }
  json["correlation"] = uncertainty.correlation;
  if (!uncertainty.held_out_deviation.empty()) {
    Json& held_out = json["held_out"] = {{"basis", uncertainty.held_out_basis}};
    for (const auto& [metric, deviation] : uncertainty.held_out_deviation) {
      held_out["deviation"][std::string(domain::metric_name(metric))] = deviation;
    }
  }
  return json;
}

/// The family's name of a GPU where it is not the canonical one.
std::string family_name(const params::HardwareEntry& entry) {
  if (!entry.name_in_file.empty()) return entry.name_in_file;
  return entry.gpu.name == "H100-SXM" ? "H100" : entry.gpu.name;
}

constexpr std::string_view kUseOurForm = "write it with --format config";

core::Diagnostics what_the_family_cannot_say(const params::Config& config) {
  core::Diagnostics problems;
  const auto report = [&](std::string problem) {
    problems.push_back(
        {.position = {}, .problem = std::move(problem), .remedy = std::string(kUseOurForm), .severity = core::Severity::error});
  };
  if (config.step_time_model != "roofline_v1") {
    report(fmt::format("the hardware-config form holds roofline_v1 only, and this config is for '{}'", config.step_time_model));
  }
  for (const params::ScopedAssignments& scoped : config.scoped) {
    if (!scoped.where.model && !scoped.where.tp) continue;
    for (const auto& [id, assigned] : scoped.parameters) {
      report(fmt::format("the hardware-config form has no place for '{}' of one model or TP degree", id.spec().id));
    }
  }
  return problems;
}

core::Diagnostics what_the_family_leaves_out(const params::Config& config) {
  core::Diagnostics warnings;
  const auto report = [&](std::string_view what) {
    warnings.push_back({.position = {},
                        .problem = fmt::format("the hardware-config form leaves out {}", what),
                        .remedy = "predictions from it differ; use --format config to keep them",
                        .severity = core::Severity::warning});
  };
  const auto is_left_out = [](const auto& assigned) {
    const std::string_view group = assigned.first.spec().group();
    return group != "roofline_v1" && group != "hardware";
  };
  std::string ids;
  for (const auto& assigned : config.parameters) {
    if (is_left_out(assigned)) ids += fmt::format("{}'{}'", ids.empty() ? "" : ", ", assigned.first.spec().id);
  }
  if (!ids.empty()) report(ids);
  if (!config.switches.empty()) report("the switches");
  return warnings;
}

Json family_json(const params::Resolved<double>& values) {
  Json json = Json::object();
  for (const char* key : {"TFlopsPeak", "TFlopsFP8", "BwPeakTBs", "MemoryGiB"}) json[key] = values[fmt::format("hardware.{}", key)];
  for (const params::ParameterSpec& spec : params::parameter_registry()) {
    if (spec.group() == "roofline_v1") json[std::string(spec.name())] = values[spec.id];
  }
  return json;
}

}  // namespace

std::string config_text(const params::Config& config) {
  Json json = {{"schema", "rooftune/config/1"}};
  if (!config.provenance.empty()) json["provenance"] = config.provenance;
  json["step_time_model"] = config.step_time_model;
  for (const auto& [id, choice] : config.switches) {
    const params::SwitchSpec& spec = id.spec();
    if (spec.group() == "engine") {
      json["engine"][std::string(spec.id.substr(spec.group().size() + 1))] = spec.choices[choice];
    } else {
      json["switches"][std::string(spec.id)] = spec.choices[choice];
    }
  }
  json["parameters"] = parameters_json(config.parameters);
  json["hardware"] = Json::object();
  for (const params::HardwareEntry& entry : config.hardware) {
    json["hardware"][entry.name_in_file.empty() ? entry.gpu.name : entry.name_in_file] = hardware_json(entry);
  }
  json["scoped"] = Json::array();
  for (const params::ScopedAssignments& scoped : config.scoped) {
    json["scoped"].push_back({{"where", where_json(scoped.where)}, {"parameters", parameters_json(scoped.parameters)}});
  }
  json["domain"] = domain_json(config.domain);
  if (config.uncertainty) json["uncertainty"] = uncertainty_json(*config.uncertainty);
  return text::json_text(json);
}

core::Result<HardwareConfigText> hardware_config_text(const params::Config& config, const std::vector<domain::GpuSpec>& shipped) {
  if (auto problems = what_the_family_cannot_say(config); !problems.empty()) return tl::unexpected(std::move(problems));
  params::Config listed = config;
  if (listed.hardware.empty()) {
    for (const domain::GpuSpec& gpu : shipped) listed.hardware.push_back({.gpu = gpu, .parameters = {}});
  }
  Json json = Json::object();
  for (const params::HardwareEntry& entry : listed.hardware) {
    domain::Deployment deployment;
    deployment.hardware = entry.gpu.name;
    json[family_name(entry)] = family_json(params::resolve(listed, deployment, entry.gpu));
  }
  return HardwareConfigText{.text = text::json_text(json), .warnings = what_the_family_leaves_out(config)};
}

}  // namespace rooftune::data
