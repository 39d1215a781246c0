#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>

#include "commands.hpp"
#include "load_inputs.hpp"
#include "options.hpp"
#include "rooftune/io/atomic_file.hpp"
#include "rooftune/io/result_file.hpp"
#include "rooftune/io/step_trace.hpp"
#include "rooftune/report/tables.hpp"
#include "rooftune/study/inspect.hpp"
#include "terminal.hpp"

namespace rooftune::app {
namespace {

/// A deployment and a load given by flags instead of a file.
struct AdHocLoad {
  std::string model;
  std::string gpu = "H100-SXM";
  int tp = 1;
  int replicas = 1;
  double rate_per_s = 1.0;
  double duration_s = 60.0;
  double prompt_tokens = 512.0;
  double output_tokens = 128.0;
  int shared_prefix_tokens = 0;
  int distinct_prompts = 0;
  int concurrency = 0;
  domain::EngineSettings settings;
};

struct SimulateOptions {
  DataOptions data;
  OutputOptions output;
  AdHocLoad load;
  std::optional<std::string> trace;
  std::optional<std::string> chrome_trace;
  std::optional<std::string> requests;
};

domain::Experiment make_experiment(const AdHocLoad& load) {
  domain::Experiment experiment;
  experiment.id = "command line";
  experiment.deployment = {.model = load.model,
                           .hardware = load.gpu,
                           .tp = load.tp,
                           .dp = load.replicas,
                           .pp = 1,
                           .precision = "",
                           .settings = load.settings};
  domain::Workload& workload = experiment.workload;
  workload.name = "command line";
  workload.pattern = load.distinct_prompts > 0 ? domain::PromptPattern::cycled : domain::PromptPattern::unique;
  workload.distinct_prompts = load.distinct_prompts;
  workload.system_prompt_tokens = load.shared_prefix_tokens;
  workload.prompt.mean_tokens = load.prompt_tokens;
  workload.output.mean_tokens = load.output_tokens;
  workload.arrival.process = load.concurrency > 0 ? domain::ArrivalProcess::closed_loop : domain::ArrivalProcess::poisson;
  workload.arrival.concurrency = load.concurrency;
  const int requests = std::max(1, static_cast<int>(load.rate_per_s * load.duration_s + 0.5));
  workload.stages = {{.rate = {load.rate_per_s}, .duration = {load.duration_s}, .num_requests = requests}};
  return experiment;
}

core::Result<LoadedStudy> load(const SimulateOptions& options) {
  const bool is_ad_hoc = !options.load.model.empty();
  if (is_ad_hoc && (options.data.study || !options.data.ground_truth.empty())) {
    return core::fail({}, "both a workload (--model) and measured experiments are given", "give one of them");
  }
  if (is_ad_hoc) return load_experiments(options.data, {make_experiment(options.load)});
  if (!options.data.study && options.data.ground_truth.empty()) {
    return core::fail({}, "nothing to simulate", "name a study, --ground-truth FILE with --select id=..., or a workload with --model");
  }
  auto study = load_study(options.data);
  if (!study) return study;
  const auto& cases = study->prepared.dataset.cases;
  if (cases.size() != 1) {
    std::vector<std::string> ids;
    for (const eval::Case& item : cases) ids.push_back(item.experiment.id);
    return core::fail({}, fmt::format("{} experiments are selected: {}", ids.size(), fmt::join(ids, ", ")),
                      "choose one with --select id=...");
  }
  return study;
}

/// The traces that were asked for, filled while the simulation runs.
struct Traces {
  io::StepTraceCsv steps;
  io::ChromeTrace chrome;
  io::RequestTable requests;
};

std::vector<study::InspectionSink*> wanted(const SimulateOptions& options, Traces& traces) {
  std::vector<study::InspectionSink*> sinks;
  if (options.trace) sinks.push_back(&traces.steps);
  if (options.chrome_trace) sinks.push_back(&traces.chrome);
  if (options.requests) sinks.push_back(&traces.requests);
  return sinks;
}

core::Result<void> write(const SimulateOptions& options, const Traces& traces) {
  const auto write_to = [](const std::optional<std::string>& path, const std::string& text) {
    return path ? io::write_file_atomically(*path, text) : core::Result<void>();
  };
  if (auto written = write_to(options.trace, traces.steps.text()); !written) return written;
  if (auto written = write_to(options.chrome_trace, options.chrome_trace ? traces.chrome.text() : ""); !written) return written;
  return write_to(options.requests, traces.requests.text());
}

ExitCode run(const SimulateOptions& options) {
  const auto study = load(options);
  if (!study) {
    print_errors(study.error());
    return ExitCode::bad_input;
  }
  const study::PreparedStudy& prepared = study->prepared;
  const params::Config& config = prepared.start;
  const eval::Case& item = prepared.dataset.cases.front();
  Traces traces;
  const study::Inspection inspection = study::inspect(item, 0, config, wanted(options, traces));
  if (const auto written = write(options, traces); !written) {
    print_errors(written.error());
    return ExitCode::bad_input;
  }
  if (options.output.json) {
    print(io::inspection_json(inspection));
    return ExitCode::done;
  }
  print_errors(prepared.dataset.warnings);
  print(fmt::format("{} on {} x {}, TP {}, {}\n", item.model.name, item.experiment.deployment.dp, item.gpu.name,
                    item.experiment.deployment.tp, config.step_time_model));
  print(report::inspection_tables(inspection, output_colour()));
  print(report::domain_list(inspection.domain_exits, output_colour()));
  return ExitCode::done;
}

void add_load_options(CLI::App& command, AdHocLoad& load) {
  constexpr auto kGroup = "Workload (instead of a study or ground truth)";
  const auto add = [&](const char* name, auto& value, const char* help) {
    return command.add_option(name, value, help)->capture_default_str()->group(kGroup);
  };
  command.add_option("--model", load.model, "model, e.g. Llama-2-7b-hf")->group(kGroup);
  add("--gpu", load.gpu, "GPU");
  add("--tp", load.tp, "tensor-parallel degree")->check(CLI::PositiveNumber);
  add("--replicas", load.replicas, "engines behind a round-robin router")->check(CLI::PositiveNumber);
  add("--rate", load.rate_per_s, "requests per second")->check(CLI::PositiveNumber);
  add("--duration", load.duration_s, "seconds of load")->check(CLI::PositiveNumber);
  add("--concurrency", load.concurrency, "closed loop with this many clients instead of a rate; 0: off")
      ->check(CLI::NonNegativeNumber);
  add("--prompt-tokens", load.prompt_tokens, "length of every prompt")->check(CLI::PositiveNumber);
  add("--output-tokens", load.output_tokens, "length of every output")->check(CLI::PositiveNumber);
  add("--shared-prefix-tokens", load.shared_prefix_tokens, "leading tokens that all prompts share")->check(CLI::NonNegativeNumber);
  add("--distinct-prompts", load.distinct_prompts, "prompts that are sent in turn; 0: every prompt differs")
      ->check(CLI::NonNegativeNumber);
  add("--max-num-seqs", load.settings.max_num_seqs, "engine setting")->check(CLI::PositiveNumber);
  add("--max-num-batched-tokens", load.settings.max_num_batched_tokens, "engine setting")->check(CLI::PositiveNumber);
  add("--max-model-len", load.settings.max_model_len, "engine setting")->check(CLI::PositiveNumber);
  command
      .add_option("--kv-blocks", load.settings.total_kv_blocks, "KV blocks of 16 tokens; default: estimated from memory and weights")
      ->check(CLI::PositiveNumber)
      ->group(kGroup);
}

}  // namespace

void add_simulate_command(CLI::App& program, ExitCode& exit_code) {
  CLI::App* command =
      program.add_subcommand("simulate", "simulate one workload on one config: latencies, throughput, where the time goes");
  command->footer(
      "Examples: rooftune simulate --ground-truth ground_truth/h100.json --select id=60 --config configs/tuned/h100.json\n"
      "          rooftune simulate --model Llama-2-7b-hf --rate 4 --duration 120 --prompt-tokens 600 --output-tokens 250");
  const auto options = std::make_shared<SimulateOptions>();
  add_study_argument(*command, options->data, StudyArgument::optional);
  add_config_options(*command, options->data);
  add_load_options(*command, options->load);
  command->add_option("--trace", options->trace, "write every step as CSV: batch, tokens, context, time by term, what rules")
      ->group("Output");
  command->add_option("--chrome-trace", options->chrome_trace, "write every step for chrome://tracing or Perfetto")->group("Output");
  command->add_option("--requests", options->requests, "write every request as CSV")->group("Output");
  add_data_options(*command, options->data);
  add_json_option(*command, options->output);
  command->callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace rooftune::app
