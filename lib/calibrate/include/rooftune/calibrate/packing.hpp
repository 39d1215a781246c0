#pragma once

#include "rooftune/calibrate/prediction_intervals.hpp"
#include "rooftune/core/packing.hpp"
#include "rooftune/eval/evaluate.hpp"
#include "rooftune/opt/termination.hpp"

// How results travel between processes (core::Packer). Every function takes its type apart as a whole.

namespace rooftune::sim {

template <class Archive, core::ValueOf<EngineCounters> Value>
void fields(Archive& archive, Value& counters) {
  auto& [steps, advances, preemptions, rejected, rejected_by_length, prompt_tokens, cached_tokens, loaded_tokens, generated_tokens,
         largest_batch, longest_queue, busy_us, kv_blocks, least_free_blocks, batch_time_us] = counters;
  archive(steps, advances, preemptions, rejected, rejected_by_length, prompt_tokens, cached_tokens, loaded_tokens, generated_tokens,
          largest_batch, longest_queue, busy_us, kv_blocks, least_free_blocks, batch_time_us);
}

}  // namespace rooftune::sim

namespace rooftune::eval {

template <class Archive, core::ValueOf<Row> Value>
void fields(Archive& archive, Value& row) {
  auto& [experiment, stage, metric, predicted_ms, measured_ms] = row;
  archive(experiment, stage, metric, predicted_ms, measured_ms);
}

template <class Archive, core::ValueOf<CaseReport> Value>
void fields(Archive& archive, Value& report) {
  auto& [experiment, model, hardware, tp, workload, role, counters, output_tokens_per_s, aggregated] = report;
  archive(experiment, model, hardware, tp, workload, role, counters, output_tokens_per_s, aggregated);
}

template <class Archive, core::ValueOf<QualityFinding> Value>
void fields(Archive& archive, Value& finding) {
  auto& [experiment, source, issue, stage, text] = finding;
  archive(experiment, source, issue, stage, text);
}

template <class Archive, core::ValueOf<DomainExit> Value>
void fields(Archive& archive, Value& exit) {
  auto& [field, value, calibrated, side, factor, experiments] = exit;
  archive(field, value, calibrated, side, factor, experiments);
}

template <class Archive, core::ValueOf<Evaluation> Value>
void fields(Archive& archive, Value& evaluation) {
  auto& [rows, cases, overall, loss_percent, by, findings, warnings, failures, domain_exits, replicates] = evaluation;
  archive(rows, cases, findings, warnings, failures, domain_exits, replicates);
  // Aggregates of the rows are taken where they arrive.
  static_cast<void>(loss_percent);
  static_cast<void>(overall);
  static_cast<void>(by);
  if constexpr (!std::is_const_v<Value>) summarise(evaluation);
}

}  // namespace rooftune::eval

namespace rooftune::opt {

template <class Archive, core::ValueOf<Termination> Value>
void fields(Archive& archive, Value& termination) {
  auto& [reason, limit, detail] = termination;
  archive(reason, limit, detail);
}

}  // namespace rooftune::opt

namespace rooftune::calibrate {

template <class Archive, core::ValueOf<HeldOutError> Value>
void fields(Archive& archive, Value& error) {
  auto& [group, experiment, stage, metric, log_error, parameter_deviation, arrival_deviation] = error;
  archive(group, experiment, stage, metric, log_error, parameter_deviation, arrival_deviation);
}

}  // namespace rooftune::calibrate
