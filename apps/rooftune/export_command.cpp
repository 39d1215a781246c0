#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "command_line.hpp"
#include "commands.hpp"
#include "load_options.hpp"
#include "options.hpp"
#include "rooftune/calibrate/linear_form.hpp"
#include "rooftune/core/printable.hpp"
#include "rooftune/data/config_file.hpp"
#include "rooftune/data/gpus.hpp"
#include "rooftune/data/shipped_configs.hpp"
#include "rooftune/runs/export_file.hpp"
#include "rooftune/runs/open_study.hpp"
#include "rooftune/sim/simulate.hpp"
#include "rooftune/text/atomic_file.hpp"
#include "terminal.hpp"

namespace rooftune::app {
namespace {

enum class ExportForm { hardware_config, alpha_beta };
constexpr std::array<core::Word<ExportForm>, 2> kForms{
    {{"hardware-config", ExportForm::hardware_config}, {"alpha-beta", ExportForm::alpha_beta}}};

struct ExportOptions {
  DataOptions data;
  std::string form;
  std::optional<std::string> out;
  OutputOptions output;
  std::vector<std::string> models;
  std::vector<std::string> gpus;
  std::vector<int> tp;
  int max_num_batched_tokens = 2048;
};

constexpr const char* kNotCarriedByLines =
    "not carried: how steps lengthen with context, the larger of compute and memory, steps with and without CUDA graphs, "
    "asynchronous scheduling, uncertainty and calibrated domain";

/// What a form leaves out is said on standard error, so that the text can be piped.
void note(const std::string& text) { say(core::printable(text) + "\n"); }

ExitCode deliver(const ExportOptions& options, const runs::ExportedConfig& exported) {
  if (options.out) {
    if (const auto written = text::write_file_atomically(*options.out, exported.text); !written) return refuse(written.error());
  }
  if (!write_csv(options.output, [&] { return runs::export_csv(exported); })) return ExitCode::bad_input;
  if (options.output.json) {
    print_data(runs::export_json(exported));
  } else if (!options.out) {
    print_data(exported.text);
  }
  return ExitCode::done;
}

ExitCode export_hardware_config(const ExportOptions& options, const params::Config& config, const std::vector<domain::GpuSpec>& gpus) {
  auto text = data::hardware_config_text(config, gpus);
  if (!text) {
    for (core::Diagnostic& problem : text.error()) {
      problem.position.file = *options.data.config;
      problem.remedy = "export --form alpha-beta approximates it for one deployment each";
    }
    return refuse(text.error());
  }
  for (core::Diagnostic& warning : text->warnings) warning.remedy = "predictions from it differ";
  print_errors(text->warnings);
  return deliver(options, {.form = options.form, .text = text->text, .warnings = text->warnings});
}

std::vector<std::string> words_of(const params::Config& config, const std::string& name) {
  const auto found = config.domain.sets.find(name);
  return found == config.domain.sets.end() ? std::vector<std::string>{} : found->second;
}

/// Powers of two that the config was calibrated for.
std::vector<int> degrees_of(const params::Config& config) {
  std::vector<int> degrees;
  const auto found = config.domain.ranges.find("tp");
  if (found == config.domain.ranges.end()) return degrees;
  for (int tp = 1; tp <= static_cast<int>(found->second.highest); tp *= 2) {
    if (tp >= static_cast<int>(found->second.lowest)) degrees.push_back(tp);
  }
  return degrees;
}

core::Result<runs::AlphaBetaEntry> entry_of(const ExportOptions& options, const std::string& model, const std::string& gpu, int tp) {
  runs::AdHocLoad shape;
  shape.model = model;
  shape.gpu = gpu;
  shape.tp = tp;
  shape.engine.max_num_batched_tokens = options.max_num_batched_tokens;
  auto experiments = runs::make_experiments(shape);
  if (!experiments) return tl::unexpected(experiments.error());
  const auto loaded = runs::open_experiments(std::move(*experiments), options.data);
  if (!loaded) return tl::unexpected(loaded.error());
  const eval::Case& item = loaded->prepared.dataset.cases.front();
  const params::Config& config = loaded->prepared.start;
  const params::Resolved<double> parameters = params::resolve(config, item.experiment.deployment, item.gpu);
  const auto versions = words_of(config, "engine_version");
  return runs::AlphaBetaEntry{.model = model,
                              .gpu = gpu,
                              .tp = tp,
                              .kv_blocks = sim::make_engine_setup(item.scenario(*item.plan(0)), parameters).kv_blocks,
                              .engine_version = versions.size() == 1 ? versions.front() : "",
                              .form = calibrate::fit_linear_form(item, config)};
}

ExitCode export_alpha_beta(const ExportOptions& options, const params::Config& config) {
  const auto models = options.models.empty() ? words_of(config, "model") : options.models;
  const auto gpus = options.gpus.empty() ? words_of(config, "gpu") : options.gpus;
  const auto degrees = options.tp.empty() ? degrees_of(config) : options.tp;
  if (models.empty() || gpus.empty() || degrees.empty()) {
    print_errors({{.position = {.file = *options.data.config},
                   .problem = "the config does not say for which model, GPU and TP it was calibrated",
                   .remedy = "give --model, --gpu and --tp"}});
    return ExitCode::bad_input;
  }
  std::vector<runs::AlphaBetaEntry> entries;
  core::Diagnostics problems;
  for (const std::string& model : models) {
    for (const std::string& gpu : gpus) {
      for (const int tp : degrees) {
        const auto entry = entry_of(options, model, gpu, tp);
        if (!entry) {
          problems.insert(problems.end(), entry.error().begin(), entry.error().end());
          continue;
        }
        const calibrate::LinearForm& form = entry->form;
        note(
            fmt::format("{} on {}, TP {}: the linear form misses the config's step times by {:.1f} % on average over {} batches, by "
                        "{:+.1f} % at worst ({})",
                        model, gpu, tp, form.mean_error_percent, form.batches, form.worst_error_percent, form.worst_batch));
        entries.push_back(*entry);
      }
    }
  }
  if (entries.empty()) {
    print_errors(problems);
    return ExitCode::bad_input;
  }
  // Where weights do not fit there is nothing to export; another degree of the same model is.
  for (core::Diagnostic& problem : problems) {
    note(fmt::format("left out: {}", problem.problem));
    problem.severity = core::Severity::warning;
  }
  problems.push_back({.position = {}, .problem = kNotCarriedByLines, .remedy = "", .severity = core::Severity::warning});
  note(kNotCarriedByLines);
  return deliver(options,
                 {.form = options.form, .text = runs::alpha_beta_text(entries), .deployments = entries, .warnings = problems});
}

ExitCode run(const ExportOptions& options) {
  const auto form = core::find_word<ExportForm>(kForms, options.form);
  if (!form) {
    print_errors({{.position = {},
                   .problem = fmt::format("unknown form '{}'", options.form),
                   .remedy = core::suggest(options.form, {kForms[0].first, kForms[1].first})}});
    return ExitCode::bad_input;
  }
  const auto gpus = data::default_gpus();
  if (!gpus) return refuse(gpus.error());
  const auto file = data::find_config(*options.data.config).and_then([&](const std::filesystem::path& path) {
    return data::read_config(path, *gpus);
  });
  if (!file) return refuse(file.error());
  print_errors(file->warnings);
  return *form == ExportForm::hardware_config ? export_hardware_config(options, file->config, *gpus)
                                              : export_alpha_beta(options, file->config);
}

}  // namespace

void add_export_command(const Command& program, ExitCode& exit_code) {
  const Command command = program.add_subcommand("export", "write a config in the forms that other simulators load");
  command.footer(
      "Example: rooftune export h100 --form alpha-beta --model Llama-2-7b-hf --tp 1\n"
      "What the form cannot carry is said on standard error.");
  const auto options = std::make_shared<ExportOptions>();
  command.add_option("CONFIG", options->data.config, "config: the name of a shipped one, or a file (our form or hardware_config.json)")
      .required();
  command
      .add_option("--form", options->form, "hardware-config: roofline_v1 values by GPU; alpha-beta: linear coefficients by deployment")
      .required();
  command.add_option("--out", options->out, "file to write; default: standard output");
  add_json_option(command, options->output);
  add_csv_option(command, options->output);
  constexpr auto kGroup = "Deployments (alpha-beta); default: those of the calibration";
  add_repeatable(command, "--model", options->models, "model; repeatable").group(kGroup);
  add_repeatable(command, "--gpu", options->gpus, "GPU; repeatable").group(kGroup);
  command.add_option("--tp", options->tp, "tensor-parallel degrees")
      .delimiter(',')
      .check(positive(core::limits::kParallelDegree))
      .group(kGroup);
  command.add_option("--max-num-batched-tokens", options->max_num_batched_tokens, "token budget of a step")
      .capture_default_str()
      .check(positive(core::limits::kTokens))
      .group(kGroup);
  add_model_options(command, options->data);
  command.callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace rooftune::app
