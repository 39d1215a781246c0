#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/domain/experiment.hpp"
#include "rooftune/domain/gpu.hpp"
#include "rooftune/params/expression.hpp"
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

/// A parameter that follows others while a fit moves them; reads and sets the values of its scope, or the shared ones.
struct Tie {
  ParameterId id;
  DeploymentFilter where;
  Expression expression;
  friend bool operator==(const Tie&, const Tie&) = default;
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

/// How sure the fit behind a config is: of its parameters jointly, and of runs that it has not seen.
struct FitUncertainty {
  /// A fitted parameter and the space in which its errors are normal.
  struct Parameter {
    ParameterId id;
    DeploymentFilter where;
    Transform transform = Transform::linear;
    double lower = 0.0;  ///< with `upper`, the bounds of a logit transform
    double upper = 0.0;
    double standard_deviation = 0.0;  ///< in the transformed space: 0.1 of a log parameter is 10 %
    friend bool operator==(const Parameter&, const Parameter&) = default;
  };
  std::vector<Parameter> parameters;
  std::vector<std::vector<double>> correlation;  ///< row i: with parameters 0 to i - 1
  /// Standard deviation of log(measured / predicted) on runs outside the fit, as far as neither the parameters nor the arrivals
  /// explain it: what the model's structure gets wrong. Empty where no held-out runs were scored.
  std::map<domain::Metric, double> held_out_deviation;
  std::string held_out_basis;  ///< how that was found: "LeaveOneGroupOut by model: 15 runs in 6 folds"

  [[nodiscard]] double covariance_of(std::size_t first, std::size_t second) const {
    const double variances = parameters[first].standard_deviation * parameters[second].standard_deviation;
    if (first == second) return variances;
    return variances * (first > second ? correlation[first][second] : correlation[second][first]);
  }
  friend bool operator==(const FitUncertainty&, const FitUncertainty&) = default;
};

/// Everything a prediction needs besides the experiment: loads and works without the study that made it.
struct Config {
  std::string step_time_model = "roofline_v1";
  std::map<SwitchId, std::size_t> switches;
  Assignments parameters;  ///< shared by all GPUs and models
  std::vector<HardwareEntry> hardware;
  std::vector<ScopedAssignments> scoped;
  /// Each reads nothing that a later one sets. A fit keeps them; files hold the values that came out.
  std::vector<Tie> ties{};
  CalibratedDomain domain;
  std::optional<FitUncertainty> uncertainty;
  std::map<std::string, std::string> provenance;

  friend bool operator==(const Config&, const Config&) = default;
};

/// Values for one deployment. Later wins: registry defaults, the GPU's data sheet, shared, the GPU's own, scoped in file order.
[[nodiscard]] Resolved<double> resolve(const Config& config, const domain::Deployment& deployment, const domain::GpuSpec& gpu);

/// The GPU that the deployment names: the config's own entry first, then `known`. Null when neither has it.
[[nodiscard]] const domain::GpuSpec* find_gpu(const Config& config, const std::vector<domain::GpuSpec>& known, std::string_view name);

}  // namespace rooftune::params
