#pragma once

#include <string>

#include "rooftune/eval/evaluate.hpp"

namespace rooftune::io {

/// The evaluation as "rooftune/evaluation/1" (docs/file_formats.md): one row per line, then the aggregates.
[[nodiscard]] std::string evaluation_json(const eval::Evaluation& evaluation);

/// The rows as CSV (RFC 4180) with a header line; latencies in milliseconds.
[[nodiscard]] std::string evaluation_csv(const eval::Evaluation& evaluation);

}  // namespace rooftune::io
