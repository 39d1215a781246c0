// What to do with a config: simulate a load, and find what a deployment carries.
#include "bindings.hpp"
#include "requests.hpp"
#include "rooftune/calibrate/inspect.hpp"
#include "rooftune/eval/assumptions.hpp"
#include "rooftune/plan/speculation.hpp"
#include "rooftune/runs/capacity_file.hpp"
#include "rooftune/runs/capacity_search.hpp"
#include "rooftune/runs/open_simulation.hpp"
#include "rooftune/runs/result_file.hpp"
#include "rooftune/runs/tables_csv.hpp"
#include "words.hpp"

namespace rooftune::python {
namespace {

/// One load seen from inside, or several beside each other.
struct SimulationValue {
  std::optional<calibrate::Inspection> inspection;
  std::optional<plan::SpeculationGain> speculation;
  std::vector<calibrate::SweepPoint> points;
  std::optional<std::string> shipped_config;
};

SimulationValue simulate(const std::optional<std::string>& study, const Words& words) {
  SimulationRequest request;
  read_words("simulate", words, [&](const app::Command& command) { add_simulation(command, request); });
  LongCall call(py::none(), OnInterrupt::raise);
  SimulationValue value;
  core::Diagnostics warnings;
  auto done = call.run([&]() -> core::Result<void> {
    const auto opened = runs::open_simulation(study, request.load, request.overrides);
    if (!opened) return tl::unexpected(opened.error());
    const calibrate::PreparedStudy& prepared = opened->prepared;
    value.shipped_config = opened->shipped_config;
    warnings = prepared.dataset.warnings;
    if (request.load.is_sweep()) {
      value.points = calibrate::sweep(prepared.dataset, prepared.start, request.warm_up_requests, {prepared.spec.threads});
    } else {
      const eval::Case& item = prepared.dataset.cases.front();
      value.inspection = calibrate::inspect(item, 0, prepared.start, {}, request.warm_up_requests);
      value.speculation = plan::speculation_gain(item, prepared.start);
      if (request.load.model.empty()) {
        for (const eval::Assumption& assumption :
             eval::moving_assumptions(prepared.dataset, prepared.start, {prepared.spec.threads})) {
          warnings.push_back({.position = {}, .problem = eval::format(assumption), .remedy = "", .severity = core::Severity::warning});
        }
      }
    }
    return {};
  });
  check(std::move(done));
  warn(warnings);
  return value;
}

struct CapacityValue {
  runs::CapacitySearch search;
  std::optional<std::string> shipped_config;
};

CapacityValue capacity(const Words& words, py::object progress) {
  CapacityQuestion question;
  read_words(
      "capacity", words,
      [&](const app::Command& command) { app::add_capacity_options(command, question.overrides, question.request); },
      [&](const app::Command& command) { app::note_what_is_given(command, question.request); });
  question.request.data = static_cast<const runs::StudyOverrides&>(question.overrides);
  LongCall call(std::move(progress), OnInterrupt::raise);
  CapacityValue value;
  value.search = value_of(call.run([&] {
    runs::CapacityHooks hooks;
    hooks.progress = [&call](const std::string& deployment) {
      call.tell([deployment] {
        py::dict entry;
        entry["deployment"] = deployment;
        return py::object(std::move(entry));
      });
    };
    hooks.opened = [&value](const runs::OpenedStudy& first) { value.shipped_config = first.shipped_config; };
    hooks.cancel = call.token();
    return runs::search_capacity(question.request, hooks);
  }));
  warn(value.search.warnings);
  return value;
}

}  // namespace

void add_plans(py::module_& module) {
  py::class_<SimulationValue>(module, "Simulation")
      .def("to_json",
           [](const SimulationValue& self) {
             return self.inspection ? runs::inspection_json(*self.inspection, self.speculation) : runs::sweep_json(self.points);
           })
      .def("to_csv",
           [](const SimulationValue& self) {
             return self.inspection ? runs::inspection_csv(*self.inspection) : runs::sweep_csv(self.points);
           })
      .def_readonly("shipped_config", &SimulationValue::shipped_config);
  module.def("simulate", &simulate, py::arg("study"), py::arg("words"));

  py::class_<CapacityValue>(module, "Capacity")
      .def("to_json", [](const CapacityValue& self) { return runs::capacity_json(self.search.report); })
      .def("to_csv", [](const CapacityValue& self) { return runs::capacity_csv(self.search.report); })
      .def_readonly("shipped_config", &CapacityValue::shipped_config);
  module.def("capacity", &capacity, py::arg("words"), py::arg("progress"));
}

}  // namespace rooftune::python
