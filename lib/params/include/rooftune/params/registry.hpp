#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace rooftune::params {

/// The space in which optimisers see a parameter. log: positive values; logit: between its bounds.
enum class Transform { linear, log, logit };

/// Where a parameter's value naturally differs.
enum class Scope { shared, gpu, deployment };

/// Everything there is to know about one parameter. The registry is the only place that says it: YAML keys, command-line
/// help, validation, search box, reports and docs/parameters.md all come from here.
struct ParameterSpec {
  std::string_view id;    ///< "<group>.<name>", e.g. "physics.t_step_us"
  std::string_view unit;  ///< "us", "fraction", "1" ...
  double lower;           ///< search box and validation
  double initial;         ///< value when nothing else gives one
  double upper;
  Transform transform;
  Scope scope;
  std::string_view meaning;
  std::string_view source;  ///< of the initial value: document, equation or reasoning

  [[nodiscard]] constexpr std::string_view group() const { return id.substr(0, id.find('.')); }
  [[nodiscard]] constexpr std::string_view name() const { return id.substr(id.find('.') + 1); }
};

/// A structural choice: an option of the engine or of a step-time model that is a word, not a number.
struct SwitchSpec {
  std::string_view id;  ///< "<group>.<name>", e.g. "engine.async_scheduling"
  std::span<const std::string_view> choices;
  std::size_t initial;  ///< index into choices
  std::string_view meaning;
  std::string_view source;

  [[nodiscard]] constexpr std::string_view group() const { return id.substr(0, id.find('.')); }
};

[[nodiscard]] std::span<const ParameterSpec> parameter_registry();
[[nodiscard]] std::span<const SwitchSpec> switch_registry();

/// Index into the parameter registry.
struct ParameterId {
  std::size_t index = 0;
  friend constexpr auto operator<=>(const ParameterId&, const ParameterId&) = default;
  [[nodiscard]] const ParameterSpec& spec() const { return parameter_registry()[index]; }
};

/// Index into the switch registry.
struct SwitchId {
  std::size_t index = 0;
  friend constexpr auto operator<=>(const SwitchId&, const SwitchId&) = default;
  [[nodiscard]] const SwitchSpec& spec() const { return switch_registry()[index]; }
};

[[nodiscard]] std::optional<ParameterId> find_parameter(std::string_view id);
[[nodiscard]] std::optional<SwitchId> find_switch(std::string_view id);
/// Index of a choice of the switch by its word.
[[nodiscard]] std::optional<std::size_t> find_choice(SwitchId id, std::string_view choice);

[[nodiscard]] std::vector<std::string_view> parameter_ids();
[[nodiscard]] std::vector<std::string_view> switch_ids();

/// The parameter with this id, which the caller knows to exist (aborts otherwise).
[[nodiscard]] ParameterId parameter(std::string_view id);
/// The switch with this id, which the caller knows to exist (aborts otherwise).
[[nodiscard]] SwitchId switch_id(std::string_view id);

[[nodiscard]] std::string_view transform_name(Transform transform);
[[nodiscard]] std::string_view scope_name(Scope scope);

}  // namespace rooftune::params
