#include "rooftune/eval/peers.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "rooftune/core/statistics.hpp"

namespace rooftune::eval {
namespace {

using Key = std::pair<std::string, domain::Metric>;  ///< experiment, metric
using Predictions = std::map<Key, const domain::PeerPrediction*>;
constexpr std::size_t kMetrics = kPeerMetrics.size();

/// Our row and theirs for each metric that the peer predicts.
struct PairedRows {
  std::array<const Row*, kMetrics> ours{};
  std::array<const domain::PeerPrediction*, kMetrics> theirs{};
};

std::array<bool, kMetrics> predicted_metrics(const Predictions& predictions) {
  std::array<bool, kMetrics> predicted{};
  for (const auto& [key, prediction] : predictions) {
    for (std::size_t i = 0; i < kMetrics; ++i) predicted[i] = predicted[i] || key.second == kPeerMetrics[i];
  }
  return predicted;
}

std::optional<PairedRows> pair_rows(const Evaluation& evaluation, const std::string& experiment, const Predictions& predictions,
                                    const std::array<bool, kMetrics>& predicted) {
  PairedRows rows;
  for (std::size_t i = 0; i < kMetrics; ++i) {
    if (!predicted[i]) continue;
    const auto found = predictions.find({experiment, kPeerMetrics[i]});
    rows.ours[i] = evaluation.find(experiment, domain::kSummaryStage, kPeerMetrics[i]);
    if (found == predictions.end() || rows.ours[i] == nullptr) return std::nullopt;
    rows.theirs[i] = found->second;
  }
  return rows;
}

double percent_apart(double value, double reference) { return 100.0 * std::abs(value / reference - 1.0); }

PeerError error_of(std::vector<double> percent) {
  return {.mean_percent = core::mean(percent), .median_percent = core::quantile_in_place(percent, 0.5)};
}

/// Empty when the peer and the evaluation share no run.
std::optional<PeerComparison> compare(const Evaluation& evaluation, const std::string& simulator, const Predictions& predictions) {
  PeerComparison comparison;
  comparison.simulator = simulator;
  const std::array<bool, kMetrics> predicted = predicted_metrics(predictions);
  std::array<std::vector<double>, kMetrics> ours;
  std::array<std::vector<double>, kMetrics> theirs;
  for (const CaseReport& report : evaluation.cases) {
    if (!report.aggregated) continue;
    const auto rows = pair_rows(evaluation, report.experiment, predictions, predicted);
    if (!rows) {
      ++comparison.unanswered;
      continue;
    }
    comparison.experiments.push_back(report.experiment);
    for (std::size_t i = 0; i < kMetrics; ++i) {
      if (!predicted[i]) continue;
      ours[i].push_back(rows->ours[i]->ape_percent());
      theirs[i].push_back(percent_apart(rows->theirs[i]->predicted_ms, rows->theirs[i]->measured_ms));
      // Their ITL is measured another way than our TPOT.
      if (kPeerMetrics[i] == domain::Metric::tpot_mean) continue;
      comparison.measurements_differ_percent =
          std::max(comparison.measurements_differ_percent, percent_apart(rows->theirs[i]->measured_ms, rows->ours[i]->measured_ms));
    }
  }
  if (comparison.experiments.empty()) return std::nullopt;
  for (std::size_t i = 0; i < kMetrics; ++i) {
    if (!predicted[i]) continue;
    comparison.ours[i] = error_of(std::move(ours[i]));
    comparison.theirs[i] = error_of(std::move(theirs[i]));
  }
  return comparison;
}

}  // namespace

std::vector<PeerComparison> compare_with_peers(const Evaluation& evaluation, std::span<const domain::PeerPrediction> peers) {
  std::map<std::string, Predictions> by_simulator;
  for (const domain::PeerPrediction& peer : peers) {
    if (peer.stage == domain::kSummaryStage) by_simulator[peer.simulator][{peer.experiment, peer.metric}] = &peer;
  }
  std::vector<PeerComparison> comparisons;
  for (const auto& [simulator, predictions] : by_simulator) {
    if (auto comparison = compare(evaluation, simulator, predictions)) comparisons.push_back(*std::move(comparison));
  }
  return comparisons;
}

}  // namespace rooftune::eval
