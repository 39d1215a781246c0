#pragma once

#include <nlohmann/json.hpp>

#include "rooftune/eval/evaluate.hpp"

namespace rooftune::io {

/// `{"ttft_mean_ms": {"mean_ape_percent": ...}, ...}`
[[nodiscard]] nlohmann::ordered_json metric_errors_json(const eval::MetricErrors& errors);

}  // namespace rooftune::io
