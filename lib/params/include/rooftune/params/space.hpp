#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/params/config.hpp"
#include "rooftune/params/registry.hpp"

namespace rooftune::params {

/// A normal prior in the transformed space (e.g. on log values for log parameters).
struct Prior {
  double centre = 0.0;              ///< in the parameter's own unit
  double standard_deviation = 1.0;  ///< in the transformed space
  friend bool operator==(const Prior&, const Prior&) = default;
};

/// A parameter that a fit may move, for the deployments that match `where`.
struct FreeParameter {
  ParameterId id;
  DeploymentFilter where;
  double lower = 0.0;
  double initial = 0.0;
  double upper = 0.0;
  Transform transform = Transform::linear;
  std::optional<Prior> prior;
  bool initial_is_given = false;  ///< false: a fit starts from the start config's value where that has one
  /// These keep their ratio to it: one multiplier over all of them.
  std::vector<ParameterId> together_with{};
  friend bool operator==(const FreeParameter&, const FreeParameter&) = default;

  /// The id, with the scope in brackets where there is one: "roofline_v1.mfuPrefill[gpu=H100]".
  [[nodiscard]] std::string label() const;
};

/// A free parameter with the registry's bounds, start and transform.
[[nodiscard]] FreeParameter make_free(ParameterId id);

/// x -> transformed space, its inverse and the derivative d(value)/d(transformed).
[[nodiscard]] double to_transformed(const FreeParameter& parameter, double value);
[[nodiscard]] double from_transformed(const FreeParameter& parameter, double transformed);
[[nodiscard]] double derivative_of_inverse(const FreeParameter& parameter, double transformed);

/// The config with the free parameters set to `values` (same order), marked with `source`, and its ties recomputed. A parameter
/// that is free for every deployment replaces what hardware entries say about it; scopes of the config stay more specific.
[[nodiscard]] Config with_values(const Config& base, std::span<const FreeParameter> free, std::span<const double> values,
                                 ValueSource source);

/// The current value that `config` gives to a free parameter: its own scope's, the GPU's (the first that has one), the shared
/// one, or its start.
[[nodiscard]] double current_value(const Config& config, const FreeParameter& parameter);

/// How the config's ties move with the free parameters at the values that the config has: one row per tie, one column per free
/// parameter, d(tied value) / d(free value).
[[nodiscard]] std::vector<std::vector<double>> tie_slopes(const Config& config, std::span<const FreeParameter> free);

/// Ties in an order in which each reads only what is set before it; an error that names a circle where there is one.
[[nodiscard]] core::Result<std::vector<Tie>> in_order(std::vector<Tie> ties);

/// Checks lower < upper, the start inside, positive bounds for log, no duplicates; one diagnostic each.
[[nodiscard]] core::Diagnostics check(std::span<const FreeParameter> free);

}  // namespace rooftune::params
