#include "rooftune/sim/simulate.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "rooftune/core/contract.hpp"
#include "rooftune/core/derivative.hpp"
#include "rooftune/core/statistics.hpp"
#include "rooftune/latency/catalogue.hpp"
#include "rooftune/sim/kv_estimate.hpp"

namespace rooftune::sim {
namespace {

using core::value_of;
using domain::Metric;

/// Requests dealt to the replicas in turn, as a round-robin router does. In a closed loop the clients are dealt too, and each
/// stays with its replica; of more replicas than clients the last ones get nothing.
std::vector<RequestPlan> deal(const RequestPlan& plan, int replicas) {
  std::vector<RequestPlan> dealt(static_cast<std::size_t>(replicas));
  const int used = plan.concurrency > 0 ? std::min(plan.concurrency, replicas) : replicas;
  for (int replica = 0; replica < replicas; ++replica) {
    RequestPlan& own = dealt[static_cast<std::size_t>(replica)];
    own.chains = plan.chains;
    own.concurrency = plan.concurrency / used + (replica < plan.concurrency % used ? 1 : 0);
    for (const StagePlan& stage : plan.stages) {
      StagePlan& part = own.stages.emplace_back();
      part.requests_per_us = stage.requests_per_us / used;
      if (replica >= used) continue;
      for (auto i = static_cast<std::size_t>(replica); i < stage.requests.size(); i += static_cast<std::size_t>(used)) {
        part.requests.push_back(stage.requests[i]);
      }
    }
  }
  return dealt;
}

template <class Scalar>
void merge(StageRecord<Scalar>& into, StageRecord<Scalar>&& from) {
  into.finished += from.finished;
  into.warm_up += from.warm_up;
  into.warm_up_output_tokens += from.warm_up_output_tokens;
  into.rejected += from.rejected;
  into.single_token += from.single_token;
  into.ttft_sum_us += from.ttft_sum_us;
  into.e2e_sum_us += from.e2e_sum_us;
  into.tpot_sum_us += from.tpot_sum_us;
  into.prompt_tokens += from.prompt_tokens;
  into.output_tokens += from.output_tokens;
  into.first_arrival_us = std::min(into.first_arrival_us, from.first_arrival_us);
  into.last_finish_us = std::max(into.last_finish_us, from.last_finish_us);
  into.longest_queue = std::max(into.longest_queue, from.longest_queue);
  into.ttft_us.insert(into.ttft_us.end(), from.ttft_us.begin(), from.ttft_us.end());
  into.e2e_us.insert(into.e2e_us.end(), from.e2e_us.begin(), from.e2e_us.end());
}

void merge(EngineCounters& into, const EngineCounters& from) {
  into.steps += from.steps;
  into.advances += from.advances;
  into.preemptions += from.preemptions;
  into.rejected += from.rejected;
  into.rejected_by_length += from.rejected_by_length;
  into.prompt_tokens += from.prompt_tokens;
  into.cached_tokens += from.cached_tokens;
  into.loaded_tokens += from.loaded_tokens;
  into.generated_tokens += from.generated_tokens;
  into.largest_batch = std::max(into.largest_batch, from.largest_batch);
  into.longest_queue = std::max(into.longest_queue, from.longest_queue);
  into.kv_blocks += from.kv_blocks;
  into.least_free_blocks += from.least_free_blocks;
  into.busy_us += from.busy_us;
  into.batch_time_us += from.batch_time_us;
}

void set_percentiles(domain::Latencies& latencies, std::vector<double>& ttft_us, std::vector<double>& e2e_us) {
  const std::vector<double> ttft = core::quantiles_in_place(ttft_us, {0.90, 0.99});
  latencies[Metric::ttft_p90] = ttft[0] * 1e-3;
  latencies[Metric::ttft_p99] = ttft[1] * 1e-3;
  const std::vector<double> e2e = core::quantiles_in_place(e2e_us, {0.90, 0.99});
  latencies[Metric::e2e_p90] = e2e[0] * 1e-3;
  latencies[Metric::e2e_p99] = e2e[1] * 1e-3;
}

/// Runs a stage on several engines; every request goes to the one with the fewest requests in flight when it comes. Of equally
/// loaded ones, to the next in turn.
template <class Scalar>
std::vector<StageRecord<Scalar>> run_least_loaded(std::vector<std::unique_ptr<Engine<Scalar>>>& engines, const StagePlan& stage,
                                                  double start_us) {
  const std::size_t replicas = engines.size();
  for (auto& engine : engines) {
    engine->begin_stage(start_us, stage.requests_per_us / static_cast<double>(replicas), stage.requests.size());
  }
  std::size_t last = replicas - 1;
  for (const PlannedRequest& request : stage.requests) {
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
  if (!record.ttft_us.empty()) set_percentiles(stage.latencies, record.ttft_us, record.e2e_us);
  return stage;
}

}  // namespace

std::optional<std::string> refusal(std::string_view step_time_model, const Scenario& scenario) {
  const latency::Target target{
      .model = scenario.model, .gpu = scenario.gpu, .deployment = scenario.experiment.deployment, .tables = scenario.tables};
  if (auto reason = latency::unsupported_reason(step_time_model, target)) return reason;
  const auto& settings = scenario.experiment.deployment.settings;
  if (!settings.total_kv_blocks && estimate_kv_blocks(scenario.model, scenario.gpu, scenario.experiment.deployment) <= 0) {
    return fmt::format("{}: the weights do not fit {} GPU(s) of type {} (use a larger tp or a higher gpu_mem_util)",
                       scenario.model.name, scenario.experiment.deployment.tp, scenario.gpu.name);
  }
  return std::nullopt;
}

EngineSetup make_engine_setup(const Scenario& scenario, const params::Resolved<double>& parameters) {
  const domain::EngineSettings& settings = scenario.experiment.deployment.settings;
  EngineSetup setup;
  setup.kv_blocks = settings.total_kv_blocks ? *settings.total_kv_blocks
                                             : estimate_kv_blocks(scenario.model, scenario.gpu, scenario.experiment.deployment);
  setup.block_tokens = settings.block_size;
  setup.max_num_seqs = settings.max_num_seqs;
  setup.max_num_batched_tokens = settings.max_num_batched_tokens;
  setup.max_model_len = settings.max_model_len;
  setup.long_prefill_token_threshold = settings.long_prefill_token_threshold;
  setup.chunked_prefill = settings.enable_chunked_prefill;
  setup.prefix_caching = settings.enable_prefix_caching && parameters.is_on("engine.prefix_reuse");
  setup.async_scheduling = parameters.is_on("engine.async_scheduling");
  if (settings.cpu_offload && parameters.is_on("engine.kv_offload")) setup.offload_blocks = settings.cpu_kv_blocks;
  return setup;
}

template <class Scalar>
Prediction<Scalar> simulate(std::string_view step_time_model, const Scenario& scenario, const params::Resolved<Scalar>& parameters,
                            const SimulationOptions& options) {
  const domain::Deployment& deployment = scenario.experiment.deployment;
  const latency::Target target{.model = scenario.model, .gpu = scenario.gpu, .deployment = deployment, .tables = scenario.tables};
  params::Resolved<double> switches;
  for (std::size_t i = 0; i < params::switch_registry().size(); ++i) switches.choose({i}, parameters.choice(params::SwitchId{i}));
  const EngineSetup setup = make_engine_setup(scenario, switches);
  FrontEnd<Scalar> front_end;
  if (scenario.experiment.measured.measured_at == domain::MeasuredAt::client) {
    front_end = {.constant_us = parameters["frontend.constant_us"],
                 .per_prompt_token_us = parameters["frontend.per_prompt_token_us"],
                 .per_output_token_us = parameters["frontend.per_output_token_us"]};
  }

  const int replicas = std::max(1, deployment.dp);
  const bool by_load = replicas > 1 && scenario.plan.concurrency == 0 && parameters.choice("engine.router") == "least_loaded";
  std::vector<RequestPlan> dealt;
  if (replicas > 1 && !by_load) dealt = deal(scenario.plan, replicas);
  std::vector<std::unique_ptr<latency::StepTime<Scalar>>> step_times;
  std::vector<std::unique_ptr<Engine<Scalar>>> engines;
  for (int replica = 0; replica < replicas; ++replica) {
    step_times.push_back(latency::make_step_time<Scalar>(step_time_model, target, parameters));
    engines.push_back(std::make_unique<Engine<Scalar>>(setup, scenario.plan.chains, *step_times.back()));
    engines.back()->observe(options.observer);
    if (options.stepping == Stepping::plain) engines.back()->set_stepping(Stepping::plain);
    engines.back()->keep_latencies(options.percentiles == Percentiles::compute);
    engines.back()->leave_out((options.warm_up_requests + replicas - 1) / replicas);
    engines.back()->set_front_end(front_end);
    engines.back()->set_loading(kv_block_bytes(scenario.model, deployment) / (parameters["engine.host_link_GBs"] * 1e3));
    engines.back()->limit_events(options.max_events);
  }

  Prediction<Scalar> prediction;
  StageRecord<Scalar> pooled;
  double start_us = 0.0;
  for (std::size_t stage = 0; stage < scenario.plan.stages.size(); ++stage) {
    std::vector<StageRecord<Scalar>> parts;
    if (by_load) {
      // Where the router's clock starts is where the engines' does: no engine has drained later than the stage begins.
      parts = run_least_loaded(engines, scenario.plan.stages[stage], start_us);
    } else {
      for (int replica = 0; replica < replicas; ++replica) {
        const RequestPlan& plan = replicas > 1 ? dealt[static_cast<std::size_t>(replica)] : scenario.plan;
        parts.push_back(engines[static_cast<std::size_t>(replica)]->run_stage(plan.stages[stage], plan.concurrency, start_us));
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
  for (const auto& step_time : step_times) {
    if (const kernels::LookupReport* report = step_time->lookup_report()) {
      if (!prediction.lookups) prediction.lookups.emplace();
      *prediction.lookups += *report;
    }
  }
  return prediction;
}

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
