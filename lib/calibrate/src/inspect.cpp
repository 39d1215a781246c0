#include "rooftune/calibrate/inspect.hpp"

#include <algorithm>
#include <memory>

#include "rooftune/domain/gpus.hpp"
namespace rooftune::calibrate {
namespace {

/// Breaks every step down, adds up where the time goes, and passes events on.
class Inspector final : public sim::Observer {
 public:
  Inspector(Inspection& inspection, latency::StepTime<double>& step_time, const std::vector<InspectionSink*>& sinks)
      : inspection_(inspection), step_time_(step_time), sinks_(sinks) {
    for (int upper = 1; upper < inspection.setup.max_num_seqs; upper *= 2)
      inspection.batch_requests.push_back({.upper = double(upper)});
    inspection.batch_requests.push_back({.upper = double(inspection.setup.max_num_seqs)});
    for (int tenth = 1; tenth <= 10; ++tenth) inspection.kv_use_fraction.push_back({.upper = 0.1 * tenth});
  }

  [[nodiscard]] bool wants_steps() const override { return true; }

  void on_step(const sim::StepEvent& event) override {
    const latency::StepBreakdown breakdown = step_time_.breakdown(event.batch);
    inspection_.busy_us += event.duration_us;
    inspection_.bound_us[std::string(breakdown.bound)] += event.duration_us;
    add_terms(breakdown);
    const auto requests = static_cast<double>(event.batch.decode_requests) + static_cast<double>(event.batch.prefills.size());
    add(inspection_.batch_requests, requests, event.duration_us);
    add(inspection_.kv_use_fraction, static_cast<double>(event.kv_blocks_in_use) / static_cast<double>(inspection_.setup.kv_blocks),
        event.duration_us);
    for (InspectionSink* sink : sinks_) sink->on_step(event, breakdown);
  }

  void on_finished(const sim::RequestEvent& event) override {
    for (InspectionSink* sink : sinks_) sink->on_finished(event);
  }
  void on_rejected(const sim::RejectionEvent& event) override {
    for (InspectionSink* sink : sinks_) sink->on_rejected(event);
  }

 private:
  void add_terms(const latency::StepBreakdown& breakdown) {
    for (const latency::StepTerm& term : breakdown.terms) {
      auto found = std::ranges::find(inspection_.terms, term.name, &TermTime::name);
      if (found == inspection_.terms.end()) found = inspection_.terms.insert(found, {.name = std::string(term.name), .total_us = 0.0});
      found->total_us += term.duration_us;
    }
  }

  static void add(std::vector<HistogramBin>& bins, double value, double time_us) {
    const auto bin = std::ranges::lower_bound(bins, value, {}, &HistogramBin::upper);
    (bin == bins.end() ? bins.back() : *bin).time_us += time_us;
  }

  Inspection& inspection_;
  latency::StepTime<double>& step_time_;
  const std::vector<InspectionSink*>& sinks_;
};

}  // namespace

std::optional<double> SweepPoint::output_tokens_per_s_per_user() const {
  const auto token_ms = prediction.summary.latencies[domain::Metric::tpot_mean];
  if (!token_ms) return std::nullopt;
  return 1e3 / *token_ms;
}

double SweepPoint::prefix_hit_fraction() const {
  const sim::EngineCounters& counters = prediction.counters;
  if (counters.prompt_tokens == 0) return 0.0;
  return static_cast<double>(counters.cached_tokens) / static_cast<double>(counters.prompt_tokens);
}

std::vector<SweepPoint> sweep(const eval::Dataset& dataset, const params::Config& config, std::int64_t warm_up_requests,
                              core::ThreadCount threads) {
  return core::parallel_map<SweepPoint>(dataset.cases.size(), threads, [&](std::size_t i) {
    const eval::Case& item = dataset.cases[i];
    const params::Resolved<double> parameters = params::resolve(config, item.experiment.deployment, item.gpu);
    SweepPoint point;
    const domain::Workload& workload = item.experiment.workload;
    const domain::Deployment& deployment = item.experiment.deployment;
    if (workload.arrival.process == domain::ArrivalProcess::closed_loop) {
      point.concurrency = workload.arrival.concurrency;
    } else {
      point.rate_per_s = workload.stages.front().rate.value;
    }
    point.gpus = domain::gpus(deployment);
    point.prediction = sim::simulate<double>(config.step_time_model, item.scenario(*item.plan(0)), parameters,
                                             {.percentiles = sim::Percentiles::compute, .warm_up_requests = warm_up_requests});
    point.findings = eval::simulated_quality(item.experiment, point.prediction);
    return point;
  });
}

Inspection inspect(const eval::Case& item, std::size_t replicate, const params::Config& config,
                   const std::vector<InspectionSink*>& sinks, std::int64_t warm_up_requests) {
  const auto plan = item.plan(replicate);
  const sim::Scenario scenario = item.scenario(*plan);
  const params::Resolved<double> parameters = params::resolve(config, item.experiment.deployment, item.gpu);
  const auto step_time = sim::make_step_time<double>(config.step_time_model, scenario, parameters);
  Inspection inspection;
  inspection.setup = sim::make_engine_setup(scenario, parameters);
  Inspector inspector(inspection, *step_time, sinks);
  inspection.prediction = sim::simulate<double>(config.step_time_model, scenario, parameters,
                                                {.stepping = sim::Stepping::plain,
                                                 .percentiles = sim::Percentiles::compute,
                                                 .observer = &inspector,
                                                 .warm_up_requests = warm_up_requests});
  std::vector<domain::Latencies> stages;
  for (const auto& stage : inspection.prediction.stages) stages.push_back(stage.latencies);
  inspection.domain_exits = eval::domain_exits(config.domain, item, stages);
  return inspection;
}

}  // namespace rooftune::calibrate
