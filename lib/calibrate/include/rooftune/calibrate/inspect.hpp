#pragma once

#include <map>
#include <string>
#include <vector>

#include "rooftune/core/parallel_map.hpp"
#include "rooftune/eval/calibrated_domain.hpp"
#include "rooftune/eval/data_quality.hpp"
#include "rooftune/eval/dataset.hpp"
#include "rooftune/latency/step_time.hpp"
#include "rooftune/params/config.hpp"
#include "rooftune/sim/engine.hpp"
#include "rooftune/sim/simulate.hpp"

namespace rooftune::calibrate {

/// Receives every step and every finished request of an inspected simulation.
class InspectionSink {
 public:
  virtual ~InspectionSink() = default;
  virtual void on_step(const sim::StepEvent& /*event*/, const latency::StepBreakdown& /*breakdown*/) {}
  virtual void on_finished(const sim::RequestEvent& /*event*/) {}
  virtual void on_rejected(const sim::RejectionEvent& /*event*/) {}
};

/// The part of the engine's busy time that one term of the step-time model takes.
struct TermTime {
  std::string name;
  double total_us = 0.0;
};

/// Values up to `upper` (above the bin before), and how much of the busy time the engine spent there.
struct HistogramBin {
  double upper = 0.0;
  double time_us = 0.0;
};

/// One simulation seen from inside: what its steps worked on and where their time went.
struct Inspection {
  sim::Prediction<double> prediction;
  sim::EngineSetup setup;
  std::vector<eval::DomainExit> domain_exits;  ///< how this leaves what the config was calibrated for
  std::vector<TermTime> terms;                 ///< in the step-time model's order; need not add up to busy_us
  std::map<std::string, double> bound_us;      ///< busy time by the resource that ruled the step
  double busy_us = 0.0;
  std::vector<HistogramBin> batch_requests;   ///< requests in a step: 1, 2, 4, 8 ...
  std::vector<HistogramBin> kv_use_fraction;  ///< blocks in use of all blocks, in tenths
};

/// One load of a sweep.
struct SweepPoint {
  double rate_per_s = 0.0;
  int concurrency = 0;  ///< clients of a closed loop; 0: arrivals at the rate
  int gpus = 1;         ///< of the whole deployment
  sim::Prediction<double> prediction;
  std::vector<eval::QualityFinding> findings;

  /// Output tokens per second and GPU, and as one user sees them while a reply streams (1 / mean TPOT): the axes on which
  /// deployments are compared. Empty where no request finished, or no reply had a second token.
  [[nodiscard]] double output_tokens_per_s_per_gpu() const { return prediction.summary.output_tokens_per_s / gpus; }
  [[nodiscard]] std::optional<double> output_tokens_per_s_per_user() const;
  /// Share of the prompt tokens that were found in the KV cache when their request was admitted.
  [[nodiscard]] double prefix_hit_fraction() const;
};

/// Simulates every case of the dataset by itself, on an engine of its own: the same workload at several rates or numbers of clients.
[[nodiscard]] std::vector<SweepPoint> sweep(const eval::Dataset& dataset, const params::Config& config, std::int64_t warm_up_requests,
                                            core::ThreadCount threads);

/// Simulates one case step by step. Every sink sees every step, in order of time within each replica. The first
/// `warm_up_requests` of every stage count in no latency.
[[nodiscard]] Inspection inspect(const eval::Case& item, std::size_t replicate, const params::Config& config,
                                 const std::vector<InspectionSink*>& sinks = {}, std::int64_t warm_up_requests = 0);

}  // namespace rooftune::calibrate
