#include "rooftune/kernels/curve.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace rooftune::kernels {
namespace {

constexpr LookupMode kModes[] = {LookupMode::floor, LookupMode::ceiling, LookupMode::nearest, LookupMode::interpolate};

class Curve : public testing::Test {
 protected:
  LatencyCurve curve{{{.quantity = 64, .latency_us = 12}, {.quantity = 4, .latency_us = 10}, {.quantity = 16, .latency_us = 10}}};
  LookupReport report;
};

TEST_F(Curve, ReturnsMeasuredRowsUnchangedInEveryMode) {
  for (const LookupMode mode : kModes) {
    EXPECT_EQ(curve.latency_us(4, mode, report), 10.0);
    EXPECT_EQ(curve.latency_us(64, mode, report), 12.0);
  }
  EXPECT_EQ(report.count(LookupEvent::exact), 8U);
  EXPECT_EQ(report.outside_table(), 0U);
}

// By hand: rates 16/10 and 64/12 per us; the logarithmic middle of 16 and 64 is 32.
TEST_F(Curve, FollowsItsModeBetweenRows) {
  EXPECT_DOUBLE_EQ(curve.latency_us(32, LookupMode::floor, report), 20.0);
  EXPECT_DOUBLE_EQ(curve.latency_us(32, LookupMode::ceiling, report), 6.0);
  EXPECT_DOUBLE_EQ(curve.latency_us(31, LookupMode::nearest, report), 10.0 * 31 / 16);
  EXPECT_DOUBLE_EQ(curve.latency_us(33, LookupMode::nearest, report), 12.0 * 33 / 64);
  EXPECT_DOUBLE_EQ(curve.latency_us(32, LookupMode::interpolate, report), std::sqrt(120.0));
  EXPECT_EQ(report.count(LookupEvent::between_rows), 5U);
}

TEST_F(Curve, FlagsWhatLiesOutside) {
  EXPECT_EQ(curve.latency_us(1, LookupMode::interpolate, report), 10.0) << "no faster than the smallest";
  EXPECT_EQ(curve.latency_us(128, LookupMode::interpolate, report), 24.0) << "as efficient as the largest";
  EXPECT_EQ(report.count(LookupEvent::below_table), 1U);
  EXPECT_EQ(report.count(LookupEvent::above_table), 1U);
  EXPECT_EQ(report.outside_table(), 2U);
}

TEST_F(Curve, GrowsWithTheWorkBeyondTheTable) {
  const LatencyCurve squared({{.quantity = 100, .latency_us = 5}}, 2.0);
  EXPECT_DOUBLE_EQ(squared.latency_us(300, LookupMode::nearest, report), 45.0);
}

TEST_F(Curve, InterpolatesMonotonicallyBetweenMonotoneRows) {
  double previous_us = 0.0;
  for (double quantity = 4.0; quantity <= 64.0; quantity += 0.5) {
    const double latency_us = curve.latency_us(quantity, LookupMode::interpolate, report);
    EXPECT_GE(latency_us, previous_us);
    previous_us = latency_us;
  }
}

TEST(LatencyCurve, KeepsTheFasterOfRepeatedRows) {
  const LatencyCurve curve({{.quantity = 8, .latency_us = 5}, {.quantity = 8, .latency_us = 4}});
  EXPECT_EQ(curve.points(), (std::vector<CurvePoint>{{.quantity = 8, .latency_us = 4}}));
}

TEST(LatencyGrid, InterpolatesOverSequencesAndTokens) {
  // latency = sequences * tokens / 10: straight in the logarithms, so exact everywhere inside.
  std::vector<LatencyGrid::Row> rows;
  for (const double sequences : {8.0, 1.0, 64.0}) {
    std::vector<CurvePoint> points;
    for (const double tokens : {16.0, 256.0, 4096.0}) points.push_back({.quantity = tokens, .latency_us = sequences * tokens / 10.0});
    rows.push_back({.sequences = sequences, .by_tokens = LatencyCurve(points)});
  }
  const LatencyGrid grid(rows);
  LookupReport report;
  for (const LookupMode mode : kModes) {
    for (const double sequences : {1.0, 3.0, 8.0, 20.0, 64.0, 100.0}) {
      EXPECT_NEAR(grid.latency_us(sequences, 700.0, mode, report), sequences * 70.0, 1e-9 * sequences * 70.0);
    }
  }
  EXPECT_EQ(report.count(LookupEvent::above_table), 4U);
  EXPECT_EQ(report.count(LookupEvent::below_table), 0U);
  EXPECT_EQ(grid.latency_us(0.5, 16.0, LookupMode::nearest, report), 1.6);
  EXPECT_EQ(report.count(LookupEvent::below_table), 1U);
}

TEST(LookupReport, AddsUp) {
  LookupReport a;
  LookupReport b;
  a.add(LookupEvent::exact);
  b.add(LookupEvent::exact);
  b.add(LookupEvent::nearest_shape);
  a += b;
  EXPECT_EQ(a.count(LookupEvent::exact), 2U);
  EXPECT_EQ(a.count(LookupEvent::nearest_shape), 1U);
  EXPECT_EQ(event_name(LookupEvent::nearest_shape), "nearest shape");
}

}  // namespace
}  // namespace rooftune::kernels
