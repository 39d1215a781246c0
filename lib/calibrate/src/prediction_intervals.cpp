#include "rooftune/calibrate/prediction_intervals.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "rooftune/calibrate/posterior.hpp"
#include "rooftune/core/distributions.hpp"
#include "rooftune/core/statistics.hpp"
#include "rooftune/domain/metrics.hpp"
#include "rooftune/eval/evaluate.hpp"
#include "rooftune/eval/noise.hpp"

namespace rooftune::calibrate {
namespace {

using domain::Metric;
using eval::RowKey;

/// Standard deviations to either side of a mean that hold a share of `level` of a normal distribution.
double half_width(double level) { return core::normal_quantile(0.5 + 0.5 * level); }

RowKey key_of(const eval::Row& row) { return {row.experiment, row.stage, row.metric}; }

double squared(double x) { return x * x; }

/// Mean over groups of the mean of squared standardised errors, less 1: positive when `variance` is too small.
double excess(std::span<const HeldOutError> errors, Metric metric, double variance) {
  std::map<std::string, std::pair<double, int>> groups;
  for (const HeldOutError& error : errors) {
    if (error.metric != metric) continue;
    auto& [sum, count] = groups[error.group];
    sum += squared(error.log_error) / (squared(error.parameter_deviation) + squared(error.arrival_deviation) + variance);
    ++count;
  }
  double mean = 0.0;
  for (const auto& [group, sum_and_count] : groups) mean += sum_and_count.first / sum_and_count.second / double(groups.size());
  return mean - 1.0;
}

}  // namespace

double PredictionInterval::deviation() const {
  return std::sqrt(squared(parameter_deviation) + squared(structural_deviation.value_or(0.0)) + squared(arrival_deviation));
}

PredictionInterval with_bounds(PredictionInterval interval, double level) {
  const double factor = std::exp(half_width(level) * interval.deviation());
  interval.lower_ms = interval.predicted_ms / factor;
  interval.upper_ms = interval.predicted_ms * factor;
  return interval;
}

std::vector<PredictionInterval> prediction_intervals(const eval::Dataset& dataset, const params::Config& config,
                                                     const IntervalOptions& options) {
  std::vector<PredictionInterval> intervals;
  if (!config.uncertainty) return intervals;
  const eval::Dataset unit = with_unit_measurements(dataset);
  const opt::GaussianBelief belief = belief_of(*config.uncertainty);
  std::map<RowKey, double> parameter_deviations;
  const auto free = free_parameters(config, *config.uncertainty);
  for (const Sensitivity& sensitivity : sensitivities(dataset, config, free, options.threads)) {
    const std::string& id = dataset.cases[sensitivity.case_index].experiment.id;
    parameter_deviations[{id, sensitivity.stage, sensitivity.metric}] = std::sqrt(belief.variance_along(sensitivity.row));
  }
  const std::map<RowKey, double> arrivals = eval::arrival_deviations(unit, config, options.arrival_draws, options.threads);
  std::map<std::string, std::size_t> stages;
  for (const eval::Case& item : dataset.cases) stages[item.experiment.id] = item.experiment.workload.stages.size();

  const eval::Evaluation evaluation =
      eval::evaluate(unit, config, {.threads = options.threads, .stepping = sim::Stepping::closed_form});
  for (const eval::Row& row : evaluation.rows) {
    if (row.stage != domain::kSummaryStage && stages.at(row.experiment) == 1) continue;
    PredictionInterval interval{
        .experiment = row.experiment, .stage = row.stage, .metric = row.metric, .predicted_ms = row.predicted_ms};
    const auto parameter = parameter_deviations.find({row.experiment, row.stage, domain::mean_of(row.metric)});
    if (parameter != parameter_deviations.end()) interval.parameter_deviation = parameter->second;
    const auto structural = config.uncertainty->held_out_deviation.find(row.metric);
    if (structural != config.uncertainty->held_out_deviation.end()) interval.structural_deviation = structural->second;
    const auto arrival = arrivals.find(key_of(row));
    if (arrival != arrivals.end()) interval.arrival_deviation = arrival->second;
    intervals.push_back(with_bounds(interval, options.level));
  }
  return intervals;
}

std::vector<HeldOutError> held_out_errors(const std::string& group, const eval::Dataset& dataset, const params::Config& config,
                                          const IntervalOptions& options) {
  std::vector<HeldOutError> errors;
  for (const PredictionInterval& interval : prediction_intervals(dataset, config, options)) {
    const auto item = std::ranges::find(dataset.cases, interval.experiment, [](const eval::Case& one) { return one.experiment.id; });
    const domain::Measurement& measured = item->experiment.measured;
    // A pooled row repeats what its stages say.
    const bool is_summary = interval.stage == domain::kSummaryStage;
    if (is_summary && measured.stages.size() > 1) continue;
    if (!is_summary && static_cast<std::size_t>(interval.stage) >= measured.stages.size()) continue;
    const domain::Latencies& row = is_summary ? measured.summary : measured.stages[static_cast<std::size_t>(interval.stage)];
    const auto measured_ms = row[interval.metric];
    if (!measured_ms || interval.predicted_ms <= 0.0) continue;
    errors.push_back({.group = group,
                      .experiment = interval.experiment,
                      .stage = interval.stage,
                      .metric = interval.metric,
                      .log_error = std::log(*measured_ms / interval.predicted_ms),
                      .parameter_deviation = interval.parameter_deviation,
                      .arrival_deviation = interval.arrival_deviation});
  }
  return errors;
}

std::map<Metric, double> structural_deviation(std::span<const HeldOutError> errors) {
  std::map<Metric, double> result;
  for (const HeldOutError& error : errors) result[error.metric] = 0.0;
  for (auto& [metric, deviation] : result) {
    constexpr double kTiny = 1e-12;  // keeps rows without any known variance finite
    if (excess(errors, metric, kTiny) <= 0.0) continue;
    double low = kTiny;
    double high = 1.0;
    while (excess(errors, metric, high) > 0.0) high *= 2.0;
    for (int i = 0; i < 60; ++i) {
      const double middle = std::sqrt(low * high);
      (excess(errors, metric, middle) > 0.0 ? low : high) = middle;
    }
    deviation = std::sqrt(high);
  }
  return result;
}

std::map<Metric, Coverage> interval_coverage(std::span<const HeldOutError> errors, double level) {
  std::map<Metric, Coverage> coverage;
  std::set<std::string> groups;
  for (const HeldOutError& error : errors) groups.insert(error.group);
  if (groups.size() < 2) return coverage;  // nothing else to learn the structural part from
  const double quantile = half_width(level);
  for (const std::string& group : groups) {
    std::vector<HeldOutError> others;
    std::ranges::copy_if(errors, std::back_inserter(others), [&](const HeldOutError& error) { return error.group != group; });
    const std::map<Metric, double> structural = structural_deviation(others);
    for (const HeldOutError& error : errors) {
      const auto found = structural.find(error.metric);
      if (error.group != group || found == structural.end()) continue;
      const double deviation =
          std::sqrt(squared(error.parameter_deviation) + squared(error.arrival_deviation) + squared(found->second));
      Coverage& counts = coverage[error.metric];
      ++counts.measurements;
      if (std::abs(error.log_error) <= quantile * deviation) ++counts.inside;
    }
  }
  return coverage;
}

}  // namespace rooftune::calibrate
