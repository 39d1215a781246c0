#include <fmt/format.h>

#include <memory>
#include <set>

#include "command_line.hpp"
#include "commands.hpp"
#include "options.hpp"
#include "rooftune/core/printable.hpp"
#include "rooftune/report/text_table.hpp"
#include "rooftune/runs/result_file.hpp"
#include "rooftune/runs/tables_csv.hpp"
#include "show_model.hpp"
#include "terminal.hpp"

namespace rooftune::app {
namespace {

using report::Align;
using report::TextTable;

std::string experiment_table(const eval::Dataset& dataset, report::Colour colour) {
  TextTable table({{"experiment", Align::left},
                   {"role", Align::left},
                   {"model", Align::left},
                   {"GPU", Align::left},
                   {"TP"},
                   {"workload", Align::left},
                   {"rates\n1/s", Align::left},
                   {"requests"},
                   {"KV\nblocks"},
                   {"engine", Align::left}});
  for (const eval::Case& item : dataset.cases) {
    const domain::Experiment& experiment = item.experiment;
    const domain::Deployment& deployment = experiment.deployment;
    std::string rates;
    for (const domain::Stage& stage : experiment.workload.stages)
      rates += fmt::format("{}{:g}", rates.empty() ? "" : ", ", stage.rate.value);
    table.add({experiment.id, std::string(domain::role_name(experiment.role)), item.model.name, item.gpu.name,
               fmt::format("{}", deployment.tp), experiment.workload.name, rates, fmt::format("{}", calibrate::planned_requests(item)),
               deployment.settings.total_kv_blocks ? fmt::format("{}", *deployment.settings.total_kv_blocks) : "estimated",
               deployment.engine + " " + deployment.settings.version});
  }
  return "\nExperiments\n" + table.text(colour);
}

std::string model_table(const eval::Dataset& dataset, report::Colour colour) {
  TextTable table({{"model", Align::left},
                   {"layers"},
                   {"hidden"},
                   {"heads"},
                   {"KV\nheads"},
                   {"experts"},
                   {"weights\nGB"},
                   {"sampling", Align::left}});
  std::set<std::string> seen;
  for (const eval::Case& item : dataset.cases) {
    const domain::ModelSpec& model = item.model;
    if (!seen.insert(model.name).second) continue;
    const domain::Mixer* attention = model.attention();
    const domain::Experts* experts = model.experts();
    table.add({model.name, fmt::format("{}", model.layers()), fmt::format("{}", model.hidden),
               attention != nullptr ? fmt::format("{}", attention->heads) : "-",
               attention != nullptr ? fmt::format("{}", attention->kv_heads) : "-",
               experts != nullptr ? fmt::format("{}", experts->count) : "-",
               fmt::format("{:.1f}", domain::resident_weight_bytes(model) * 1e-9),
               !model.sampling ? "unknown" : (model.sampling->truncates() ? "top-p or top-k" : "whole vocabulary")});
  }
  return "\nModels\n" + table.text(colour);
}

std::string gpu_table(const eval::Dataset& dataset, report::Colour colour) {
  TextTable table({{"GPU", Align::left}, {"bf16\nTFLOP/s"}, {"FP8\nTFLOP/s"}, {"memory\nTB/s"}, {"link\nGB/s"}, {"memory\nGiB"}});
  std::set<std::string> seen;
  for (const eval::Case& item : dataset.cases) {
    const domain::GpuSpec& gpu = item.gpu;
    if (!seen.insert(gpu.name).second) continue;
    table.add({gpu.name, fmt::format("{:g}", gpu.peak_bf16.value), gpu.peak_fp8 ? fmt::format("{:g}", gpu.peak_fp8->value) : "-",
               fmt::format("{:g}", gpu.hbm_bandwidth.value), fmt::format("{:g}", gpu.link_bandwidth.value),
               fmt::format("{:g}", gpu.memory.value)});
  }
  return "\nGPUs\n" + table.text(colour);
}

std::string free_table(const calibrate::StudySpec& spec, report::Colour colour) {
  if (spec.free.empty()) return "";
  TextTable table(
      {{"free parameter", Align::left}, {"unit", Align::left}, {"lower"}, {"start"}, {"upper"}, {"transform", Align::left}});
  for (const params::FreeParameter& parameter : spec.free) {
    table.add({parameter.label(), std::string(parameter.id.spec().unit), fmt::format("{:.4g}", parameter.lower),
               fmt::format("{:.4g}", parameter.initial), fmt::format("{:.4g}", parameter.upper),
               std::string(params::transform_name(parameter.transform))});
  }
  return "\nFree parameters\n" + table.text(colour);
}

ExitCode run(const DataOptions& options, const OutputOptions& output) {
  const auto study = open_data(options, runs::Simulators::any);
  if (!study) return refuse(study.error());
  const calibrate::PreparedStudy& prepared = study->prepared;
  if (!write_csv(output, [&] { return runs::experiments_csv(prepared.dataset); })) return ExitCode::bad_input;
  if (output.json) {
    print_data(runs::resolved_json(prepared));
    return ExitCode::done;
  }
  const report::Colour colour = output_colour();
  print(fmt::format("{}{}{}\nstep-time model {}, seed {}, {}\n", prepared.spec.name, prepared.spec.description.empty() ? "" : ": ",
                    prepared.spec.description, prepared.start.step_time_model, prepared.spec.seed,
                    core::counted(static_cast<std::size_t>(prepared.spec.replicates), "replicate")));
  print(experiment_table(prepared.dataset, colour) + model_table(prepared.dataset, colour) + gpu_table(prepared.dataset, colour) +
        free_table(prepared.spec, colour));
  print_errors(prepared.dataset.warnings);
  return ExitCode::done;
}

}  // namespace

void add_show_command(const Command& program, ExitCode& exit_code) {
  const Command command = program.add_subcommand(
      "show", "show what a study resolves to (experiments, models, GPUs, free parameters), or what a model is made of");
  command.footer("Example: rooftune show experiments/quickstart.yaml");
  const auto options = std::make_shared<DataOptions>();
  add_study_argument(command, *options, StudyArgument::optional);
  add_config_options(command, *options);
  add_data_options(command, *options);
  const auto output = std::make_shared<OutputOptions>();
  add_json_option(command, *output);
  add_csv_option(command, *output);
  const auto model = std::make_shared<ShowModelOptions>();
  const Option name = command.add_option(
      "--model", model->model, "show a model instead: its layers and what one GPU does in a step; a name, a folder or a file");
  command.add_option("--tp", model->tp, "GPUs that share the model").needs(name).check(positive(core::limits::kParallelDegree));
  name.excludes("--json").excludes("--csv");
  command.callback([options, model, output, &exit_code] {
    exit_code = model->model.empty() ? run(*options, *output) : show_model(*model, *options);
  });
}

}  // namespace rooftune::app
