#include "rooftune/params/space.hpp"

#include <fmt/format.h>

#include <cmath>

namespace rooftune::params {

std::string FreeParameter::label() const {
  std::string scope;
  const auto add = [&](std::string_view key, const auto& value) {
    if (value) scope += fmt::format("{}{}={}", scope.empty() ? "" : ",", key, *value);
  };
  add("model", where.model);
  add("gpu", where.gpu);
  add("tp", where.tp);
  const std::string name(id.spec().id);
  return scope.empty() ? name : fmt::format("{}[{}]", name, scope);
}

FreeParameter make_free(ParameterId id) {
  const ParameterSpec& spec = id.spec();
  return {.id = id,
          .where = {},
          .lower = spec.lower,
          .initial = spec.initial,
          .upper = spec.upper,
          .transform = spec.transform,
          .prior = {}};
}

double to_transformed(const FreeParameter& parameter, double value) {
  switch (parameter.transform) {
    case Transform::linear: return value;
    case Transform::log: return std::log(value);
    case Transform::logit: return std::log((value - parameter.lower) / (parameter.upper - value));
  }
  return value;
}

double from_transformed(const FreeParameter& parameter, double transformed) {
  switch (parameter.transform) {
    case Transform::linear: return transformed;
    case Transform::log: return std::exp(transformed);
    case Transform::logit: return parameter.lower + (parameter.upper - parameter.lower) / (1.0 + std::exp(-transformed));
  }
  return transformed;
}

double derivative_of_inverse(const FreeParameter& parameter, double transformed) {
  const double value = from_transformed(parameter, transformed);
  switch (parameter.transform) {
    case Transform::linear: return 1.0;
    case Transform::log: return value;
    case Transform::logit: return (value - parameter.lower) * (parameter.upper - value) / (parameter.upper - parameter.lower);
  }
  return 1.0;
}

Config with_values(const Config& base, std::span<const FreeParameter> free, std::span<const double> values, ValueSource source) {
  Config config = base;
  for (std::size_t i = 0; i < free.size(); ++i) {
    const ParameterValue assigned{.value = values[i], .standard_error = {}, .source = source};
    if (free[i].where.matches_everything()) {
      config.parameters[free[i].id] = assigned;
      // A GPU's own value would win over the shared one, and the parameter would move nothing.
      for (HardwareEntry& entry : config.hardware) entry.parameters.erase(free[i].id);
      continue;
    }
    auto scoped = config.scoped.begin();
    while (scoped != config.scoped.end() && scoped->where != free[i].where) ++scoped;
    if (scoped == config.scoped.end()) scoped = config.scoped.insert(scoped, {.where = free[i].where, .parameters = {}});
    scoped->parameters[free[i].id] = assigned;
  }
  return config;
}

double current_value(const Config& config, const FreeParameter& parameter) {
  for (auto scoped = config.scoped.rbegin(); scoped != config.scoped.rend(); ++scoped) {
    const auto found = scoped->parameters.find(parameter.id);
    if (scoped->where == parameter.where && found != scoped->parameters.end()) return found->second.value;
  }
  for (const HardwareEntry& entry : config.hardware) {
    const bool reached =
        parameter.where.matches_everything() || (parameter.where.gpu && domain::find_gpu({entry.gpu}, *parameter.where.gpu));
    const auto own = entry.parameters.find(parameter.id);
    if (reached && own != entry.parameters.end()) return own->second.value;
  }
  const auto shared = config.parameters.find(parameter.id);
  return shared != config.parameters.end() ? shared->second.value : parameter.initial;
}

core::Diagnostics check(std::span<const FreeParameter> free) {
  core::Diagnostics problems;
  const auto report = [&](std::string problem, std::string remedy) {
    problems.push_back(
        {.position = {}, .problem = std::move(problem), .remedy = std::move(remedy), .severity = core::Severity::error});
  };
  for (std::size_t i = 0; i < free.size(); ++i) {
    const FreeParameter& parameter = free[i];
    const std::string label = parameter.label();
    if (!(parameter.lower < parameter.upper)) {
      report(fmt::format("'{}': lower bound {} is not below upper bound {}", label, parameter.lower, parameter.upper),
             "swap or widen the bounds");
    } else if (parameter.initial < parameter.lower || parameter.initial > parameter.upper) {
      report(fmt::format("'{}': initial value {} is outside [{}, {}]", label, parameter.initial, parameter.lower, parameter.upper),
             "move the start inside the bounds");
    }
    if (parameter.transform == Transform::log && !(parameter.lower > 0.0)) {
      report(fmt::format("'{}': a log transform needs a positive lower bound, not {}", label, parameter.lower),
             "raise the lower bound or use transform: linear");
    }
    for (std::size_t j = 0; j < i; ++j) {
      if (free[j].id == parameter.id && free[j].where == parameter.where) {
        report(fmt::format("'{}' is listed twice", label), "remove one of the two");
      }
    }
  }
  return problems;
}

}  // namespace rooftune::params
