#pragma once

#include <nlohmann/json.hpp>

#include "rooftune/plan/next_run.hpp"

namespace rooftune::runs {

/// A recommended run, as every command that offers some writes it.
[[nodiscard]] nlohmann::ordered_json next_run_json(const plan::NextRun& run);

}  // namespace rooftune::runs
