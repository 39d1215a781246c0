#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "rooftune/domain/experiment.hpp"
#include "rooftune/domain/peer_prediction.hpp"
#include "rooftune/eval/evaluate.hpp"

namespace rooftune::eval {

/// What peers are compared on. Peers publish an inter-token latency where we have TPOT; each is judged against the measurement of
/// its own kind.
inline constexpr std::array kPeerMetrics{domain::Metric::e2e_mean, domain::Metric::ttft_mean, domain::Metric::tpot_mean};

/// Absolute percentage errors over the runs that both predict.
struct PeerError {
  double mean_percent = 0.0;
  double median_percent = 0.0;
};
/// By kPeerMetrics; empty: a metric that this peer does not predict.
using PeerErrors = std::array<std::optional<PeerError>, kPeerMetrics.size()>;

/// One simulator beside ours on the experiments that both predict, summary rows alone: the same rows for both.
struct PeerComparison {
  std::string simulator;
  std::vector<std::string> experiments;  ///< in the evaluation's order
  std::size_t unanswered = 0;            ///< further experiments of the evaluation that the peer has no prediction of
  PeerErrors theirs;
  PeerErrors ours;
  /// The largest difference between the TTFT or E2E that the peer was published beside and our ground truth's, percent.
  double measurements_differ_percent = 0.0;
};

/// By simulator name. Experiments count that are aggregated (no overload) and have, on both sides, all of kPeerMetrics that the
/// peer predicts anywhere; simulators that share none are left out.
[[nodiscard]] std::vector<PeerComparison> compare_with_peers(const Evaluation& evaluation,
                                                             std::span<const domain::PeerPrediction> peers);

}  // namespace rooftune::eval
