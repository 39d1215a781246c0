#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>

#include "rooftune/data/config_file.hpp"
#include "rooftune/data/config_forms.hpp"
#include "rooftune/text/json_text.hpp"

namespace rooftune::data {
namespace {

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
