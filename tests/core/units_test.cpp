#include "rooftune/core/units.hpp"

#include <gtest/gtest.h>

#include <type_traits>

#include "rooftune/core/derivative.hpp"

namespace rooftune::core {
namespace {

TEST(Units, ConvertBetweenTimes) {
  EXPECT_EQ(to_microseconds(Seconds{1.5}), Microseconds{1.5e6});
  EXPECT_EQ(to_microseconds(Milliseconds{2.0}), Microseconds{2000.0});
  EXPECT_EQ(to_milliseconds(Seconds{0.25}), Milliseconds{250.0});
  EXPECT_DOUBLE_EQ(to_seconds(to_microseconds(Seconds{0.3})).value, 0.3);
}

TEST(Units, TurnDataSheetFiguresIntoRatesPerMicrosecond) {
  EXPECT_EQ(flops_per_us(TeraflopsPerSecond{989.5}), 989.5e6);
  EXPECT_EQ(bytes_per_us(TerabytesPerSecond{3.35}), 3.35e6);
  EXPECT_EQ(bytes_per_us(GigabytesPerSecond{450.0}), 450e3);
  EXPECT_EQ(to_bytes(Gibibytes{80.0}), Bytes{85899345920.0});
}

TEST(Units, AddScaleAndCompareWithinAUnitOnly) {
  EXPECT_EQ(Seconds{1} + Seconds{2} - Seconds{0.5}, Seconds{2.5});
  EXPECT_EQ(2.0 * Bytes{3}, Bytes{3} * 2.0);
  EXPECT_LT(Milliseconds{1}, Milliseconds{2});
  EXPECT_DOUBLE_EQ(Bytes{6} / Bytes{4}, 1.5);
  static_assert(!std::is_convertible_v<Milliseconds, Seconds>);
}

TEST(Dual, CarriesDerivativesThroughAProduct) {
  const Dual<2> x(3.0, 0);
  const Dual<2> y(4.0, 1);
  const Dual<2> product = x * y;
  EXPECT_EQ(value_of(product), 12.0);
  EXPECT_EQ(product.v[0], 4.0);
  EXPECT_EQ(product.v[1], 3.0);
  static_assert(carries_derivatives<Dual<2>> && !carries_derivatives<double>);
}

}  // namespace
}  // namespace rooftune::core
