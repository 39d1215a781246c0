#pragma once

#include <optional>
#include <string_view>

namespace rooftune::importers {

inline constexpr double kMillisecondsPerSecond = 1e3;
inline constexpr double kMicrosecondsPerSecond = 1e6;
inline constexpr double kNanosecondsPerSecond = 1e9;

/// Milliseconds in a unit of time as tools write it: "ms", "s", "sec", "s/token", "us" ...; nothing for another unit.
[[nodiscard]] constexpr std::optional<double> milliseconds_in(std::string_view unit) {
  unit = unit.substr(0, unit.find('/'));
  if (unit == "ms" || unit == "millisecond" || unit == "milliseconds") return 1.0;
  if (unit == "s" || unit == "sec" || unit == "second" || unit == "seconds") return 1e3;
  if (unit == "us" || unit == "microseconds") return 1e-3;
  if (unit == "ns" || unit == "nanoseconds") return 1e-6;
  return std::nullopt;
}

}  // namespace rooftune::importers
