#include "rooftune/runs/capacity_search.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "rooftune/domain/gpus.hpp"
#include "rooftune/domain/model.hpp"
#include "rooftune/plan/apart.hpp"
#include "rooftune/runs/open_simulation.hpp"

namespace rooftune::runs {
namespace {

core::Result<plan::CapacityOptions> search_options(const CapacityRequest& request) {
  plan::CapacityOptions search;
  core::Diagnostics problems;
  for (const std::string& text : request.objectives) {
    if (const auto objective = plan::parse_objective(text)) {
      search.objectives.push_back(*objective);
    } else {
      problems.insert(problems.end(), objective.error().begin(), objective.error().end());
    }
  }
  if (!problems.empty()) return tl::unexpected(std::move(problems));
  search.duration = {request.duration_s};
  if (request.data.replicates) search.replicates = *request.data.replicates;
  if (request.data.seed) search.seed = *request.data.seed;
  search.threads = {request.data.threads.value_or(0)};
  return search;
}

/// One of the deployments that are compared.
struct Variant {
  std::string model;
  int tp = 1;
  bool expert_parallel = false;
  int data_parallel = 1;
  friend bool operator==(const Variant&, const Variant&) = default;
};

bool asks_without_expert_parallel(const CapacityRequest& request) {
  return std::ranges::find(request.expert_parallel, "off") != request.expert_parallel.end();
}

/// Each once. Expert parallelism of one GPU is the engine without it.
std::vector<Variant> variants(const CapacityRequest& request) {
  std::vector<bool> expert_parallel;
  for (const std::string& word : request.expert_parallel) expert_parallel.push_back(word == "on");
  if (expert_parallel.empty()) expert_parallel.push_back(request.load.engine.enable_expert_parallel);
  std::vector<int> data_parallel = request.data_parallel;
  if (data_parallel.empty()) data_parallel.push_back(request.load.engine.data_parallel_size);
  std::vector<Variant> all;
  for (const std::string& model : request.models) {
    for (const int tp : request.tp) {
      for (const int ranks : data_parallel) {
        for (const bool is_on : expert_parallel) {
          const Variant variant{.model = model, .tp = tp, .expert_parallel = is_on, .data_parallel = ranks};
          const bool is_repeated = is_on && tp * ranks == 1 && asks_without_expert_parallel(request);
          if (!is_repeated && std::ranges::find(all, variant) == all.end()) all.push_back(variant);
        }
      }
    }
  }
  return all;
}

/// The measured run of --like. Where the flags name no model, TP degree or GPU, they are the run's.
core::Result<domain::Experiment> measured_run(CapacityRequest& request) {
  StudyOverrides data = request.data;
  data.ground_truth = request.like;
  data.select = request.select;
  data.replicates = 1;
  const auto study = open_ground_truth(data);
  if (!study) return tl::unexpected(study.error());
  auto run = only_experiment(*study);
  if (!run) return run;
  if (run->deployment.prefill_decode) {
    return core::fail(
        {}, fmt::format("experiment '{}' ran with prefill and decode apart, and --like asks about engines that do both", run->id),
        "give --model and --prefill-decode instead");
  }
  if (request.models.empty()) request.models = {run->deployment.model};
  if (!request.is_tp_given) request.tp = {run->deployment.tp};
  const domain::GpuSpec* gpu = domain::find_gpu(study->inputs.gpus, run->deployment.hardware);
  // Under another of its names it is still the run's GPU, and its pool the recorded one.
  if (!request.is_gpu_given || domain::find_gpu(study->inputs.gpus, request.load.gpu) == gpu) {
    request.load.gpu = run->deployment.hardware;
  }
  if (request.expert_parallel.empty()) {
    request.expert_parallel = {run->deployment.settings.enable_expert_parallel ? "on" : "off"};
  }
  if (request.data_parallel.empty()) request.data_parallel = {run->deployment.settings.data_parallel_size};
  // Its own load, as one of its engines has it, is the row to set beside the measurement.
  if (!request.questions.rates.empty() || !request.questions.concurrencies.empty()) return run;
  const domain::Arrival& arrival = run->workload.arrival;
  const int engines = run->deployment.dp;
  for (const domain::Stage& stage : run->workload.stages) {
    if (arrival.process == domain::ArrivalProcess::closed_loop) {
      // Of the engine that has most of the clients.
      const int clients = stage.concurrency > 0 ? stage.concurrency : arrival.concurrency;
      request.questions.concurrencies.push_back((clients + engines - 1) / engines);
    } else if (stage.rate.value > 0.0) {
      request.questions.rates.push_back(stage.rate.value / engines);
    }
  }
  return run;
}

/// The measured run's requests and engine on the variant's deployment. A pool that was recorded is that of its own deployment.
domain::Experiment like(const domain::Experiment& run, const CapacityRequest& request, const Variant& variant) {
  domain::Experiment experiment = run;
  experiment.measured = {};
  experiment.flags.clear();
  domain::Deployment& deployment = experiment.deployment;
  domain::EngineSettings& settings = deployment.settings;
  const bool is_same = domain::names_model(deployment.model, variant.model) && deployment.hardware == request.load.gpu &&
                       deployment.tp == variant.tp && settings.data_parallel_size == variant.data_parallel;
  deployment.model = variant.model;
  deployment.hardware = request.load.gpu;
  deployment.tp = variant.tp;
  deployment.dp = 1;
  settings.enable_expert_parallel = variant.expert_parallel;
  settings.data_parallel_size = variant.data_parallel;
  if (!is_same) settings.total_kv_blocks.reset();
  const EngineFlags& given = request.load.engine;
  if (given.kv_blocks) settings.total_kv_blocks = given.kv_blocks;
  settings.max_num_seqs = given.max_num_seqs.value_or(settings.max_num_seqs);
  settings.max_num_batched_tokens = given.max_num_batched_tokens.value_or(settings.max_num_batched_tokens);
  settings.max_model_len = given.max_model_len.value_or(settings.max_model_len);
  return experiment;
}

/// Whether a deployment's engines do both phases, or those of --prefill-decode one each.
enum class Pools { together, apart };

/// One deployment made ready. The load is only a shape here.
core::Result<OpenedStudy> load(const CapacityRequest& request, const std::optional<domain::Experiment>& run, const Variant& variant,
                               Pools pools = Pools::together) {
  StudyOverrides data = request.data;
  data.replicates = 1;
  if (run) return open_experiments({like(*run, request, variant)}, data);
  AdHocLoad shape = request.load;
  if (pools == Pools::together) shape.prefill_decode.reset();
  shape.model = variant.model;
  shape.tp = variant.tp;
  shape.engine.enable_expert_parallel = variant.expert_parallel;
  shape.engine.data_parallel_size = variant.data_parallel;
  auto experiments = make_experiments(shape);
  if (!experiments) return tl::unexpected(experiments.error());
  return open_experiments(std::move(*experiments), data);
}

/// Degrees share most of what there is to say.
void add_new(core::Diagnostics& all, const core::Diagnostics& more) {
  for (const core::Diagnostic& one : more) {
    const auto is_same = [&](const core::Diagnostic& known) { return core::format(known) == core::format(one); };
    if (std::ranges::none_of(all, is_same)) all.push_back(one);
  }
}

/// What is wrong with the models that no file describes: at every degree the same, and not known before the files are read.
core::Diagnostics unknown_models(const CapacityRequest& request, const std::optional<domain::Experiment>& run,
                                 const std::vector<domain::ModelSpec>& known) {
  core::Diagnostics problems;
  for (const std::string& model : request.models) {
    if (domain::find_model(known, model) != nullptr) continue;
    const auto loaded = load(request, run, {.model = model, .tp = request.tp.front()});
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

}  // namespace

core::Result<CapacitySearch> search_capacity(const CapacityRequest& given, const CapacityHooks& hooks) {
  CapacityRequest request = given;
  const auto options = search_options(request);
  if (!options) return tl::unexpected(options.error());
  std::optional<domain::Experiment> measured;
  if (!request.like.empty()) {
    auto run = measured_run(request);
    if (!run) return tl::unexpected(run.error());
    measured = *std::move(run);
  }
  if (request.models.empty()) {
    return core::fail({}, "no model is named", "give --model NAME, or a measured run with --like GROUND_TRUTH --select id=...");
  }
  CapacitySearch search;
  plan::CapacityReport& report = search.report;
  report.objectives = options->objectives;
  report.replicates = options->replicates;
  report.load_per_s = request.questions.load_per_s;
  report.tokens_per_user = request.questions.tokens_per_user;
  core::Diagnostics refusals;
  bool is_answered = false;
  const auto refuse = [&](const Variant& variant, const core::Diagnostics& problems) {
    add_new(refusals, problems);
    report.answers.push_back({.model = variant.model,
                              .tp = variant.tp,
                              .expert_parallel = variant.expert_parallel,
                              .data_parallel = variant.data_parallel,
                              .refusal = problems.front().problem});
  };
  for (const Variant& variant : variants(request)) {
    if (hooks.cancel.stop_requested()) {
      search.is_interrupted = true;
      return search;
    }
    if (hooks.progress) hooks.progress(fmt::format("{} at TP {}", variant.model, variant.tp));
    const auto loaded = load(request, measured, variant);
    if (!loaded) {
      // Weights that do not fit one GPU fit two; what is wrong in the files is wrong at every degree.
      refuse(variant, loaded.error());
      continue;
    }
    const calibrate::PreparedStudy& prepared = loaded->prepared;
    const eval::Case& base = prepared.dataset.cases.front();
    if (variant.data_parallel > 1 && base.model.experts() == nullptr) {
      refuse(variant,
             {{.position = {},
               .problem = fmt::format("data-parallel ranks of '{}' share no experts: they are engines of their own", base.model.name),
               .remedy = "leave --data-parallel out: --load says how many engines a load needs"}});
      continue;
    }
    if (!is_answered) {
      if (auto unknown = unknown_models(request, measured, loaded->inputs.models); !unknown.empty()) {
        return tl::unexpected(std::move(unknown));
      }
      if (hooks.opened) hooks.opened(*loaded);
      if (measured) report.like = measured->id;
    }
    is_answered = true;
    // So is that of a model without experts.
    if (variant.expert_parallel && base.model.experts() == nullptr && asks_without_expert_parallel(request)) continue;
    report.gpu = base.gpu.name;
    report.step_time_model = prepared.start.step_time_model;
    say_requests(report, base);
    add_new(search.warnings, prepared.dataset.warnings);
    if (const double share = plan::refused_share(base); share > 0.0) {
      add_new(search.warnings,
              {{.position = {},
                .problem = fmt::format("{:.2g} % of the requests are longer than max_model_len {}: the engine refuses them, "
                                       "and they count in no latency",
                                       100.0 * share, base.experiment.deployment.settings.max_model_len),
                .remedy = "",
                .severity = core::Severity::warning}});
    }
    const plan::CapacityCase together{.base = base, .config = prepared.start};
    report.answers.push_back(plan::answer(together, request.questions, *options));
    if (!request.load.prefill_decode) continue;
    const auto apart = load(request, measured, variant, Pools::apart);
    if (!apart) return tl::unexpected(apart.error());
    const eval::Case& pools = apart->prepared.dataset.cases.front();
    if (const int gpus = domain::gpus(pools.experiment.deployment); gpus % variant.tp != 0) {
      search.warnings.push_back(
          {.position = {},
           .problem = fmt::format("the {} GPUs of --prefill-decode make no whole engines of TP {}: not compared", gpus, variant.tp),
           .remedy = "",
           .severity = core::Severity::warning});
      continue;
    }
    if (hooks.progress) hooks.progress(fmt::format("{} with prefill and decode apart", variant.model));
    report.answers.back().apart = plan::compare_apart(together, {.base = pools, .config = apart->prepared.start}, *options);
  }
  if (!is_answered) return tl::unexpected(std::move(refusals));
  return search;
}

}  // namespace rooftune::runs
