#include <fmt/format.h>

#include <fstream>
#include <iostream>
#include <memory>

#include "commands.hpp"
#include "load_options.hpp"
#include "options.hpp"
#include "rooftune/domain/metrics.hpp"
#include "rooftune/plan/watch.hpp"
#include "rooftune/runs/ad_hoc_load.hpp"
#include "rooftune/runs/open_study.hpp"
#include "rooftune/runs/request_stream.hpp"
#include "rooftune/runs/watch_file.hpp"
#include "terminal.hpp"

namespace rooftune::app {
namespace {

struct WatchOptions {
  DataOptions data;
  OutputOptions output;
  runs::AdHocLoad load;
  std::string config;
  std::string file;
  int window = 200;
};

std::string text_of(const plan::WatchedWindow& window) {
  std::string text =
      fmt::format("window {}: {} requests, {:.1f} to {:.1f} s", window.number, window.requests, window.from_s, window.to_s);
  for (const plan::WatchedMetric& metric : window.metrics) {
    text += fmt::format("  {} {:.4g} ({:.4g} to {:.4g}{})", domain::metric_name(metric.metric), metric.measured_ms, metric.lower_ms,
                        metric.upper_ms, metric.side() == 0 ? "" : (metric.side() > 0 ? ", ABOVE" : ", BELOW"));
  }
  if (window.refused > 0) text += fmt::format("  ({} refused by the simulation)", window.refused);
  text += "\n";
  if (!window.is_drift) return text;
  text += "  drift: outside its 90 % interval to the same side twice in a row\n";
  for (const plan::Explanation& explanation : window.explanations) {
    text += fmt::format("  {} times {:.2f} would explain {:.0f} % of it\n", explanation.parameter, explanation.factor,
                        100.0 * explanation.explained);
  }
  if (window.telling_run) text += fmt::format("  a run that would tell the first two apart: {}\n", *window.telling_run);
  return text;
}

ExitCode run(const WatchOptions& options) {
  DataOptions data = options.data;
  data.config = options.config;
  auto experiments = runs::make_experiments(options.load);
  if (!experiments) return refuse(experiments.error());
  const auto study = runs::open_experiments(*std::move(experiments), data);
  if (!study) return refuse(study.error());
  const calibrate::PreparedStudy& prepared = study->prepared;
  if (!prepared.start.uncertainty) {
    print_errors({{.position = {.file = options.config},
                   .problem = "the config does not say how sure it is ('uncertainty')",
                   .remedy = "watch with a config that rooftune fit or onboard wrote"}});
    return ExitCode::bad_input;
  }
  const eval::Case& item = prepared.dataset.cases.front();
  calibrate::CandidateSpec spec{.models = {options.load.model}, .tp = {options.load.tp}};
  const auto candidates = plan::candidate_dataset(prepared, study->inputs, spec, item.gpu.name);
  if (!candidates) return refuse(candidates.error());
  std::ifstream file;
  const bool from_standard_input = options.file == "-";
  if (!from_standard_input) file.open(options.file);
  if (!from_standard_input && !file) {
    print_errors({{.position = {.file = options.file}, .problem = "cannot read the file", .remedy = "name a file of requests, or -"}});
    return ExitCode::bad_input;
  }
  std::istream& lines = from_standard_input ? std::cin : file;
  runs::RequestStream stream(from_standard_input ? "standard input" : options.file);
  plan::Watch watch(prepared.dataset, prepared.start, *candidates, static_cast<std::size_t>(options.window));
  bool drifted = false;
  ProgressLine waiting;
  waiting.show("reading requests as they finish");
  for (std::string line; std::getline(lines, line);) {
    const auto request = stream.line(line);
    if (!request) return refuse(request.error());
    if (!*request) continue;
    const auto window = watch.add(**request);
    if (!window) continue;
    drifted = drifted || window->is_drift;
    print_either(
        options.output, [&] { return runs::watched_window_json(*window); }, [&] { return text_of(*window); });
    flush_output();
  }
  if (watch.not_judged() > 0) {
    say(fmt::format("the last {} requests are not judged: {} are when as many have ended after them (--window)\n", watch.not_judged(),
                    options.window));
  }
  return drifted ? ExitCode::no_usable_solution : ExitCode::done;
}

}  // namespace

void add_watch_command(const Command& program, ExitCode& exit_code) {
  const Command command = program.add_subcommand(
      "watch", "compares a running server's requests with a config as they finish, and says when they leave its predictions");
  command.footer("Example: rooftune watch h100 requests.csv --model Llama-2-7b-hf");
  const auto options = std::make_shared<WatchOptions>();
  command.add_option("CONFIG", options->config, "name of a shipped config (h100), or a file of ours that knows its uncertainty")
      .required();
  command.add_option("FILE", options->file, "requests as they finish, CSV or one JSON object a line; - is standard input").required();
  command.add_option("--window", options->window, "requests that are judged together")
      .capture_default_str()
      .check(between(20, 100000));
  constexpr auto kDeployment = "Deployment";
  command.add_option("--model", options->load.model, "the model that is served").required().group(kDeployment);
  command.add_option("--gpu", options->load.gpu, "its GPU").capture_default_str().group(kDeployment);
  command.add_option("--tp", options->load.tp, "GPUs that share the model")
      .capture_default_str()
      .check(positive(core::limits::kParallelDegree))
      .group(kDeployment);
  add_engine_options(command, options->load.engine, kDeployment);
  add_model_options(command, options->data);
  add_json_option(command, options->output);
  command.callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace rooftune::app
