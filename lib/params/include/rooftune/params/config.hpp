#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/domain/experiment.hpp"
#include "rooftune/domain/gpu.hpp"
#include "rooftune/params/registry.hpp"
#include "rooftune/params/resolved.hpp"

namespace rooftune::params {

/// Where a value came from.
enum class ValueSource { default_value, datasheet, kernel_table, inherited, fitted, given };
[[nodiscard]] std::string_view source_name(ValueSource source);
[[nodiscard]] std::optional<ValueSource> find_source(std::string_view name);

struct ParameterValue {
  double value = 0.0;
  std::optional<double> standard_error;
  ValueSource source = ValueSource::given;
  friend bool operator==(const ParameterValue&, const ParameterValue&) = default;
};

using Assignments = std::map<ParameterId, ParameterValue>;

/// Which deployments an assignment holds for; empty fields match everything. GPU aliases match their canonical name.
struct DeploymentFilter {
  std::optional<std::string> model;
  std::optional<std::string> gpu;
  std::optional<int> tp;

  [[nodiscard]] bool matches(const domain::Deployment& deployment, const domain::GpuSpec& gpu_spec) const;
  [[nodiscard]] bool matches_everything() const { return !model && !gpu && !tp; }
  friend bool operator==(const DeploymentFilter&, const DeploymentFilter&) = default;
};

struct ScopedAssignments {
  DeploymentFilter where;
  Assignments parameters;
  friend bool operator==(const ScopedAssignments&, const ScopedAssignments&) = default;
};

/// A GPU's own facts and parameters inside a config.
struct HardwareEntry {
  domain::GpuSpec gpu;
  Assignments parameters;
  std::string name_in_file{};  ///< the name a file gave it, kept when writing ("H100"); empty: the canonical one
  friend bool operator==(const HardwareEntry&, const HardwareEntry&) = default;
};

/// Ranges seen in a fit; predictions outside are flagged.
struct CalibratedDomain {
  struct Range {
    double lowest = 0.0;
    double highest = 0.0;
    friend bool operator==(const Range&, const Range&) = default;
  };
  std::map<std::string, Range> ranges;                   ///< "tp", "batch", "context_tokens", "prompt_tokens", "rate_per_s" ...
  std::map<std::string, std::vector<std::string>> sets;  ///< "precision", "model", "gpu", "engine_version", "moe"
  friend bool operator==(const CalibratedDomain&, const CalibratedDomain&) = default;
};

/// Everything a prediction needs besides the experiment: loads and works without the study that made it.
struct Config {
  std::string step_time_model = "roofline_v1";
  std::map<SwitchId, std::size_t> switches;
  Assignments parameters;  ///< shared by all GPUs and models
  std::vector<HardwareEntry> hardware;
  std::vector<ScopedAssignments> scoped;
  CalibratedDomain domain;
  std::map<std::string, std::string> provenance;

  friend bool operator==(const Config&, const Config&) = default;
};

/// Values for one deployment. Later wins: registry defaults, the GPU's data sheet, shared, the GPU's own, scoped in file order.
[[nodiscard]] Resolved<double> resolve(const Config& config, const domain::Deployment& deployment, const domain::GpuSpec& gpu);

/// The GPU that the deployment names: the config's own entry first, then `known`. Null when neither has it.
[[nodiscard]] const domain::GpuSpec* find_gpu(const Config& config, const std::vector<domain::GpuSpec>& known, std::string_view name);

}  // namespace rooftune::params
