#include "rooftune/eval/data_quality.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace rooftune::eval {
namespace {

using domain::Latencies;
using domain::Metric;

/// Largest relative violation of E2E = TTFT + (N - 1) x TPOT that rounding of published figures explains.
constexpr double kMeasuredIdentity = 0.02;
/// The simulation keeps it exactly, up to rounding.
constexpr double kSimulatedIdentity = 1e-6;
/// Preempted requests, as a share, that a run at its ease does not have.
constexpr double kFewPreemptions = 0.01;
/// A pool with less than this share free is full: new requests wait.
constexpr double kFullPoolFree = 0.01;

class Findings {
 public:
  Findings(std::string_view experiment, RunSource source) : experiment_(experiment), source_(source) {}
  void add(QualityIssue issue, int stage, std::string text) {
    found_.push_back({.experiment = experiment_, .source = source_, .issue = issue, .stage = stage, .text = std::move(text)});
  }
  [[nodiscard]] std::vector<QualityFinding> take() { return std::move(found_); }

 private:
  std::string experiment_;
  RunSource source_;
  std::vector<QualityFinding> found_;
};

/// Every output has as many tokens; else the identity does not hold for means.
bool has_fixed_outputs(const domain::Workload& workload) {
  const domain::LengthDistribution& output = workload.output;
  const bool varies =
      output.shape == domain::LengthShape::uniform ? output.min_tokens < output.max_tokens : output.standard_deviation_tokens > 0.0;
  return !varies && workload.trace.empty() && output.mean_tokens > 1.0;
}

void check_identity(const domain::Workload& workload, const Latencies& latencies, int stage, double tolerance, Findings& findings) {
  const auto ttft = latencies[Metric::ttft_mean];
  const auto e2e = latencies[Metric::e2e_mean];
  const auto tpot = latencies[Metric::tpot_mean];
  if (ttft && e2e && tpot && has_fixed_outputs(workload)) {
    const double expected_ms = *ttft + (workload.output.mean_tokens - 1.0) * *tpot;
    if (std::abs(expected_ms / *e2e - 1.0) > tolerance) {
      findings.add(QualityIssue::identity, stage,
                   fmt::format("TTFT + (N - 1) x TPOT is {:.1f} ms with N = {:.0f}, E2E is {:.1f} ms", expected_ms,
                               workload.output.mean_tokens, *e2e));
    }
  }
  const auto ordered = [&](Metric low, Metric high) {
    if (!latencies[low] || !latencies[high] || *latencies[low] <= *latencies[high] * (1.0 + 1e-9)) return;
    findings.add(QualityIssue::identity, stage,
                 fmt::format("{} ({:.1f}) exceeds {} ({:.1f})", domain::metric_name(low), *latencies[low], domain::metric_name(high),
                             *latencies[high]));
  };
  ordered(Metric::ttft_mean, Metric::e2e_mean);
  ordered(Metric::ttft_p90, Metric::ttft_p99);
  ordered(Metric::e2e_p90, Metric::e2e_p99);
  ordered(Metric::ttft_p99, Metric::e2e_p99);
}

/// Blocks that so many requests hold at least: their own outputs, half done on average, and as many prompts as differ.
double least_blocks(const domain::Workload& workload, double in_flight, int block_tokens) {
  const bool cycled = workload.pattern == domain::PromptPattern::cycled && workload.distinct_prompts > 0;
  const double prompts = cycled ? std::min<double>(in_flight, workload.distinct_prompts) : in_flight;
  const double prompt_tokens = cycled ? workload.prompt.mean_tokens : workload.prompt.mean_tokens - workload.system_prompt_tokens;
  return (in_flight * 0.5 * workload.output.mean_tokens + prompts * std::max(0.0, prompt_tokens)) / block_tokens;
}

void check_measured_stage(const domain::Experiment& experiment, std::size_t index, Findings& findings) {
  const domain::Stage& stage = experiment.workload.stages[index];
  const Latencies& latencies = experiment.measured.stages[index];
  const domain::EngineSettings& settings = experiment.deployment.settings;
  const auto e2e = latencies[Metric::e2e_mean];
  if (!e2e || experiment.workload.arrival.process == domain::ArrivalProcess::closed_loop) return;
  // Little's law: requests in flight = rate x time in the system.
  const double in_flight = stage.rate.value * *e2e * 1e-3;
  const double seats = static_cast<double>(settings.max_num_seqs) * domain::schedulers(experiment.deployment);
  if (in_flight > seats) {
    findings.add(
        QualityIssue::saturation, static_cast<int>(index),
        fmt::format("{:.0f} requests are in flight on average (rate x E2E), the engine seats {:.0f} (max_num_seqs): a queue grew",
                    in_flight, seats));
  }
  if (settings.total_kv_blocks) {
    const double pool = static_cast<double>(*settings.total_kv_blocks) * domain::schedulers(experiment.deployment);
    const double needed = least_blocks(experiment.workload, in_flight, settings.block_size);
    if (needed > pool) {
      findings.add(
          QualityIssue::kv_limit, static_cast<int>(index),
          fmt::format("{:.0f} requests in flight (rate x E2E) need {:.0f} KV blocks, the pool has {:.0f}", in_flight, needed, pool));
    }
  }
}

}  // namespace

std::string format(const QualityFinding& finding) {
  const std::string stage = finding.stage == domain::kSummaryStage ? "" : fmt::format(" stage {}", finding.stage);
  return fmt::format("experiment '{}': {}{}: {}", finding.experiment, core::word_of(kRunSources, finding.source), stage, finding.text);
}

std::vector<QualityFinding> measured_quality(const domain::Experiment& experiment) {
  Findings findings(experiment.id, RunSource::measured);
  const domain::Measurement& measured = experiment.measured;
  const int planned = [&] {
    int requests = 0;
    for (const domain::Stage& stage : experiment.workload.stages) requests += stage.num_requests;
    return requests;
  }();
  const int failed = measured.summary.failed.value_or(0);
  if (failed > 0) {
    findings.add(QualityIssue::failures, domain::kSummaryStage,
                 fmt::format("{} requests failed; its means are over survivors", failed));
  } else if (measured.summary.succeeded && planned > 0 && *measured.summary.succeeded < planned) {
    findings.add(QualityIssue::failures, domain::kSummaryStage,
                 fmt::format("{} of {} requests were recorded; its means are over survivors", *measured.summary.succeeded, planned));
  }
  check_identity(experiment.workload, measured.summary, domain::kSummaryStage, kMeasuredIdentity, findings);
  const std::size_t stages = std::min(measured.stages.size(), experiment.workload.stages.size());
  for (std::size_t stage = 0; stage < stages; ++stage) {
    check_identity(experiment.workload, measured.stages[stage], static_cast<int>(stage), kMeasuredIdentity, findings);
    check_measured_stage(experiment, stage, findings);
  }
  return findings.take();
}

std::vector<QualityFinding> simulated_quality(const domain::Experiment& experiment, const sim::Prediction<double>& prediction) {
  Findings findings(experiment.id, RunSource::simulated);
  const sim::EngineCounters& counters = prediction.counters;
  constexpr int kSummary = domain::kSummaryStage;
  if (counters.rejected > 0) {
    const domain::EngineSettings& settings = experiment.deployment.settings;
    findings.add(QualityIssue::failures, kSummary,
                 fmt::format("{} requests were rejected: {} {} ({} tokens), {} {} ({} blocks in all)", counters.rejected,
                             counters.rejected_by_length, sim::rejection_text(sim::RejectionReason::model_length),
                             settings.max_model_len, counters.rejected - counters.rejected_by_length,
                             sim::rejection_text(sim::RejectionReason::kv_pool), counters.kv_blocks));
  }
  for (std::size_t stage = 0; stage < prediction.stages.size(); ++stage) {
    if (prediction.stages[stage].longest_queue > experiment.deployment.settings.max_num_seqs) {
      findings.add(QualityIssue::saturation, static_cast<int>(stage),
                   fmt::format("the queue grows to {:.0f} requests: saturated", prediction.stages[stage].longest_queue));
    }
    if (prediction.stages[stage].rejected == 0) {
      check_identity(experiment.workload, prediction.stages[stage].latencies, static_cast<int>(stage), kSimulatedIdentity, findings);
    }
  }
  const double finished = static_cast<double>(prediction.summary.finished + prediction.summary.warm_up);
  const double preempted = static_cast<double>(counters.preemptions) / std::max(1.0, finished);
  const double free = static_cast<double>(counters.least_free_blocks) / std::max(1.0, static_cast<double>(counters.kv_blocks));
  if (preempted > kFewPreemptions) {
    findings.add(QualityIssue::kv_limit, kSummary,
                 fmt::format("{:.1f} % of the requests are preempted: the KV pool is at its limit", 100.0 * preempted));
  } else if (free < kFullPoolFree) {
    findings.add(QualityIssue::kv_limit, kSummary,
                 fmt::format("running requests fill the KV pool ({} of {} blocks at least stay free)", counters.least_free_blocks,
                             counters.kv_blocks));
  }
  return findings.take();
}

}  // namespace rooftune::eval
