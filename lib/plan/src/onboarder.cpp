#include "onboarder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "rooftune/calibrate/fit.hpp"
#include "rooftune/calibrate/posterior.hpp"
#include "rooftune/eval/calibrated_domain.hpp"

namespace rooftune::plan {
namespace {

opt::BoundState bound_of(const params::FreeParameter& parameter, double value) {
  constexpr double kNear = 1e-6;  // of the value
  if (value <= parameter.lower * (1.0 + kNear)) return opt::BoundState::at_lower;
  if (value >= parameter.upper * (1.0 - kNear)) return opt::BoundState::at_upper;
  return opt::BoundState::free;
}

/// What is known of the GPU's kernels without any measurement.
params::Config with_gpu_facts(const params::Config& start, const calibrate::OnboardSpec& spec, const domain::GpuSpec& gpu) {
  params::Config config = start;
  if (!spec.query_tile) return config;
  auto entry = std::ranges::find_if(config.hardware, [&](const params::HardwareEntry& one) { return one.gpu.name == gpu.name; });
  if (entry == config.hardware.end()) entry = config.hardware.insert(entry, params::HardwareEntry{.gpu = gpu, .parameters = {}});
  entry->parameters[params::parameter("physics.mixed_query_rows")] = {
      .value = static_cast<double>(*spec.query_tile), .standard_error = {}, .source = params::ValueSource::given};
  return config;
}

std::vector<double> centres(const std::vector<params::FreeParameter>& free) {
  std::vector<double> values;
  for (const params::FreeParameter& parameter : free) values.push_back(parameter.initial);
  return values;
}

/// Values of the new GPU move from `scoped`, where fits put them, into its hardware entry, each with its source.
params::Config as_hardware_config(const params::Config& base, const domain::GpuSpec& gpu,
                                  const std::vector<OnboardParameter>& parameters) {
  params::Config config = base;
  for (auto& [id, value] : config.parameters) {
    if (value.source == params::ValueSource::fitted) value.source = params::ValueSource::inherited;
  }
  params::HardwareEntry entry{.gpu = gpu, .parameters = {}};
  for (const params::HardwareEntry& known : config.hardware) {
    if (known.gpu.name == gpu.name) entry.parameters = known.parameters;
  }
  std::erase_if(config.hardware, [&](const params::HardwareEntry& known) { return known.gpu.name == gpu.name; });
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

void describe(OnboardStep& step, const std::vector<GpuPrior>& priors, const params::Config& config, const opt::GaussianBelief& before,
              const opt::GaussianBelief& after) {
  for (std::size_t i = 0; i < priors.size(); ++i) {
    OnboardParameter parameter;
    parameter.prior = priors[i];
    parameter.value = params::current_value(config, priors[i].parameter);
    parameter.prior_deviation = std::sqrt(before.covariance(i, i));
    parameter.posterior_deviation = std::sqrt(after.covariance(i, i));
    parameter.bound = bound_of(parameter.prior.parameter, parameter.value);
    parameter.source = !step.fitted_runs.empty() && parameter.is_identified() ? params::ValueSource::fitted : priors[i].source;
    step.parameters.push_back(std::move(parameter));
  }
}

}  // namespace

Onboarder::Onboarder(const calibrate::PreparedStudy& study, const calibrate::OnboardSpec& spec, const domain::GpuSpec& gpu,
                     const calibrate::StoreUse& store, std::stop_token cancel)
    : study_(study),
      spec_(spec),
      gpu_(gpu),
      threads_{study.spec.threads},
      start_(with_gpu_facts(study.start, spec, gpu)),
      store_(store),
      cancel_(std::move(cancel)) {}

OnboardStep Onboarder::learn(std::string name, const std::vector<GpuPrior>& priors, const eval::Dataset& dataset,
                             const std::vector<std::size_t>& runs) const {
  OnboardStep step;
  step.name = std::move(name);
  std::vector<params::FreeParameter> free;
  for (const GpuPrior& prior : priors) free.push_back(prior.parameter);
  params::Config config = params::with_values(start_, free, centres(free), params::ValueSource::inherited);
  eval::Dataset seen = dataset.subset(runs);
  if (!runs.empty()) {
    step.left_out = leave_out_queues(seen, config, free);
    calibrate::StudySpec spec = study_.spec;
    spec.free = free;
    calibrate::FitHooks hooks;
    hooks.store = store_;
    hooks.cancel = cancel_;
    const calibrate::QuickFit fitted = calibrate::fit_quickly(spec, config, seen, threads_, hooks);
    step.termination = fitted.termination;
    if (fitted.usable) config = fitted.tuned;
    for (const std::size_t run : runs) step.fitted_runs.push_back(dataset.cases[run].experiment.id);
  }
  const opt::GaussianBelief before = belief_before(priors);
  const opt::GaussianBelief after = runs.empty() ? before : belief_after(before, config, free, seen);
  describe(step, priors, config, before, after);
  step.config = as_hardware_config(start_, gpu_, step.parameters);
  step.config.uncertainty = calibrate::uncertainty_of(free, after);
  step.config.uncertainty->held_out_deviation = study_.start.uncertainty->held_out_deviation;
  step.config.uncertainty->held_out_basis = fmt::format("{}: {}", spec_.reference, study_.start.uncertainty->held_out_basis);
  if (!runs.empty()) step.config.domain = eval::calibrated_domain(seen);
  return step;
}

std::vector<LeftOutRow> Onboarder::leave_out_queues(eval::Dataset& seen, const params::Config& config,
                                                    const std::vector<params::FreeParameter>& free) const {
  std::vector<LeftOutRow> left_out;
  for (const calibrate::Sensitivity& row : calibrate::sensitivities(seen, config, free, threads_)) {
    double amplification = 0.0;
    for (std::size_t i = 0; i < free.size(); ++i) {
      if (!is_exponent(free[i])) amplification += std::abs(row.row[i]);
    }
    if (amplification <= kMostAmplified) continue;
    domain::Experiment& experiment = seen.cases[row.case_index].experiment;
    const bool is_summary = row.stage == domain::kSummaryStage;
    if (!is_summary && static_cast<std::size_t>(row.stage) >= experiment.measured.stages.size()) continue;
    domain::Latencies& measured =
        is_summary ? experiment.measured.summary : experiment.measured.stages[static_cast<std::size_t>(row.stage)];
    if (!measured[row.metric]) continue;
    measured[row.metric].reset();
    if (is_summary && experiment.measured.stages.size() == 1) experiment.measured.stages.front()[row.metric].reset();
    // A pooled row repeats what its stages say, unless it is what the fit would have seen.
    if (is_summary && experiment.measured.stages.size() > 1 && study_.spec.objective.rows == eval::StageRows::stages) continue;
    left_out.push_back({experiment.id, row.stage, row.metric, amplification});
  }
  return left_out;
}

opt::GaussianBelief Onboarder::belief_before(const std::vector<GpuPrior>& priors) const {
  const params::FitUncertainty& reference = *study_.start.uncertainty;
  std::vector<std::size_t> indices;
  for (const GpuPrior& prior : priors) {
    for (std::size_t i = 0; i < reference.parameters.size(); ++i) {
      if (reference.parameters[i].id == prior.parameter.id && is_shared(reference.parameters[i].where, spec_.reference))
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

opt::GaussianBelief Onboarder::belief_after(const opt::GaussianBelief& before, const params::Config& config,
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

void Onboarder::score(OnboardStep& step, const eval::Dataset& dataset, const std::vector<std::size_t>& runs) const {
  const eval::EvaluationOptions options{.threads = threads_, .stepping = sim::Stepping::closed_form};
  std::vector<std::size_t> others;
  for (std::size_t i = 0; i < dataset.cases.size(); ++i) {
    if (std::ranges::find(runs, i) == runs.end()) others.push_back(i);
  }
  if (!runs.empty()) step.fitted = eval::evaluate(dataset.subset(runs), step.config, options);
  if (!others.empty()) step.held_out = eval::evaluate(dataset.subset(others), step.config, options);
  step.intervals = calibrate::prediction_intervals(dataset, step.config, {.threads = threads_});
  for (const JudgedInterval& judged : held_out_intervals(step)) {
    if (!judged.interval->is_determined()) {
      ++step.undetermined;
      continue;
    }
    ++step.coverage.measurements;
    if (judged.is_inside()) ++step.coverage.inside;
  }
}

}  // namespace rooftune::plan
