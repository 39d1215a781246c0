#pragma once

#include <compare>

namespace rooftune::core {

/// A number whose unit is its type. Quantities of one unit add and compare; a plain factor scales them.
/// Hot kernels work on raw doubles and carry the unit in the name instead (`_us`, `_bytes`).
template <class Unit>
struct Quantity {
  double value = 0.0;

  [[nodiscard]] friend constexpr auto operator<=>(const Quantity&, const Quantity&) = default;
  [[nodiscard]] friend constexpr Quantity operator+(Quantity a, Quantity b) { return {a.value + b.value}; }
  [[nodiscard]] friend constexpr Quantity operator-(Quantity a, Quantity b) { return {a.value - b.value}; }
  [[nodiscard]] friend constexpr Quantity operator*(double factor, Quantity a) { return {factor * a.value}; }
  [[nodiscard]] friend constexpr Quantity operator*(Quantity a, double factor) { return {factor * a.value}; }
  [[nodiscard]] friend constexpr double operator/(Quantity a, Quantity b) { return a.value / b.value; }
};

using Microseconds = Quantity<struct MicrosecondUnit>;
using Milliseconds = Quantity<struct MillisecondUnit>;
using Seconds = Quantity<struct SecondUnit>;
using RequestsPerSecond = Quantity<struct RequestPerSecondUnit>;
using Bytes = Quantity<struct ByteUnit>;
using Gibibytes = Quantity<struct GibibyteUnit>;
/// 10^12 floating-point operations per second, dense.
using TeraflopsPerSecond = Quantity<struct TeraflopPerSecondUnit>;
/// 10^12 bytes per second.
using TerabytesPerSecond = Quantity<struct TerabytePerSecondUnit>;
/// 10^9 bytes per second.
using GigabytesPerSecond = Quantity<struct GigabytePerSecondUnit>;

[[nodiscard]] constexpr Microseconds to_microseconds(Seconds t) { return {t.value * 1e6}; }
[[nodiscard]] constexpr Microseconds to_microseconds(Milliseconds t) { return {t.value * 1e3}; }
[[nodiscard]] constexpr Milliseconds to_milliseconds(Microseconds t) { return {t.value * 1e-3}; }
[[nodiscard]] constexpr Milliseconds to_milliseconds(Seconds t) { return {t.value * 1e3}; }
[[nodiscard]] constexpr Seconds to_seconds(Microseconds t) { return {t.value * 1e-6}; }
[[nodiscard]] constexpr Bytes to_bytes(Gibibytes size) { return {size.value * 1073741824.0}; }

/// Rates as the step-time formulas need them: work per microsecond.
[[nodiscard]] constexpr double flops_per_us(TeraflopsPerSecond rate) { return rate.value * 1e6; }
[[nodiscard]] constexpr double bytes_per_us(TerabytesPerSecond rate) { return rate.value * 1e6; }
[[nodiscard]] constexpr double bytes_per_us(GigabytesPerSecond rate) { return rate.value * 1e3; }

}  // namespace rooftune::core
