#include "rooftune/plan/onboard.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "rooftune/calibrate/fit.hpp"
#include "rooftune/calibrate/posterior.hpp"
#include "rooftune/domain/model.hpp"
#include "rooftune/eval/calibrated_domain.hpp"

namespace rooftune::plan {
namespace {

using domain::Metric;

/// No ratio is known better than this.
constexpr double kLeastSpread = 0.1;

/// Overheads that are part kernel and part host, launch and gaps, which no kernel table measures: half of the ratio is believed,
/// and the other half is doubt.
constexpr double kKernelPart = 0.5;

const std::string kMixedKvFactor = "physics.mixed_kv_factor";

/// Per-layer overhead: mostly small kernel calls and the gaps between them.
const std::set<std::string> kLayerOverheads{"physics.t_layer_us", "roofline_mfu.t_layer_us"};
/// Sampling kernels stream the logits of the whole vocabulary.
const std::set<std::string> kStreamedOverheads{"physics.sampler_us_per_kilotoken", "physics.sampler_seq_us_per_kilotoken"};

const kernels::KernelSummary* find(const std::vector<kernels::KernelSummary>& summaries, std::string_view gpu) {
  return kernels::find_summary(summaries, gpu);
}

/// Value on one GPU over value on another: from the GEMM curves where both have one, else from the single values.
std::optional<double> ratio_of(const std::string& id, const kernels::KernelSummary& gpu, const kernels::KernelSummary& reference) {
  const auto curve = gpu.gemm_curve.find(id);
  const auto reference_curve = reference.gemm_curve.find(id);
  if (curve != gpu.gemm_curve.end() && reference_curve != reference.gemm_curve.end()) return curve->second / reference_curve->second;
  const auto value = gpu.values.find(id);
  const auto reference_value = reference.values.find(id);
  if (value == gpu.values.end() || reference_value == reference.values.end()) return std::nullopt;
  return value->second.value / reference_value->second.value;
}

/// How far kernel ratios of other GPUs to the reference lie from 1: what a data sheet leaves open.
double spread_among_others(const std::string& id, const std::vector<kernels::KernelSummary>& summaries,
                           const calibrate::OnboardSpec& spec) {
  const kernels::KernelSummary* reference = find(summaries, spec.reference);
  if (reference == nullptr) return spec.spread;
  double sum = 0.0;
  int others = 0;
  for (const kernels::KernelSummary& other : summaries) {
    if (other.gpu == spec.gpu || other.gpu == spec.reference) continue;
    const auto ratio = ratio_of(id, other, *reference);
    if (!ratio) continue;
    sum += std::log(*ratio) * std::log(*ratio);
    ++others;
  }
  return others == 0 ? spec.spread : std::max(kLeastSpread, std::sqrt(sum / others));
}

GpuPrior inherited(const params::Config& config, const params::FreeParameter& known, const calibrate::OnboardSpec& spec,
                   double spread) {
  GpuPrior prior;
  prior.parameter = known;
  prior.parameter.where = {.model = {}, .gpu = spec.gpu, .tp = {}};
  const double value = std::clamp(params::current_value(config, known), known.lower, known.upper);
  prior.parameter.initial = value;
  prior.parameter.initial_is_given = true;
  prior.parameter.prior = params::Prior{.centre = value, .standard_deviation = spread};
  prior.basis = fmt::format("{}'s", spec.reference);
  return prior;
}

void scale(GpuPrior& prior, double ratio, double deviation, params::ValueSource source, std::string basis) {
  params::FreeParameter& parameter = prior.parameter;
  const double value = std::clamp(parameter.initial * ratio, parameter.lower, parameter.upper);
  parameter.initial = value;
  parameter.prior = params::Prior{.centre = value, .standard_deviation = deviation};
  prior.source = source;
  prior.basis += fmt::format(", {:.3g} times by {}", ratio, basis);
}

double joined(double a, double b) { return std::sqrt(a * a + b * b); }

/// Free parameters of the reference's fit that hold for all its deployments.
std::vector<params::FreeParameter> shared_parameters(const params::Config& config) {
  std::vector<params::FreeParameter> shared;
  for (const params::FreeParameter& parameter : calibrate::free_parameters(config, *config.uncertainty)) {
    if (parameter.where.matches_everything()) shared.push_back(parameter);
  }
  return shared;
}

core::Diagnostic problem(std::string text, std::string remedy) {
  return {.position = {}, .problem = std::move(text), .remedy = std::move(remedy), .severity = core::Severity::error};
}

/// Mean number of query heads on one KV head over the models, geometric.
double heads_per_kv_head(const eval::Dataset& dataset) {
  double sum = 0.0;
  for (const eval::Case& item : dataset.cases) {
    if (const domain::Mixer* attention = item.model.attention())
      sum += std::log(static_cast<double>(attention->heads) / attention->kv_heads);
  }
  return std::exp(sum / static_cast<double>(dataset.cases.size()));
}

/// Values of the new GPU move from `scoped`, where fits put them, into its hardware entry, each with its source.
params::Config as_hardware_config(const params::Config& base, const domain::GpuSpec& gpu,
                                  const std::vector<OnboardParameter>& parameters) {
  params::Config config = base;
  for (auto& [id, value] : config.parameters) {
    if (value.source == params::ValueSource::fitted) value.source = params::ValueSource::inherited;
  }
  std::erase_if(config.hardware, [&](const params::HardwareEntry& entry) { return entry.gpu.name == gpu.name; });
  params::HardwareEntry entry{.gpu = gpu, .parameters = {}};
  for (const OnboardParameter& parameter : parameters) {
    params::ParameterValue value{.value = parameter.value, .standard_error = {}, .source = parameter.source};
    const params::FreeParameter& free = parameter.prior.parameter;
    const double transformed = params::to_transformed(free, parameter.value);
    value.standard_error = std::abs(params::derivative_of_inverse(free, transformed)) * parameter.posterior_deviation;
    entry.parameters[free.id] = value;
  }
  config.hardware.push_back(std::move(entry));
  return config;
}

/// One onboarding: what its steps share.
class Onboarder {
 public:
  Onboarder(const calibrate::PreparedStudy& study, const calibrate::OnboardSpec& spec, const domain::GpuSpec& gpu,
            const eval::Dataset& candidates)
      : study_(study), spec_(spec), gpu_(gpu), candidates_(candidates), threads_{study.spec.threads} {}

  /// A step without a fit: `runs` empty. Otherwise the priors after these runs.
  [[nodiscard]] OnboardStep step(std::string name, const std::vector<GpuPrior>& priors, const std::vector<std::size_t>& runs) const {
    OnboardStep step;
    step.name = std::move(name);
    std::vector<params::FreeParameter> free;
    for (const GpuPrior& prior : priors) free.push_back(prior.parameter);
    params::Config config = params::with_values(study_.start, free, centres(free), params::ValueSource::inherited);
    const eval::Dataset seen = study_.dataset.subset(runs);
    if (!runs.empty()) {
      calibrate::StudySpec spec = study_.spec;
      spec.free = free;
      const calibrate::QuickFit fitted = calibrate::fit_quickly(spec, config, seen, threads_);
      step.termination = fitted.termination;
      if (fitted.usable) config = fitted.tuned;
      for (const std::size_t run : runs) step.fitted_runs.push_back(study_.dataset.cases[run].experiment.id);
    }
    const opt::GaussianBelief before = belief_before(priors);
    const opt::GaussianBelief after = runs.empty() ? before : belief_after(before, config, free, seen);
    describe(step, priors, config, before, after);
    step.config = as_hardware_config(study_.start, gpu_, step.parameters);
    step.config.uncertainty = calibrate::uncertainty_of(free, after);
    step.config.uncertainty->held_out_deviation = study_.start.uncertainty->held_out_deviation;
    step.config.uncertainty->held_out_basis = fmt::format("{}: {}", spec_.reference, study_.start.uncertainty->held_out_basis);
    if (!runs.empty()) step.config.domain = eval::calibrated_domain(seen);
    score(step, runs);
    step.next_runs = recommend_runs(spec_.candidates, candidates_, step.config, free, after, study_.spec.objective.noise, threads_);
    return step;
  }

 private:
  static std::vector<double> centres(const std::vector<params::FreeParameter>& free) {
    std::vector<double> values;
    for (const params::FreeParameter& parameter : free) values.push_back(parameter.initial);
    return values;
  }

  /// The reference fit's own covariance, and on top what carries over badly: independent from parameter to parameter.
  [[nodiscard]] opt::GaussianBelief belief_before(const std::vector<GpuPrior>& priors) const {
    const params::FitUncertainty& reference = *study_.start.uncertainty;
    std::vector<std::size_t> indices;
    for (const GpuPrior& prior : priors) {
      for (std::size_t i = 0; i < reference.parameters.size(); ++i) {
        if (reference.parameters[i].id == prior.parameter.id && reference.parameters[i].where.matches_everything())
          indices.push_back(i);
      }
    }
    const std::size_t size = priors.size();
    std::vector<double> covariance(size * size);
    for (std::size_t i = 0; i < size; ++i) {
      for (std::size_t j = 0; j < size; ++j) covariance[i * size + j] = reference.covariance_of(indices[i], indices[j]);
      const double spread = priors[i].parameter.prior->standard_deviation;
      covariance[i * size + i] += spread * spread;
    }
    return opt::GaussianBelief(std::move(covariance));
  }

  [[nodiscard]] opt::GaussianBelief belief_after(const opt::GaussianBelief& before, const params::Config& config,
                                                 const std::vector<params::FreeParameter>& free, const eval::Dataset& seen) const {
    opt::GaussianBelief belief = before;
    const eval::ResidualFunction residuals(seen, config, free, study_.spec.objective, threads_);
    std::vector<double> point;
    for (const params::FreeParameter& parameter : free)
      point.push_back(params::to_transformed(parameter, params::current_value(config, parameter)));
    const eval::Residuals rows = residuals(point, eval::Derivatives::yes);
    if (rows.refusal) return belief;
    const double noise = study_.spec.objective.noise;
    for (std::size_t row = 0; row < residuals.rows().size(); ++row) {
      belief.observe(std::span<const double>(rows.jacobian).subspan(row * free.size(), free.size()), noise * noise);
    }
    return belief;
  }

  static void describe(OnboardStep& step, const std::vector<GpuPrior>& priors, const params::Config& config,
                       const opt::GaussianBelief& before, const opt::GaussianBelief& after) {
    for (std::size_t i = 0; i < priors.size(); ++i) {
      OnboardParameter parameter;
      parameter.prior = priors[i];
      parameter.value = params::current_value(config, priors[i].parameter);
      parameter.prior_deviation = std::sqrt(before.covariance(i, i));
      parameter.posterior_deviation = std::sqrt(after.covariance(i, i));
      parameter.source = !step.fitted_runs.empty() && parameter.is_identified() ? params::ValueSource::fitted : priors[i].source;
      step.parameters.push_back(std::move(parameter));
    }
  }

  void score(OnboardStep& step, const std::vector<std::size_t>& runs) const {
    const eval::EvaluationOptions options{.threads = threads_, .stepping = sim::Stepping::closed_form};
    std::vector<std::size_t> others;
    for (std::size_t i = 0; i < study_.dataset.cases.size(); ++i) {
      if (std::ranges::find(runs, i) == runs.end()) others.push_back(i);
    }
    if (!runs.empty()) step.fitted = eval::evaluate(study_.dataset.subset(runs), step.config, options);
    if (!others.empty()) step.held_out = eval::evaluate(study_.dataset.subset(others), step.config, options);
    step.intervals = calibrate::prediction_intervals(study_.dataset, step.config, {.threads = threads_});
    for (const calibrate::PredictionInterval& interval : step.intervals) {
      for (const eval::Row& row : step.held_out.rows) {
        if (row.experiment != interval.experiment || row.stage != interval.stage || row.metric != interval.metric) continue;
        if (row.stage == domain::kSummaryStage && step.held_out.find(row.experiment, 1, row.metric) != nullptr) continue;
        ++step.coverage.measurements;
        if (row.measured_ms >= interval.lower_ms && row.measured_ms <= interval.upper_ms) ++step.coverage.inside;
      }
    }
  }

  const calibrate::PreparedStudy& study_;
  const calibrate::OnboardSpec& spec_;
  const domain::GpuSpec& gpu_;
  const eval::Dataset& candidates_;
  core::ThreadCount threads_;
};

/// The experiment's errors over a range of block counts around the recorded one.
std::vector<KvBlocksRow> over_kv_blocks(const eval::Dataset& dataset, const params::Config& config, const std::string& id,
                                        core::ThreadCount threads) {
  std::vector<KvBlocksRow> rows;
  for (std::size_t i = 0; i < dataset.cases.size(); ++i) {
    if (dataset.cases[i].experiment.id != id || !dataset.cases[i].experiment.deployment.settings.total_kv_blocks) continue;
    const int recorded = *dataset.cases[i].experiment.deployment.settings.total_kv_blocks;
    for (const double factor : {0.9, 0.91, 0.92, 0.93, 0.94, 0.95, 0.975, 1.0, 1.05, 1.1}) {
      eval::Dataset changed = dataset.subset({i});
      KvBlocksRow row{.experiment = id, .total_kv_blocks = static_cast<int>(std::lround(recorded * factor))};
      row.is_recorded = row.total_kv_blocks == recorded;
      changed.cases.front().experiment.deployment.settings.total_kv_blocks = row.total_kv_blocks;
      const eval::Evaluation evaluation =
          eval::evaluate(changed, config, {.threads = threads, .stepping = sim::Stepping::closed_form});
      const auto error = [&](Metric metric) {
        const eval::Row* found = evaluation.find(id, domain::kSummaryStage, metric);
        return found == nullptr ? std::nan("") : found->error_percent();
      };
      row.ttft_error_percent = error(Metric::ttft_mean);
      row.e2e_error_percent = error(Metric::e2e_mean);
      rows.push_back(row);
    }
  }
  return rows;
}

}  // namespace

std::vector<GpuPrior> datasheet_priors(const params::Config& reference_config, const calibrate::OnboardSpec& spec,
                                       const std::vector<kernels::KernelSummary>& summaries) {
  std::vector<GpuPrior> priors;
  for (const params::FreeParameter& known : shared_parameters(reference_config)) {
    priors.push_back(inherited(reference_config, known, spec, spread_among_others(std::string(known.id.spec().id), summaries, spec)));
  }
  return priors;
}

std::vector<GpuPrior> kernel_priors(const params::Config& reference_config, const calibrate::OnboardSpec& spec,
                                    const std::vector<kernels::KernelSummary>& summaries, const domain::GpuSpec& gpu,
                                    const domain::GpuSpec& reference, double heads_per_kv_head) {
  const kernels::KernelSummary& own = *find(summaries, gpu.name);
  const kernels::KernelSummary& theirs = *find(summaries, reference.name);
  std::vector<GpuPrior> priors = datasheet_priors(reference_config, spec, summaries);
  const auto scale_part = [&](GpuPrior& prior, double ratio, const std::string& basis) {
    const double doubt = (1.0 - kKernelPart) * std::log(ratio);
    scale(prior, std::pow(ratio, kKernelPart), joined(spec.spread, doubt), params::ValueSource::kernel_table, basis);
  };
  for (GpuPrior& prior : priors) {
    const std::string id(prior.parameter.id.spec().id);
    if (const auto ratio = ratio_of(id, own, theirs)) {
      const auto deviation = [&](const kernels::KernelSummary& summary) {
        const auto found = summary.values.find(id);
        return found == summary.values.end() ? spec.spread : found->second.log_deviation;
      };
      scale(prior, *ratio, joined(deviation(own), deviation(theirs)), params::ValueSource::kernel_table, "kernel tables");
    } else if (kLayerOverheads.contains(id) && own.layer_calls_us && theirs.layer_calls_us) {
      scale_part(prior, *own.layer_calls_us / *theirs.layer_calls_us, "half the ratio of a layer's kernel calls");
    } else if (kStreamedOverheads.contains(id)) {
      scale_part(prior, reference.hbm_bandwidth.value / gpu.hbm_bandwidth.value, "half the ratio of bandwidths");
    } else if (id == kMixedKvFactor && spec.query_tile && own.decode_attention_share && own.context_attention_share) {
      // Each query head of a decode fills one row of a tile and pays for all: FLOPs of the tile over the bytes that a decode
      // kernel would stream, 4 tile dh h C / (F e) against 4 dh hk C / (W e').
      const double flops_per_us = gpu.peak_bf16.value * 1e6 * *own.context_attention_share;
      const double bytes_per_us = gpu.hbm_bandwidth.value * 1e6 * *own.decode_attention_share;
      const double factor = std::max(1.0, *spec.query_tile * heads_per_kv_head * bytes_per_us / flops_per_us);
      prior.basis = "computed";
      prior.parameter.initial = 1.0;
      scale(prior, factor, 0.4, params::ValueSource::kernel_table, fmt::format("tiles of {} query rows", *spec.query_tile));
    }
  }
  return priors;
}

core::Result<Onboarding> onboard(const calibrate::PreparedStudy& study, const calibrate::StudyInputs& inputs,
                                 const std::vector<kernels::KernelSummary>& summaries, const OnboardHooks& hooks) {
  calibrate::OnboardSpec spec = *study.spec.onboard;
  core::Diagnostics problems;
  const domain::GpuSpec* gpu = domain::find_gpu(inputs.gpus, spec.gpu);
  const domain::GpuSpec* reference = domain::find_gpu(inputs.gpus, spec.reference);
  std::vector<std::string_view> names;
  for (const domain::GpuSpec& known : inputs.gpus) names.push_back(known.name);
  if (gpu == nullptr) problems.push_back(problem(fmt::format("unknown GPU '{}'", spec.gpu), core::suggest(spec.gpu, names)));
  if (reference == nullptr)
    problems.push_back(problem(fmt::format("unknown GPU '{}'", spec.reference), core::suggest(spec.reference, names)));
  if (!study.start.uncertainty) {
    problems.push_back(problem("the start config does not say how sure it is ('uncertainty')",
                               "start from a config that rooftune fit wrote, best with --held-out"));
  }
  for (const eval::Case& item : study.dataset.cases) {
    if (gpu == nullptr || item.gpu.name == gpu->name) continue;
    problems.push_back(problem(fmt::format("experiment '{}' ran on {}, not on {}", item.experiment.id, item.gpu.name, gpu->name),
                               fmt::format("select hardware: {}", gpu->name)));
  }
  if (!problems.empty()) return tl::unexpected(std::move(problems));
  spec.gpu = gpu->name;
  spec.reference = reference->name;
  const auto candidates = candidate_dataset(study, inputs, spec.candidates, gpu->name);
  if (!candidates) return tl::unexpected(candidates.error());

  const auto tell = [&](const std::string& name) {
    if (hooks.progress) hooks.progress(name);
  };
  const Onboarder onboarder(study, spec, *gpu, *candidates);
  Onboarding result{.gpu = gpu->name, .reference = reference->name, .steps = {}, .kv_blocks = {}};
  const auto add = [&](const std::string& name, const std::vector<GpuPrior>& priors, const std::vector<std::size_t>& runs) {
    tell(name);
    result.steps.push_back(onboarder.step(name, priors, runs));
  };
  std::vector<GpuPrior> priors = datasheet_priors(study.start, spec, summaries);
  add("data sheet", priors, {});
  if (find(summaries, gpu->name) != nullptr && find(summaries, reference->name) != nullptr) {
    priors = kernel_priors(study.start, spec, summaries, *gpu, *reference, heads_per_kv_head(study.dataset));
    add("kernel tables", priors, {});
  }
  const params::Config before_runs = result.steps.back().config;
  const std::size_t runs = study.dataset.cases.size();
  for (std::size_t run = 0; run < runs; ++run) add("run " + study.dataset.cases[run].experiment.id, priors, {run});
  std::vector<std::size_t> sofar{0};
  for (std::size_t run = 1; run < runs; ++run) {
    sofar.push_back(run);
    add(fmt::format("{} runs", sofar.size()), priors, sofar);
  }
  for (const std::string& id : spec.unsure_kv_blocks) {
    const auto rows = over_kv_blocks(study.dataset, before_runs, id, {study.spec.threads});
    result.kv_blocks.insert(result.kv_blocks.end(), rows.begin(), rows.end());
  }
  return result;
}

}  // namespace rooftune::plan
