// Files that ship or are the user's: configs and ground truth.

#include "bindings.hpp"
#include "rooftune/data/config_file.hpp"
#include "rooftune/data/data_directory.hpp"
#include "rooftune/data/gpus.hpp"
#include "rooftune/data/ground_truth.hpp"
#include "rooftune/data/shipped_configs.hpp"
#include "rooftune/domain/metrics.hpp"
#include "rooftune/text/atomic_file.hpp"

namespace rooftune::python {
namespace {

namespace fs = std::filesystem;

struct GroundTruthValue {
  data::GroundTruth truth;
};

ConfigValue load_config(const std::string& name_or_path, const std::vector<fs::path>& hardware) {
  std::vector<domain::GpuSpec> gpus = value_of(data::default_gpus());
  for (const fs::path& file : hardware) {
    auto own = value_of(data::read_gpus(file));
    gpus.insert(gpus.begin(), own.begin(), own.end());
  }
  auto file = value_of(data::read_config(value_of(data::find_config(name_or_path)), gpus));
  warn(file.warnings);
  return {std::move(file.config)};
}

GroundTruthValue read_ground_truth(const std::vector<fs::path>& files) {
  auto truth = value_of(data::read_ground_truth(files));
  warn(truth.warnings);
  return {std::move(truth)};
}

py::dict parameters(const params::Assignments& assignments) {
  py::dict all;
  for (const auto& [id, value] : assignments) all[py::str(std::string(id.spec().id))] = value.value;
  return all;
}

/// One row for each experiment, stage and metric that was measured.
py::list measured_rows(const GroundTruthValue& self) {
  py::list rows;
  for (const domain::Experiment& experiment : self.truth.experiments) {
    const auto add = [&](const domain::Latencies& latencies, const py::object& stage) {
      for (const domain::Metric metric : domain::kMetrics) {
        const auto value = latencies[metric];
        if (!value) continue;
        py::dict row;
        row["experiment"] = experiment.id;
        row["model"] = experiment.deployment.model;
        row["hardware"] = experiment.deployment.hardware;
        row["tp"] = experiment.deployment.tp;
        row["workload"] = experiment.workload.name;
        row["stage"] = stage;
        row["metric"] = std::string(domain::metric_name(metric));
        row["measured_ms"] = *value;
        rows.append(std::move(row));
      }
    };
    add(experiment.measured.summary, py::str("summary"));
    int stage = 0;
    for (const domain::Latencies& latencies : experiment.measured.stages) add(latencies, py::int_(stage++));
  }
  return rows;
}

}  // namespace

void add_data(py::module_& module) {
  py::class_<ConfigValue>(module, "Config")
      .def("to_json", [](const ConfigValue& self) { return data::config_text(self.config); })
      .def("save", [](const ConfigValue& self,
                      const fs::path& path) { check(text::write_file_atomically(path, data::config_text(self.config))); })
      .def_property_readonly("step_time_model", [](const ConfigValue& self) { return self.config.step_time_model; })
      .def_property_readonly("parameters", [](const ConfigValue& self) { return parameters(self.config.parameters); })
      .def("__eq__", [](const ConfigValue& self, const ConfigValue& other) { return self.config == other.config; });
  module.def("load_config", &load_config, py::arg("config"), py::arg("hardware"));

  py::class_<GroundTruthValue>(module, "GroundTruth")
      .def("__len__", [](const GroundTruthValue& self) { return self.truth.experiments.size(); })
      .def_property_readonly("experiments",
                             [](const GroundTruthValue& self) {
                               std::vector<std::string> ids;
                               for (const domain::Experiment& experiment : self.truth.experiments) ids.push_back(experiment.id);
                               return ids;
                             })
      .def("rows", &measured_rows);
  module.def("read_ground_truth", &read_ground_truth, py::arg("files"));
  module.def("data_directory", [] { return value_of(data::data_directory()); });
}

}  // namespace rooftune::python
