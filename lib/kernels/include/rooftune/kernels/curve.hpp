#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace rooftune::kernels {

/// How a value between measured rows is found. All but `interpolate` take the rate (work per time) of one measured row;
/// `interpolate` joins neighbours by a straight line between logarithms.
enum class LookupMode { floor, ceiling, nearest, interpolate };

/// What happened in a lookup. Everything but `exact` and `between_rows` is a fallback that results must mention.
enum class LookupEvent {
  exact,          ///< the very row was measured
  between_rows,   ///< found from its neighbours by the lookup mode
  nearest_shape,  ///< the layer's shape, head counts or number of ranks were not measured: scaled from the nearest
  below_table,    ///< smaller than every row: takes as long as the smallest
  above_table,    ///< larger than every row: as efficient as the largest
  no_table,       ///< no row of such an operator: the data sheet, at the efficiency that other kernels of the GPU reach
};
inline constexpr std::size_t kLookupEventCount = 6;
[[nodiscard]] std::string_view event_name(LookupEvent event);

/// How often each event happened.
class LookupReport {
 public:
  void add(LookupEvent event) { ++counts_[static_cast<std::size_t>(event)]; }
  [[nodiscard]] std::uint64_t count(LookupEvent event) const { return counts_[static_cast<std::size_t>(event)]; }
  [[nodiscard]] std::uint64_t outside_table() const { return count(LookupEvent::below_table) + count(LookupEvent::above_table); }
  LookupReport& operator+=(const LookupReport& other);
  friend bool operator==(const LookupReport&, const LookupReport&) = default;

 private:
  std::array<std::uint64_t, kLookupEventCount> counts_{};
};

/// A measured latency at one value of the quantity that varies (tokens, sequences, bytes).
struct CurvePoint {
  double quantity = 0.0;
  double latency_us = 0.0;
  friend bool operator==(const CurvePoint&, const CurvePoint&) = default;
};

/// Latency along one quantity. Lookups are binary searches without allocation.
class LatencyCurve {
 public:
  /// `points` in any order, at least one, positive; repeated quantities keep their lowest latency. Work grows with the
  /// quantity to the power `work_power` (2: attention of a sequence with itself).
  explicit LatencyCurve(std::vector<CurvePoint> points, double work_power = 1.0);

  [[nodiscard]] double latency_us(double quantity, LookupMode mode, LookupReport& report) const;
  [[nodiscard]] const std::vector<CurvePoint>& points() const { return points_; }

 private:
  std::vector<CurvePoint> points_;
  double work_power_;
};

/// Latency over sequences x tokens: one curve over tokens for every measured number of sequences.
class LatencyGrid {
 public:
  struct Row {
    double sequences = 0.0;
    LatencyCurve by_tokens;
  };
  /// At least one row; in any order, each number of sequences once.
  explicit LatencyGrid(std::vector<Row> rows);

  [[nodiscard]] double latency_us(double sequences, double tokens, LookupMode mode, LookupReport& report) const;
  [[nodiscard]] const std::vector<Row>& rows() const { return rows_; }

 private:
  std::vector<Row> rows_;
};

}  // namespace rooftune::kernels
