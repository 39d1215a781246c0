#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "long_call.hpp"
#include "problems.hpp"
#include "rooftune/params/config.hpp"
#include "rooftune/runs/open_study.hpp"

/// The parts of the module, a source each.
namespace rooftune::python {

namespace py = pybind11;

void add_options(py::module_& module);
void add_data(py::module_& module);
void add_study(py::module_& module);
void add_objective(py::module_& module);
void add_plans(py::module_& module);
void add_step_time(py::module_& module);

/// Options as a command line has them: {"--tp", "2"}.
using Words = std::vector<std::string>;

/// A config as Python holds it.
struct ConfigValue {
  params::Config config;
};

/// A study, or what was selected without one, as Python holds it.
struct StudyValue {
  runs::OpenedStudy opened;
  std::optional<std::string> path;
  Words words;  ///< that it was opened with
};

/// The values with the memory that holds them: no copy.
[[nodiscard]] inline py::array_t<double> as_array(std::vector<double> values, std::vector<py::ssize_t> shape) {
  auto kept = std::make_unique<std::vector<double>>(std::move(values));
  double* const data = kept->data();
  const py::capsule owner(kept.release(), [](void* memory) { delete static_cast<std::vector<double>*>(memory); });
  return py::array_t<double>(std::move(shape), data, owner);
}

}  // namespace rooftune::python
