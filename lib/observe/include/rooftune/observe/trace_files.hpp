#pragma once

#include <string>

#include "rooftune/observe/observe.hpp"

namespace rooftune::observe {

/// The observation as a trace of the Go simulator family (TraceV2), which `rooftune import blis-trace` reads: its header, with
/// what the client says about itself, and its table with a row for every request.
[[nodiscard]] std::string trace_header(const Observation& observation, const ObserveOptions& options);
[[nodiscard]] std::string trace_table(const Observation& observation);

}  // namespace rooftune::observe
