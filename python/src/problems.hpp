#pragma once

#include <pybind11/pybind11.h>

#include <exception>
#include <string>
#include <utility>

#include "rooftune/core/diagnostics.hpp"

namespace rooftune::python {

namespace py = pybind11;

/// What is wrong with what was given, on its way to rooftune.Error.
class Problem : public std::exception {
 public:
  explicit Problem(core::Diagnostics diagnostics) : diagnostics_(std::move(diagnostics)), text_(core::format(diagnostics_)) {}

  [[nodiscard]] const char* what() const noexcept override { return text_.c_str(); }
  [[nodiscard]] const core::Diagnostics& diagnostics() const { return diagnostics_; }

 private:
  core::Diagnostics diagnostics_;
  std::string text_;
};

/// A point that cannot be evaluated, on its way to rooftune.Refused.
class RefusedPoint : public std::exception {
 public:
  explicit RefusedPoint(std::string reason) : reason_(std::move(reason)) {}
  [[nodiscard]] const char* what() const noexcept override { return reason_.c_str(); }

 private:
  std::string reason_;
};

/// The value, or the problem as an exception.
template <class Value>
[[nodiscard]] Value value_of(core::Result<Value> result) {
  if (!result) throw Problem(std::move(result.error()));
  return *std::move(result);
}
inline void check(core::Result<void> result) {
  if (!result) throw Problem(std::move(result.error()));
}

/// One of them, without a place in a file.
[[noreturn]] void fail(std::string problem, std::string remedy);

/// As Python's warnings, each with the text that commands print.
void warn(const core::Diagnostics& diagnostics);

/// rooftune.Error, rooftune.Refused and rooftune.Warning.
void add_problems(py::module_& module);

}  // namespace rooftune::python
