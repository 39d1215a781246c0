#include "rooftune/params/expression.hpp"

#include <fmt/format.h>
#include <muParser.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "formula_text.hpp"
#include "rooftune/core/contract.hpp"

namespace rooftune::params {
namespace {

mu::Parser parser_of(const std::string& text) {
  mu::Parser parser;
  parser.DefineNameChars(kNameCharacters);
  parser.SetExpr(text);
  return parser;
}

}  // namespace

core::Result<Expression> Expression::parse(std::string text, const core::SourcePosition& position) {
  if (const std::size_t assignment = find_assignment(text); assignment != std::string::npos) {
    return core::fail(moved(position, assignment), fmt::format("'{}' assigns something", text), "write the right-hand side alone");
  }
  Expression result;
  core::Diagnostics problems;
  try {
    mu::Parser parser = parser_of(text);
    for (const auto& [name, unused] : parser.GetUsedVar()) {
      if (const auto id = find_parameter(name)) {
        result.variables_.push_back(*id);
        continue;
      }
      const auto ids = parameter_ids();
      problems.push_back(
          {.position = moved(position, text.find(name)),
           .problem = fmt::format("unknown parameter '{}'", name),
           .remedy = core::closest_match(name, ids).empty() ? "`rooftune params` lists them all" : core::suggest(name, ids),
           .severity = core::Severity::error});
    }
  } catch (const mu::Parser::exception_type& error) {
    const int offset = std::max(0, error.GetPos());
    return core::fail(moved(position, static_cast<std::size_t>(offset)), fmt::format("'{}' is no formula: {}", text, error.GetMsg()),
                      "e.g. 0.5 * physics.t_step_us");
  }
  if (!problems.empty()) return tl::unexpected(std::move(problems));
  std::ranges::sort(result.variables_);
  result.text_ = std::move(text);
  return result;
}

double Expression::value(std::span<const double> values) const {
  ROOFTUNE_EXPECTS(values.size() == variables_.size());
  std::vector<double> copies(values.begin(), values.end());
  try {
    // A parser holds pointers to its variables and is no value; making one is nothing beside a simulation.
    mu::Parser parser = parser_of(text_);
    for (std::size_t i = 0; i < variables_.size(); ++i) parser.DefineVar(std::string(variables_[i].spec().id), &copies[i]);
    return parser.Eval();
  } catch (const mu::Parser::exception_type&) {
    return std::numeric_limits<double>::quiet_NaN();
  }
}

double Expression::derivative(std::span<const double> values, std::size_t variable) const {
  std::vector<double> moved_values(values.begin(), values.end());
  const double x = values[variable];
  // Five points: truncation h^4, rounding eps / h; both are near 1e-12 of the value at this step.
  const double step = 1e-3 * (x != 0.0 ? std::abs(x) : 1.0);
  const auto at = [&](double distance) {
    moved_values[variable] = x + distance * step;
    return value(moved_values);
  };
  return (at(-2.0) - 8.0 * at(-1.0) + 8.0 * at(1.0) - at(2.0)) / (12.0 * step);
}

}  // namespace rooftune::params
