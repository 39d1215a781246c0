#pragma once

#include <array>
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

/// Mean absolute percentage errors by kPeerMetrics.
using PeerErrors = std::array<double, kPeerMetrics.size()>;

/// One simulator beside ours on the experiments that both predict, summary rows alone: the same rows for both.
struct PeerComparison {
  std::string simulator;
  std::vector<std::string> experiments;  ///< in the evaluation's order
  PeerErrors theirs_percent{};
  PeerErrors ours_percent{};
  /// The largest difference between the TTFT or E2E that the peer was published beside and our ground truth's, percent.
  double measurements_differ_percent = 0.0;
};

/// By simulator name. Experiments count that are aggregated (no overload) and have all of kPeerMetrics on both sides; simulators
/// that share none are left out.
[[nodiscard]] std::vector<PeerComparison> compare_with_peers(const Evaluation& evaluation,
                                                             std::span<const domain::PeerPrediction> peers);

}  // namespace rooftune::eval
