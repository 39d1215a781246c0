#pragma once

#include <nlohmann/json.hpp>

#include "rooftune/study/next_run.hpp"

namespace rooftune::io {

/// A recommended run, as every command that offers some writes it.
[[nodiscard]] nlohmann::ordered_json next_run_json(const study::NextRun& run);

}  // namespace rooftune::io
