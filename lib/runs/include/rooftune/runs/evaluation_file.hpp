#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/eval/evaluate.hpp"
#include "rooftune/eval/noise.hpp"
#include "rooftune/eval/peers.hpp"

namespace rooftune::runs {

/// The evaluation as "rooftune/evaluation/1" (docs/file_formats.md): one row per line, then the aggregates, and `peers` where it
/// was compared with some, `noise` where it is known.
[[nodiscard]] std::string evaluation_json(const eval::Evaluation& evaluation, const std::vector<eval::PeerComparison>& peers = {},
                                          const std::optional<eval::Noise>& noise = {});

/// The rows as CSV (RFC 4180) with a header line; latencies in milliseconds.
[[nodiscard]] std::string evaluation_csv(const eval::Evaluation& evaluation);

/// The rows of an evaluation that evaluation_json() wrote.
[[nodiscard]] core::Result<std::vector<eval::Row>> read_evaluation_rows(const std::filesystem::path& file);

}  // namespace rooftune::runs
