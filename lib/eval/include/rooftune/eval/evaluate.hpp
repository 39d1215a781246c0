#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "rooftune/core/parallel_map.hpp"
#include "rooftune/domain/experiment.hpp"
#include "rooftune/eval/calibrated_domain.hpp"
#include "rooftune/eval/data_quality.hpp"
#include "rooftune/eval/dataset.hpp"
#include "rooftune/params/config.hpp"

namespace rooftune::eval {

/// One predicted number beside its measurement.
struct Row {
  std::string experiment;
  int stage = domain::kSummaryStage;
  domain::Metric metric = domain::Metric::ttft_mean;
  double predicted_ms = 0.0;
  double measured_ms = 0.0;

  [[nodiscard]] double error_percent() const { return 100.0 * (predicted_ms / measured_ms - 1.0); }
  /// Of the prediction, from another one of the same.
  [[nodiscard]] double change_percent_from(const Row& other) const { return 100.0 * (predicted_ms / other.predicted_ms - 1.0); }
  [[nodiscard]] double ape_percent() const { return error_percent() < 0.0 ? -error_percent() : error_percent(); }
};

/// Absolute percentage errors of one metric over experiments (summary rows).
struct ErrorStatistics {
  double mean_ape_percent = 0.0;
  double median_ape_percent = 0.0;
  double rmse_ape_percent = 0.0;
  int experiments = 0;
};
using MetricErrors = std::map<domain::Metric, ErrorStatistics>;

/// What the simulation did in one experiment, beside its latencies.
struct CaseReport {
  std::string experiment;
  std::string model;
  std::string hardware;
  int tp = 1;
  std::string workload;
  domain::Role role = domain::Role::calibration;
  sim::EngineCounters counters;
  std::vector<double> output_tokens_per_s;  ///< by stage
  bool aggregated = true;                   ///< false for overload experiments: shown, never averaged
};

struct Evaluation {
  std::vector<Row> rows;  ///< by experiment, summary first, then stages; metrics in domain order
  std::vector<CaseReport> cases;
  MetricErrors overall;
  double loss_percent = 0.0;                                      ///< RMSE over experiments of APE(ttft_mean) + RMSE of APE(e2e_mean)
  std::map<std::string, std::map<std::string, MetricErrors>> by;  ///< "model" | "hardware" | "tp" | "workload" -> value -> errors
  std::vector<QualityFinding> findings;  ///< what measured and simulated runs suffer from; each among the warnings as well
  std::vector<std::string> warnings;
  std::vector<std::string> failures;     ///< experiments that could not be predicted, in words; they have no rows
  std::vector<DomainExit> domain_exits;  ///< how predictions leave what the config was calibrated for; also among the warnings
  int replicates = 1;

  [[nodiscard]] const Row* find(const std::string& experiment, int stage, domain::Metric metric) const;
};

struct EvaluationOptions {
  core::ThreadCount threads;
  sim::Stepping stepping = sim::Stepping::closed_form;
  std::int64_t warm_up_requests = 0;  ///< simulated requests of every stage that count in no latency; what was measured stays as it is
};

/// Predicts every experiment of the dataset with the config, in parallel; means over the dataset's replicates.
/// The config's step-time model must support every case (make_dataset has checked).
[[nodiscard]] Evaluation evaluate(const Dataset& dataset, const params::Config& config, const EvaluationOptions& options);

/// Aggregates of given rows; `aggregated` says which experiments count.
void summarise(Evaluation& evaluation);

}  // namespace rooftune::eval
