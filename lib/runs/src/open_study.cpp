#include "rooftune/runs/open_study.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

#include "rooftune/core/printable.hpp"
#include "rooftune/data/config_file.hpp"
#include "rooftune/data/data_directory.hpp"
#include "rooftune/data/gpus.hpp"
#include "rooftune/data/ground_truth.hpp"
#include "rooftune/data/kernel_summary_file.hpp"
#include "rooftune/data/kernel_tables.hpp"
#include "rooftune/data/models.hpp"
#include "rooftune/data/shipped_configs.hpp"
#include "rooftune/improve/moves.hpp"
#include "rooftune/kernels/efficiency.hpp"
#include "rooftune/latency/catalogue.hpp"
#include "rooftune/runs/external_simulator.hpp"
#include "rooftune/runs/study_file.hpp"
#include "rooftune/text/files.hpp"

namespace rooftune::runs {
namespace {

namespace fs = std::filesystem;

/// Reads one input after another, goes on after problems, and remembers what was read.
class Loader {
 public:
  Loader(const std::optional<fs::path>& study, const StudyOverrides& overrides) : study_(study), overrides_(overrides) {
    take(data::data_directory(), data_folder_);
  }

  calibrate::StudySpec spec() {
    calibrate::StudySpec spec;
    if (study_) {
      StudyFile file;
      if (take(read_study(*study_), file)) {
        note(*study_);
        for (const fs::path& extended : file.extended) note(extended);
        warn(file.warnings);
        // From here on every path counts from the working directory, as those of the command line do.
        spec = with_paths_from(file.spec, study_->parent_path(), fs::path("."));
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
      problems_.push_back({.position = {.file = study_.value_or("").string()},
                           .problem = "no ground truth is named",
                           .remedy = "add data.ground_truth to the study, or give --ground-truth FILE"});
      return {};
    }
    const std::vector<fs::path> files(spec.data.ground_truth.begin(), spec.data.ground_truth.end());
    data::GroundTruth ground_truth;
    take(data::read_ground_truth(files), ground_truth);
    warn(ground_truth.warnings);
    note_all(spec.data.ground_truth);
    places_ = std::move(ground_truth.places);
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
      core::Diagnostics noticed;
      take(data::read_gpus(file, &noticed), own);
      warn(noticed);
      std::erase_if(gpus, [&](const domain::GpuSpec& shipped) { return domain::find_gpu(own, shipped.name) != nullptr; });
      std::ranges::move(own, std::back_inserter(gpus));
    }
    note_all(spec.data.hardware);
    return gpus;
  }

  /// Names the config that ships for the GPU of the experiments, where nobody else names one.
  void choose_shipped_config(calibrate::StudySpec& spec, const calibrate::StudyInputs& inputs) {
    if (!overrides_.use_shipped_config || study_ || spec.start_config) return;
    std::set<std::string> names;
    for (const domain::Experiment& experiment : inputs.experiments) {
      const domain::GpuSpec* gpu = domain::find_gpu(inputs.gpus, experiment.deployment.hardware);
      if (gpu != nullptr && calibrate::is_selected(experiment, spec.data, inputs.gpus)) names.insert(gpu->name);
    }
    if (names.empty()) return;  // an unknown GPU is reported with its experiment
    if (names.size() > 1) {
      problems_.push_back(
          {.position = {},
           .problem = fmt::format("the experiments are on {}, and every GPU has a config of its own", fmt::join(names, ", ")),
           .remedy = "name one with --config, or choose a GPU with --select hardware=..."});
      return;
    }
    const domain::GpuSpec& gpu = *domain::find_gpu(inputs.gpus, *names.begin());
    shipped_config_ = data::shipped_config_of(gpu, spec.step_time_model, inputs.gpus);
    spec.start_config = shipped_config_;
    if (shipped_config_) return;
    const std::string of_model = spec.step_time_model ? fmt::format(" with the step-time model '{}'", *spec.step_time_model) : "";
    warn({{.position = {},
           .problem = fmt::format("no config ships for {}{}: every parameter has its default, which no run has calibrated", gpu.name,
                                  of_model),
           .remedy = "name a config with --config, or make one with fit or onboard",
           .severity = core::Severity::warning}});
  }

  std::optional<params::Config> start(const calibrate::StudySpec& spec, const calibrate::StudyInputs& inputs) {
    auto start = spec.start_config ? config(*spec.start_config, inputs.gpus) : std::nullopt;
    // A study may start from another GPU's config because it carries that over.
    if (start && overrides_.config) warn_of_other_gpus(*start, spec, inputs);
    return start;
  }

  /// The config whose predictions stand in for measurements.
  std::optional<params::Config> truth(const calibrate::StudySpec& spec, const std::vector<domain::GpuSpec>& gpus) {
    if (!spec.data.simulated_by) return std::nullopt;
    auto truth = config(spec.data.simulated_by->config, gpus);
    if (!truth) return truth;
    warn({{.position = {.file = spec.data.simulated_by->config},
           .problem = "latencies are simulated with this config; no measurement is used",
           .remedy = "remove data.simulated_by from the study to use what was measured",
           .severity = core::Severity::warning}});
    return truth;
  }

  void check_simulator(const calibrate::StudySpec& spec, Simulators simulators) {
    if (!spec.simulator || simulators == Simulators::any) return;
    problems_.push_back({.position = {.file = study_.value_or("").string()},
                         .problem = "this command needs the built-in simulation, and the study names a simulator of its own",
                         .remedy = "use fit, crossval, evaluate or show, or a study without 'simulator'",
                         .severity = core::Severity::error});
  }

  std::shared_ptr<eval::ExternalRuns> external(const calibrate::StudySpec& spec) {
    if (spec.improve && spec.improve->proposer) {
      const calibrate::ProposerSpec& proposer = *spec.improve->proposer;
      for (const fs::path& file : program_files(proposer.command, proposer.folder)) note(file);
    }
    if (!spec.simulator) return nullptr;
    for (const fs::path& file : program_files(spec.simulator->command, spec.simulator->folder)) note(file);
    return std::make_shared<eval::ExternalRuns>(make_external_simulator(*spec.simulator));
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

  /// What kernel benchmarks come to on each GPU: priors of what `improve` frees.
  std::map<std::string, calibrate::KernelValues> kernel_values(const calibrate::StudySpec& spec) {
    std::map<std::string, calibrate::KernelValues> values;
    if (!spec.improve) return values;
    std::vector<kernels::KernelSummary> summaries;
    const fs::path file = data_folder_ / "bench_data" / "efficiency.json";
    if (!take(data::read_kernel_summaries(file), summaries)) return values;
    note(file);
    for (kernels::KernelSummary& summary : summaries) values[summary.gpu] = std::move(summary.values);
    return values;
  }

  core::Result<OpenedStudy> prepare(const calibrate::StudySpec& spec, calibrate::StudyInputs inputs) {
    OpenedStudy loaded;
    // What a broken file fails to define would only be reported as missing once more.
    if (problems_.empty() && !take(calibrate::prepare(spec, inputs), loaded.prepared)) add_places();
    if (!problems_.empty()) return tl::unexpected(std::move(problems_));
    if (overrides_.config) warn_of_other_experts(loaded.prepared);
    std::ranges::move(loaded.prepared.dataset.warnings, std::back_inserter(warnings_));
    loaded.prepared.dataset.warnings = std::move(warnings_);
    loaded.inputs = std::move(inputs);
    loaded.files = std::move(files_);
    loaded.shipped_config = shipped_config_;
    return loaded;
  }

 private:
  /// First of all: no other departure from what a config knows is known to cost as much.
  void warn_of_other_gpus(const params::Config& config, const calibrate::StudySpec& spec, const calibrate::StudyInputs& inputs) {
    const auto calibrated = config.domain.sets.find("gpu");
    if (calibrated == config.domain.sets.end()) return;
    std::set<std::string> warned;
    for (const domain::Experiment& experiment : inputs.experiments) {
      const domain::GpuSpec* gpu = params::find_gpu(config, inputs.gpus, experiment.deployment.hardware);
      if (gpu == nullptr || !calibrate::is_selected(experiment, spec.data, inputs.gpus) || warned.contains(gpu->name)) continue;
      const auto is_gpu = [&](const std::string& name) { return name == gpu->name; };
      const auto is_carried = [&](const params::HardwareEntry& entry) { return entry.gpu.name == gpu->name; };
      if (std::ranges::any_of(calibrated->second, is_gpu) || std::ranges::any_of(config.hardware, is_carried)) continue;
      warned.insert(gpu->name);
      const auto own = data::shipped_config_of(*gpu, spec.step_time_model, inputs.gpus);
      if (own == overrides_.config) continue;  // carried to the GPU by its kernel tables
      // The figures: `rooftune evaluate --ground-truth ground_truth/a100.json --config h100`, and the same for l40s.
      warnings_.insert(
          warnings_.begin(),
          {.position = {},
           .problem = fmt::format("the config was calibrated on {}, not on {}: where that was measured (H100's on A100 and "
                                  "L40S) means of E2E were off by 20 %, of TTFT by 24 to 67 %",
                                  fmt::join(calibrated->second, ", "), gpu->name),
           .remedy = own ? fmt::format("use --config {}, which ships for {}", *own, gpu->name) : "carry it over with rooftune onboard",
           .severity = core::Severity::warning});
    }
  }

  /// Factors of experts are a model's own: those of another kernel and another router say little of it.
  void warn_of_other_experts(const calibrate::PreparedStudy& study) {
    std::set<std::string_view> own;
    for (const params::ScopedAssignments& scoped : study.start.scoped) {
      if (!scoped.where.model) continue;
      for (const auto& [id, value] : scoped.parameters) {
        if (!study.start.parameters.contains(id)) own.insert(id.spec().id);
      }
    }
    std::set<std::string> warned;
    for (const eval::Case& item : study.dataset.cases) {
      const auto is_of_it = [&](const params::ScopedAssignments& scoped) {
        return scoped.where.model && scoped.where.matches(item.experiment.deployment, item.gpu);
      };
      if (own.empty() || item.model.experts() == nullptr || std::ranges::any_of(study.start.scoped, is_of_it)) continue;
      if (!warned.insert(item.model.name).second) continue;
      // The figures: `rooftune crossval experiments/crossval_serving_model.yaml`, its mixtures of experts.
      warnings_.push_back(
          {.position = {},
           .problem = fmt::format("the config has values of {} for the mixtures of experts that it was calibrated on, not "
                                  "for {}, which takes defaults: where that was measured (public points of H100 and "
                                  "H200, a model left out) means of TPOT were off by 13 to 26 %, of TTFT by 9 to 35 %",
                                  fmt::join(own, ", "), item.model.name),
           .remedy = "calibrate with a run of it: rooftune fit or onboard",
           .severity = core::Severity::warning});
    }
  }

  std::optional<params::Config> config(const std::string& name_or_path, const std::vector<domain::GpuSpec>& gpus) {
    fs::path path;
    data::ConfigFile file;
    if (!take(data::find_config(name_or_path), path) || !take(data::read_config(path, gpus), file)) return std::nullopt;
    warn(file.warnings);
    note(path);
    return std::move(file.config);
  }

  /// What is wrong with an experiment's model or GPU is known only once all files are read; its place is known from then.
  void add_places() {
    for (core::Diagnostic& problem : problems_) {
      for (const auto& place : places_) {
        if (!problem.position.file.empty()) break;
        const auto starts = [&](std::string_view what) {
          return problem.problem.starts_with(fmt::format("experiment '{}': unknown {} ", place.first, what));
        };
        if (starts("model")) problem.position = place.second.model;
        if (starts("GPU")) problem.position = place.second.hardware;
      }
    }
  }

  static bool needs_kernels(const calibrate::StudySpec& spec, const calibrate::StudyInputs& inputs) {
    const std::string of_start = inputs.start.value_or(params::Config{}).step_time_model;
    if (latency::looks_up_kernels(spec.step_time_model.value_or(of_start))) return true;
    if (inputs.truth && latency::looks_up_kernels(inputs.truth->step_time_model)) return true;
    if (spec.improve && std::ranges::any_of(latency::step_time_models(), [&](const latency::ModelEntry& model) {
          return model.looks_up_kernels && improve::is_wanted(fmt::format("take:{}", model.name), *spec.improve);
        })) {
      return true;
    }
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
    if (text::is_pipe(path)) {
      warn({{.position = {.file = path.string()},
             .problem = "a pipe is read once: the manifest does not name what came through it",
             .remedy = "name a file where a run is to be repeated",
             .severity = core::Severity::warning}});
      return;
    }
    const auto inputs = hash_input(path);
    if (!inputs) {
      // Where its reader has reported nothing, the file has vanished since: a manifest without it would be wrong.
      if (problems_.empty()) problems_ = inputs.error();
      return;
    }
    for (InputFile input : *inputs) {
      const fs::path shipped = fs::path(input.path).lexically_relative(data_folder_);
      if (!shipped.empty() && *shipped.begin() != "..") input.path = "shipped:" + shipped.string();
      files_.push_back(std::move(input));
    }
  }

  void note_all(const std::vector<std::string>& paths) {
    std::ranges::for_each(paths, [&](const std::string& path) { note(path); });
  }

  void apply_options(calibrate::StudySpec& spec) {
    if (!overrides_.ground_truth.empty()) spec.data.ground_truth = overrides_.ground_truth;
    apply_selection(spec.data.select);
    spec.data.models.insert(spec.data.models.end(), overrides_.models.begin(), overrides_.models.end());
    spec.data.hardware.insert(spec.data.hardware.end(), overrides_.hardware.begin(), overrides_.hardware.end());
    if (overrides_.config) {
      spec.start_config = overrides_.config;
      spec.step_time_model.reset();
      spec.switches.clear();
      spec.fixed.clear();
      spec.free.clear();
      spec.tied.clear();
      spec.uncertainty = {};
    }
    if (overrides_.step_time_model) spec.step_time_model = overrides_.step_time_model;
    if (overrides_.threads) spec.threads = *overrides_.threads;
    if (overrides_.seed) spec.seed = *overrides_.seed;
    if (overrides_.replicates) spec.replicates = *overrides_.replicates;
  }

  void apply_selection(std::vector<calibrate::Selector>& select) {
    std::vector<calibrate::Selector> given;
    for (const std::string& text : overrides_.select) {
      calibrate::Selector selector;
      if (take(calibrate::parse_selector(text), selector)) given.push_back(std::move(selector));
    }
    std::erase_if(select, [&](const calibrate::Selector& own) {
      return std::ranges::any_of(given, [&](const calibrate::Selector& selector) { return selector.field == own.field; });
    });
    std::ranges::move(given, std::back_inserter(select));
  }

  const std::optional<fs::path>& study_;
  const StudyOverrides& overrides_;
  fs::path data_folder_;
  bool has_study_ = true;  ///< false when its file is broken: what it would have named is not missing
  domain::PlacesByExperiment places_;
  core::Diagnostics problems_;
  core::Diagnostics warnings_;
  std::vector<InputFile> files_;
  std::optional<std::string> shipped_config_;
};

core::Result<OpenedStudy> open(const std::optional<fs::path>& study, const StudyOverrides& overrides, Simulators simulators,
                               std::optional<std::vector<domain::Experiment>> experiments) {
  Loader loader(study, overrides);
  calibrate::StudySpec spec = loader.spec();
  loader.check_simulator(spec, simulators);
  calibrate::StudyInputs inputs;
  inputs.experiments = experiments ? *std::move(experiments) : loader.experiments(spec);
  inputs.models = loader.models(spec, inputs.experiments);
  inputs.gpus = loader.gpus(spec);
  loader.choose_shipped_config(spec, inputs);
  inputs.start = loader.start(spec, inputs);
  inputs.truth = loader.truth(spec, inputs.gpus);
  inputs.external = loader.external(spec);
  inputs.kernels = loader.kernels(spec, inputs);
  inputs.kernel_values = loader.kernel_values(spec);
  return loader.prepare(spec, std::move(inputs));
}

}  // namespace

core::Result<OpenedStudy> open_study(const fs::path& path, const StudyOverrides& overrides, Simulators simulators) {
  return open(path, overrides, simulators, std::nullopt);
}

core::Result<OpenedStudy> open_ground_truth(const StudyOverrides& overrides) {
  return open(std::nullopt, overrides, Simulators::built_in, std::nullopt);
}

/// Why the engine would refuse every request, or "": a prompt and its output have to fit max_model_len together. Of lengths that
/// scatter some may fit: what is refused then is counted.
static std::string too_long(const domain::Experiment& settled) {
  const domain::Workload& workload = settled.workload;
  const double longest = workload.prompt.mean_tokens + workload.output.mean_tokens;
  const int most = settled.deployment.settings.max_model_len;
  const bool scatters = workload.prompt.standard_deviation_tokens > 0.0 || workload.output.standard_deviation_tokens > 0.0;
  if (!workload.trace.empty() || most == 0 || longest <= most || scatters) return "";
  return fmt::format(
      "experiment '{}': prompt and output are {:g} tokens, more than max_model_len {}: the engine refuses such requests", settled.id,
      longest, most);
}

core::Result<OpenedStudy> open_experiments(std::vector<domain::Experiment> experiments, const StudyOverrides& overrides) {
  auto opened = open(std::nullopt, overrides, Simulators::built_in, std::move(experiments));
  if (!opened) return opened;
  for (const eval::Case& item : opened->prepared.dataset.cases) {
    const std::string problem = too_long(item.experiment);
    if (!problem.empty()) return core::fail({}, problem, "ask for shorter ones, or raise max_model_len as far as the model goes");
  }
  return opened;
}

core::Result<std::vector<kernels::KernelSummary>> open_kernel_summaries(OpenedStudy& study) {
  const auto& own = study.prepared.spec.onboard->kernels;
  if (own) {
    if (const auto hashed = hash_input(*own)) study.files.insert(study.files.end(), hashed->begin(), hashed->end());
    return data::read_kernel_summaries(*own);
  }
  const auto data_folder = data::data_directory();
  if (!data_folder) return tl::unexpected(data_folder.error());
  return data::read_kernel_summaries(*data_folder / "bench_data" / "efficiency.json");
}

}  // namespace rooftune::runs
