#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "commands.hpp"
#include "load_options.hpp"
#include "options.hpp"
#include "rooftune/calibrate/inspect.hpp"
#include "rooftune/eval/assumptions.hpp"
#include "rooftune/plan/speculation.hpp"
#include "rooftune/report/tables.hpp"
#include "rooftune/runs/open_simulation.hpp"
#include "rooftune/runs/result_file.hpp"
#include "rooftune/runs/step_trace.hpp"
#include "rooftune/runs/tables_csv.hpp"
#include "rooftune/text/atomic_file.hpp"
#include "terminal.hpp"

namespace rooftune::app {
namespace {

struct SimulateOptions {
  DataOptions data;
  OutputOptions output;
  runs::AdHocLoad load;
  std::optional<std::string> trace;
  std::optional<std::string> chrome_trace;
  std::optional<std::string> requests;
  std::int64_t warm_up_requests = 0;
};

/// The traces that were asked for, filled while the simulation runs.
struct Traces {
  runs::StepTraceCsv steps;
  runs::ChromeTrace chrome;
  runs::RequestTable requests;
};

std::vector<calibrate::InspectionSink*> wanted(const SimulateOptions& options, Traces& traces) {
  std::vector<calibrate::InspectionSink*> sinks;
  if (options.trace) sinks.push_back(&traces.steps);
  if (options.chrome_trace) sinks.push_back(&traces.chrome);
  if (options.requests) sinks.push_back(&traces.requests);
  return sinks;
}

/// They are of one simulation: none is left beside one of an earlier one.
core::Result<void> write(const SimulateOptions& options, const Traces& traces, const calibrate::Inspection& inspection) {
  std::vector<text::NewFile> files;
  const std::string chrome = options.chrome_trace ? traces.chrome.text() : "";
  const std::string means = options.output.csv ? runs::inspection_csv(inspection) : "";
  if (options.trace) files.push_back({*options.trace, traces.steps.text()});
  if (options.chrome_trace) files.push_back({*options.chrome_trace, chrome});
  if (options.requests) files.push_back({*options.requests, traces.requests.text()});
  if (options.output.csv) files.push_back({*options.output.csv, means});
  return text::write_files_together(files);
}

ExitCode run_sweep(const SimulateOptions& options, const calibrate::PreparedStudy& prepared) {
  const auto points = calibrate::sweep(prepared.dataset, prepared.start, options.warm_up_requests, {prepared.spec.threads});
  if (!write_csv(options.output, [&] { return runs::sweep_csv(points); })) return ExitCode::bad_input;
  if (options.output.json) {
    print_data(runs::sweep_json(points));
    return ExitCode::done;
  }
  print_errors(prepared.dataset.warnings);
  print(report::sweep_table(points, output_colour()));
  return ExitCode::done;
}

ExitCode run(const SimulateOptions& options) {
  const auto study = runs::open_simulation(options.data.study, options.load, options.data);
  if (!study) return refuse(study.error());
  say_shipped_config(*study, options.output);
  const calibrate::PreparedStudy& prepared = study->prepared;
  const params::Config& config = prepared.start;
  if (options.load.is_sweep()) return run_sweep(options, prepared);
  const eval::Case& item = prepared.dataset.cases.front();
  Traces traces;
  const calibrate::Inspection inspection = calibrate::inspect(item, 0, config, wanted(options, traces), options.warm_up_requests);
  if (const auto written = write(options, traces, inspection); !written) return refuse(written.error());
  const auto speculation = plan::speculation_gain(item, config);
  if (options.output.json) {
    print_data(runs::inspection_json(inspection, speculation));
    return ExitCode::done;
  }
  print_errors(prepared.dataset.warnings);
  if (options.load.model.empty()) {
    for (const eval::Assumption& assumption : eval::moving_assumptions(prepared.dataset, config, {prepared.spec.threads})) {
      print_errors({{.position = {}, .problem = eval::format(assumption), .remedy = "", .severity = core::Severity::warning}});
    }
  }
  print(fmt::format("{} on {}, {}\n", item.model.name, report::engines_of(item.experiment.deployment, item.gpu.name),
                    config.step_time_model));
  print(report::inspection_tables(inspection, output_colour()));
  if (speculation) print("\n" + report::speculation_line(*speculation));
  print(report::domain_list(inspection.domain_exits, output_colour()));
  return ExitCode::done;
}

}  // namespace

void add_simulate_command(const Command& program, ExitCode& exit_code) {
  const Command command =
      program.add_subcommand("simulate", "simulate one workload on one config: latencies, throughput, where the time goes");
  command.footer(
      "Examples: rooftune simulate --ground-truth ground_truth/h100.json --select id=60 --config h100\n"
      "          rooftune simulate --model Llama-2-7b-hf --rate 4 --duration 120 --prompt-tokens 600 --output-tokens 250\n"
      "          rooftune simulate --model Llama-2-7b-hf --rates 1,2,4,8 --prompt-tokens 600 --output-tokens 250\n"
      "          rooftune simulate --model Llama-2-7b-hf --concurrency 4,8,16 --num-prompts 160 --prompt-tokens 600");
  const auto options = std::make_shared<SimulateOptions>();
  options->data.use_shipped_config = true;
  add_study_argument(command, options->data, StudyArgument::optional);
  add_config_options(command, options->data);
  add_load_options(command, options->load);
  command.add_option("--trace", options->trace, "write every step as CSV: batch, tokens, context, time by term, what rules")
      .group("Output");
  command.add_option("--chrome-trace", options->chrome_trace, "write every step for chrome://tracing or Perfetto").group("Output");
  command.add_option("--requests", options->requests, "write every request as CSV").group("Output");
  add_warm_up_option(command, options->warm_up_requests);
  add_data_options(command, options->data);
  add_json_option(command, options->output);
  add_csv_option(command, options->output);
  command.callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace rooftune::app
