// The objective of a study as a function of a vector, for solvers of others.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "bindings.hpp"
#include "rooftune/calibrate/calibration_objective.hpp"
#include "rooftune/core/word.hpp"
#include "rooftune/domain/metrics.hpp"
#include "rooftune/eval/residuals.hpp"
#include "rooftune/opt/loss.hpp"
#include "rooftune/runs/kept_config.hpp"

namespace rooftune::python {
namespace {

using Point = py::array_t<double, py::array::c_style | py::array::forcecast>;

/// The space of a point: the parameters' own units, or the one in which rooftune's solvers work.
enum class Space { natural, transformed };

class Objective {
 public:
  Objective(std::shared_ptr<StudyValue> study, Space space)
      : study_(std::move(study)),
        space_(space),
        problem_(calibrate::make_problem(prepared().spec.free)),
        loss_(calibrate::make_stages(prepared().spec).back().options.loss),
        residuals_(prepared().dataset, prepared().start, prepared().spec.free, prepared().spec.objective, {prepared().spec.threads}) {}

  [[nodiscard]] const std::vector<params::FreeParameter>& free() const { return residuals_.free(); }
  [[nodiscard]] const eval::ResidualFunction& function() const { return residuals_; }
  [[nodiscard]] const opt::Loss& loss() const { return loss_; }
  [[nodiscard]] const StudyValue& study() const { return *study_; }
  [[nodiscard]] Space space() const { return space_; }

  [[nodiscard]] std::vector<double> transformed(const Point& x) const {
    if (x.ndim() != 1 || x.shape(0) != static_cast<py::ssize_t>(free().size())) {
      fail("the point is not a vector of " + std::to_string(free().size()) + " numbers", "give one number for each of names");
    }
    std::vector<double> point(x.data(), x.data() + x.shape(0));
    for (std::size_t i = 0; i < point.size(); ++i) {
      if (!std::isfinite(point[i])) throw RefusedPoint(free()[i].label() + " is not a finite number");
      if (space_ == Space::natural) point[i] = to_solver(i, point[i]);
    }
    return point;
  }

  /// A value in its own unit as the solvers see it. At the very bounds the transform may be infinite: it ends at kFar.
  [[nodiscard]] double to_solver(std::size_t i, double value) const {
    const params::FreeParameter& parameter = free()[i];
    if (parameter.transform == params::Transform::log && value <= 0.0) throw RefusedPoint(parameter.label() + " is not above 0");
    const bool is_logit = parameter.transform == params::Transform::logit;
    const double inside = is_logit ? std::clamp(value, parameter.lower, parameter.upper) : value;
    return std::clamp(params::to_transformed(parameter, inside), -kFar, kFar);
  }

  /// d(transformed) / d(x).
  [[nodiscard]] double slope(std::size_t i, double transformed) const {
    return space_ == Space::transformed ? 1.0 : 1.0 / params::derivative_of_inverse(free()[i], transformed);
  }

  [[nodiscard]] eval::Residuals at(const std::vector<double>& point, eval::Derivatives derivatives) const {
    const py::gil_scoped_release without_python;
    return residuals_(point, derivatives);
  }

  [[nodiscard]] const calibrate::PreparedStudy& prepared() const { return study_->opened.prepared; }
  [[nodiscard]] const opt::Variable& variable(std::size_t i) const { return problem_.variables[i]; }

 private:
  /// Of transformed values: exp of it is still a number.
  static constexpr double kFar = 600.0;

  std::shared_ptr<StudyValue> study_;
  Space space_;
  opt::Problem problem_;
  opt::Loss loss_;
  eval::ResidualFunction residuals_;
};

constexpr std::array<core::Word<Space>, 2> kSpaces{{{"natural", Space::natural}, {"transformed", Space::transformed}}};

std::unique_ptr<Objective> make_objective(std::shared_ptr<StudyValue> study, const std::string& space) {
  const auto found = core::find_word<Space>(kSpaces, space);
  if (!found) fail("unknown space '" + space + "'", "known: natural, transformed");
  if (study->opened.prepared.spec.free.empty()) {
    throw Problem({{.position = {.file = study->path.value_or("")},
                    .problem = "the study leaves no parameter free",
                    .remedy = "list some under 'free'"}});
  }
  return std::make_unique<Objective>(std::move(study), *found);
}

eval::Residuals accepted(eval::Residuals residuals) {
  if (residuals.refusal) throw RefusedPoint(*residuals.refusal);
  return residuals;
}

py::array_t<double> residuals(const Objective& self, const Point& x) {
  eval::Residuals at = accepted(self.at(self.transformed(x), eval::Derivatives::no));
  const auto rows = static_cast<py::ssize_t>(at.values.size());
  return as_array(std::move(at.values), {rows});
}

py::tuple residuals_and_jacobian(const Objective& self, const Point& x) {
  if (!self.function().differentiable()) {
    fail("the objective has no derivatives: it compares percentiles, or a program of others predicts",
         "let the solver take differences (SciPy: jac='2-point')");
  }
  const std::vector<double> point = self.transformed(x);
  eval::Residuals at = accepted(self.at(point, eval::Derivatives::yes));
  const std::size_t columns = point.size();
  if (self.space() == Space::natural) {
    for (std::size_t column = 0; column < columns; ++column) {
      const double slope = self.slope(column, point[column]);
      for (std::size_t row = 0; row < at.values.size(); ++row) at.jacobian[row * columns + column] *= slope;
    }
  }
  const auto rows = static_cast<py::ssize_t>(at.values.size());
  return py::make_tuple(as_array(std::move(at.values), {rows}),
                        as_array(std::move(at.jacobian), {rows, static_cast<py::ssize_t>(columns)}));
}

py::array_t<double> jacobian(const Objective& self, const Point& x) { return py::object(residuals_and_jacobian(self, x)[1]); }

/// What a fit makes small: the sum of the loss over the residuals; infinite where the point is refused.
double cost(const Objective& self, const Point& x) {
  eval::Residuals at;
  try {
    at = self.at(self.transformed(x), eval::Derivatives::no);
  } catch (const RefusedPoint&) {
    return std::numeric_limits<double>::infinity();
  }
  if (at.refusal) return std::numeric_limits<double>::infinity();
  double sum = 0.0;
  for (const double value : at.values) sum += opt::loss_value(self.loss(), value);
  return sum;
}

template <class Value>
py::array_t<double> vector_of(const Objective& self, const Value& value) {
  std::vector<double> values;
  for (std::size_t i = 0; i < self.free().size(); ++i) values.push_back(value(i));
  const auto size = static_cast<py::ssize_t>(values.size());
  return as_array(std::move(values), {size});
}

py::array_t<double> start(const Objective& self) {
  return vector_of(self,
                   [&](std::size_t i) { return self.space() == Space::natural ? self.free()[i].initial : self.variable(i).initial; });
}
py::array_t<double> lower(const Objective& self) {
  return vector_of(self,
                   [&](std::size_t i) { return self.space() == Space::natural ? self.free()[i].lower : self.variable(i).lower; });
}
py::array_t<double> upper(const Objective& self) {
  return vector_of(self,
                   [&](std::size_t i) { return self.space() == Space::natural ? self.free()[i].upper : self.variable(i).upper; });
}

template <class Text>
std::vector<std::string> texts(const Objective& self, const Text& text) {
  std::vector<std::string> all;
  for (const params::FreeParameter& parameter : self.free()) all.emplace_back(text(parameter));
  return all;
}

/// The parameters' values at a point, in their units.
py::dict values(const Objective& self, const Point& x) {
  const std::vector<double> point = self.transformed(x);
  py::dict all;
  for (std::size_t i = 0; i < point.size(); ++i) {
    all[py::str(self.free()[i].label())] = params::from_transformed(self.free()[i], point[i]);
  }
  return all;
}

py::array_t<double> point(const Objective& self, const py::dict& values) {
  return vector_of(self, [&](std::size_t i) {
    const params::FreeParameter& parameter = self.free()[i];
    if (!values.contains(parameter.label())) fail("no value is given for " + parameter.label(), "give one for each of names");
    const auto value = values[py::str(parameter.label())].cast<double>();
    return self.space() == Space::natural ? value : self.to_solver(i, value);
  });
}

ConfigValue config(const Objective& self, const Point& x) {
  return {runs::as_kept(self.function().config_at(self.transformed(x)), self.study().opened)};
}

py::list rows(const Objective& self) {
  py::list all;
  for (const eval::ResidualRow& row : self.function().rows()) {
    py::dict entry;
    entry["experiment"] = self.function().dataset().cases[row.case_index].experiment.id;
    entry["stage"] = row.stage == domain::kSummaryStage ? py::object(py::str("summary")) : py::object(py::int_(row.stage));
    entry["metric"] = std::string(domain::metric_name(row.metric));
    entry["weight"] = row.weight;
    all.append(std::move(entry));
  }
  for (const params::FreeParameter& parameter : self.free()) {
    if (!parameter.prior) continue;
    py::dict entry;
    entry["prior"] = parameter.label();
    entry["weight"] = self.function().objective().noise / parameter.prior->standard_deviation;
    all.append(std::move(entry));
  }
  return all;
}

}  // namespace

void add_objective(py::module_& module) {
  py::class_<Objective>(
      module, "Objective",
      "The objective of a study as a function of a vector of its free parameters.\n\n"
      "Residuals are log ratios of predicted and measured latencies (or relative errors, as the study says) times "
      "the square root of their weight, without unit; a row for each of `rows`, then one for each prior. The point is "
      "in the parameters' own units (space 'natural') or in the space in which rooftune's solvers work "
      "('transformed': logarithms of log parameters). Calls release the GIL and may come from several threads.")
      .def("residuals", &residuals, py::arg("x"), "Residuals at `x` (n parameters): shape (m,), no unit. Raises Refused.")
      .def("jacobian", &jacobian, py::arg("x"), "d residual / d x at `x`: shape (m, n). Raises Refused.")
      .def("residuals_and_jacobian", &residuals_and_jacobian, py::arg("x"), "Both from one simulation.")
      .def("cost", &cost, py::arg("x"),
           "What `fit` makes small: the study's loss of every residual, summed (a sum of squares unless the study says otherwise); "
           "infinity where the point is refused.")
      .def("values", &values, py::arg("x"), "The parameters at `x` by name, in their units.")
      .def("point", &point, py::arg("values"), "The vector for values by name, in their units.")
      .def("config", &config, py::arg("x"), "The config with the free parameters at `x`.")
      .def_property_readonly("names", [](const Objective& self) { return texts(self, [](const auto& p) { return p.label(); }); })
      .def_property_readonly("units",
                             [](const Objective& self) { return texts(self, [](const auto& p) { return p.id.spec().unit; }); })
      .def_property_readonly(
          "transforms",
          [](const Objective& self) { return texts(self, [](const auto& p) { return params::transform_name(p.transform); }); },
          "linear, log or logit, by parameter: how 'transformed' sees it.")
      .def_property_readonly("start", &start, "Where a fit starts: shape (n,).")
      .def_property_readonly("lower", &lower, "Lower bounds: shape (n,).")
      .def_property_readonly("upper", &upper, "Upper bounds: shape (n,).")
      .def_property_readonly("rows", &rows, "What each residual compares: experiment, stage, metric and weight; last the priors.")
      .def_property_readonly("space", [](const Objective& self) { return self.space() == Space::natural ? "natural" : "transformed"; })
      .def_property_readonly("differentiable", [](const Objective& self) { return self.function().differentiable(); })
      .def_property_readonly("loss", [](const Objective& self) { return std::string(opt::name(self.loss().kind)); })
      .def_property_readonly("loss_scale", [](const Objective& self) { return self.loss().scale; })
      .def_property_readonly(
          "noise", [](const Objective& self) { return self.function().objective().noise; },
          "Typical size of a residual at the best fit, as the study says.");
  module.def("objective", &make_objective, py::arg("study"), py::arg("space"));
}

}  // namespace rooftune::python
