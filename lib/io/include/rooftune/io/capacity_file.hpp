#pragma once

#include <string>

#include "rooftune/study/capacity.hpp"

namespace rooftune::io {

/// The answers as "rooftune/capacity/1" (docs/file_formats.md). Latencies in milliseconds.
[[nodiscard]] std::string capacity_json(const study::CapacityReport& report);

/// One row for every load point: what it is (capacity, fleet, rate, concurrency), its load, latencies and what it missed.
[[nodiscard]] std::string capacity_csv(const study::CapacityReport& report);

}  // namespace rooftune::io
