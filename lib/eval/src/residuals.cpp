#include "rooftune/eval/residuals.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "rooftune/core/derivative.hpp"
#include "rooftune/core/statistics.hpp"
#include "rooftune/eval/evaluate.hpp"

namespace rooftune::eval {
namespace {

using core::Dual;
using core::value_of;
using domain::Metric;

bool has_derivative(Metric metric) { return metric == Metric::ttft_mean || metric == Metric::e2e_mean || metric == Metric::tpot_mean; }

const domain::Latencies& measured_row(const domain::Experiment& experiment, int stage) {
  return stage == domain::kSummaryStage ? experiment.measured.summary : experiment.measured.stages[static_cast<std::size_t>(stage)];
}

template <class Scalar>
const sim::StagePrediction<Scalar>& predicted_row(const sim::Prediction<Scalar>& prediction, int stage) {
  return stage == domain::kSummaryStage ? prediction.summary : prediction.stages[static_cast<std::size_t>(stage)];
}

/// The metric in milliseconds, with its derivative where it has one. NaN when no request finished.
template <class Scalar>
Scalar metric_ms(const sim::StagePrediction<Scalar>& stage, Metric metric) {
  switch (metric) {
    case Metric::ttft_mean: return stage.ttft_mean_us * 1e-3;
    case Metric::e2e_mean: return stage.e2e_mean_us * 1e-3;
    case Metric::tpot_mean: return stage.tpot_mean_us * 1e-3;
    default: return Scalar(stage.latencies[metric].value_or(std::numeric_limits<double>::quiet_NaN()));
  }
}

}  // namespace

ResidualFunction::ResidualFunction(const Dataset& dataset, params::Config config, std::vector<params::FreeParameter> free,
                                   const ObjectiveSpec& objective, core::ThreadCount threads)
    : dataset_(dataset), config_(std::move(config)), free_(std::move(free)), objective_(objective), threads_(threads) {
  for (std::size_t i = 0; i < dataset_.cases.size(); ++i) {
    first_row_.push_back(rows_.size());
    const domain::Experiment& experiment = dataset_.cases[i].experiment;
    std::vector<int> stages;
    const bool single = experiment.measured.stages.size() <= 1;  // then the summary equals the stage
    if (objective_.rows != StageRows::stages || experiment.measured.stages.empty()) stages.push_back(domain::kSummaryStage);
    if (objective_.rows == StageRows::stages || (objective_.rows == StageRows::both && !single)) {
      for (std::size_t stage = 0; stage < experiment.measured.stages.size(); ++stage) stages.push_back(static_cast<int>(stage));
    }
    for (const int stage : stages) {
      for (const auto& [metric, weight] : objective_.metrics) {
        if (weight > 0.0 && measured_row(experiment, stage)[metric]) {
          rows_.push_back({.case_index = i, .stage = stage, .metric = metric, .weight = std::sqrt(weight)});
        }
      }
    }
    if (objective_.balance == Balance::experiments) {
      const double rows = static_cast<double>(rows_.size() - first_row_.back());
      for (std::size_t row = first_row_.back(); row < rows_.size(); ++row) {
        rows_[row].weight *= std::sqrt(static_cast<double>(objective_.metrics.size()) / rows);
      }
    }
  }
  first_row_.push_back(rows_.size());
  for (std::size_t i = 0; i < free_.size(); ++i) {
    if (free_[i].prior) priors_.push_back(i);
  }
  differentiable_ = std::ranges::all_of(objective_.metrics, [](const auto& entry) { return has_derivative(entry.first); });
}

std::size_t ResidualFunction::size() const { return rows_.size() + priors_.size(); }

params::Config ResidualFunction::config_at(std::span<const double> transformed) const {
  std::vector<double> values(free_.size());
  for (std::size_t i = 0; i < free_.size(); ++i) values[i] = params::from_transformed(free_[i], transformed[i]);
  return params::with_values(config_, free_, values, params::ValueSource::fitted);
}

template <class Scalar>
void ResidualFunction::evaluate_case(std::size_t case_index, const params::Config& config, std::span<const double> slopes,
                                     std::size_t first_column, Residuals& result) const {
  const Case& item = dataset_.cases[case_index];
  const params::Resolved<double> values = params::resolve(config, item.experiment.deployment, item.gpu);
  params::Resolved<Scalar> parameters = values.as<Scalar>();
  if constexpr (core::carries_derivatives<Scalar>) {
    const std::size_t last = std::min(free_.size(), first_column + static_cast<std::size_t>(core::ScalarTraits<Scalar>::width));
    for (std::size_t column = first_column; column < last; ++column) {
      if (!free_[column].where.matches(item.experiment.deployment, item.gpu)) continue;
      parameters[free_[column].id].v[static_cast<int>(column - first_column)] = slopes[column];
    }
  }
  const std::size_t first = first_row_[case_index];
  const std::size_t last = first_row_[case_index + 1];
  std::vector<Scalar> mean_ms(last - first, Scalar(0.0));
  const double share = 1.0 / static_cast<double>(item.plans.size());
  for (std::size_t replicate = 0; replicate < item.plans.size(); ++replicate) {
    const auto prediction = sim::simulate<Scalar>(config.step_time_model, item.scenario(replicate), parameters,
                                                  {.stepping = sim::Stepping::closed_form,
                                                   .percentiles = differentiable_ ? sim::Percentiles::skip : sim::Percentiles::compute,
                                                   .observer = nullptr});
    for (std::size_t row = first; row < last; ++row) {
      mean_ms[row - first] += metric_ms(predicted_row(prediction, rows_[row].stage), rows_[row].metric) * share;
    }
  }
  for (std::size_t row = first; row < last; ++row) {
    const ResidualRow& what = rows_[row];
    const double measured_ms = *measured_row(item.experiment, what.stage)[what.metric];
    const Scalar ratio = mean_ms[row - first] / measured_ms;
    using std::log;
    const Scalar residual = what.weight * (objective_.residual == ResidualKind::log_ratio ? log(ratio) : ratio - 1.0);
    result.predicted_ms[row] = value_of(mean_ms[row - first]);
    result.values[row] = value_of(residual);
    if constexpr (core::carries_derivatives<Scalar>) {
      const std::size_t width = std::min(free_.size() - first_column, static_cast<std::size_t>(core::ScalarTraits<Scalar>::width));
      for (std::size_t column = 0; column < width; ++column) {
        result.jacobian[row * free_.size() + first_column + column] = residual.v[static_cast<int>(column)];
      }
    }
  }
}

Residuals ResidualFunction::operator()(std::span<const double> transformed, Derivatives derivatives) const {
  const params::Config config = config_at(transformed);
  Residuals result;
  result.values.assign(size(), 0.0);
  result.predicted_ms.assign(rows_.size(), 0.0);
  const std::size_t columns = free_.size();
  const bool differentiate = derivatives == Derivatives::yes && columns > 0;
  std::vector<double> slopes(columns);
  for (std::size_t i = 0; i < columns; ++i) slopes[i] = params::derivative_of_inverse(free_[i], transformed[i]);
  if (differentiate) result.jacobian.assign(size() * columns, 0.0);
  core::parallel_for(dataset_.cases.size(), threads_, [&](std::size_t i) {
    if (!differentiate) {
      evaluate_case<double>(i, config, slopes, 0, result);
      return;
    }
    for (std::size_t first = 0; first < columns;) {
      const std::size_t left = columns - first;
      if (left <= static_cast<std::size_t>(core::kNarrowWidth)) {
        evaluate_case<Dual<core::kNarrowWidth>>(i, config, slopes, first, result);
        first += static_cast<std::size_t>(core::kNarrowWidth);
      } else if (left <= static_cast<std::size_t>(core::kMediumWidth)) {
        evaluate_case<Dual<core::kMediumWidth>>(i, config, slopes, first, result);
        first += static_cast<std::size_t>(core::kMediumWidth);
      } else {
        evaluate_case<Dual<core::kWideWidth>>(i, config, slopes, first, result);
        first += static_cast<std::size_t>(core::kWideWidth);
      }
    }
  });
  for (std::size_t k = 0; k < priors_.size(); ++k) {
    const std::size_t i = priors_[k];
    const params::Prior& prior = *free_[i].prior;
    // A prior one standard deviation off costs as much as a residual of the size of the noise.
    const double weight = objective_.noise / prior.standard_deviation;
    result.values[rows_.size() + k] = weight * (transformed[i] - params::to_transformed(free_[i], prior.centre));
    if (differentiate) result.jacobian[(rows_.size() + k) * columns + i] = weight;
  }
  const auto finite = [](double x) { return std::isfinite(x); };
  if (!std::ranges::all_of(result.values, finite) || !std::ranges::all_of(result.jacobian, finite)) {
    Residuals refused;
    refused.refusal = "a predicted latency is not a finite positive number at this point";
    return refused;
  }
  return result;
}

double ResidualFunction::scalar(std::span<const double> transformed) const {
  if (objective_.scalar == ScalarObjective::sum_of_squares) {
    const Residuals residuals = (*this)(transformed, Derivatives::no);
    if (residuals.refusal) return std::numeric_limits<double>::infinity();
    double sum = 0.0;
    for (const double value : residuals.values) sum += value * value;
    return sum;
  }
  const Evaluation evaluation =
      evaluate(dataset_, config_at(transformed), {.threads = threads_, .stepping = sim::Stepping::closed_form});
  double sum = 0.0;
  double worst = 0.0;
  for (const auto& [metric, weight] : objective_.metrics) {
    const auto found = evaluation.overall.find(metric);
    if (found == evaluation.overall.end()) continue;
    const ErrorStatistics& errors = found->second;
    sum += weight * (objective_.scalar == ScalarObjective::rmse_ape_sum ? errors.rmse_ape_percent : errors.mean_ape_percent);
    for (const auto& [model, by_metric] : evaluation.by.at("model")) worst = std::max(worst, by_metric.at(metric).mean_ape_percent);
  }
  return objective_.scalar == ScalarObjective::worst_group ? worst : sum;
}

}  // namespace rooftune::eval
