#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "command_line.hpp"
#include "commands.hpp"
#include "load_options.hpp"
#include "options.hpp"
#include "rooftune/plan/capacity.hpp"
#include "rooftune/report/tables.hpp"
#include "rooftune/runs/capacity_file.hpp"
#include "rooftune/runs/open_study.hpp"
#include "terminal.hpp"

namespace rooftune::app {
namespace {

struct CapacityCommandOptions {
  DataOptions data;
  OutputOptions output;
  runs::AdHocLoad load;
  std::vector<std::string> like;    ///< ground truth with the measured run whose requests and engine are asked about
  std::vector<std::string> select;  ///< of `like`
  bool is_gpu_given = false;        ///< in place of that run's
  bool is_tp_given = false;
  std::vector<std::string> models;
  std::vector<int> tp{1, 2, 4, 8};
  std::vector<std::string> expert_parallel;  ///< "off", "on"; empty: as the engine's flag says
  std::vector<std::string> objectives;
  plan::CapacityQuestions questions;
  double duration_s = 60.0;
};

core::Result<plan::CapacityOptions> search_options(const CapacityCommandOptions& options) {
  plan::CapacityOptions search;
  core::Diagnostics problems;
  for (const std::string& text : options.objectives) {
    if (const auto objective = plan::parse_objective(text)) {
      search.objectives.push_back(*objective);
    } else {
      problems.insert(problems.end(), objective.error().begin(), objective.error().end());
    }
  }
  if (!problems.empty()) return tl::unexpected(std::move(problems));
  search.duration = {options.duration_s};
  if (options.data.replicates) search.replicates = *options.data.replicates;
  if (options.data.seed) search.seed = *options.data.seed;
  search.threads = {options.data.threads.value_or(0)};
  return search;
}

/// One of the deployments that are compared.
struct Variant {
  std::string model;
  int tp = 1;
  bool expert_parallel = false;
  friend bool operator==(const Variant&, const Variant&) = default;
};

bool asks_without_expert_parallel(const CapacityCommandOptions& options) {
  return std::ranges::find(options.expert_parallel, "off") != options.expert_parallel.end();
}

/// Each once. Expert parallelism of one GPU is the engine without it.
std::vector<Variant> variants(const CapacityCommandOptions& options) {
  std::vector<bool> expert_parallel;
  for (const std::string& word : options.expert_parallel) expert_parallel.push_back(word == "on");
  if (expert_parallel.empty()) expert_parallel.push_back(options.load.engine.enable_expert_parallel);
  std::vector<Variant> all;
  for (const std::string& model : options.models) {
    for (const int tp : options.tp) {
      for (const bool is_on : expert_parallel) {
        const Variant variant{.model = model, .tp = tp, .expert_parallel = is_on};
        const bool is_repeated = is_on && tp == 1 && asks_without_expert_parallel(options);
        if (!is_repeated && std::ranges::find(all, variant) == all.end()) all.push_back(variant);
      }
    }
  }
  return all;
}

/// The measured run of --like. Where the flags name no model, TP degree or GPU, they are the run's.
core::Result<domain::Experiment> measured_run(CapacityCommandOptions& options) {
  DataOptions data = options.data;
  data.ground_truth = options.like;
  data.select = options.select;
  data.replicates = 1;
  const auto study = runs::open_ground_truth(data);
  if (!study) return tl::unexpected(study.error());
  auto run = only_experiment(*study);
  if (!run) return run;
  if (options.models.empty()) options.models = {run->deployment.model};
  if (!options.is_tp_given) options.tp = {run->deployment.tp};
  if (!options.is_gpu_given) options.load.gpu = run->deployment.hardware;
  if (options.expert_parallel.empty()) {
    options.expert_parallel = {run->deployment.settings.enable_expert_parallel ? "on" : "off"};
  }
  // Its own load is the row to set beside the measurement.
  if (!options.questions.rates.empty() || !options.questions.concurrencies.empty()) return run;
  const domain::Arrival& arrival = run->workload.arrival;
  for (const domain::Stage& stage : run->workload.stages) {
    if (arrival.process == domain::ArrivalProcess::closed_loop) {
      options.questions.concurrencies.push_back(stage.concurrency > 0 ? stage.concurrency : arrival.concurrency);
    } else if (stage.rate.value > 0.0) {
      options.questions.rates.push_back(stage.rate.value / run->deployment.dp);
    }
  }
  return run;
}

/// The measured run's requests and engine on the variant's deployment. A pool that was recorded is that of its own deployment.
domain::Experiment like(const domain::Experiment& run, const CapacityCommandOptions& options, const Variant& variant) {
  domain::Experiment experiment = run;
  experiment.measured = {};
  experiment.flags.clear();
  domain::Deployment& deployment = experiment.deployment;
  domain::EngineSettings& settings = deployment.settings;
  const bool is_same = domain::short_model_name(deployment.model) == domain::short_model_name(variant.model) &&
                       deployment.hardware == options.load.gpu && deployment.tp == variant.tp;
  deployment.model = variant.model;
  deployment.hardware = options.load.gpu;
  deployment.tp = variant.tp;
  deployment.dp = 1;
  settings.enable_expert_parallel = variant.expert_parallel;
  if (!is_same) settings.total_kv_blocks.reset();
  const runs::EngineFlags& given = options.load.engine;
  if (given.kv_blocks) settings.total_kv_blocks = given.kv_blocks;
  settings.max_num_seqs = given.max_num_seqs.value_or(settings.max_num_seqs);
  settings.max_num_batched_tokens = given.max_num_batched_tokens.value_or(settings.max_num_batched_tokens);
  settings.max_model_len = given.max_model_len.value_or(settings.max_model_len);
  return experiment;
}

/// One deployment made ready. The load is only a shape here.
core::Result<runs::OpenedStudy> load(const CapacityCommandOptions& options, const std::optional<domain::Experiment>& run,
                                     const Variant& variant) {
  DataOptions data = options.data;
  data.replicates = 1;
  if (run) return runs::open_experiments({like(*run, options, variant)}, data);
  runs::AdHocLoad shape = options.load;
  shape.model = variant.model;
  shape.tp = variant.tp;
  shape.engine.enable_expert_parallel = variant.expert_parallel;
  auto experiments = runs::make_experiments(shape);
  if (!experiments) return tl::unexpected(experiments.error());
  return runs::open_experiments(std::move(*experiments), data);
}

/// Degrees share most of what there is to say.
void add_new(core::Diagnostics& all, const core::Diagnostics& more) {
  for (const core::Diagnostic& one : more) {
    const auto is_same = [&](const core::Diagnostic& known) { return core::format(known) == core::format(one); };
    if (std::ranges::none_of(all, is_same)) all.push_back(one);
  }
}

/// What is wrong with the models that no file describes: at every degree the same, and not known before the files are read.
core::Diagnostics unknown_models(const CapacityCommandOptions& options, const std::optional<domain::Experiment>& run,
                                 const std::vector<domain::ModelSpec>& known) {
  core::Diagnostics problems;
  for (const std::string& model : options.models) {
    if (domain::find_model(known, model) != nullptr) continue;
    const auto loaded = load(options, run, {.model = model, .tp = options.tp.front()});
    if (!loaded) problems.insert(problems.end(), loaded.error().begin(), loaded.error().end());
  }
  return problems;
}

/// What the requests of all answers are.
void say_requests(plan::CapacityReport& report, const eval::Case& base) {
  const domain::Workload& workload = base.experiment.workload;
  report.prompts = plan::prompts_text(workload);
  const auto mean = [&](int domain::TracedRequest::*tokens, double drawn) {
    if (workload.trace.empty()) return drawn;
    double sum = 0.0;
    for (const domain::TracedRequest& row : workload.trace) sum += row.*tokens;
    return sum / static_cast<double>(workload.trace.size());
  };
  report.prompt_tokens = mean(&domain::TracedRequest::input_tokens, workload.prompt.mean_tokens);
  report.output_tokens = mean(&domain::TracedRequest::output_tokens, workload.output.mean_tokens);
}

ExitCode run(const CapacityCommandOptions& given) {
  CapacityCommandOptions options = given;
  const auto search = search_options(options);
  if (!search) return refuse(search.error());
  std::optional<domain::Experiment> measured;
  if (!options.like.empty()) {
    auto run = measured_run(options);
    if (!run) return refuse(run.error());
    measured = *std::move(run);
  }
  if (options.models.empty()) {
    return refuse({{.position = {},
                    .problem = "no model is named",
                    .remedy = "give --model NAME, or a measured run with --like GROUND_TRUTH --select id=..."}});
  }
  plan::CapacityReport report;
  report.objectives = search->objectives;
  report.replicates = search->replicates;
  report.load_per_s = options.questions.load_per_s;
  report.tokens_per_user = options.questions.tokens_per_user;
  core::Diagnostics refusals;
  core::Diagnostics warnings;
  bool is_answered = false;
  ProgressLine progress;
  for (const Variant& variant : variants(options)) {
    progress.show(fmt::format("searching {} at TP {}", variant.model, variant.tp));
    const auto loaded = load(options, measured, variant);
    if (!loaded) {
      // Weights that do not fit one GPU fit two; what is wrong in the files is wrong at every degree.
      refusals.insert(refusals.end(), loaded.error().begin(), loaded.error().end());
      report.answers.push_back({.model = variant.model,
                                .tp = variant.tp,
                                .expert_parallel = variant.expert_parallel,
                                .refusal = loaded.error().front().problem});
      continue;
    }
    if (!is_answered) {
      progress.clear();
      if (const auto unknown = unknown_models(options, measured, loaded->inputs.models); !unknown.empty()) {
        print_errors(unknown);
        return ExitCode::bad_input;
      }
      say_shipped_config(*loaded, options.output);
      if (measured) report.like = measured->id;
    }
    is_answered = true;
    const calibrate::PreparedStudy& prepared = loaded->prepared;
    const eval::Case& base = prepared.dataset.cases.front();
    // So is that of a model without experts.
    if (variant.expert_parallel && base.model.experts() == nullptr && asks_without_expert_parallel(options)) continue;
    report.gpu = base.gpu.name;
    report.step_time_model = prepared.start.step_time_model;
    say_requests(report, base);
    add_new(warnings, prepared.dataset.warnings);
    if (const double share = plan::refused_share(base); share > 0.0) {
      add_new(warnings, {{.position = {},
                          .problem = fmt::format("{:.2g} % of the requests are longer than max_model_len {}: the engine refuses them, "
                                                 "and they count in no latency",
                                                 100.0 * share, base.experiment.deployment.settings.max_model_len),
                          .remedy = "",
                          .severity = core::Severity::warning}});
    }
    report.answers.push_back(plan::answer({.base = base, .config = prepared.start}, options.questions, *search));
  }
  progress.clear();
  print_errors(warnings);
  if (!is_answered) {
    print_errors(refusals);
    return ExitCode::bad_input;
  }
  if (!write_csv(options.output, [&] { return runs::capacity_csv(report); })) return ExitCode::bad_input;
  print(options.output.json ? runs::capacity_json(report) : report::capacity_tables(report, output_colour()));
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
  options->data.use_shipped_config = true;
  add_config_options(command, options->data);
  constexpr auto kShape = "Deployment and requests";
  command.add_option("--model", options->models, "model, e.g. Llama-2-7b-hf; several checkpoints (FP8, NVFP4) with commas")
      .delimiter(',')
      .group(kShape);
  add_shape_options(command, options->load, kShape);
  Option measured = add_repeatable(command, "--like", options->like,
                                   "ground truth with a measured run whose lengths, prefixes, engine settings, KV pool and clients "
                                   "are taken; its model, GPU and TP degree too, where none are given")
                        .group(kShape);
  for (const char* shape : {"--prompt-tokens", "--output-tokens", "--shared-prefix-tokens", "--distinct-prompts", "--engine-version",
                            "--gpu-memory-utilization", "--kv-cache-dtype", "--async-scheduling", "--scheduler-reserve-full-isl",
                            "--prefix-caching", "--cudagraph-mode", "--long-prefill-token-threshold", "--enable-expert-parallel"}) {
    measured.excludes(shape);
  }
  add_repeatable(command, "--select", options->select, "field=value: which run of --like, e.g. id=60; repeatable")
      .needs(measured)
      .group(kShape);
  command
      .add_option("--expert-parallel", options->expert_parallel,
                  "off,on tries both where a model has experts; default: as --enable-expert-parallel")
      .delimiter(',')
      .check(one_of({"off", "on"}))
      .excludes("--enable-expert-parallel")
      .group(kShape);
  const Option tp = command.add_option("--tp", options->tp, "tensor-parallel degrees to try")
                        .delimiter(',')
                        .capture_default_str()
                        .check(positive(core::limits::kParallelDegree))
                        .group(kShape);
  constexpr auto kQuestions = "Questions";
  add_repeatable(command, "--objective", options->objectives,
                 "latency=ms to stay below, e.g. ttft_p90=500; ttft, tpot, e2e with mean, p90, p99; repeatable")
      .group(kQuestions);
  command.add_option("--load", options->questions.load_per_s, "requests per second to find the fewest GPUs for")
      .check(positive(core::limits::kRepeats))
      .group(kQuestions);
  command.add_option("--rates", options->questions.rates, "requests per second to show, e.g. 1,2,4,8")
      .delimiter(',')
      .check(positive(core::limits::kRate_per_s))
      .group(kQuestions);
  command.add_option("--concurrency", options->questions.concurrencies, "closed loops of so many clients to show, e.g. 1,8,64")
      .delimiter(',')
      .check(positive(core::limits::kRepeats))
      .group(kQuestions);
  command
      .add_option(
          "--tokens-per-user", options->questions.tokens_per_user,
          "output tokens per second that each client of a closed loop gets at least; finds the most clients, and tokens/s per GPU")
      .check(positive(core::limits::kRate_per_s))
      .group(kQuestions);
  command.add_option("--duration", options->duration_s, "seconds of every simulated load, at least")
      .capture_default_str()
      .check(positive(core::limits::kSeconds))
      .group(kQuestions);
  add_model_options(command, options->data);
  add_json_option(command, options->output);
  add_csv_option(command, options->output);
  const Option gpu = command.option("--gpu");
  command.callback([options, gpu, tp, &exit_code] {
    options->is_gpu_given = gpu.is_given();
    options->is_tp_given = tp.is_given();
    exit_code = run(*options);
  });
}

}  // namespace rooftune::app
