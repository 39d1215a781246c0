#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <iterator>
#include <map>
#include <memory>
#include <set>

#include "command_line.hpp"
#include "commands.hpp"
#include "folder_survey.hpp"
#include "import_options.hpp"
#include "options.hpp"
#include "rooftune/data/config_file.hpp"
#include "rooftune/data/data_directory.hpp"
#include "rooftune/data/gpus.hpp"
#include "rooftune/data/ground_truth.hpp"
#include "rooftune/data/models.hpp"
#include "rooftune/text/atomic_file.hpp"
#include "rooftune/text/files.hpp"
#include "rooftune/text/yaml_text.hpp"
#include "terminal.hpp"
#include "version_defaults.hpp"

namespace rooftune::app {
namespace {

namespace fs = std::filesystem;
namespace yaml_text = text::yaml_text;

/// The GPU whose fit ships and whose uncertainty is known: others are onboarded from it.
constexpr std::string_view kReferenceGpu = "H100-SXM";
constexpr std::string_view kReferenceConfig = "configs/tuned/h100.physics.json";
constexpr std::string_view kFitStudy = "experiments/physics_h100.yaml";

struct InitOptions {
  std::string folder;
  std::optional<std::string> out;
  bool force = false;
  std::vector<std::string> set;
  importers::ImportOptions import;
};

/// "3 results", "1 server log"
std::string counted(std::size_t count, std::string_view noun) { return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s"); }

/// A name that files and studies may have.
std::string plain_name(std::string text) {
  std::ranges::replace_if(
      text, [](unsigned char c) { return std::isalnum(c) == 0 && c != '-' && c != '_'; }, '_');
  return text;
}

std::string inside(const fs::path& path, const fs::path& folder) {
  const std::string relative = path.lexically_relative(folder).string();
  return relative.empty() || relative == "." ? path.filename().string() : relative;
}

void print_survey(const FolderSurvey& found, const fs::path& folder) {
  print(fmt::format("In {}\n", folder.string()));
  for (const FoundResult& result : found.results) {
    print(fmt::format("  {:<14} {}{}\n", core::word_of(importers::kImportFormats, result.format), inside(result.path, folder),
                      result.log ? fmt::format("  (log: {})", inside(*result.log, folder)) : ""));
  }
  const auto list = [&](std::string_view title, const std::vector<fs::path>& paths) {
    for (const fs::path& path : paths) print(fmt::format("  {:<14} {}\n", title, inside(path, folder)));
  };
  list("server log", found.logs);
  list("ground truth", found.ground_truth);
  list("model", found.models);
  list("GPUs", found.gpus);
  list("config", found.hardware_configs);
  list("kernel tables", found.kernel_tables);
  if (!found.others.empty()) print(fmt::format("  {} of no use here\n", counted(found.others.size(), "file")));
}

/// What the study is made of.
struct Material {
  importers::ImportedGroundTruth imported;
  std::vector<domain::GpuSpec> own_gpus;  ///< described in the folder
  std::vector<fs::path> gpu_files;        ///< our form, as they are
  std::vector<fs::path> models;           ///< that do not ship
  std::vector<fs::path> ground_truth;     ///< already there
  std::vector<std::string> gpus;          ///< on which runs were measured
};

class Init {
 public:
  explicit Init(InitOptions options) : options_(std::move(options)), folder_(fs::path(options_.folder).lexically_normal()) {
    if (!folder_.has_filename()) folder_ = folder_.parent_path();
    out_ = options_.out ? fs::path(*options_.out) : folder_ / "rooftune";
  }

  ExitCode run() {
    std::error_code ignored;
    if (!fs::is_directory(folder_, ignored))
      return refuse({.file = folder_.string()}, "this is no folder", "name the folder that holds your results");
    if (!options_.force && text::exists(out_ / "ground_truth.json")) return refuse_existing(out_ / "ground_truth.json");
    const FolderSurvey found = survey(folder_, out_);
    if (!found.problems.empty()) {
      print_errors(found.problems);
      return ExitCode::bad_input;
    }
    print_survey(found, folder_);
    if (found.results.empty() && found.ground_truth.empty()) {
      return refuse({.file = folder_.string()}, "no result of a load generator here",
                    "docs/commands/import.md says which formats are known and what each holds");
    }
    read_gpus(found);
    read_models(found);
    import_results(found);
    note_gpus();
    if (!problems_.empty()) {
      print_errors(problems_);
      return ExitCode::bad_input;
    }
    tell_version_defaults(material_.imported, material_.own_gpus);
    return write(found);
  }

 private:
  static ExitCode refuse_existing(const fs::path& file) {
    return refuse({.file = file.string()}, "the file exists", "name another folder with --out, or replace it with --force");
  }

  static ExitCode refuse(core::SourcePosition position, std::string problem, std::string remedy) {
    print_errors({{.position = std::move(position), .problem = std::move(problem), .remedy = std::move(remedy)}});
    return ExitCode::bad_input;
  }
  void note(const core::Diagnostics& more) { core::append(problems_, more); }

  /// GPUs that the folder describes: files of GPUs, and those of hardware configs that do not ship.
  void read_gpus(const FolderSurvey& found) {
    auto shipped = data::default_gpus();
    if (!shipped) return note(shipped.error());
    shipped_ = *std::move(shipped);
    core::Diagnostics warnings;
    for (const fs::path& file : found.gpus) {
      const auto own = data::read_gpus(file, &warnings);
      if (!own) {
        note(own.error());
        continue;
      }
      material_.gpu_files.push_back(file);
      std::ranges::copy(*own, std::back_inserter(material_.own_gpus));
    }
    for (const fs::path& file : found.hardware_configs) {
      const auto config = data::read_config(file, shipped_);
      if (!config || config->form != data::ConfigForm::hardware_config) continue;
      for (const params::HardwareEntry& entry : config->config.hardware) {
        const bool is_known =
            domain::find_gpu(shipped_, entry.gpu.name) != nullptr || domain::find_gpu(material_.own_gpus, entry.gpu.name) != nullptr;
        if (!is_known) described_.push_back({entry.gpu, file});
      }
      warnings.insert(warnings.end(), config->warnings.begin(), config->warnings.end());
    }
    for (const auto& [gpu, file] : described_) material_.own_gpus.push_back(gpu);
    print_errors(warnings);
  }

  void read_models(const FolderSurvey& found) {
    for (const fs::path& path : found.models) {
      if (const auto model = data::read_model(path); !model) {
        note(model.error());
      } else {
        material_.models.push_back(path);
      }
    }
  }

  /// Every result with its log. The only GPU that the folder describes is taken for the one that ran, where nothing else says it.
  void import_results(const FolderSurvey& found) {
    std::set<std::string> ids;
    for (const FoundResult& result : found.results) {
      importers::ImportOptions options = options_.import;
      if (!options.vllm_log) options.vllm_log = result.log;
      if (!options.gpu && material_.own_gpus.size() == 1) only_gpu_ = material_.own_gpus.front().name;
      if (!options.gpu && only_gpu_ && !says_gpu(result.format)) options.gpu = only_gpu_;
      auto imported = importers::import_benchmarks(result.format, std::vector{result.path}, options);
      if (!imported) {
        note(imported.error());
        continue;
      }
      add(*std::move(imported), ids);
    }
    material_.ground_truth = found.ground_truth;
    for (const fs::path& file : found.ground_truth) {
      const auto truth = data::read_ground_truth(file);
      if (!truth) {
        note(truth.error());
        continue;
      }
      for (const domain::Experiment& experiment : truth->experiments) add_gpu(experiment.deployment.hardware);
    }
  }

  static bool says_gpu(importers::ImportFormat format) {
    using enum importers::ImportFormat;
    return format == llmd || format == inferencex || format == blis;
  }

  void add(importers::ImportedGroundTruth one, std::set<std::string>& ids) {
    for (std::size_t i = 0; i < one.experiments.size(); ++i) {
      domain::Experiment& experiment = one.experiments[i].experiment;
      add_gpu(experiment.deployment.hardware);
      if (!is_reference(experiment.deployment.hardware) && experiment.role == domain::Role::calibration) {
        experiment.role = domain::Role::new_gpu;
      }
      if (!ids.insert(experiment.id).second) {
        note({{.position = {.file = one.sources[i]},
               .problem = fmt::format("two experiments would be called '{}'", experiment.id),
               .remedy = "give the files or folders different names"}});
      }
    }
    importers::ImportedGroundTruth& all = material_.imported;
    std::ranges::move(one.experiments, std::back_inserter(all.experiments));
    std::ranges::move(one.sources, std::back_inserter(all.sources));
    std::ranges::move(one.tables, std::back_inserter(all.tables));
    std::ranges::move(one.assumptions, std::back_inserter(all.assumptions));
    std::ranges::move(one.warnings, std::back_inserter(all.warnings));
  }

  void add_gpu(const std::string& name) {
    if (std::ranges::find(material_.gpus, name) == material_.gpus.end()) material_.gpus.push_back(name);
  }

  [[nodiscard]] bool is_reference(const std::string& name) const {
    const domain::GpuSpec* gpu = domain::find_gpu(shipped_, name);
    return gpu != nullptr && gpu->name == kReferenceGpu && domain::find_gpu(material_.own_gpus, name) == nullptr;
  }

  void note_gpus() {
    for (const std::string& name : material_.gpus) {
      if (domain::find_gpu(shipped_, name) != nullptr || domain::find_gpu(material_.own_gpus, name) != nullptr) continue;
      note({{.position = {.file = folder_.string()},
             .problem = fmt::format("nothing describes the GPU '{}'", name),
             .remedy = "put a file of GPUs into the folder (in the form of configs/gpus.yaml, data-sheet values)"}});
    }
  }

  /// GPUs that a hardware config described, in our form.
  [[nodiscard]] std::string gpus_text() const {
    std::vector<domain::GpuSpec> gpus;
    for (const auto& [gpu, file] : described_) {
      gpus.push_back(gpu);
      gpus.back().source = file.filename().string();
    }
    return data::gpus_text(gpus);
  }

  [[nodiscard]] std::string from_out(const fs::path& path) const {
    std::error_code ignored;
    return fs::absolute(path, ignored).lexically_relative(fs::absolute(out_, ignored)).generic_string();
  }

  /// The keys under which a study names its data; paths count from the study's folder.
  [[nodiscard]] std::string data_text(const std::string& gpu) const {
    std::vector<std::string> truth;
    if (!material_.imported.experiments.empty()) truth.emplace_back("ground_truth.json");
    for (const fs::path& file : material_.ground_truth) truth.push_back(from_out(file));
    std::vector<std::string> hardware;
    if (!described_.empty()) hardware.emplace_back("gpus.yaml");
    for (const fs::path& file : material_.gpu_files) hardware.push_back(from_out(file));
    std::vector<std::string> models;
    for (const fs::path& path : material_.models) models.push_back(from_out(path));
    std::string text = fmt::format("data:\n  ground_truth: {}\n", yaml_text::list(truth));
    if (!hardware.empty()) text += fmt::format("  hardware: {}\n", yaml_text::list(hardware));
    if (!models.empty()) text += fmt::format("  models: {}\n", yaml_text::list(models));
    return text + fmt::format("  select: {{hardware: {}}}\n", yaml_text::scalar(gpu));
  }

  [[nodiscard]] std::string study_text(const std::string& gpu, const fs::path& data_folder) const {
    const std::string name = yaml_text::scalar(plain_name(fmt::format("{}_{}", fs::absolute(folder_).filename().string(), gpu)));
    if (is_reference(gpu)) {
      return fmt::format(
          "# Written by rooftune init. Priors and free parameters are those of the shipped fit.\nname: {}\nextends: {}\n{}", name,
          yaml_text::scalar((data_folder / kFitStudy).string()), data_text(gpu));
    }
    return fmt::format(
        "# Written by rooftune init. The {0}'s fit is carried over to another GPU.\nname: {2}\n{3}start: {{config: {4}}}\n"
        "onboard: {{gpu: {1}, reference: {0}}}\nobjective: {{metrics: [ttft_mean_ms, e2e_mean_ms], rows: stages, noise: 0.03}}\n"
        "solver: [{{algorithm: ceres_lm, max_evaluations: 200}}]\n",
        kReferenceGpu, yaml_text::scalar(gpu), name, data_text(gpu), yaml_text::scalar((data_folder / kReferenceConfig).string()));
  }

  ExitCode write(const FolderSurvey& found) {
    const auto data_folder = data::data_directory();
    if (!data_folder) return app::refuse(data_folder.error());
    std::map<std::string, std::string> texts;  // beside the ground truth
    if (!described_.empty()) texts["gpus.yaml"] = gpus_text();
    std::vector<std::string> next;
    for (const std::string& gpu : material_.gpus) {
      const std::string study = material_.gpus.size() == 1 ? "study.yaml" : fmt::format("study_{}.yaml", plain_name(gpu));
      texts[study] = study_text(gpu, *data_folder);
      next.push_back(fmt::format("rooftune {} {} --out {}", is_reference(gpu) ? "fit" : "onboard", (out_ / study).string(),
                                 (out_ / fmt::format("run{}", material_.gpus.size() == 1 ? "" : "_" + plain_name(gpu))).string()));
    }
    std::vector<text::NewFile> files;
    std::vector<std::string> written;
    if (!material_.imported.experiments.empty()) written.emplace_back("ground_truth.json");
    for (const auto& [name, content] : texts) {
      if (!options_.force && text::exists(out_ / name)) return refuse_existing(out_ / name);
      files.push_back({.path = out_ / name, .text = content});
      written.push_back(name);
    }
    std::error_code failed;
    fs::create_directories(out_, failed);
    if (failed) return refuse({.file = out_.string()}, failed.message(), "check the path and its permissions");
    print_errors(material_.imported.warnings);
    const auto noticed = write_together(files);
    if (!noticed) return app::refuse(noticed.error());
    print_errors(*noticed);
    print_result(found, written, next);
    return ExitCode::done;
  }

  /// All files of the result or none.
  [[nodiscard]] core::Result<core::Diagnostics> write_together(const std::vector<text::NewFile>& files) const {
    if (!material_.imported.experiments.empty()) {
      return importers::write_ground_truth(material_.imported, out_ / "ground_truth.json", importers::ExistingFile::replace, files);
    }
    if (auto written = text::write_files_together(files); !written) return tl::unexpected(written.error());
    return core::Diagnostics{};
  }

  void print_result(const FolderSurvey& found, const std::vector<std::string>& written, const std::vector<std::string>& next) const {
    print("\n");
    for (const data::WrittenExperiment& one : material_.imported.experiments) {
      const domain::Experiment& experiment = one.experiment;
      const auto e2e = experiment.measured.summary[domain::Metric::e2e_mean];
      print(fmt::format("{}: {} on {}, TP {}, {}, E2E {}\n", experiment.id, experiment.deployment.model,
                        experiment.deployment.hardware, experiment.deployment.tp, counted(experiment.workload.stages.size(), "stage"),
                        e2e ? fmt::format("{:.1f} ms", *e2e) : "-"));
    }
    if (only_gpu_) print(fmt::format("The runs were on {}, the only GPU that the folder describes (else give --gpu).\n", *only_gpu_));
    if (!material_.imported.assumptions.empty()) print("\nAssumed\n");
    for (const std::string& assumption : material_.imported.assumptions) print(fmt::format("- {}\n", assumption));
    if (!found.kernel_tables.empty()) {
      print(fmt::format("\nKernel tables sharpen the prediction: check them with\n  rooftune kernels audit {}\n",
                        found.kernel_tables.front().string()));
    }
    print(fmt::format("\nwritten       {}: {}\nnext          {}\n", out_.string(), fmt::join(written, ", "),
                      fmt::join(next, "\n              ")));
  }

  InitOptions options_;
  fs::path folder_;
  fs::path out_;
  std::vector<domain::GpuSpec> shipped_;
  std::vector<std::pair<domain::GpuSpec, fs::path>> described_;
  std::optional<std::string> only_gpu_;
  Material material_;
  core::Diagnostics problems_;
};

}  // namespace

void add_init_command(const Command& program, ExitCode& exit_code) {
  const Command command = program.add_subcommand("init", "a folder of results, logs and configs becomes ground truth and a study");
  command.footer(
      "Looks at what lies there, says what it recognised, and writes ground truth, GPUs and a study that fits or onboards.\n"
      "Example: rooftune init my_gpu");
  const auto options = std::make_shared<InitOptions>();
  command.add_option("FOLDER", options->folder, "results of load generators, servers' logs, model configs, GPUs, kernel tables")
      .required();
  command.add_option("--out", options->out, "folder to write; default: FOLDER/rooftune");
  command.add_flag("--force", options->force, "replace what an earlier init wrote there");
  add_said_options(command, options->import, options->set);
  command.callback([options, &exit_code] {
    const core::Diagnostics problems = apply_settings(options->set, options->import.settings);
    exit_code = problems.empty() ? Init(*options).run() : refuse(problems);
  });
}

}  // namespace rooftune::app
