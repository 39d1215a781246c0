#include "rooftune/params/digest.hpp"

#include "rooftune/domain/digest.hpp"
#include "rooftune/params/term.hpp"

namespace rooftune::params {

// Every function takes its type apart as a whole: see core::Digest. Parameters and switches go in by name, so that an insertion
// into the registry changes no key by itself.

/// The coefficient of a term is nothing without its expression.
static void add_to(core::Digest& digest, const ParameterId& id) {
  digest.add(id.spec().id);
  if (const Term* term = find_term(id)) digest.add(term->expression, static_cast<int>(term->scale));
}
static void add_to(core::Digest& digest, const SwitchId& id) { digest.add(id.spec().id); }

static void add_to(core::Digest& digest, const ParameterValue& value) {
  const auto& [number, standard_error, source] = value;
  static_cast<void>(standard_error);
  static_cast<void>(source);
  digest.add(number);
}

static void add_to(core::Digest& digest, const DeploymentFilter& filter) {
  const auto& [model, gpu, tp] = filter;
  digest.add(model, gpu, tp);
}

static void add_to(core::Digest& digest, const ScopedAssignments& value) {
  const auto& [where, parameters] = value;
  digest.add(where, parameters);
}

static void add_to(core::Digest& digest, const Tie& tie) {
  const auto& [id, where, expression] = tie;
  digest.add(id, where, expression.text());
}

static void add_to(core::Digest& digest, const HardwareEntry& value) {
  const auto& [gpu, parameters, name_in_file] = value;
  digest.add(gpu, parameters, name_in_file);
}

void add_to(core::Digest& digest, const Config& config) {
  const auto& [step_time_model, switches, parameters, hardware, scoped, ties, calibrated, uncertainty, provenance] = config;
  static_cast<void>(calibrated);
  static_cast<void>(uncertainty);
  static_cast<void>(provenance);
  digest.add(step_time_model);
  for (const auto& [id, choice] : switches) digest.add(id, id.spec().choices[choice]);
  digest.add(parameters, hardware, scoped, ties);
}

static void add_to(core::Digest& digest, const Prior& prior) {
  const auto& [centre, standard_deviation] = prior;
  digest.add(centre, standard_deviation);
}

void add_to(core::Digest& digest, const FreeParameter& parameter) {
  const auto& [id, where, lower, initial, upper, transform, prior, initial_is_given, together_with] = parameter;
  // Where a search starts and how wide its box is changes no evaluation, but the logit transform refers to the bounds.
  static_cast<void>(initial);
  static_cast<void>(initial_is_given);
  digest.add(id, where, transform, prior, together_with);
  if (transform == Transform::logit) digest.add(lower, upper);
}

}  // namespace rooftune::params
