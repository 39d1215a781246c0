#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include "command_line.hpp"
#include "commands.hpp"
#include "load_options.hpp"
#include "options.hpp"
#include "rooftune/observe/observe.hpp"
#include "rooftune/observe/trace_files.hpp"
#include "rooftune/text/atomic_file.hpp"
#include "terminal.hpp"

namespace rooftune::app {
namespace {

namespace fs = std::filesystem;

/// Above it the client, not the server, shaped the load.
constexpr double kPunctualMs = 5.0;
constexpr double kSteadyClockMs = 10.0;

struct ObserveCommandOptions {
  runs::AdHocLoad load;
  observe::ObserveOptions observe;
  std::string out;
  std::string key_variable = "OPENAI_API_KEY";
  bool force = false;
};

core::Diagnostics warnings_of(const observe::Observation& observation) {
  core::Diagnostics warnings;
  const auto warn = [&](std::string problem, std::string remedy) {
    warnings.push_back(
        {.position = {}, .problem = std::move(problem), .remedy = std::move(remedy), .severity = core::Severity::warning});
  };
  const observe::SelfCheck& self = observation.self;
  if (observation.concurrency == 0 && self.lateness_p99_ms > kPunctualMs) {
    warn(fmt::format("1 % of the requests were sent more than {:.1f} ms late", self.lateness_p99_ms),
         "the client is too slow for this rate; the times at which requests were sent are what the trace holds");
  }
  if (std::abs(self.clock_drift_ms) > kSteadyClockMs) {
    warn(fmt::format("the system's clock was set by {:.1f} ms during the run", self.clock_drift_ms),
         "latencies are of the steady clock and not affected; do not join them with other logs by wall-clock time");
  }
  return warnings;
}

ExitCode run(ObserveCommandOptions& options) {
  std::error_code ignored;
  const fs::path out = options.out;
  if (fs::exists(out / "trace_data.csv", ignored) && !options.force) {
    print_errors({{.position = {.file = (out / "trace_data.csv").string()},
                   .problem = "the file exists",
                   .remedy = "name another folder, or replace it with --force"}});
    return ExitCode::bad_input;
  }
  if (options.observe.model.empty()) options.observe.model = options.load.model;
  if (const char* key = std::getenv(options.key_variable.c_str()); key != nullptr) options.observe.api_key = key;
  options.observe.warm_up_requests = options.load.num_warmups.value_or(0);
  const auto experiments = runs::make_experiments(options.load);
  if (!experiments) return refuse(experiments.error());
  if (experiments->size() > 1) {
    print_errors({{.position = {}, .problem = "several loads are asked for", .remedy = "observe one after the other"}});
    return ExitCode::bad_input;
  }
  const sim::RequestPlan plan = sim::make_request_plan(experiments->front(), options.observe.seed, 0);
  ProgressLine progress;
  progress.show("sending requests");
  const auto observation = observe::observe(plan, options.observe);
  progress.clear();
  if (!observation) {
    print_errors(observation.error());
    return ExitCode::no_usable_solution;
  }
  print_errors(warnings_of(*observation));
  fs::create_directories(out, ignored);
  const std::string table = observe::trace_table(*observation);
  const std::string header = observe::trace_header(*observation, options.observe);
  const std::vector<text::NewFile> files{{out / "trace_data.csv", table}, {out / "trace_header.yaml", header}};
  if (const auto written = text::write_files_together(files); !written) return refuse(written.error());
  std::size_t failed = 0;
  for (const observe::ObservedRequest& request : observation->requests)
    failed += request.status != observe::RequestStatus::ok ? 1U : 0U;
  const observe::SelfCheck& self = observation->self;
  print(fmt::format("{} requests, {} failed; at most {} under way\n", observation->requests.size(), failed, self.most_in_flight));
  if (observation->concurrency == 0) {
    print(fmt::format("sent late by  {:.2f} ms (median), {:.2f} ms (p99), {:.2f} ms (most)\n", self.lateness_p50_ms,
                      self.lateness_p99_ms, self.lateness_max_ms));
  }
  print(fmt::format("written       {}\nnext          rooftune import blis-trace {} --gpu GPU --vllm-log server.log --out {}.json\n",
                    out.string(), out.string(), out.string()));
  return ExitCode::done;
}

}  // namespace

void add_observe_command(const Command& program, ExitCode& exit_code) {
  const Command command =
      program.add_subcommand("observe", "send a planned workload to an OpenAI-compatible server and time every answer");
  command.footer(
      "Prompts are lists of token ids, outputs end at the planned length (ignore_eos): vLLM and SGLang take both.\n"
      "Example: rooftune observe --url http://localhost:8000 --model Llama-2-7b-hf --rate 4 --duration 60 --out runs/observed");
  const auto options = std::make_shared<ObserveCommandOptions>();
  command.add_option("--url", options->observe.url, "server, e.g. http://localhost:8000").required();
  command.add_option("--out", options->out, "folder for trace_header.yaml and trace_data.csv").required();
  command.add_option("--served-model", options->observe.model, "name under which the server knows the model; default: --model");
  command.add_option("--api-key-variable", options->key_variable, "environment variable that holds the server's key")
      .capture_default_str();
  command.add_option("--request-timeout", options->observe.request_timeout_s, "seconds after which an answer counts as lost")
      .capture_default_str()
      .check(positive(core::limits::kSeconds));
  command.add_option("--stage-limit", options->observe.stage_limit_s, "seconds after which the load is given up")
      .capture_default_str()
      .check(positive(core::limits::kSeconds));
  command.add_option("--seed", options->observe.seed, "of arrivals, lengths and prompts").capture_default_str().check(seed());
  command.add_flag("--force", options->force, "replace an earlier trace");
  constexpr auto kGroup = "Workload";
  command.add_option("--model", options->load.model, "model, e.g. Llama-2-7b-hf").required().group(kGroup);
  add_prompt_options(command, options->load, kGroup);
  add_traffic_options(command, options->load, kGroup);
  command.callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace rooftune::app
