#include "rooftune/plan/report_curves.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "rooftune/domain/gpus.hpp"
#include "rooftune/domain/metrics.hpp"
#include "rooftune/latency/catalogue.hpp"
#include "rooftune/latency/step_time.hpp"
#include "rooftune/sim/simulate.hpp"

namespace rooftune::plan {
namespace {

/// A simulated point before it is simulated.
struct PlannedPoint {
  std::size_t curve = 0;
  std::size_t slot = 0;
  const eval::Case* item = nullptr;
  domain::Experiment experiment;
};

std::optional<LoadUnit> load_unit(const domain::Workload& workload) {
  switch (workload.arrival.process) {
    case domain::ArrivalProcess::trace: return std::nullopt;
    case domain::ArrivalProcess::closed_loop: return LoadUnit::clients;
    case domain::ArrivalProcess::conditioned_poisson:
    case domain::ArrivalProcess::poisson:
    case domain::ArrivalProcess::gamma:
    case domain::ArrivalProcess::constant: break;
  }
  return LoadUnit::requests_per_second;
}

double load_of(const domain::Workload& workload, LoadUnit unit, std::size_t stage) {
  return unit == LoadUnit::clients ? workload.arrival.concurrency : workload.stages[stage].rate.value;
}

std::vector<double> loads_between(double lowest, double highest, int points) {
  std::vector<double> loads;
  for (int i = 0; i < points; ++i) loads.push_back(lowest * std::pow(highest / lowest, double(i) / std::max(1, points - 1)));
  return loads;
}

std::size_t nearest_stage(const LoadCurve& curve, double load) {
  const auto distance = [load](const CurvePoint& point) { return std::abs(std::log(point.load / load)); };
  return static_cast<std::size_t>(std::ranges::min_element(curve.measured, {}, distance)->stage);
}

/// The experiment up to `stage`, with that stage under another load.
domain::Experiment under_load(const domain::Experiment& experiment, LoadUnit unit, std::size_t stage, double load) {
  domain::Experiment varied = experiment;
  varied.workload.stages.resize(stage + 1);
  domain::Stage& last = varied.workload.stages.back();
  if (unit == LoadUnit::clients) {
    varied.workload.arrival.concurrency = static_cast<int>(load);
  } else if (last.rate.value != load) {
    last.rate = core::RequestsPerSecond{load};
    last.num_requests = std::max(1, static_cast<int>(std::lround(load * last.duration.value)));
  }
  return varied;
}

LoadCurve measured_curve(const domain::Experiment& experiment, LoadUnit unit) {
  LoadCurve curve{.experiment = experiment.id, .unit = unit, .simulated = {}, .measured = {}};
  const domain::Workload& workload = experiment.workload;
  for (std::size_t stage = 0; stage < workload.stages.size(); ++stage) {
    const double load = load_of(workload, unit, stage);
    if (load <= 0.0) continue;
    const auto& stages = experiment.measured.stages;
    // An experiment of one stage may carry its measurement in the summary alone.
    const domain::Latencies latencies = stage < stages.size()         ? stages[stage]
                                        : workload.stages.size() == 1 ? experiment.measured.summary
                                                                      : domain::Latencies{};
    curve.measured.push_back({.load = load, .stage = static_cast<int>(stage), .latencies = latencies});
  }
  return curve;
}

/// The loads at which a curve is simulated: an even grid, and the measured loads themselves.
std::vector<double> simulated_loads(const LoadCurve& curve, const LoadCurveOptions& options) {
  const auto [lowest, highest] = std::ranges::minmax(curve.measured, {}, &CurvePoint::load);
  std::vector<double> loads = loads_between(lowest.load / options.beyond, highest.load * options.beyond, options.points);
  for (const CurvePoint& point : curve.measured) loads.push_back(point.load);
  if (curve.unit == LoadUnit::clients) {
    for (double& load : loads) load = std::max(1.0, std::round(load));
  }
  std::ranges::sort(loads);
  loads.erase(std::unique(loads.begin(), loads.end()), loads.end());
  return loads;
}

CurvePoint simulate_point(const PlannedPoint& point, CurvePoint planned, const eval::Dataset& dataset, const params::Config& config) {
  const params::Resolved<double> parameters = params::resolve(config, point.experiment.deployment, point.item->gpu);
  const sim::RequestPlan plan = sim::make_request_plan(point.experiment, dataset.seed, 0);
  const sim::Scenario scenario{.experiment = point.experiment,
                               .model = point.item->model,
                               .gpu = point.item->gpu,
                               .plan = plan,
                               .tables = point.item->tables.get(),
                               .draft = point.item->draft ? &*point.item->draft : nullptr};
  const auto prediction =
      sim::simulate<double>(config.step_time_model, scenario, parameters,
                            {.stepping = sim::Stepping::closed_form, .percentiles = sim::Percentiles::compute, .observer = nullptr});
  planned.latencies = prediction.stages.back().latencies;
  planned.output_tokens_per_s = prediction.stages.back().output_tokens_per_s;
  return planned;
}

/// Prediction intervals of all points at once; each is a run of its own, named by its index.
void add_intervals(std::vector<LoadCurve>& curves, const std::vector<PlannedPoint>& planned, const eval::Dataset& dataset,
                   const params::Config& config, const calibrate::IntervalOptions& options) {
  eval::Dataset points;
  points.seed = dataset.seed;
  points.failures = dataset.failures;
  for (std::size_t i = 0; i < planned.size(); ++i) {
    eval::Case& item = points.cases.emplace_back(*planned[i].item);
    item.experiment = planned[i].experiment;
    item.keep_plans(dataset.seed, 1);  // before the experiment gets another name
    item.experiment.id = fmt::format("{}", i);
  }
  for (calibrate::PredictionInterval& interval : calibrate::prediction_intervals(points, config, options)) {
    const auto index = static_cast<std::size_t>(std::stoul(interval.experiment));
    const std::size_t stages = planned[index].experiment.workload.stages.size();
    const int own = stages == 1 ? domain::kSummaryStage : static_cast<int>(stages) - 1;
    if (interval.stage != own || !domain::is_mean(interval.metric)) continue;
    CurvePoint& point = curves[planned[index].curve].simulated[planned[index].slot];
    interval.experiment = curves[planned[index].curve].experiment;
    interval.stage = point.stage;
    point.intervals.push_back(std::move(interval));
  }
}

/// Breaks steps of one deployment down.
class StepSampler {
 public:
  StepSampler(const eval::Case& item, const params::Config& config, StepTimeByBatch& target) : target_(target) {
    const latency::Target deployment{
        .model = item.model, .gpu = item.gpu, .deployment = item.experiment.deployment, .tables = item.tables.get()};
    step_time_ = latency::make_step_time<double>(config.step_time_model, deployment,
                                                 params::resolve(config, item.experiment.deployment, item.gpu));
  }

  void decode(std::int64_t requests) {
    const auto context = static_cast<std::int64_t>(std::llround(target_.context_tokens));
    const std::vector<std::int64_t> contexts(static_cast<std::size_t>(requests), context);
    StepSample sample;
    sample.batch = fmt::format("{} decode{}", requests, requests == 1 ? "" : "s");
    sample.decode_requests = static_cast<double>(requests);
    add(std::move(sample), {.prefills = {},
                            .decode_requests = requests,
                            .decode_context_tokens = requests * context,
                            .decode_max_context_tokens = context,
                            .decode_contexts = contexts});
  }

  void prefill(std::int64_t tokens) {
    const std::vector<latency::PrefillChunk> chunks{{.context_tokens = 0, .new_tokens = tokens}};
    StepSample sample;
    sample.batch = fmt::format("{}-token prefill", tokens);
    sample.prefill_tokens = static_cast<double>(tokens);
    latency::Batch batch;
    batch.prefills = chunks;
    add(std::move(sample), batch);
  }

 private:
  void add(StepSample sample, const latency::Batch& batch) {
    const latency::StepBreakdown breakdown = step_time_->breakdown(batch);
    sample.total_us = breakdown.total_us;
    sample.bound = breakdown.bound;
    sample.terms_us.assign(target_.terms.size(), 0.0);
    for (const latency::StepTerm& term : breakdown.terms) {
      const auto found = std::ranges::find(target_.terms, term.name);
      const auto index = static_cast<std::size_t>(found - target_.terms.begin());
      if (found == target_.terms.end()) {
        target_.terms.emplace_back(term.name);
        sample.terms_us.push_back(0.0);
        for (StepSample& earlier : target_.samples) earlier.terms_us.push_back(0.0);
      }
      sample.terms_us[index] += term.duration_us;
    }
    target_.samples.push_back(std::move(sample));
  }

  StepTimeByBatch& target_;
  std::unique_ptr<latency::StepTime<double>> step_time_;
};

/// Mean prompt and half the mean output over all requests of the cases.
double mean_context(const std::vector<const eval::Case*>& cases) {
  double tokens = 0.0;
  double requests = 0.0;
  for (const eval::Case* item : cases) {
    const auto plan = item->plan(0);
    for (const sim::StagePlan& stage : plan->stages) {
      for (const sim::PlannedRequest& request : stage.requests) {
        tokens += request.prompt_tokens + 0.5 * request.output_tokens;
        requests += 1.0;
      }
    }
  }
  return requests > 0.0 ? tokens / requests : 0.0;
}

constexpr double kActivationBytes = 2.0;  ///< inputs and outputs are 16-bit also where weights are FP8

double moved_bytes(const kernels::GemmRow& row) {
  return kernels::weight_bytes(row) + kActivationBytes * static_cast<double>(row.m * (row.k + row.n));
}

double moved_bytes(const kernels::AttentionRow& row) {
  return kernels::kv_bytes(row) +
         2.0 * kActivationBytes * static_cast<double>(row.batch * row.new_tokens * row.shape.heads * row.shape.head_dim);
}

std::string shape_of(const kernels::GemmRow& row) { return fmt::format("m {}, n {}, k {}", row.m, row.n, row.k); }

std::string shape_of(const kernels::AttentionRow& row) {
  return fmt::format("{} x {} tokens over {}, {}/{} heads of {}", row.batch, row.new_tokens, row.kv_tokens, row.shape.heads,
                     row.shape.kv_heads, row.shape.head_dim);
}

kernels::NumberFormat format_of(const kernels::GemmRow& row) { return row.format.value_or(kernels::NumberFormat::bf16); }
kernels::NumberFormat format_of(const kernels::AttentionRow& row) { return row.format; }

template <class Row>
void add_points(KernelRoofline& roofline, std::string_view kernel, const std::vector<Row>& rows, std::size_t most) {
  roofline.measured += rows.size();
  std::map<kernels::NumberFormat, std::vector<const Row*>> by_format;
  for (const Row& row : rows) by_format[format_of(row)].push_back(&row);
  for (const auto& [format, members] : by_format) {
    const std::size_t kept = std::min(most, members.size());
    for (std::size_t i = 0; i < kept; ++i) {
      const Row& row = *members[i * members.size() / kept];
      const double work = kernels::flops(row);
      roofline.points.push_back({.kernel = std::string(kernel),
                                 .format = format,
                                 .shape = shape_of(row),
                                 .flops_per_byte = work / moved_bytes(row),
                                 .achieved_tflops = work / row.latency_us * 1e-6,
                                 .latency_us = row.latency_us});
    }
  }
}

/// Of the requests as drawn: lengths that were fixed by a seed are the very ones that were sent.
double mean_output_tokens(const sim::RequestPlan& plan) {
  double tokens = 0.0;
  double requests = 0.0;
  for (const sim::StagePlan& stage : plan.stages) {
    for (const sim::PlannedRequest& request : stage.requests) tokens += request.output_tokens;
    requests += static_cast<double>(stage.requests.size());
  }
  return requests > 0.0 ? tokens / requests : 0.0;
}

/// Empty where the latencies say no TPOT, or nothing of how long a request takes.
std::optional<Pace> pace_of(const eval::Case& item, const domain::Latencies& latencies) {
  const auto tpot_ms = latencies[domain::Metric::tpot_mean];
  if (!tpot_ms) return std::nullopt;
  const double output_tokens = mean_output_tokens(*item.plan(0));
  std::optional<double> e2e_ms = latencies[domain::Metric::e2e_mean];
  const auto ttft_ms = latencies[domain::Metric::ttft_mean];
  if (!e2e_ms && ttft_ms) e2e_ms = *ttft_ms + *tpot_ms * (output_tokens - 1.0);
  if (!e2e_ms) return std::nullopt;
  const domain::Deployment& deployment = item.experiment.deployment;
  const int gpus = domain::gpus(deployment);
  return Pace{.tokens_per_s_per_gpu = item.experiment.workload.arrival.concurrency * output_tokens / *e2e_ms * 1e3 / gpus,
              .tokens_per_s_per_user = 1e3 / *tpot_ms};
}

}  // namespace

std::vector<InteractivityCurve> interactivity_curves(const eval::Dataset& dataset, const std::vector<eval::Row>& rows) {
  std::map<std::string, std::pair<domain::Latencies, domain::Latencies>> latencies;  // predicted and measured, by experiment
  for (const eval::Row& row : rows) {
    if (row.stage != domain::kSummaryStage) continue;
    latencies[row.experiment].first[row.metric] = row.predicted_ms;
    latencies[row.experiment].second[row.metric] = row.measured_ms;
  }
  std::vector<InteractivityCurve> curves;
  for (const eval::Case& item : dataset.cases) {
    const domain::Experiment& experiment = item.experiment;
    const auto found = latencies.find(experiment.id);
    const bool is_loop = experiment.workload.arrival.process == domain::ArrivalProcess::closed_loop;
    if (experiment.sweep.empty() || !is_loop || found == latencies.end()) continue;
    const auto predicted = pace_of(item, found->second.first);
    const auto measured = pace_of(item, found->second.second);
    if (!predicted || !measured) continue;
    auto curve = std::ranges::find(curves, experiment.sweep, &InteractivityCurve::sweep);
    if (curve == curves.end()) {
      curve = curves.insert(
          curves.end(),
          {.sweep = experiment.sweep, .model = item.model.name, .gpu = item.gpu.name, .tp = experiment.deployment.tp, .points = {}});
    }
    curve->points.push_back({.experiment = experiment.id,
                             .clients = experiment.workload.arrival.concurrency,
                             .predicted = *predicted,
                             .measured = *measured});
  }
  std::erase_if(curves, [](const InteractivityCurve& curve) { return curve.points.size() < 2; });
  for (InteractivityCurve& curve : curves) std::ranges::stable_sort(curve.points, {}, &InteractivityPoint::clients);
  return curves;
}

std::vector<LoadCurve> load_curves(const eval::Dataset& dataset, const params::Config& config, const LoadCurveOptions& options) {
  std::vector<LoadCurve> curves;
  std::vector<PlannedPoint> planned;
  for (const eval::Case& item : dataset.cases) {
    const auto unit = load_unit(item.experiment.workload);
    if (!unit) continue;
    LoadCurve curve = measured_curve(item.experiment, *unit);
    if (curve.measured.empty()) continue;
    for (const double load : simulated_loads(curve, options)) {
      const std::size_t stage = nearest_stage(curve, load);
      domain::Experiment varied = under_load(item.experiment, *unit, stage, load);
      if (varied.workload.stages.back().num_requests > options.max_requests) continue;
      planned.push_back({.curve = curves.size(), .slot = curve.simulated.size(), .item = &item, .experiment = std::move(varied)});
      curve.simulated.push_back({.load = load, .stage = static_cast<int>(stage), .latencies = {}});
    }
    curves.push_back(std::move(curve));
  }
  const auto slot = [&](std::size_t i) -> CurvePoint& { return curves[planned[i].curve].simulated[planned[i].slot]; };
  auto simulated = core::parallel_map<CurvePoint>(planned.size(), options.threads, [&](std::size_t i) {
    return simulate_point(planned[i], std::as_const(slot(i)), dataset, config);
  });
  for (std::size_t i = 0; i < planned.size(); ++i) slot(i) = std::move(simulated[i]);
  if (options.intervals) add_intervals(curves, planned, dataset, config, *options.intervals);
  return curves;
}

std::vector<StepTimeByBatch> step_time_by_batch(const eval::Dataset& dataset, const params::Config& config) {
  using Deployment = std::tuple<std::string, std::string, int>;
  const auto deployment_of = [](const eval::Case& item) {
    return Deployment{item.model.name, item.gpu.name, item.experiment.deployment.tp};
  };
  std::vector<StepTimeByBatch> result;
  std::set<Deployment> seen;
  for (const eval::Case& first : dataset.cases) {
    const Deployment deployment = deployment_of(first);
    if (!seen.insert(deployment).second) continue;
    std::vector<const eval::Case*> cases;
    for (const eval::Case& item : dataset.cases) {
      if (deployment_of(item) == deployment) cases.push_back(&item);
    }
    StepTimeByBatch& by_batch = result.emplace_back();
    by_batch.model = first.model.name;
    by_batch.gpu = first.gpu.name;
    by_batch.tp = first.experiment.deployment.tp;
    by_batch.context_tokens = mean_context(cases);
    StepSampler sampler(first, config, by_batch);
    const domain::EngineSettings& settings = first.experiment.deployment.settings;
    for (std::int64_t requests = 1; requests < settings.max_num_seqs; requests *= 2) sampler.decode(requests);
    sampler.decode(settings.max_num_seqs);
    for (std::int64_t tokens = 64; tokens < settings.max_num_batched_tokens; tokens *= 4) sampler.prefill(tokens);
    sampler.prefill(settings.max_num_batched_tokens);
  }
  return result;
}

KernelRoofline kernel_roofline(const kernels::MeasuredKernels& kernels, const domain::GpuSpec& gpu, std::size_t most_per_kernel) {
  KernelRoofline roofline;
  roofline.gpu = gpu.name;
  roofline.engine = kernels.engine;
  roofline.bandwidth_tbs = gpu.hbm_bandwidth.value;
  roofline.peak_bf16_tflops = gpu.peak_bf16.value;
  if (gpu.peak_fp8) roofline.peak_fp8_tflops = gpu.peak_fp8->value;
  add_points(roofline, "GEMM", kernels.gemms, most_per_kernel);
  add_points(roofline, "prefill attention", kernels.context_attention, most_per_kernel);
  add_points(roofline, "decode attention", kernels.generation_attention, most_per_kernel);
  return roofline;
}

}  // namespace rooftune::plan
