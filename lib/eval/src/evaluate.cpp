#include "rooftune/eval/evaluate.hpp"

#include <fmt/format.h>

#include <cmath>

#include "rooftune/core/statistics.hpp"

namespace rooftune::eval {
namespace {

using domain::Metric;

/// Predictions of one case, averaged over its replicates; index 0 is the summary, then the stages.
struct CasePrediction {
  std::vector<domain::Latencies> latencies;
  CaseReport report;
  std::vector<QualityFinding> findings;
  std::vector<std::string> warnings;
  std::vector<DomainExit> domain_exits;
  std::string failure;  ///< why there are no latencies, or empty
};

void accumulate(domain::Latencies& sum, const domain::Latencies& part) {
  for (const Metric metric : domain::kMetrics) {
    if (const auto value = part[metric]) sum[metric] = sum[metric].value_or(0.0) + *value;
  }
}

void scale(domain::Latencies& latencies, double factor) {
  for (const Metric metric : domain::kMetrics) {
    if (auto& value = latencies[metric]) *value *= factor;
  }
}

/// How far measured kernels covered what the step-time model asked for.
std::vector<std::string> lookup_warnings(const Case& item, const sim::Prediction<double>& prediction) {
  std::vector<std::string> warnings;
  const auto& id = item.experiment.id;
  const auto warn = [&](std::string text) { warnings.push_back(fmt::format("experiment '{}': {}", id, text)); };
  if (prediction.lookups) {
    const std::uint64_t nearest = prediction.lookups->count(kernels::LookupEvent::nearest_shape);
    const std::uint64_t below = prediction.lookups->count(kernels::LookupEvent::below_table);
    const std::uint64_t above = prediction.lookups->count(kernels::LookupEvent::above_table);
    const std::uint64_t without = prediction.lookups->count(kernels::LookupEvent::no_table);
    if (nearest + below + above + without > 0) {
      std::uint64_t all = 0;
      for (std::size_t event = 0; event < kernels::kLookupEventCount; ++event) {
        if (event != static_cast<std::size_t>(kernels::LookupEvent::nearest_shape)) {
          all += prediction.lookups->count(static_cast<kernels::LookupEvent>(event));
        }
      }
      const std::string no_table =
          without > 0 ? fmt::format("; {} had no table and stand for the data sheet at what other kernels reach", without) : "";
      warn(fmt::format(
          "of {} kernel lookups {} were scaled from the nearest measured shape, {} lie below their table and {} above it{}", all,
          nearest, below, above, no_table));
    }
  }
  return warnings;
}

/// The part of a report that does not depend on the prediction.
CaseReport report_of(const Case& item) {
  const domain::Experiment& experiment = item.experiment;
  CaseReport report;
  report.experiment = experiment.id;
  report.model = item.model.name;
  report.hardware = item.gpu.name;
  report.tp = experiment.deployment.tp;
  report.workload = experiment.workload.name;
  report.role = experiment.role;
  report.aggregated = experiment.role != domain::Role::overload;
  return report;
}

CasePrediction failed(const Case& item, std::string failure) {
  CasePrediction result;
  result.report = report_of(item);
  result.failure = std::move(failure);
  return result;
}

CasePrediction predict_externally(const Dataset& dataset, const Case& item, const params::Config& config) {
  CasePrediction result;
  result.latencies.resize(item.experiment.workload.stages.size() + 1);
  result.report = report_of(item);
  for (std::size_t replicate = 0; replicate < item.plans.size(); ++replicate) {
    const ExternalOutcome outcome = dataset.external->predict(item, dataset.seed + replicate, config, *dataset.failures);
    if (!outcome) return failed(item, outcome.error());
    for (std::size_t row = 0; row < outcome->size(); ++row) accumulate(result.latencies[row], (*outcome)[row]);
  }
  for (auto& latencies : result.latencies) scale(latencies, 1.0 / static_cast<double>(item.plans.size()));
  const std::vector<domain::Latencies> stages(result.latencies.begin() + 1, result.latencies.end());
  result.domain_exits = domain_exits(config.domain, item, stages);
  result.findings = measured_quality(item.experiment);
  return result;
}

CasePrediction predict(const Dataset& dataset, const Case& item, const params::Config& config, const EvaluationOptions& options) {
  const params::Resolved<double> parameters = params::resolve(config, item.experiment.deployment, item.gpu);
  CasePrediction result;
  result.report = report_of(item);
  result.latencies.resize(item.experiment.workload.stages.size() + 1);
  for (std::size_t replicate = 0; replicate < item.plans.size(); ++replicate) {
    const sim::Prediction<double> prediction =
        sim::simulate<double>(config.step_time_model, item.scenario(*item.plan(replicate)), parameters,
                              {.stepping = options.stepping,
                               .percentiles = sim::Percentiles::compute,
                               .observer = nullptr,
                               .warm_up_requests = options.warm_up_requests,
                               .max_events = dataset.failures->policy().max_events});
    if (prediction.out_of_events) {
      dataset.failures->note(out_of_events(dataset, item));
      return failed(item, out_of_events(dataset, item));
    }
    accumulate(result.latencies[0], prediction.summary.latencies);
    for (std::size_t stage = 0; stage < prediction.stages.size(); ++stage) {
      accumulate(result.latencies[stage + 1], prediction.stages[stage].latencies);
      if (replicate == 0) result.report.output_tokens_per_s.push_back(prediction.stages[stage].output_tokens_per_s);
    }
    if (replicate == 0) {
      result.report.counters = prediction.counters;
      result.warnings = lookup_warnings(item, prediction);
      result.findings = measured_quality(item.experiment);
      for (QualityFinding& finding : simulated_quality(item.experiment, prediction)) result.findings.push_back(std::move(finding));
    }
  }
  for (auto& latencies : result.latencies) scale(latencies, 1.0 / static_cast<double>(item.plans.size()));
  const std::vector<domain::Latencies> stages(result.latencies.begin() + 1, result.latencies.end());
  result.domain_exits = domain_exits(config.domain, item, stages);
  return result;
}

void append_rows(std::vector<Row>& rows, const domain::Experiment& experiment, int stage, const domain::Latencies& predicted,
                 const domain::Latencies& measured) {
  for (const Metric metric : domain::kMetrics) {
    if (!predicted[metric] || !measured[metric]) continue;
    rows.push_back({.experiment = experiment.id,
                    .stage = stage,
                    .metric = metric,
                    .predicted_ms = *predicted[metric],
                    .measured_ms = *measured[metric]});
  }
}

MetricErrors statistics(const std::map<Metric, std::vector<double>>& apes) {
  MetricErrors errors;
  for (const auto& [metric, values] : apes) {
    errors[metric] = {.mean_ape_percent = core::mean(values),
                      .median_ape_percent = core::median(values),
                      .rmse_ape_percent = core::root_mean_square(values),
                      .experiments = static_cast<int>(values.size())};
  }
  return errors;
}

}  // namespace

const Row* Evaluation::find(const std::string& experiment, int stage, Metric metric) const {
  for (const Row& row : rows) {
    if (row.stage == stage && row.metric == metric && row.experiment == experiment) return &row;
  }
  return nullptr;
}

void summarise(Evaluation& evaluation) {
  std::map<std::string, const CaseReport*> reports;
  for (const CaseReport& report : evaluation.cases) reports[report.experiment] = &report;
  std::map<Metric, std::vector<double>> overall;
  std::map<std::string, std::map<std::string, std::map<Metric, std::vector<double>>>> by;
  for (const Row& row : evaluation.rows) {
    const CaseReport& report = *reports.at(row.experiment);
    if (row.stage != domain::kSummaryStage || !report.aggregated) continue;
    const double ape = row.ape_percent();
    overall[row.metric].push_back(ape);
    by["model"][report.model][row.metric].push_back(ape);
    by["hardware"][report.hardware][row.metric].push_back(ape);
    by["tp"][std::to_string(report.tp)][row.metric].push_back(ape);
    by["workload"][report.workload][row.metric].push_back(ape);
  }
  evaluation.overall = statistics(overall);
  evaluation.by.clear();
  for (const auto& [field, groups] : by) {
    for (const auto& [value, apes] : groups) evaluation.by[field][value] = statistics(apes);
  }
  evaluation.loss_percent = 0.0;
  for (const Metric metric : {Metric::ttft_mean, Metric::e2e_mean}) {
    const auto found = evaluation.overall.find(metric);
    if (found != evaluation.overall.end()) evaluation.loss_percent += found->second.rmse_ape_percent;
  }
}

Evaluation evaluate(const Dataset& dataset, const params::Config& config, const EvaluationOptions& options) {
  auto predictions = core::parallel_map<CasePrediction>(dataset.cases.size(), options.threads, [&](std::size_t i) {
    return dataset.external ? predict_externally(dataset, dataset.cases[i], config)
                            : predict(dataset, dataset.cases[i], config, options);
  });
  Evaluation evaluation;
  evaluation.replicates = dataset.replicates;
  for (const core::Diagnostic& warning : dataset.warnings) evaluation.warnings.push_back(core::format(warning));
  for (std::size_t i = 0; i < dataset.cases.size(); ++i) {
    const domain::Experiment& experiment = dataset.cases[i].experiment;
    if (!predictions[i].failure.empty()) {
      evaluation.failures.push_back(std::move(predictions[i].failure));
      continue;
    }
    append_rows(evaluation.rows, experiment, domain::kSummaryStage, predictions[i].latencies[0], experiment.measured.summary);
    for (std::size_t stage = 0; stage < experiment.measured.stages.size() && stage + 1 < predictions[i].latencies.size(); ++stage) {
      append_rows(evaluation.rows, experiment, static_cast<int>(stage), predictions[i].latencies[stage + 1],
                  experiment.measured.stages[stage]);
    }
    evaluation.cases.push_back(std::move(predictions[i].report));
    for (QualityFinding& finding : predictions[i].findings) {
      evaluation.warnings.push_back(format(finding));
      evaluation.findings.push_back(std::move(finding));
    }
    for (std::string& warning : predictions[i].warnings) evaluation.warnings.push_back(std::move(warning));
    merge(evaluation.domain_exits, predictions[i].domain_exits);
  }
  for (const DomainExit& exit : evaluation.domain_exits) evaluation.warnings.push_back(format(exit));
  summarise(evaluation);
  return evaluation;
}

}  // namespace rooftune::eval
