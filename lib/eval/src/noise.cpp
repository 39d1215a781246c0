#include "rooftune/eval/noise.hpp"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "rooftune/core/statistics.hpp"
#include "rooftune/eval/evaluate.hpp"

namespace rooftune::eval {
namespace {

using domain::Metric;

/// Loads that differ by less are the same load.
constexpr double kSameLoad = 0.02;

/// Enough for a median over experiments; intervals, which need every row's own, draw more.
constexpr int kNoiseDraws = 4;

// Eleven pairs of Qwen3-14B on one H100, vLLM 0.23.0, ten minutes each: BLIS traces of inference-sim/residency-vllm @ 2641b576.
// Figures alone; the repository has no licence and its traces do not ship.
constexpr std::string_view kElsewhere = "Qwen3-14B, H100, vLLM 0.23";
constexpr int kPairsElsewhere = 11;
constexpr std::array<std::pair<Metric, double>, 4> kRepeatedElsewhere{{
    {Metric::ttft_mean, 1.2},
    {Metric::ttft_p99, 2.3},
    {Metric::e2e_mean, 0.65},
    {Metric::tpot_mean, 0.64},
}};

bool near(double a, double b) { return std::abs(a - b) <= kSameLoad * std::max(std::abs(a), std::abs(b)); }

bool same_load(const domain::Workload& a, const domain::Workload& b) {
  if (a.arrival.process != b.arrival.process || a.arrival.concurrency != b.arrival.concurrency || a.pattern != b.pattern) return false;
  if (!near(a.prompt.mean_tokens, b.prompt.mean_tokens) || !near(a.output.mean_tokens, b.output.mean_tokens)) return false;
  if (!near(a.prompt.standard_deviation_tokens, b.prompt.standard_deviation_tokens)) return false;
  return std::ranges::equal(a.stages, b.stages, [](const domain::Stage& one, const domain::Stage& other) {
    return near(one.rate.value, other.rate.value) && near(one.duration.value, other.duration.value) &&
           one.concurrency == other.concurrency && near(one.num_requests, other.num_requests);
  });
}

}  // namespace

std::map<Metric, Repeatability> repeatability(const Dataset& dataset) {
  std::map<Metric, std::vector<double>> differences;
  std::map<std::tuple<std::string_view, std::string_view, int>, std::vector<const domain::Experiment*>> alike;
  for (const Case& item : dataset.cases) {
    const domain::Experiment& one = item.experiment;
    auto& earlier = alike[{one.deployment.model, one.deployment.hardware, one.deployment.tp}];
    for (const domain::Experiment* before : earlier) {
      const domain::Experiment& other = *before;
      if (one.deployment != other.deployment || !same_load(one.workload, other.workload)) continue;
      for (const Metric metric : domain::kMetrics) {
        const auto a = one.measured.summary[metric];
        const auto b = other.measured.summary[metric];
        if (a && b) differences[metric].push_back(200.0 * std::abs(*a - *b) / (*a + *b));
      }
    }
    earlier.push_back(&one);
  }
  std::map<Metric, Repeatability> result;
  for (const auto& [metric, percent] : kRepeatedElsewhere) {
    result[metric] = {.percent = percent, .pairs = kPairsElsewhere, .elsewhere = std::string(kElsewhere)};
  }
  for (auto& [metric, percents] : differences) {
    const auto pairs = static_cast<int>(percents.size());
    result[metric] = {.percent = core::median(percents), .pairs = pairs, .elsewhere = {}};
  }
  return result;
}

double repeated_deviation(const Repeatability& repeats) {
  constexpr double kMedianDifference = 0.9539;  // of two draws, in standard deviations of one: 0.6745 x sqrt 2
  return repeats.percent / 100.0 / kMedianDifference;
}

std::map<RowKey, double> arrival_deviations(const Dataset& dataset, const params::Config& config, int draws,
                                            core::ThreadCount threads) {
  params::Config anywhere = config;
  anywhere.domain = {};  // where it was calibrated is no question here
  std::map<RowKey, std::vector<double>> logarithms;
  for (int draw = 0; draw < std::max(2, draws); ++draw) {
    Dataset redrawn = dataset;
    redrawn.replicates = 1;
    redrawn.failures = std::make_shared<Failures>(dataset.failures->policy());  // of a draw, not of the run
    for (Case& item : redrawn.cases) {
      item.plans = {{.seed = dataset.seed, .replicate = dataset.replicates + draw}};
    }
    const Evaluation evaluation = evaluate(redrawn, anywhere, {.threads = threads, .stepping = sim::Stepping::closed_form});
    for (const Row& row : evaluation.rows) {
      if (row.predicted_ms > 0.0) logarithms[{row.experiment, row.stage, row.metric}].push_back(std::log(row.predicted_ms));
    }
  }
  std::map<RowKey, double> deviations;
  const double both = std::sqrt(1.0 + 1.0 / dataset.replicates);
  for (const auto& [key, values] : logarithms) deviations[key] = both * core::standard_deviation(values);
  return deviations;
}

Noise noise_of(const Dataset& dataset, const params::Config& config, core::ThreadCount threads) {
  Noise noise{.repeats = repeatability(dataset), .arrival_percent = {}};
  if (dataset.external) return noise;
  std::map<Metric, std::vector<double>> by_metric;
  for (const auto& [key, deviation] : arrival_deviations(dataset, config, kNoiseDraws, threads)) {
    const auto& [experiment, stage, metric] = key;
    if (stage == domain::kSummaryStage) by_metric[metric].push_back(100.0 * deviation);
  }
  for (auto& [metric, percents] : by_metric) noise.arrival_percent[metric] = core::median(percents);
  return noise;
}

}  // namespace rooftune::eval
