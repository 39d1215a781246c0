#pragma once

#include <string>

#include "rooftune/plan/capacity.hpp"

namespace rooftune::runs {

/// The answers as "rooftune/capacity/1" (docs/file_formats.md). Latencies in milliseconds.
[[nodiscard]] std::string capacity_json(const plan::CapacityReport& report);

/// One row for every load point: what it is (capacity, fleet, rate, concurrency), its load, latencies and what it missed.
[[nodiscard]] std::string capacity_csv(const plan::CapacityReport& report);

}  // namespace rooftune::runs
