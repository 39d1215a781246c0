#include "load_inputs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "rooftune/data/config_file.hpp"
#include "rooftune/data/data_directory.hpp"
#include "rooftune/data/gpus.hpp"
#include "rooftune/data/ground_truth.hpp"
#include "rooftune/data/kernel_tables.hpp"
#include "rooftune/data/models.hpp"
#include "rooftune/data/peers.hpp"
#include "rooftune/kernels/efficiency.hpp"
#include "rooftune/latency/catalogue.hpp"
#include "rooftune/runs/external_simulator.hpp"
#include "rooftune/runs/study_file.hpp"

namespace rooftune::app {
namespace {

namespace fs = std::filesystem;

/// Reads one input after another, goes on after problems, and remembers what was read.
class Loader {
 public:
  explicit Loader(const DataOptions& options) : options_(options) { take(data::data_directory(), data_folder_); }

  calibrate::StudySpec spec() {
    calibrate::StudySpec spec;
    if (options_.study) {
      runs::StudyFile file;
      if (take(runs::read_study(*options_.study), file)) {
        note(*options_.study);
        for (const fs::path& extended : file.extended) note(extended);
        warn(file.warnings);
        // From here on every path counts from the working directory, as those of the command line do.
        spec = runs::with_paths_from(file.spec, fs::path(*options_.study).parent_path(), fs::path("."));
      } else {
        has_study_ = false;
      }
    } else {
      spec.name = "unnamed";
      spec.data.select.push_back({.field = "role", .value = std::string(calibrate::kAnyRole)});
    }
    apply_options(spec);
    return spec;
  }

  std::vector<domain::Experiment> experiments(const calibrate::StudySpec& spec) {
    if (!has_study_) return {};
    if (spec.data.ground_truth.empty()) {
      problems_.push_back({.position = {.file = options_.study.value_or("")},
                           .problem = "no ground truth is named",
                           .remedy = "add data.ground_truth to the study, or give --ground-truth FILE"});
      return {};
    }
    const std::vector<fs::path> files(spec.data.ground_truth.begin(), spec.data.ground_truth.end());
    data::GroundTruth ground_truth;
    take(data::read_ground_truth(files), ground_truth);
    warn(ground_truth.warnings);
    note_all(spec.data.ground_truth);
    return std::move(ground_truth.experiments);
  }

  /// A model that cannot be read matters only where an experiment asks for it.
  std::vector<domain::ModelSpec> models(const calibrate::StudySpec& spec, const std::vector<domain::Experiment>& experiments) {
    std::vector<fs::path> paths{data_folder_ / "configs" / "models"};
    paths.insert(paths.end(), spec.data.models.begin(), spec.data.models.end());
    std::vector<domain::ModelSpec> models;
    std::vector<data::UnreadableModel> set_aside;
    take(data::read_models(paths, &set_aside), models);
    for (data::UnreadableModel& unreadable : set_aside) {
      const bool is_asked_for = std::ranges::any_of(experiments, [&](const domain::Experiment& experiment) {
        return domain::names_model(experiment.deployment.model, unreadable.name);
      });
      if (!is_asked_for) {
        for (core::Diagnostic& problem : unreadable.problems) problem.severity = core::Severity::warning;
      }
      std::ranges::move(unreadable.problems, std::back_inserter(is_asked_for ? problems_ : warnings_));
    }
    note(paths.front());
    note_all(spec.data.models);
    return models;
  }

  /// A GPU of the user's replaces the shipped one of its name.
  std::vector<domain::GpuSpec> gpus(const calibrate::StudySpec& spec) {
    std::vector<domain::GpuSpec> gpus;
    take(data::default_gpus(), gpus);
    note(data_folder_ / "configs" / "gpus.yaml");
    for (const std::string& file : spec.data.hardware) {
      std::vector<domain::GpuSpec> own;
      take(data::read_gpus(file), own);
      std::erase_if(gpus, [&](const domain::GpuSpec& shipped) { return domain::find_gpu(own, shipped.name) != nullptr; });
      std::ranges::move(own, std::back_inserter(gpus));
    }
    note_all(spec.data.hardware);
    return gpus;
  }

  std::optional<params::Config> start(const calibrate::StudySpec& spec, const std::vector<domain::GpuSpec>& gpus) {
    if (!spec.start_config) return std::nullopt;
    data::ConfigFile file;
    if (!take(data::read_config(*spec.start_config, gpus), file)) return std::nullopt;
    warn(file.warnings);
    note(*spec.start_config);
    return std::move(file.config);
  }

  /// The config whose predictions stand in for measurements.
  std::optional<params::Config> truth(const calibrate::StudySpec& spec, const std::vector<domain::GpuSpec>& gpus) {
    if (!spec.data.simulated_by) return std::nullopt;
    const std::string& path = spec.data.simulated_by->config;
    data::ConfigFile file;
    if (!take(data::read_config(path, gpus), file)) return std::nullopt;
    warn(file.warnings);
    warn({{.position = {.file = path},
           .problem = "latencies are simulated with this config; no measurement is used",
           .remedy = "remove data.simulated_by from the study to use what was measured",
           .severity = core::Severity::warning}});
    note(path);
    return std::move(file.config);
  }

  void check_simulator(const calibrate::StudySpec& spec, Simulators simulators) {
    if (!spec.simulator || simulators == Simulators::any) return;
    problems_.push_back({.position = {.file = options_.study.value_or("")},
                         .problem = "this command needs the built-in simulation, and the study names a simulator of its own",
                         .remedy = "use fit, crossval, evaluate or show, or a study without 'simulator'",
                         .severity = core::Severity::error});
  }

  std::shared_ptr<eval::ExternalRuns> external(const calibrate::StudySpec& spec) {
    if (!spec.simulator) return nullptr;
    for (const fs::path& file : runs::program_files(*spec.simulator)) note(file);
    return std::make_shared<eval::ExternalRuns>(runs::make_external_simulator(*spec.simulator));
  }

  /// Normalised tables of every GPU that the experiments name, from the study's folders or the shipped ones. Read only for
  /// step-time models that look kernels up: the tables are large.
  eval::KernelTablesByGpu kernels(const calibrate::StudySpec& spec, const calibrate::StudyInputs& inputs) {
    eval::KernelTablesByGpu tables;
    if (inputs.external || !needs_kernels(spec, inputs)) return tables;
    std::vector<fs::path> folders(spec.data.kernels.begin(), spec.data.kernels.end());
    folders.push_back(data_folder_ / "bench_data");
    std::vector<bool> used(folders.size(), false);
    for (const domain::Experiment& experiment : inputs.experiments) {
      const domain::GpuSpec* gpu = domain::find_gpu(inputs.gpus, experiment.deployment.hardware);
      if (gpu == nullptr || tables.contains(gpu->name)) continue;  // an unknown GPU is reported with the experiment
      tables[gpu->name] = nullptr;
      for (std::size_t i = 0; i < folders.size() && tables[gpu->name] == nullptr; ++i) {
        const auto found = data::find_kernel_tables(folders[i], *gpu);
        if (!found) continue;
        used[i] = true;
        kernels::MeasuredKernels measured;
        if (!take(data::read_kernel_tables(found->folder, found->gpu), measured)) break;
        tables[gpu->name] = std::make_shared<const kernels::KernelTables>(kernels::normalise(measured, *gpu).kernels);
        note(found->folder);
      }
    }
    for (std::size_t i = 0; i < spec.data.kernels.size(); ++i) {
      if (used[i]) continue;
      warnings_.push_back({.position = {.file = spec.data.kernels[i]},
                           .problem = "this folder holds no kernel tables of a GPU in the data",
                           .remedy = "name a folder whose folders, or that itself, bear the name of the GPU",
                           .severity = core::Severity::warning});
    }
    return tables;
  }

  core::Result<LoadedStudy> prepare(const calibrate::StudySpec& spec, calibrate::StudyInputs inputs) {
    LoadedStudy loaded;
    // What a broken file fails to define would only be reported as missing once more.
    if (problems_.empty()) take(calibrate::prepare(spec, inputs), loaded.prepared);
    if (!problems_.empty()) return tl::unexpected(std::move(problems_));
    std::ranges::move(loaded.prepared.dataset.warnings, std::back_inserter(warnings_));
    loaded.prepared.dataset.warnings = std::move(warnings_);
    loaded.inputs = std::move(inputs);
    loaded.files = std::move(files_);
    return loaded;
  }

 private:
  static bool needs_kernels(const calibrate::StudySpec& spec, const calibrate::StudyInputs& inputs) {
    const std::string of_start = inputs.start.value_or(params::Config{}).step_time_model;
    if (latency::looks_up_kernels(spec.step_time_model.value_or(of_start))) return true;
    if (inputs.truth && latency::looks_up_kernels(inputs.truth->step_time_model)) return true;
    return spec.compare && std::ranges::any_of(spec.compare->variants, [](const calibrate::VariantSpec& variant) {
             return variant.step_time_model && latency::looks_up_kernels(*variant.step_time_model);
           });
  }

  template <class T>
  bool take(core::Result<T> result, T& target) {
    if (result) {
      target = *std::move(result);
      return true;
    }
    std::ranges::move(result.error(), std::back_inserter(problems_));
    return false;
  }

  void warn(const core::Diagnostics& warnings) { warnings_.insert(warnings_.end(), warnings.begin(), warnings.end()); }

  /// Adds a file to the manifest's list. Shipped ones are named by their place in the data folder, wherever that is.
  void note(const fs::path& path) {
    const auto inputs = runs::hash_input(path);
    if (!inputs) return;  // its reader has reported it
    for (runs::InputFile input : *inputs) {
      const fs::path shipped = fs::path(input.path).lexically_relative(data_folder_);
      if (!shipped.empty() && *shipped.begin() != "..") input.path = "shipped:" + shipped.string();
      files_.push_back(std::move(input));
    }
  }

  void note_all(const std::vector<std::string>& paths) {
    std::ranges::for_each(paths, [&](const std::string& path) { note(path); });
  }

  void apply_options(calibrate::StudySpec& spec) {
    if (!options_.ground_truth.empty()) spec.data.ground_truth = options_.ground_truth;
    apply_selection(spec.data.select);
    spec.data.models.insert(spec.data.models.end(), options_.models.begin(), options_.models.end());
    spec.data.hardware.insert(spec.data.hardware.end(), options_.hardware.begin(), options_.hardware.end());
    if (options_.config) {
      spec.start_config = options_.config;
      spec.step_time_model.reset();
      spec.switches.clear();
      spec.fixed.clear();
      spec.free.clear();
      spec.tied.clear();
      spec.how_sure = {};
    }
    if (options_.step_time_model) spec.step_time_model = options_.step_time_model;
    if (options_.threads) spec.threads = *options_.threads;
    if (options_.seed) spec.seed = *options_.seed;
    if (options_.replicates) spec.replicates = *options_.replicates;
  }

  void apply_selection(std::vector<calibrate::Selector>& select) {
    std::vector<calibrate::Selector> given;
    for (const std::string& text : options_.select) {
      calibrate::Selector selector;
      if (take(calibrate::parse_selector(text), selector)) given.push_back(std::move(selector));
    }
    std::erase_if(select, [&](const calibrate::Selector& own) {
      return std::ranges::any_of(given, [&](const calibrate::Selector& selector) { return selector.field == own.field; });
    });
    std::ranges::move(given, std::back_inserter(select));
  }

  const DataOptions& options_;
  fs::path data_folder_;
  bool has_study_ = true;  ///< false when its file is broken: what it would have named is not missing
  core::Diagnostics problems_;
  core::Diagnostics warnings_;
  std::vector<runs::InputFile> files_;
};

}  // namespace

core::Result<LoadedStudy> load_study(const DataOptions& options, Simulators simulators) {
  Loader loader(options);
  const calibrate::StudySpec spec = loader.spec();
  loader.check_simulator(spec, simulators);
  calibrate::StudyInputs inputs;
  inputs.experiments = loader.experiments(spec);
  inputs.models = loader.models(spec, inputs.experiments);
  inputs.gpus = loader.gpus(spec);
  inputs.start = loader.start(spec, inputs.gpus);
  inputs.truth = loader.truth(spec, inputs.gpus);
  inputs.external = loader.external(spec);
  inputs.kernels = loader.kernels(spec, inputs);
  return loader.prepare(spec, std::move(inputs));
}

core::Result<LoadedStudy> load_experiments(const DataOptions& options, std::vector<domain::Experiment> experiments) {
  Loader loader(options);
  const calibrate::StudySpec spec = loader.spec();
  loader.check_simulator(spec, Simulators::built_in);
  calibrate::StudyInputs inputs;
  inputs.experiments = std::move(experiments);
  inputs.models = loader.models(spec, inputs.experiments);
  inputs.gpus = loader.gpus(spec);
  inputs.start = loader.start(spec, inputs.gpus);
  inputs.truth = loader.truth(spec, inputs.gpus);
  inputs.kernels = loader.kernels(spec, inputs);
  return loader.prepare(spec, std::move(inputs));
}

core::Result<std::vector<domain::PeerPrediction>> load_peers(const std::optional<std::string>& file) {
  if (!file) return std::vector<domain::PeerPrediction>{};
  return data::read_peers(*file);
}

}  // namespace rooftune::app
