#include "rooftune/eval/peers.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

namespace rooftune::eval {
namespace {

/// Our row and theirs for each of kPeerMetrics.
struct PairedRows {
  std::array<const Row*, kPeerMetrics.size()> ours{};
  std::array<const domain::PeerPrediction*, kPeerMetrics.size()> theirs{};
};

using Key = std::pair<std::string, domain::Metric>;  ///< experiment, metric

std::optional<PairedRows> pair_rows(const Evaluation& evaluation, const std::string& experiment,
                                    const std::map<Key, const domain::PeerPrediction*>& predictions) {
  PairedRows rows;
  for (std::size_t i = 0; i < kPeerMetrics.size(); ++i) {
    const auto found = predictions.find({experiment, kPeerMetrics[i]});
    rows.ours[i] = evaluation.find(experiment, domain::kSummaryStage, kPeerMetrics[i]);
    if (found == predictions.end() || rows.ours[i] == nullptr) return std::nullopt;
    rows.theirs[i] = found->second;
  }
  return rows;
}

double percent_apart(double value, double reference) { return 100.0 * std::abs(value / reference - 1.0); }

void add(PeerComparison& comparison, const std::string& experiment, const PairedRows& rows) {
  comparison.experiments.push_back(experiment);
  for (std::size_t i = 0; i < kPeerMetrics.size(); ++i) {
    comparison.ours_percent[i] += rows.ours[i]->ape_percent();
    comparison.theirs_percent[i] += percent_apart(rows.theirs[i]->predicted_ms, rows.theirs[i]->measured_ms);
    // Their ITL is measured another way than our TPOT.
    if (kPeerMetrics[i] == domain::Metric::tpot_mean) continue;
    comparison.measurements_differ_percent =
        std::max(comparison.measurements_differ_percent, percent_apart(rows.theirs[i]->measured_ms, rows.ours[i]->measured_ms));
  }
}

}  // namespace

std::vector<PeerComparison> compare_with_peers(const Evaluation& evaluation, std::span<const domain::PeerPrediction> peers) {
  std::map<std::string, std::map<Key, const domain::PeerPrediction*>> by_simulator;
  for (const domain::PeerPrediction& peer : peers) {
    if (peer.stage == domain::kSummaryStage) by_simulator[peer.simulator][{peer.experiment, peer.metric}] = &peer;
  }
  std::vector<PeerComparison> comparisons;
  for (const auto& [simulator, predictions] : by_simulator) {
    PeerComparison comparison;
    comparison.simulator = simulator;
    for (const CaseReport& report : evaluation.cases) {
      if (!report.aggregated) continue;
      if (const auto rows = pair_rows(evaluation, report.experiment, predictions)) add(comparison, report.experiment, *rows);
    }
    if (comparison.experiments.empty()) continue;
    const double share = 1.0 / static_cast<double>(comparison.experiments.size());
    for (PeerErrors* errors : {&comparison.ours_percent, &comparison.theirs_percent}) {
      for (double& error : *errors) error *= share;
    }
    comparisons.push_back(std::move(comparison));
  }
  return comparisons;
}

}  // namespace rooftune::eval
