#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/params/registry.hpp"

namespace rooftune::params {

/// A formula over parameters, e.g. "0.5 * physics.t_step_us + 20": + - * / ^, comparisons with ?:, and the usual functions
/// (sqrt, exp, ln, log10, min, max, abs ...).
class Expression {
 public:
  /// Errors point into the text when `position` is where it begins.
  [[nodiscard]] static core::Result<Expression> parse(std::string text, const core::SourcePosition& position = {});

  [[nodiscard]] const std::string& text() const { return text_; }
  /// The parameters that it reads, by rising id.
  [[nodiscard]] const std::vector<ParameterId>& variables() const { return variables_; }
  /// `values` in the order of variables(). Not finite where the formula is not defined.
  [[nodiscard]] double value(std::span<const double> values) const;
  /// By one of the variables, from differences of fourth order: good to ten digits where the formula is smooth.
  [[nodiscard]] double derivative(std::span<const double> values, std::size_t variable) const;

  friend bool operator==(const Expression& a, const Expression& b) { return a.text_ == b.text_; }

 private:
  std::string text_;
  std::vector<ParameterId> variables_;
};

}  // namespace rooftune::params
