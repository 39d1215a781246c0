#include "rooftune/eval/residuals.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "rooftune/core/derivative.hpp"
#include "rooftune/core/statistics.hpp"
#include "rooftune/core/word.hpp"
#include "rooftune/domain/metrics.hpp"
#include "rooftune/eval/evaluate.hpp"
#include "rooftune/eval/noise.hpp"
#include "rooftune/eval/splits.hpp"

namespace rooftune::eval {
namespace {

using core::Dual;
using core::value_of;
using domain::Metric;

template <class Scalar>
const sim::StagePrediction<Scalar>& predicted_row(const sim::Prediction<Scalar>& prediction, int stage) {
  return stage == domain::kSummaryStage ? prediction.summary : prediction.stages[static_cast<std::size_t>(stage)];
}

/// What forbids simulating this config: a tied value that its formula sends where it has no meaning.
std::optional<std::string> tie_out_of_bounds(const params::Config& config) {
  for (const params::Tie& tie : config.ties) {
    const params::ParameterSpec& spec = tie.id.spec();
    const double value = params::current_value(config, {.id = tie.id, .where = tie.where, .prior = {}});
    if (value >= spec.lower && value <= spec.upper) continue;
    return fmt::format("the tied parameter '{}' would be {} {}, outside {} to {}", spec.id, value, spec.unit, spec.lower, spec.upper);
  }
  return std::nullopt;
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

/// Whether the case takes the value of this scope, in the order of params::resolve: a shared value moves nothing where the model, the
/// GPU or the TP degree has one of its own.
bool decides(const params::Config& config, params::ParameterId id, const params::DeploymentFilter& where, const Case& item) {
  for (auto scoped = config.scoped.rbegin(); scoped != config.scoped.rend(); ++scoped) {
    if (scoped->parameters.contains(id) && scoped->where.matches(item.experiment.deployment, item.gpu)) return scoped->where == where;
  }
  const auto has_own = [&](const params::HardwareEntry& entry) {
    return entry.gpu.name == item.gpu.name && entry.parameters.contains(id);
  };
  return where.matches_everything() && std::ranges::none_of(config.hardware, has_own);
}

}  // namespace

const domain::Latencies& measured_row(const domain::Experiment& experiment, int stage) {
  return stage == domain::kSummaryStage ? experiment.measured.summary : experiment.measured.stages[static_cast<std::size_t>(stage)];
}

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
    if (objective_.balance != Balance::rows) {
      const double rows = static_cast<double>(rows_.size() - first_row_.back());
      for (std::size_t row = first_row_.back(); row < rows_.size(); ++row) {
        rows_[row].weight *= std::sqrt(static_cast<double>(objective_.metrics.size()) / rows);
      }
    }
  }
  first_row_.push_back(rows_.size());
  if (objective_.balance != Balance::rows && objective_.balance != Balance::experiments) balance_groups();
  if (objective_.weigh_by_noise.value_or(false)) weigh_by_noise();
  for (std::size_t i = 0; i < free_.size(); ++i) {
    if (free_[i].prior) priors_.push_back(i);
  }
  differentiable_ =
      !dataset_.external && std::ranges::all_of(objective_.metrics, [](const auto& entry) { return domain::is_mean(entry.first); });
}

/// Experiments weigh the same already. The sum over all stays what it is, so that `noise` keeps its meaning.
void ResidualFunction::balance_groups() {
  const std::string_view field = core::word_of(kBalances, objective_.balance);
  std::map<std::string, double> experiments;
  for (const Case& item : dataset_.cases) experiments[group_of(item, field)] += 1.0;
  const double mean = static_cast<double>(dataset_.cases.size()) / static_cast<double>(experiments.size());
  for (ResidualRow& row : rows_) {
    row.weight *= std::sqrt(mean / experiments.at(group_of(dataset_.cases[row.case_index], field)));
  }
}

/// What the model gets wrong (`noise`), what the run's length leaves open, and what the server does not repeat are independent.
void ResidualFunction::weigh_by_noise() {
  constexpr int kDraws = 8;
  const auto repeats = repeatability(dataset_);
  std::map<RowKey, double> arrivals;
  if (!dataset_.external) arrivals = arrival_deviations(dataset_, config_, kDraws, threads_);
  for (ResidualRow& row : rows_) {
    const domain::Experiment& experiment = dataset_.cases[row.case_index].experiment;
    double variance = objective_.noise * objective_.noise;
    if (const auto found = repeats.find(row.metric); found != repeats.end()) {
      const double deviation = repeated_deviation(found->second);
      variance += deviation * deviation;
    }
    // A run of one stage has its figures as the summary's.
    const int stage = experiment.measured.stages.size() == 1 ? domain::kSummaryStage : row.stage;
    if (const auto found = arrivals.find({experiment.id, stage, row.metric}); found != arrivals.end())
      variance += found->second * found->second;
    row.weight *= objective_.noise / std::sqrt(variance);
  }
}

std::size_t ResidualFunction::size() const { return rows_.size() + priors_.size(); }

params::Config ResidualFunction::config_at(std::span<const double> transformed) const {
  std::vector<double> values(free_.size());
  for (std::size_t i = 0; i < free_.size(); ++i) values[i] = params::from_transformed(free_[i], transformed[i]);
  return params::with_values(config_, free_, values, params::ValueSource::fitted);
}

ResidualFunction::Slopes ResidualFunction::slopes_at(const params::Config& config, std::span<const double> transformed) const {
  Slopes slopes;
  for (std::size_t i = 0; i < free_.size(); ++i) slopes.free.push_back(params::derivative_of_inverse(free_[i], transformed[i]));
  slopes.ties = params::tie_slopes(config, free_);
  for (std::vector<double>& row : slopes.ties) {
    for (std::size_t column = 0; column < free_.size(); ++column) row[column] *= slopes.free[column];
  }
  return slopes;
}

template <class Scalar>
void ResidualFunction::simulate_columns(std::size_t case_index, const params::Config& config, const Slopes* slopes,
                                        std::size_t first_column, CaseRows& rows) const {
  const Case& item = dataset_.cases[case_index];
  const params::Resolved<double> values = params::resolve(config, item.experiment.deployment, item.gpu);
  params::Resolved<Scalar> parameters = values.as<Scalar>();
  if constexpr (core::carries_derivatives<Scalar>) {
    const std::size_t last = std::min(free_.size(), first_column + static_cast<std::size_t>(core::ScalarTraits<Scalar>::width));
    for (std::size_t column = first_column; column < last; ++column) {
      if (!decides(config, free_[column].id, free_[column].where, item)) continue;
      parameters[free_[column].id].v[static_cast<int>(column - first_column)] = slopes->free[column];
    }
    for (std::size_t t = 0; t < config.ties.size(); ++t) {
      if (!decides(config, config.ties[t].id, config.ties[t].where, item)) continue;
      for (std::size_t column = first_column; column < last; ++column) {
        parameters[config.ties[t].id].v[static_cast<int>(column - first_column)] = slopes->ties[t][column];
      }
    }
  }
  const std::size_t first = first_row_[case_index];
  const std::size_t count = rows.values.size();
  std::vector<Scalar> mean_ms(count, Scalar(0.0));
  const double share = 1.0 / static_cast<double>(item.plans.size());
  for (std::size_t replicate = 0; replicate < item.plans.size(); ++replicate) {
    const auto prediction = sim::simulate<Scalar>(config.step_time_model, item.scenario(*item.plan(replicate)), parameters,
                                                  {.stepping = sim::Stepping::closed_form,
                                                   .percentiles = differentiable_ ? sim::Percentiles::skip : sim::Percentiles::compute,
                                                   .observer = nullptr,
                                                   .warm_up_requests = 0,
                                                   .max_events = dataset_.failures->policy().max_events});
    if (prediction.out_of_events) {
      rows.failure = out_of_events(dataset_, item);
      penalise(case_index, rows);
      return;
    }
    for (std::size_t row = 0; row < count; ++row) {
      const ResidualRow& what = rows_[first + row];
      mean_ms[row] += metric_ms(predicted_row(prediction, what.stage), what.metric) * share;
    }
  }
  for (std::size_t row = 0; row < count; ++row) {
    const ResidualRow& what = rows_[first + row];
    const double measured_ms = *measured_row(item.experiment, what.stage)[what.metric];
    const Scalar ratio = mean_ms[row] / measured_ms;
    using std::log;
    const Scalar residual = what.weight * (objective_.residual == ResidualKind::log_ratio ? log(ratio) : ratio - 1.0);
    rows.predicted_ms[row] = value_of(mean_ms[row]);
    rows.values[row] = value_of(residual);
    if constexpr (core::carries_derivatives<Scalar>) {
      const std::size_t width = std::min(free_.size() - first_column, static_cast<std::size_t>(core::ScalarTraits<Scalar>::width));
      for (std::size_t column = 0; column < width; ++column) {
        rows.jacobian[row * free_.size() + first_column + column] = residual.v[static_cast<int>(column)];
      }
    }
  }
}

ResidualFunction::CaseRows ResidualFunction::simulate_case(std::size_t case_index, const params::Config& config,
                                                           const Slopes* slopes) const {
  const std::size_t count = first_row_[case_index + 1] - first_row_[case_index];
  const std::size_t columns = slopes != nullptr ? free_.size() : 0;
  CaseRows rows{.values = std::vector<double>(count),
                .predicted_ms = std::vector<double>(count),
                .jacobian = std::vector<double>(count * columns),
                .failure = {}};
  if (slopes == nullptr) simulate_columns<double>(case_index, config, slopes, 0, rows);
  for (std::size_t first = 0; first < columns && rows.failure.empty();) {
    const std::size_t left = columns - first;
    if (left <= static_cast<std::size_t>(core::kNarrowWidth)) {
      simulate_columns<Dual<core::kNarrowWidth>>(case_index, config, slopes, first, rows);
      first += static_cast<std::size_t>(core::kNarrowWidth);
    } else if (left <= static_cast<std::size_t>(core::kMediumWidth)) {
      simulate_columns<Dual<core::kMediumWidth>>(case_index, config, slopes, first, rows);
      first += static_cast<std::size_t>(core::kMediumWidth);
    } else {
      simulate_columns<Dual<core::kWideWidth>>(case_index, config, slopes, first, rows);
      first += static_cast<std::size_t>(core::kWideWidth);
    }
  }
  return rows;
}

ResidualFunction::CaseRows ResidualFunction::predict_externally(std::size_t case_index, const params::Config& config) const {
  const Case& item = dataset_.cases[case_index];
  const std::size_t first = first_row_[case_index];
  const std::size_t count = first_row_[case_index + 1] - first;
  const double share = 1.0 / static_cast<double>(item.plans.size());
  CaseRows rows{.values = std::vector<double>(count), .predicted_ms = std::vector<double>(count), .jacobian = {}, .failure = {}};
  for (std::size_t replicate = 0; replicate < item.plans.size() && rows.failure.empty(); ++replicate) {
    const ExternalOutcome outcome = dataset_.external->predict(item, dataset_.seed + replicate, config, *dataset_.failures);
    if (!outcome) {
      rows.failure = outcome.error();
      break;
    }
    for (std::size_t row = 0; row < count; ++row) {
      const ResidualRow& what = rows_[first + row];
      const auto predicted = (*outcome)[static_cast<std::size_t>(what.stage) + 1][what.metric];
      if (predicted) {
        rows.predicted_ms[row] += *predicted * share;
      } else {
        rows.failure =
            fmt::format("experiment '{}': the simulator gives no {} of {}", item.experiment.id, domain::metric_name(what.metric),
                        what.stage == domain::kSummaryStage ? "all stages together" : fmt::format("stage {}", what.stage));
      }
    }
  }
  if (!rows.failure.empty()) {
    penalise(case_index, rows);
    return rows;
  }
  for (std::size_t row = 0; row < count; ++row) {
    const ResidualRow& what = rows_[first + row];
    const double ratio = rows.predicted_ms[row] / *measured_row(item.experiment, what.stage)[what.metric];
    const double residual = objective_.residual == ResidualKind::log_ratio ? std::log(ratio) : ratio - 1.0;
    rows.values[row] = what.weight * residual;
  }
  return rows;
}

void ResidualFunction::penalise(std::size_t case_index, CaseRows& rows) const {
  const FailurePolicy& policy = dataset_.failures->policy();
  const double penalty = policy.on_failure == OnFailure::penalise ? policy.penalty : 0.0;
  for (std::size_t row = 0; row < rows.values.size(); ++row) {
    rows.values[row] = rows_[first_row_[case_index] + row].weight * penalty;
  }
  std::ranges::fill(rows.jacobian, 0.0);
}

Residuals ResidualFunction::refuse(std::string reason) const {
  Residuals refused;
  refused.refusal = std::move(reason);
  return refused;
}

Residuals ResidualFunction::operator()(std::span<const double> transformed, Derivatives derivatives, double give_up_above) const {
  const params::Config config = config_at(transformed);
  Residuals result;
  result.refusal = tie_out_of_bounds(config);
  if (result.refusal) return result;
  result.values.assign(size(), 0.0);
  result.predicted_ms.assign(rows_.size(), 0.0);
  const std::size_t columns = free_.size();
  const bool differentiate = derivatives == Derivatives::yes && columns > 0;
  Slopes slopes;
  if (differentiate) {
    slopes = slopes_at(config, transformed);
    result.jacobian.assign(size() * columns, 0.0);
  }
  for (std::size_t k = 0; k < priors_.size(); ++k) {
    const std::size_t i = priors_[k];
    const params::Prior& prior = *free_[i].prior;
    // A prior one standard deviation off costs as much as a residual of the size of the noise.
    const double weight = objective_.noise / prior.standard_deviation;
    result.values[rows_.size() + k] = weight * (transformed[i] - params::to_transformed(free_[i], prior.centre));
    if (differentiate) result.jacobian[(rows_.size() + k) * columns + i] = weight;
  }
  const auto add_squares = [](double sum, std::span<const double> values) {
    for (const double value : values) sum += value * value;
    return sum;
  };
  // Sums in the order in which threads happen to finish differ by rounding; the margin leaves close calls to the exact sum below.
  constexpr double kMargin = 1.0 + 1e-9;
  double so_far = add_squares(0.0, std::span(result.values).subspan(rows_.size()));
  const auto is_hopeless = [&] {
    // External ones to the last experiment: which failures are seen must not depend on the order in which threads finish.
    return !dataset_.external && so_far > give_up_above * kMargin;
  };
  std::optional<std::vector<CaseRows>> cases;
  if (!is_hopeless()) {
    cases = core::parallel_map_watched<CaseRows>(
        dataset_.cases.size(), threads_,
        [&](std::size_t i) {
          return dataset_.external ? predict_externally(i, config) : simulate_case(i, config, differentiate ? &slopes : nullptr);
        },
        [&](const CaseRows& rows) {
          so_far = add_squares(so_far, rows.values);
          return is_hopeless() ? core::Watch::stop : core::Watch::go_on;
        });
  }
  Residuals given_up;
  given_up.given_up = true;
  if (!cases) return given_up;
  std::vector<std::string> failures;
  for (std::size_t i = 0; i < cases->size(); ++i) {
    CaseRows& rows = (*cases)[i];
    const auto first = static_cast<std::ptrdiff_t>(first_row_[i]);
    std::ranges::copy(rows.values, result.values.begin() + first);
    std::ranges::copy(rows.predicted_ms, result.predicted_ms.begin() + first);
    if (differentiate) std::ranges::copy(rows.jacobian, result.jacobian.begin() + first * static_cast<std::ptrdiff_t>(columns));
    if (!rows.failure.empty()) failures.push_back(std::move(rows.failure));
  }
  if (add_squares(0.0, result.values) > give_up_above) return given_up;
  if (!dataset_.external) {
    for (const std::string& failure : failures) dataset_.failures->note(failure);
  }
  // What was stopped has not failed: a penalty for it would be kept, and be wrong.
  const bool is_stopped = dataset_.external && dataset_.external->is_cancelled();
  if (!failures.empty() && (is_stopped || dataset_.failures->policy().on_failure != OnFailure::penalise)) {
    return refuse(failures.front());
  }
  result.failures = std::move(failures);
  const auto finite = [](double x) { return std::isfinite(x); };
  if (!std::ranges::all_of(result.values, finite) || !std::ranges::all_of(result.jacobian, finite)) {
    return refuse("a predicted latency is not a finite positive number at this point");
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
  const params::Config config = config_at(transformed);
  if (tie_out_of_bounds(config)) return std::numeric_limits<double>::infinity();
  const Evaluation evaluation = evaluate(dataset_, config, {.threads = threads_, .stepping = sim::Stepping::closed_form});
  if (!evaluation.failures.empty()) return std::numeric_limits<double>::infinity();
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
