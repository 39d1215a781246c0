#pragma once

#include <filesystem>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/domain/peer_prediction.hpp"

namespace rooftune::data {

/// Reads predictions of other simulators (ground_truth/peers.csv): columns experiment, simulator, stage ("summary" or an index),
/// metric (a metric of ours, or itl_mean_ms, which stands under TPOT), predicted and measured in ms. Other columns are left alone.
[[nodiscard]] core::Result<std::vector<domain::PeerPrediction>> read_peers(const std::filesystem::path& file);

}  // namespace rooftune::data
