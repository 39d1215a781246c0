#pragma once

#include "recorded_run.hpp"

namespace rooftune::importers {

/// Reads one result of vLLM's serving benchmark or of a tool that grew out of it, under the names of its JSON. The console's text is
/// read through the same names.
void read_serving_result(const text::Node& result, RecordedRun& run, text::Problems& problems);

}  // namespace rooftune::importers
