#include "rooftune/sim/simulate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "prefill_decode.hpp"
#include "records.hpp"
#include "rooftune/core/contract.hpp"
#include "rooftune/core/derivative.hpp"
#include "rooftune/core/limits.hpp"
#include "rooftune/core/statistics.hpp"
#include "rooftune/latency/catalogue.hpp"
#include "rooftune/sim/engine_releases.hpp"
#include "rooftune/sim/kv_estimate.hpp"
#include "rooftune/sim/speculation.hpp"
#include "scaled_step_time.hpp"

namespace rooftune::sim {
namespace {

using core::value_of;
using domain::Metric;

/// One replica's part of a stage: every so-many-th request with all that follow it.
StagePlan part_of(const StagePlan& stage, int replica, int replicas) {
  StagePlan part;
  part.requests_per_us = stage.requests_per_us / replicas;
  part.send_until_us = stage.send_until_us;
  int turn = -1;
  for (const PlannedRequest& request : stage.requests) {
    if (!request.follows) turn = turn + 1 == replicas ? 0 : turn + 1;
    if (turn == replica) part.requests.push_back(request);
  }
  return part;
}

/// Requests dealt to the replicas in turn, as a round-robin router does; conversations stay with their replica. In a closed loop
/// the clients are dealt too, and each stays with its replica; of more replicas than clients the last ones get nothing.
std::vector<RequestPlan> deal(const RequestPlan& plan, int replicas) {
  std::vector<RequestPlan> dealt(static_cast<std::size_t>(replicas));
  const auto deal_stage = [replicas](const StagePlan& stage, int clients, int replica) {
    const int used = clients > 0 ? std::min(clients, replicas) : replicas;
    StagePlan part;
    if (replica < used) part = part_of(stage, replica, used);
    part.concurrency = clients / used + (replica < clients % used ? 1 : 0);
    return part;
  };
  for (int replica = 0; replica < replicas; ++replica) {
    RequestPlan& own = dealt[static_cast<std::size_t>(replica)];
    own.chains = plan.chains;
    own.turnaround_us = plan.turnaround_us;
    for (const StagePlan& stage : plan.stages) {
      own.stages.push_back(deal_stage(stage, plan.clients(stage), replica));
      own.concurrency = std::max(own.concurrency, own.stages.back().concurrency);
    }
    if (plan.warm_up) own.warm_up = deal_stage(*plan.warm_up, plan.warm_up->concurrency, replica);
  }
  return dealt;
}

void set_percentiles(domain::Latencies& latencies, std::vector<double>& ttft_us, std::vector<double>& e2e_us,
                     std::vector<double>& tpot_us) {
  const std::vector<double> ttft = core::quantiles_in_place(ttft_us, {0.50, 0.90, 0.99});
  latencies[Metric::ttft_median] = ttft[0] * 1e-3;
  latencies[Metric::ttft_p90] = ttft[1] * 1e-3;
  latencies[Metric::ttft_p99] = ttft[2] * 1e-3;
  const std::vector<double> e2e = core::quantiles_in_place(e2e_us, {0.50, 0.90, 0.99});
  latencies[Metric::e2e_median] = e2e[0] * 1e-3;
  latencies[Metric::e2e_p90] = e2e[1] * 1e-3;
  latencies[Metric::e2e_p99] = e2e[2] * 1e-3;
  if (!tpot_us.empty()) latencies[Metric::tpot_median] = core::quantiles_in_place(tpot_us, {0.50})[0] * 1e-3;
}

/// Runs a stage on several engines; every request, or the first of its conversation, goes to the one with the fewest requests in
/// flight when it comes. Of equally loaded ones, to the next in turn.
template <class Scalar>
std::vector<StageRecord<Scalar>> run_least_loaded(std::vector<std::unique_ptr<Engine<Scalar>>>& engines, const StagePlan& stage,
                                                  double start_us) {
  const std::size_t replicas = engines.size();
  for (auto& engine : engines) {
    engine->begin_stage(start_us, stage.requests_per_us / static_cast<double>(replicas), stage.requests.size());
  }
  std::size_t last = replicas - 1;
  for (const PlannedRequest& request : stage.requests) {
    if (request.follows) {  // where its conversation is: that replica holds its blocks
      engines[last]->offer(request);
      continue;
    }
    std::size_t chosen = replicas;
    for (std::size_t turn = 1; turn <= replicas; ++turn) {
      const std::size_t candidate = (last + turn) % replicas;
      engines[candidate]->run_to(start_us + request.arrival_us);
      if (chosen == replicas || engines[candidate]->in_flight() < engines[chosen]->in_flight()) chosen = candidate;
    }
    engines[chosen]->offer(request);
    last = chosen;
  }
  std::vector<StageRecord<Scalar>> records;
  for (auto& engine : engines) records.push_back(engine->end_stage());
  return records;
}

template <class Scalar>
StagePrediction<Scalar> predict(StageRecord<Scalar>& record) {
  StagePrediction<Scalar> stage;
  stage.finished = record.finished;
  stage.rejected = record.rejected;
  stage.warm_up = record.warm_up;
  stage.longest_queue = static_cast<double>(record.longest_queue);
  if (record.finished == 0) return stage;
  const double share = 1.0 / static_cast<double>(record.finished);
  stage.ttft_mean_us = record.ttft_sum_us * share;
  stage.e2e_mean_us = record.e2e_sum_us * share;
  stage.latencies[Metric::ttft_mean] = value_of(stage.ttft_mean_us) * 1e-3;
  stage.latencies[Metric::e2e_mean] = value_of(stage.e2e_mean_us) * 1e-3;
  if (const std::int64_t timed = record.finished - record.single_token; timed > 0) {
    stage.tpot_mean_us = record.tpot_sum_us * (1.0 / static_cast<double>(timed));
    stage.latencies[Metric::tpot_mean] = value_of(stage.tpot_mean_us) * 1e-3;
  }
  stage.latencies.succeeded = static_cast<int>(record.finished);
  stage.latencies.failed = static_cast<int>(record.rejected);
  const double elapsed_us = record.last_finish_us - record.first_arrival_us;
  if (elapsed_us > 0.0)
    stage.output_tokens_per_s = static_cast<double>(record.output_tokens + record.warm_up_output_tokens) / elapsed_us * 1e6;
  if (!record.ttft_us.empty()) set_percentiles(stage.latencies, record.ttft_us, record.e2e_us, record.tpot_us);
  return stage;
}

/// Passes on what happens after the warm-up, which is a stage of the engines' but none of the workload's.
class AfterWarmUp final : public Observer {
 public:
  explicit AfterWarmUp(Observer& observer) : observer_(observer) {}
  void begin() { began_ = true; }

  [[nodiscard]] bool wants_steps() const override { return observer_.wants_steps(); }
  void on_step(const StepEvent& event) override {
    if (began_) observer_.on_step(event);
  }
  [[nodiscard]] bool wants_schedules() const override { return observer_.wants_schedules(); }
  void on_schedule(const ScheduleEvent& event) override {
    if (began_) observer_.on_schedule(of_workload(event));
  }
  void on_finished(const RequestEvent& event) override {
    if (began_) observer_.on_finished(of_workload(event));
  }
  void on_rejected(const RejectionEvent& event) override {
    if (began_) observer_.on_rejected(of_workload(event));
  }

 private:
  template <class Event>
  static Event of_workload(Event event) {
    --event.stage;
    return event;
  }

  Observer& observer_;
  bool began_ = false;
};

/// The drafter of a scenario that drafts.
std::optional<DeployedDrafter> drafter_of(const Scenario& scenario) {
  const auto& speculation = scenario.experiment.deployment.settings.speculative;
  if (!speculation) return std::nullopt;
  return DeployedDrafter(*speculation, scenario.model, scenario.draft);
}

std::int64_t estimated_kv_blocks(const Scenario& scenario, const domain::Deployment& deployment, std::int64_t request_tokens) {
  const auto drafter = drafter_of(scenario);
  return drafter ? drafter->kv_blocks(scenario.model, scenario.gpu, deployment, request_tokens)
                 : estimate_kv_blocks(scenario.model, scenario.gpu, deployment, request_tokens);
}

/// Why its speculative decoding cannot be simulated, or nothing.
std::optional<std::string> drafting_refusal(std::string_view step_time_model, const Scenario& scenario,
                                            const latency::Target& target) {
  const domain::Speculation& speculation = *scenario.experiment.deployment.settings.speculative;
  if (auto problem = problem_of(speculation)) return problem;
  if (draft_kind(speculation.method) == DraftKind::model && scenario.draft == nullptr) {
    return fmt::format("the draft model '{}' is not known (add a folder of models with --models)", speculation.draft_model);
  }
  if (auto reason = latency::unsupported_drafting(step_time_model, target, drafter_of(scenario)->drafter())) return reason;
  const domain::EngineSettings settings = settle(target.deployment, scenario.model, scenario.gpu).deployment.settings;
  const std::int64_t positions = std::int64_t{settings.max_num_seqs} * (1 + speculation.num_speculative_tokens);
  if (positions > settings.max_num_batched_tokens) {
    return fmt::format(
        "{} requests that draft {} tokens each have {} positions in a step, more than max_num_batched_tokens, {} (a step "
        "that leaves some of them out is not simulated: raise it, or lower max_num_seqs)",
        settings.max_num_seqs, speculation.num_speculative_tokens, positions, settings.max_num_batched_tokens);
  }
  return std::nullopt;
}

/// An engine of a pool, as a deployment of its own.
domain::Experiment of_pool(const domain::Experiment& experiment, const domain::EnginePool& pool) {
  domain::Experiment own = experiment;
  own.deployment.prefill_decode.reset();
  if (pool.tp > 0) own.deployment.tp = pool.tp;
  return own;
}

Scenario with_experiment(const Scenario& scenario, const domain::Experiment& experiment) {
  return {.experiment = experiment,
          .model = scenario.model,
          .gpu = scenario.gpu,
          .plan = scenario.plan,
          .tables = scenario.tables,
          .draft = scenario.draft};
}

/// Why prefill and decode apart cannot be simulated, or nothing.
std::optional<std::string> apart_refusal(std::string_view step_time_model, const Scenario& scenario) {
  const domain::Deployment& deployment = scenario.experiment.deployment;
  const auto not_together = [](std::string_view what) {
    return fmt::format("prefill and decode apart with {} is not simulated (leave one out)", what);
  };
  if (deployment.dp > 1) return not_together("replicas (dp; give the pools more engines)");
  if (deployment.pp > 1) return not_together("pipeline stages (pp)");
  if (deployment.settings.data_parallel_size > 1) return not_together("data-parallel ranks (data_parallel_size)");
  if (deployment.settings.speculative) return not_together("speculative decoding");
  if (deployment.settings.cpu_offload && deployment.settings.cpu_kv_blocks > 0) return not_together("KV offload to the host");
  if (scenario.experiment.workload.pattern == domain::PromptPattern::conversations ||
      std::ranges::any_of(scenario.experiment.workload.trace, [](const auto& request) { return request.conversation >= 0; })) {
    return not_together("conversations");
  }
  const auto& [prefill, decode] = *deployment.prefill_decode;
  for (const domain::EnginePool& pool : {prefill, decode}) {
    const domain::Experiment own = of_pool(scenario.experiment, pool);
    if (auto reason = refusal(step_time_model, with_experiment(scenario, own))) return reason;
  }
  return std::nullopt;
}

/// What a request keeps in the cache, on average over its life and over the requests. It matters where layers keep less than all
/// tokens; 0 where none does.
std::int64_t mean_held_tokens(const domain::ModelSpec& model, const RequestPlan& plan) {
  const bool is_hybrid = std::ranges::any_of(model.groups, [](const domain::LayerGroup& group) {
    return group.layer.mixer.kind == domain::MixerKind::linear || group.layer.mixer.kind == domain::MixerKind::sliding_window;
  });
  if (!is_hybrid) return 0;
  const double tokens = mean_context_tokens(plan);
  return tokens > 0.0 ? std::max<std::int64_t>(1, std::llround(tokens)) : 0;
}

}  // namespace

std::optional<std::string> refusal(std::string_view step_time_model, const Scenario& scenario) {
  if (scenario.experiment.deployment.prefill_decode) return apart_refusal(step_time_model, scenario);
  const latency::Target target{
      .model = scenario.model, .gpu = scenario.gpu, .deployment = scenario.experiment.deployment, .tables = scenario.tables};
  if (auto reason = latency::unsupported_reason(step_time_model, target)) return reason;
  const auto& settings = scenario.experiment.deployment.settings;
  if (settings.speculative) {
    if (auto reason = drafting_refusal(step_time_model, scenario, target)) return reason;
  }
  if (settings.data_parallel_size > 1 && settings.cpu_offload) {
    return fmt::format("a second KV tier (cpu_offload) of {} data-parallel ranks is not simulated (leave the experiment out)",
                       settings.data_parallel_size);
  }
  if (scenario.experiment.deployment.pp > 1 && settings.cpu_offload) {
    return fmt::format("a second KV tier (cpu_offload) beside {} pipeline stages is not simulated (leave the experiment out)",
                       scenario.experiment.deployment.pp);
  }
  if (!settings.total_kv_blocks && estimated_kv_blocks(scenario, scenario.experiment.deployment, 0) <= 0) {
    return fmt::format("{}: the weights do not fit {} GPU(s) of type {} (use a larger tp or a higher gpu_mem_util)",
                       scenario.model.name, scenario.experiment.deployment.tp, scenario.gpu.name);
  }
  return std::nullopt;
}

EngineSetup make_engine_setup(const Scenario& scenario, const params::Resolved<double>& parameters) {
  if (const auto& apart = scenario.experiment.deployment.prefill_decode) {
    const domain::Experiment decode = of_pool(scenario.experiment, apart->decode);
    EngineSetup setup = make_engine_setup(with_experiment(scenario, decode), parameters);
    setup.fetches_prompts = true;
    setup.growth_reserve.reset();
    setup.prompts_alone = false;  // of a fetched prompt one token is computed, with the decodes
    return setup;
  }
  const SettledDeployment settled = settle(scenario.experiment.deployment, scenario.model, scenario.gpu);
  const domain::EngineSettings& settings = settled.deployment.settings;
  // A study's or a config's switch, then the run's record, then the version.
  const auto chosen = [&](std::string_view switch_id, bool recorded) {
    const std::string_view choice = parameters.choice(switch_id);
    return choice == "auto" ? recorded : choice == "on";
  };
  EngineSetup setup;
  setup.ranks = settings.data_parallel_size;
  setup.stages = settled.deployment.pp;
  const std::int64_t held = mean_held_tokens(scenario.model, scenario.plan);
  setup.kv_blocks = settings.total_kv_blocks ? logged_pool_blocks(scenario.model, settled.deployment, *settings.total_kv_blocks, held)
                                             : estimated_kv_blocks(scenario, settled.deployment, held);
  setup.kv_blocks = std::min<std::int64_t>(setup.kv_blocks, core::limits::kKvBlocks);
  // Of the blocks that vLLM logs, one is its null block, which no request gets.
  if (settled.deployment.engine == "vllm" && setup.kv_blocks > 0) --setup.kv_blocks;
  setup.block_tokens = settings.block_size;
  setup.max_num_seqs = settings.max_num_seqs;
  setup.max_num_batched_tokens = settings.max_num_batched_tokens;
  setup.max_model_len = settings.max_model_len;
  setup.long_prefill_token_threshold = settings.long_prefill_token_threshold;
  setup.chunked_prefill = settings.enable_chunked_prefill;
  setup.prefix_caching = settings.enable_prefix_caching && parameters.is_on("engine.prefix_reuse");
  setup.async_scheduling = chosen("engine.async_scheduling", *settings.async_scheduling);
  setup.reserve_full_isl = chosen("engine.reserve_full_isl", *settings.scheduler_reserve_full_isl);
  // vLLM rounds the share of its blocks down.
  setup.watermark_blocks = static_cast<std::int64_t>(*settings.watermark * static_cast<double>(setup.kv_blocks));
  setup.free_unhashed_first = settled.freed_unhashed_first;
  setup.prompts_alone = chosen("engine.prompts_alone", settled.prompts_alone) && setup.stages == 1;
  if (settings.cpu_offload && parameters.is_on("engine.kv_offload")) setup.offload_blocks = settings.cpu_kv_blocks;
  if (setup.prompts_alone && settled.keeps_growth_reserve && setup.offload_blocks == 0) setup.growth_reserve.emplace();
  if (setup.prompts_alone && !setup.growth_reserve) setup.async_scheduling = false;
  if (settings.speculative && parameters.is_on("engine.speculation")) setup.speculation = speculation_setup(*settings.speculative);
  return setup;
}

template <class Scalar>
std::unique_ptr<latency::StepTime<Scalar>> make_step_time(std::string_view step_time_model, const Scenario& scenario,
                                                          const params::Resolved<Scalar>& parameters) {
  if (const auto& apart = scenario.experiment.deployment.prefill_decode) {
    const domain::Experiment decode = of_pool(scenario.experiment, apart->decode);
    return std::make_unique<ScaledStepTime<Scalar>>(
        make_step_time<Scalar>(step_time_model, with_experiment(scenario, decode), parameters),
        parameters["engine.decode_pool_factor"]);
  }
  const latency::Target target{
      .model = scenario.model, .gpu = scenario.gpu, .deployment = scenario.experiment.deployment, .tables = scenario.tables};
  if (const auto drafter = drafter_of(scenario); drafter && parameters.is_on("engine.speculation")) {
    return latency::make_drafting_step_time<Scalar>(step_time_model, target, parameters, drafter->drafter());
  }
  return latency::make_step_time<Scalar>(step_time_model, target, parameters);
}

/// What reading one block back from the host's memory takes.
template <class Scalar>
Scalar block_load_us(const Scenario& scenario, const Scalar& host_link_GBs) {
  const std::int64_t held = mean_held_tokens(scenario.model, scenario.plan);
  return kv_block_bytes(scenario.model, scenario.experiment.deployment, held) / (host_link_GBs * 1e3);
}

namespace {

/// Engines of a pool with their step-time models, ready to run.
template <class Scalar>
struct ReadyPool {
  EnginePool<Scalar> pool;
  std::vector<std::unique_ptr<latency::StepTime<Scalar>>> step_times;
};

template <class Scalar>
ReadyPool<Scalar> ready_pool(std::string_view step_time_model, const Scenario& scenario, const params::Resolved<Scalar>& parameters,
                             const EngineSetup& setup, int engines, const Scalar& factor) {
  ReadyPool<Scalar> ready;
  ready.pool.setup = setup;
  for (int i = 0; i < engines; ++i) {
    ready.step_times.push_back(
        std::make_unique<ScaledStepTime<Scalar>>(make_step_time<Scalar>(step_time_model, scenario, parameters), factor));
    ready.pool.step_times.push_back(ready.step_times.back().get());
  }
  return ready;
}

template <class Scalar>
void add_lookups(Prediction<Scalar>& prediction, const std::vector<std::unique_ptr<latency::StepTime<Scalar>>>& step_times) {
  for (const auto& step_time : step_times) {
    if (const kernels::LookupReport* report = step_time->lookup_report()) {
      if (!prediction.lookups) prediction.lookups.emplace();
      *prediction.lookups += *report;
    }
  }
}

/// Prefill and decode apart.
template <class Scalar>
Prediction<Scalar> simulate_apart(std::string_view step_time_model, const Scenario& scenario,
                                  const params::Resolved<Scalar>& parameters, const params::Resolved<double>& switches,
                                  const EngineOptions<Scalar>& options, AfterWarmUp* after_warm_up) {
  const domain::PrefillDecode& apart = *scenario.experiment.deployment.prefill_decode;
  const domain::Experiment prefill_experiment = of_pool(scenario.experiment, apart.prefill);
  const domain::Experiment decode_experiment = of_pool(scenario.experiment, apart.decode);
  const Scenario prefill_scenario = with_experiment(scenario, prefill_experiment);
  const Scenario decode_scenario = with_experiment(scenario, decode_experiment);
  const ReadyPool<Scalar> prefill =
      ready_pool<Scalar>(step_time_model, prefill_scenario, parameters, make_engine_setup(prefill_scenario, switches),
                         apart.prefill.engines, parameters["engine.prefill_pool_factor"]);
  ReadyPool<Scalar> decode = ready_pool<Scalar>(step_time_model, decode_scenario, parameters, make_engine_setup(scenario, switches),
                                                apart.decode.engines, parameters["engine.decode_pool_factor"]);
  // Every GPU has a link of its own; what fewer GPUs hold takes longer.
  domain::Deployment narrower = decode_experiment.deployment;
  narrower.tp = std::min(narrower.tp, prefill_experiment.deployment.tp);
  const std::int64_t held = mean_held_tokens(scenario.model, scenario.plan);
  decode.pool.load_us_per_block = kv_block_bytes(scenario.model, narrower, held) / (parameters["engine.kv_transfer_GBs"] * 1e3);
  ApartEngines<Scalar> engines(prefill.pool, decode.pool, scenario.plan.chains, parameters["engine.kv_transfer_start_us"], options);

  Prediction<Scalar> prediction;
  StageRecord<Scalar> pooled;
  double start_us = 0.0;
  if (scenario.plan.warm_up) {
    start_us = engines.run_stage(*scenario.plan.warm_up, scenario.plan.warm_up->concurrency, 0.0).last_finish_us;
    if (after_warm_up != nullptr) after_warm_up->begin();
  }
  for (std::size_t stage = 0; stage < scenario.plan.stages.size(); ++stage) {
    const StagePlan& plan = scenario.plan.stages[stage];
    StageRecord<Scalar> record = engines.run_stage(plan, scenario.plan.clients(plan), start_us);
    if (engines.out_of_events()) {
      prediction.out_of_events = true;
      return prediction;
    }
    start_us = record.last_finish_us + kStageGapUs;
    if (stage == 0) pooled.first_arrival_us = record.first_arrival_us;
    merge(pooled, StageRecord<Scalar>(record));
    prediction.stages.push_back(predict(record));
  }
  prediction.summary = predict(pooled);
  prediction.counters = engines.counters();
  add_lookups(prediction, prefill.step_times);
  add_lookups(prediction, decode.step_times);
  return prediction;
}

}  // namespace

template <class Scalar>
Prediction<Scalar> simulate(std::string_view step_time_model, const Scenario& scenario, const params::Resolved<Scalar>& parameters,
                            const SimulationOptions& options) {
  const domain::Deployment& deployment = scenario.experiment.deployment;
  params::Resolved<double> switches;
  for (std::size_t i = 0; i < params::switch_registry().size(); ++i) switches.choose({i}, parameters.choice(params::SwitchId{i}));
  const EngineSetup setup = make_engine_setup(scenario, switches);
  FrontEnd<Scalar> front_end;
  if (scenario.experiment.measured.measured_at == domain::MeasuredAt::client) {
    front_end = {.constant_us = parameters["frontend.constant_us"],
                 .per_prompt_token_us = parameters["frontend.per_prompt_token_us"],
                 .per_output_token_us = parameters["frontend.per_output_token_us"]};
  }

  std::optional<AfterWarmUp> observer;
  if (options.observer != nullptr && scenario.plan.warm_up) observer.emplace(*options.observer);
  const int replicas = std::max(1, deployment.dp);
  const bool by_load = replicas > 1 && scenario.plan.concurrency == 0 && parameters.choice("engine.router") == "least_loaded";
  const EngineOptions<Scalar> engine_options{
      .front_end = front_end,
      .turnaround_us = scenario.plan.turnaround_us ? Scalar(*scenario.plan.turnaround_us) : parameters["client.turnaround_us"],
      .load_us_per_block = setup.offload_blocks > 0 ? block_load_us(scenario, parameters["engine.host_link_GBs"]) : Scalar(0.0),
      .observer = observer ? &*observer : options.observer,
      .stepping = options.stepping,
      .keep_latencies = options.percentiles == Percentiles::compute,
      .warm_up_requests = (options.warm_up_requests + replicas - 1) / replicas,
      .max_events = options.max_events};
  if (deployment.prefill_decode) {
    return simulate_apart<Scalar>(step_time_model, scenario, parameters, switches, engine_options, observer ? &*observer : nullptr);
  }
  std::vector<RequestPlan> dealt;
  if (replicas > 1 && (!by_load || scenario.plan.warm_up)) dealt = deal(scenario.plan, replicas);
  std::vector<std::unique_ptr<latency::StepTime<Scalar>>> step_times;
  std::vector<std::unique_ptr<Engine<Scalar>>> engines;
  for (int replica = 0; replica < replicas; ++replica) {
    step_times.push_back(make_step_time<Scalar>(step_time_model, scenario, parameters));
    engines.push_back(std::make_unique<Engine<Scalar>>(setup, scenario.plan.chains, *step_times.back(), engine_options));
  }

  Prediction<Scalar> prediction;
  StageRecord<Scalar> pooled;
  double start_us = 0.0;
  if (scenario.plan.warm_up) {
    for (int replica = 0; replica < replicas; ++replica) {
      const StagePlan& warm_up = replicas > 1 ? *dealt[static_cast<std::size_t>(replica)].warm_up : *scenario.plan.warm_up;
      const auto served = engines[static_cast<std::size_t>(replica)]->run_stage(warm_up, warm_up.concurrency, 0.0);
      start_us = std::max(start_us, served.last_finish_us);
    }
    if (observer) observer->begin();
  }
  for (std::size_t stage = 0; stage < scenario.plan.stages.size(); ++stage) {
    std::vector<StageRecord<Scalar>> parts;
    if (by_load) {
      // Where the router's clock starts is where the engines' does: no engine has drained later than the stage begins.
      parts = run_least_loaded(engines, scenario.plan.stages[stage], start_us);
    } else {
      for (int replica = 0; replica < replicas; ++replica) {
        const RequestPlan& plan = replicas > 1 ? dealt[static_cast<std::size_t>(replica)] : scenario.plan;
        parts.push_back(
            engines[static_cast<std::size_t>(replica)]->run_stage(plan.stages[stage], plan.clients(plan.stages[stage]), start_us));
      }
    }
    if (std::ranges::any_of(engines, [](const auto& engine) { return engine->out_of_events(); })) {
      prediction.out_of_events = true;
      return prediction;
    }
    StageRecord<Scalar> record = std::move(parts.front());
    for (std::size_t replica = 1; replica < parts.size(); ++replica) merge(record, std::move(parts[replica]));
    start_us = record.last_finish_us + kStageGapUs;
    if (stage == 0) pooled.first_arrival_us = record.first_arrival_us;
    merge(pooled, StageRecord<Scalar>(record));
    prediction.stages.push_back(predict(record));
  }
  prediction.summary = predict(pooled);
  for (const auto& engine : engines) merge(prediction.counters, engine->counters());
  add_lookups(prediction, step_times);
  return prediction;
}

template std::unique_ptr<latency::StepTime<double>> make_step_time(std::string_view, const Scenario&, const params::Resolved<double>&);
template std::unique_ptr<latency::StepTime<core::Dual<core::kNarrowWidth>>> make_step_time(
    std::string_view, const Scenario&, const params::Resolved<core::Dual<core::kNarrowWidth>>&);
template std::unique_ptr<latency::StepTime<core::Dual<core::kMediumWidth>>> make_step_time(
    std::string_view, const Scenario&, const params::Resolved<core::Dual<core::kMediumWidth>>&);
template std::unique_ptr<latency::StepTime<core::Dual<core::kWideWidth>>> make_step_time(
    std::string_view, const Scenario&, const params::Resolved<core::Dual<core::kWideWidth>>&);
template Prediction<double> simulate(std::string_view, const Scenario&, const params::Resolved<double>&, const SimulationOptions&);
template Prediction<core::Dual<core::kNarrowWidth>> simulate(std::string_view, const Scenario&,
                                                             const params::Resolved<core::Dual<core::kNarrowWidth>>&,
                                                             const SimulationOptions&);
template Prediction<core::Dual<core::kMediumWidth>> simulate(std::string_view, const Scenario&,
                                                             const params::Resolved<core::Dual<core::kMediumWidth>>&,
                                                             const SimulationOptions&);
template Prediction<core::Dual<core::kWideWidth>> simulate(std::string_view, const Scenario&,
                                                           const params::Resolved<core::Dual<core::kWideWidth>>&,
                                                           const SimulationOptions&);

std::string_view simulator_identity() { return ROOFTUNE_SIMULATOR_IDENTITY; }

}  // namespace rooftune::sim
