#include <algorithm>
#include <memory>

#include "command_line.hpp"
#include "commands.hpp"
#include "load_options.hpp"
#include "options.hpp"
#include "rooftune/plan/capacity.hpp"
#include "rooftune/report/tables.hpp"
#include "rooftune/runs/capacity_file.hpp"
#include "rooftune/runs/capacity_search.hpp"
#include "terminal.hpp"

namespace rooftune::app {
namespace {

struct CapacityCommandOptions {
  DataOptions data;
  OutputOptions output;
  runs::CapacityRequest asked;
};

ExitCode run(const CapacityCommandOptions& options) {
  runs::CapacityRequest request = options.asked;
  request.data = options.data;
  ProgressLine progress;
  const auto search =
      runs::search_capacity(request, {.progress = [&](const std::string& deployment) { progress.show("searching " + deployment); },
                                      .opened =
                                          [&](const runs::OpenedStudy& first) {
                                            progress.clear();
                                            say_shipped_config(first, options.output);
                                          }});
  progress.clear();
  if (!search) return refuse(search.error());
  const plan::CapacityReport& report = search->report;
  print_errors(search->warnings);
  if (!write_csv(options.output, [&] { return runs::capacity_csv(report); })) return ExitCode::bad_input;
  print_either(
      options.output, [&] { return runs::capacity_json(report); }, [&] { return report::capacity_tables(report, output_colour()); });
  const bool has_capacity =
      std::ranges::any_of(report.answers, [](const plan::CapacityAnswer& answer) { return answer.capacity.best.has_value(); });
  return has_capacity ? ExitCode::done : ExitCode::no_usable_solution;
}

}  // namespace

void add_capacity_command(const Command& program, ExitCode& exit_code) {
  const Command command = program.add_subcommand("capacity", "the highest rate under latency objectives, and GPUs for a load");
  command.footer(
      "Example: rooftune capacity --config h100 --model Llama-3.1-70B-Instruct --tp 4,8 --prompt-tokens 600 \\\n"
      "           --output-tokens 250 --objective ttft_p90=500 --objective tpot_mean=40 --load 20\n"
      "         rooftune capacity --model Llama-3.3-70B-Instruct-FP8,Llama-3.3-70B-Instruct-FP4 --gpu B200 --tp 1,2 \\\n"
      "           --tokens-per-user 30\n"
      "         rooftune capacity --like ground_truth/h100.json --select id=60 --objective ttft_p90=500 --load 20");
  const auto options = std::make_shared<CapacityCommandOptions>();
  add_capacity_options(command, options->data, options->asked);
  add_json_option(command, options->output);
  add_csv_option(command, options->output);
  command.callback([options, command, &exit_code] {
    note_what_is_given(command, options->asked);
    exit_code = run(*options);
  });
}

}  // namespace rooftune::app
