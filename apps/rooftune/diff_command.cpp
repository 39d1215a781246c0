#include <fmt/format.h>

#include <memory>
#include <string>

#include "commands.hpp"
#include "options.hpp"
#include "rooftune/report/text_table.hpp"
#include "rooftune/runs/run_difference.hpp"
#include "rooftune/runs/tables_csv.hpp"
#include "terminal.hpp"

namespace rooftune::app {
namespace {

using report::Align;
using report::TextTable;

struct DiffOptions {
  std::string first;
  std::string second;
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
                   {"first\nms"},
                   {"second\nms"},
                   {"error %\nfirst"},
                   {"\nsecond"}});
  for (const auto& [a, b] : difference.predictions) {
    table.add({a.experiment, a.stage == domain::kSummaryStage ? "summary" : fmt::format("{}", a.stage),
               std::string(domain::metric_name(a.metric)), fmt::format("{:.4g}", a.predicted_ms),
               fmt::format("{:.4g}", b.predicted_ms), fmt::format("{:+.2f}", a.error_percent()),
               fmt::format("{:+.2f}", b.error_percent())});
  }
  std::string text = table.empty() ? "" : "\nPredictions\n" + table.text(colour);
  if (difference.unmatched_predictions > 0) {
    text += fmt::format("{} predictions are in one of the runs only\n", difference.unmatched_predictions);
  }
  return text;
}

ExitCode run(const DiffOptions& options) {
  const auto difference = runs::compare_runs(options.first, options.second);
  if (!difference) return refuse(difference.error());
  if (!write_csv(options.output, [&] { return runs::difference_csv(*difference); })) return ExitCode::bad_input;
  if (options.output.json) {
    print_data(runs::difference_json(*difference));
    return ExitCode::done;
  }
  const report::Colour colour = output_colour();
  print(difference->empty() ? "the runs are the same: inputs, parameters and predictions\n"
                            : manifest_differences(*difference) + parameter_differences(*difference, colour) +
                                  prediction_differences(*difference, colour));
  return ExitCode::done;
}

}  // namespace

void add_diff_command(const Command& program, ExitCode& exit_code) {
  const Command command = program.add_subcommand("diff", "compare two run folders: inputs, parameters, predictions");
  command.footer("Example: rooftune diff runs/first runs/second");
  const auto options = std::make_shared<DiffOptions>();
  command.add_option("FIRST", options->first, "a run folder").required();
  command.add_option("SECOND", options->second, "another run folder").required();
  add_json_option(command, options->output);
  add_csv_option(command, options->output);
  command.callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace rooftune::app
