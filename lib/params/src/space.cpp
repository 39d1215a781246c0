#include "rooftune/params/space.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace rooftune::params {
namespace {

/// Sets a value in the scope it is meant for. A GPU's own value would win over the shared one, and the parameter would move
/// nothing: it goes.
void assign(Config& config, ParameterId id, const DeploymentFilter& where, const ParameterValue& assigned) {
  if (where.matches_everything()) {
    config.parameters[id] = assigned;
    for (HardwareEntry& entry : config.hardware) entry.parameters.erase(id);
    return;
  }
  auto scoped = std::ranges::find(config.scoped, where, &ScopedAssignments::where);
  if (scoped == config.scoped.end()) scoped = config.scoped.insert(scoped, {.where = where, .parameters = {}});
  scoped->parameters[id] = assigned;
}

/// What the config says in this scope, else for everything, else the registry.
double value_in(const Config& config, ParameterId id, const DeploymentFilter& where) {
  return current_value(config, {.id = id, .where = where, .initial = id.spec().initial, .prior = {}});
}

std::vector<double> variables_of(const Config& config, const Tie& tie) {
  std::vector<double> values;
  for (const ParameterId id : tie.expression.variables()) values.push_back(value_in(config, id, tie.where));
  return values;
}

void apply_ties(Config& config, ValueSource source) {
  for (const Tie& tie : config.ties) {
    const double value = tie.expression.value(variables_of(config, tie));
    assign(config, tie.id, tie.where, {.value = value, .standard_error = {}, .source = source});
  }
}

}  // namespace

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
    assign(config, free[i].id, free[i].where, {.value = values[i], .standard_error = {}, .source = source});
  }
  apply_ties(config, source);
  return config;
}

std::vector<std::vector<double>> tie_slopes(const Config& config, std::span<const FreeParameter> free) {
  std::vector<std::vector<double>> slopes;
  for (std::size_t t = 0; t < config.ties.size(); ++t) {
    const Tie& tie = config.ties[t];
    const std::vector<double> values = variables_of(config, tie);
    std::vector<double>& row = slopes.emplace_back(free.size(), 0.0);
    for (std::size_t v = 0; v < values.size(); ++v) {
      const ParameterId id = tie.expression.variables()[v];
      const double slope = tie.expression.derivative(values, v);
      // The value that it reads: the scope's own where there is one, else the shared one.
      const auto is_read = [&](const auto& other, const DeploymentFilter& where) { return other.id == id && other.where == where; };
      const auto add = [&](const DeploymentFilter& where) {
        for (std::size_t earlier = 0; earlier < t; ++earlier) {
          if (!is_read(config.ties[earlier], where)) continue;
          for (std::size_t column = 0; column < free.size(); ++column) row[column] += slope * slopes[earlier][column];
          return true;
        }
        const auto found = std::ranges::find_if(free, [&](const FreeParameter& parameter) { return is_read(parameter, where); });
        if (found == free.end()) return false;
        row[static_cast<std::size_t>(found - free.begin())] += slope;
        return true;
      };
      if (!add(tie.where) && !tie.where.matches_everything()) add(DeploymentFilter{});
    }
  }
  return slopes;
}

core::Result<std::vector<Tie>> in_order(std::vector<Tie> ties) {
  std::vector<Tie> ordered;
  while (!ties.empty()) {
    const auto reads = [](const Tie& tie, const Tie& other) {
      return std::ranges::find(tie.expression.variables(), other.id) != tie.expression.variables().end();
    };
    const auto ready = std::ranges::find_if(
        ties, [&](const Tie& tie) { return std::ranges::none_of(ties, [&](const Tie& other) { return reads(tie, other); }); });
    if (ready == ties.end()) {
      return core::fail({}, fmt::format("the tied parameter '{}' depends on itself", ties.front().id.spec().id),
                        "break the circle of 'tied' formulas");
    }
    ordered.push_back(std::move(*ready));
    ties.erase(ready);
  }
  return ordered;
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
