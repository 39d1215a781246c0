#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "rooftune/core/diagnostics.hpp"

namespace rooftune::runs {

/// What has a JSON Schema: files that users write, and what commands print with --json. Sorted.
[[nodiscard]] core::Result<std::vector<std::string>> schema_names();

/// The schema of that name. Those of studies, configs and GPUs are made from what reads them; the shipped files
/// (`schema/<name>.schema.json`) are the same.
[[nodiscard]] core::Result<std::string> schema(std::string_view name);

}  // namespace rooftune::runs
