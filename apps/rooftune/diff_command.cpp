#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <string>

#include "commands.hpp"
#include "options.hpp"
#include "rooftune/core/printable.hpp"
#include "rooftune/data/config_file.hpp"
#include "rooftune/data/gpus.hpp"
#include "rooftune/data/shipped_configs.hpp"
#include "rooftune/eval/evaluate.hpp"
#include "rooftune/report/tables.hpp"
#include "rooftune/report/text_table.hpp"
#include "rooftune/runs/run_difference.hpp"
#include "rooftune/runs/run_folder.hpp"
#include "rooftune/runs/tables_csv.hpp"
#include "terminal.hpp"

namespace rooftune::app {
namespace {

namespace fs = std::filesystem;
using report::Align;
using report::TextTable;

struct DiffOptions {
  std::string first;
  std::string second;
  DataOptions data;
  OutputOptions output;
};

std::string manifest_differences(const runs::RunDifference& difference) {
  std::string text;
  for (const runs::TextDifference& one : difference.manifest) {
    text += fmt::format("{}: {} | {}\n", one.what, one.first.value_or("-"), one.second.value_or("-"));
  }
  return text;
}

std::string parameter_differences(const runs::RunDifference& difference, report::Colour colour) {
  TextTable table({{"parameter", Align::left}, {"first"}, {"second"}, {"change\n%"}});
  const auto number = [](const std::optional<double>& value) { return value ? fmt::format("{:.5g}", *value) : std::string("-"); };
  for (const runs::ParameterDifference& one : difference.parameters) {
    const auto change = one.change_percent();
    table.add({one.parameter, number(one.first), number(one.second), change ? fmt::format("{:+.2f}", *change) : std::string("-")});
  }
  return table.empty() ? "" : "\nParameters\n" + table.text(colour);
}

std::string prediction_differences(const runs::RunDifference& difference, report::Colour colour) {
  TextTable table({{"experiment", Align::left},
                   {"stage", Align::left},
                   {"metric", Align::left},
                   {"change\n%"},
                   {"first\nms"},
                   {"second\nms"},
                   {"error %\nfirst"},
                   {"\nsecond"}});
  for (const runs::PredictionDifference& one : difference.predictions) {
    const auto& [a, b] = one;
    table.add({a.experiment, a.stage == domain::kSummaryStage ? "summary" : fmt::format("{}", a.stage),
               std::string(domain::metric_name(a.metric)), fmt::format("{:+.2f}", one.change_percent()),
               fmt::format("{:.4g}", a.predicted_ms), fmt::format("{:.4g}", b.predicted_ms), fmt::format("{:+.2f}", a.error_percent()),
               fmt::format("{:+.2f}", b.error_percent())});
  }
  std::string text = table.empty() ? "" : "\nPredictions\n" + table.text(colour);
  if (difference.unmatched_predictions > 0) {
    const auto count = static_cast<std::size_t>(difference.unmatched_predictions);
    text += fmt::format("{} in one of the runs only\n", core::counted(count, "prediction"));
  }
  return text;
}

/// A file, or the name of a shipped config where no folder bears it.
bool is_config(const std::string& text) {
  std::error_code ignored;
  if (fs::exists(text, ignored)) return !fs::is_directory(text, ignored);
  return data::is_config_name(text) && data::find_config(text).has_value();
}

/// Of a run folder the config that it tuned.
std::string config_of(const std::string& text) {
  std::error_code ignored;
  return fs::is_directory(text, ignored) ? (fs::path(text) / runs::kTunedConfigName).string() : text;
}

core::Result<params::Config> read_named_config(const std::string& text) {
  const auto gpus = data::default_gpus();
  if (!gpus) return tl::unexpected(gpus.error());
  const auto path = data::find_config(config_of(text));
  if (!path) return tl::unexpected(path.error());
  auto file = data::read_config(*path, *gpus);
  if (!file) return tl::unexpected(file.error());
  return std::move(file->config);
}

ExitCode print_difference(const DiffOptions& options, const runs::RunDifference& difference, const std::string& same,
                          const std::string& predictions) {
  if (!write_csv(options.output, [&] { return runs::difference_csv(difference); })) return ExitCode::bad_input;
  print_either(
      options.output, [&] { return runs::difference_json(difference); },
      [&] {
        if (difference.empty()) return same;
        return manifest_differences(difference) + parameter_differences(difference, output_colour()) + predictions;
      });
  return ExitCode::done;
}

/// By what they say alone.
ExitCode compare_configs(const DiffOptions& options) {
  const auto first = read_named_config(options.first);
  const auto second = read_named_config(options.second);
  core::Diagnostics problems;
  for (const auto* config : {&first, &second}) {
    if (!*config) problems.insert(problems.end(), config->error().begin(), config->error().end());
  }
  if (!problems.empty()) return refuse(problems);
  return print_difference(options, runs::compare_configs(*first, *second), "the configs say the same\n",
                          "\n--ground-truth FILE shows how far their predictions differ\n");
}

/// The experiments of --ground-truth as a config predicts them.
core::Result<std::pair<params::Config, eval::Evaluation>> predict(const std::string& config, DataOptions data) {
  data.config = config_of(config);
  const auto study = open_data(data);
  if (!study) return tl::unexpected(study.error());
  const calibrate::PreparedStudy& prepared = study->prepared;
  return std::pair{prepared.start, eval::evaluate(prepared.dataset, prepared.start,
                                                  {.threads = {prepared.spec.threads}, .stepping = sim::Stepping::closed_form})};
}

ExitCode compare_on_data(const DiffOptions& options) {
  ProgressLine progress;
  progress.show(fmt::format("predicting with {}", options.first));
  const auto first = predict(options.first, options.data);
  if (!first) return refuse(first.error());
  progress.show(fmt::format("predicting with {}", options.second));
  const auto second = predict(options.second, options.data);
  if (!second) return refuse(second.error());
  progress.clear();
  runs::RunDifference difference = runs::compare_configs(first->first, second->first);
  runs::compare_predictions(difference, first->second.rows, second->second.rows);
  return print_difference(options, difference, "the configs say the same, and predict the same\n",
                          report::prediction_difference_tables(first->second, second->second, output_colour()));
}

ExitCode run(const DiffOptions& options) {
  if (!options.data.ground_truth.empty()) return compare_on_data(options);
  if (is_config(options.first) || is_config(options.second)) return compare_configs(options);
  const auto difference = runs::compare_runs(options.first, options.second);
  if (!difference) return refuse(difference.error());
  return print_difference(options, *difference, "the runs are the same: inputs, parameters and predictions\n",
                          prediction_differences(*difference, output_colour()));
}

}  // namespace

void add_diff_command(const Command& program, ExitCode& exit_code) {
  const Command command = program.add_subcommand("diff", "compare two run folders or two configs: inputs, parameters, predictions");
  command.footer(
      "Examples: rooftune diff runs/first runs/second\n"
      "          rooftune diff h100 runs/first/tuned.json --ground-truth ground_truth/h100.json");
  const auto options = std::make_shared<DiffOptions>();
  command.add_option("FIRST", options->first, "a run folder, or a config (a shipped one's name, or a file)").required();
  command.add_option("SECOND", options->second, "another one").required();
  add_data_options(command, options->data);
  for (const char* of_data : {"--select", "--models", "--hardware", "--threads", "--seed", "--replicates"}) {
    command.option(of_data).needs(command.option("--ground-truth"));
  }
  add_json_option(command, options->output);
  add_csv_option(command, options->output);
  command.callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace rooftune::app
