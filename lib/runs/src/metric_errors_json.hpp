#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "rooftune/calibrate/prediction_intervals.hpp"
#include "rooftune/eval/evaluate.hpp"
#include "rooftune/eval/noise.hpp"
#include "rooftune/eval/peers.hpp"

namespace rooftune::runs {

/// `{"ttft_mean_ms": {"mean_ape_percent": ...}, ...}`
[[nodiscard]] nlohmann::ordered_json metric_errors_json(const eval::MetricErrors& errors);

/// `[{"field": "tp", "value": "8", "calibrated": "1 to 4", "factor": 2, "experiments": [...]}, ...]`
[[nodiscard]] nlohmann::ordered_json domain_exits_json(const std::vector<eval::DomainExit>& exits);

/// `[{"simulator": ..., "experiments": [...], "errors": {"e2e_mean_ms": {"theirs_mean_ape_percent": ...}}}, ...]`
[[nodiscard]] nlohmann::ordered_json peers_json(const std::vector<eval::PeerComparison>& peers);

/// `{"ttft_mean_ms": {"two_runs_percent": ..., "pairs": ..., "elsewhere": ..., "other_arrivals_percent": ...}, ...}`
[[nodiscard]] nlohmann::ordered_json noise_json(const eval::Noise& noise);

/// `{"experiment": ..., "stage": ..., "metric": ..., "predicted": ..., "lower": ..., "upper": ...}` and the deviations behind them
[[nodiscard]] nlohmann::ordered_json interval_json(const calibrate::PredictionInterval& interval);

}  // namespace rooftune::runs
