#include "rooftune/params/config.hpp"

#include <array>
#include <utility>

#include "rooftune/domain/model.hpp"

namespace rooftune::params {
namespace {

constexpr std::array<std::pair<ValueSource, std::string_view>, 6> kSourceNames{{
    {ValueSource::default_value, "default"},
    {ValueSource::datasheet, "datasheet"},
    {ValueSource::kernel_table, "kernel_table"},
    {ValueSource::inherited, "inherited"},
    {ValueSource::fitted, "fitted"},
    {ValueSource::given, "given"},
}};

void overlay(Resolved<double>& resolved, const Assignments& assignments) {
  for (const auto& [id, assigned] : assignments) resolved[id] = assigned.value;
}

void overlay_datasheet(Resolved<double>& resolved, const domain::GpuSpec& gpu) {
  resolved[parameter("hardware.TFlopsPeak")] = gpu.peak_bf16.value;
  resolved[parameter("hardware.TFlopsFP8")] = gpu.peak_fp8 ? gpu.peak_fp8->value : 0.0;
  resolved[parameter("hardware.TFlopsFP4")] = gpu.peak_fp4 ? gpu.peak_fp4->value : 0.0;
  resolved[parameter("hardware.TFlopsINT8")] = gpu.peak_int8 ? gpu.peak_int8->value : 0.0;
  resolved[parameter("hardware.BwPeakTBs")] = gpu.hbm_bandwidth.value;
  resolved[parameter("hardware.link_GBs")] = gpu.link_bandwidth.value;
  resolved[parameter("hardware.MemoryGiB")] = gpu.memory.value;
}

}  // namespace

std::string_view source_name(ValueSource source) {
  for (const auto& [value, name] : kSourceNames) {
    if (value == source) return name;
  }
  return "";
}

std::optional<ValueSource> find_source(std::string_view name) {
  for (const auto& [value, known] : kSourceNames) {
    if (known == name) return value;
  }
  return std::nullopt;
}

bool DeploymentFilter::matches(const domain::Deployment& deployment, const domain::GpuSpec& gpu_spec) const {
  if (model && !domain::names_model(deployment.model, *model)) return false;
  if (gpu && domain::find_gpu({gpu_spec}, *gpu) == nullptr) return false;
  return !tp || *tp == deployment.tp;
}

Resolved<double> resolve(const Config& config, const domain::Deployment& deployment, const domain::GpuSpec& gpu) {
  Resolved<double> resolved;
  overlay_datasheet(resolved, gpu);
  for (const auto& [id, choice] : config.switches) resolved.choose(id, choice);
  overlay(resolved, config.parameters);
  for (const HardwareEntry& entry : config.hardware) {
    if (entry.gpu.name == gpu.name) overlay(resolved, entry.parameters);
  }
  for (const ScopedAssignments& scoped : config.scoped) {
    if (scoped.where.matches(deployment, gpu)) overlay(resolved, scoped.parameters);
  }
  return resolved;
}

const domain::GpuSpec* find_gpu(const Config& config, const std::vector<domain::GpuSpec>& known, std::string_view name) {
  const domain::GpuSpec* listed = domain::find_gpu(known, name);
  for (const HardwareEntry& entry : config.hardware) {
    if (domain::find_gpu({entry.gpu}, name) != nullptr || (listed != nullptr && listed->name == entry.gpu.name)) return &entry.gpu;
  }
  return listed;
}

}  // namespace rooftune::params
