#include "rooftune/kernels/curve.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "rooftune/core/contract.hpp"

namespace rooftune::kernels {
namespace {

/// The latency at `quantity` if work ran at the rate of the point.
double at_rate_of(const CurvePoint& point, double quantity, double work_power) {
  return point.latency_us * std::pow(quantity / point.quantity, work_power);
}

double between(const CurvePoint& lower, const CurvePoint& upper, double quantity, LookupMode mode, double work_power) {
  switch (mode) {
    case LookupMode::floor: return at_rate_of(lower, quantity, work_power);
    case LookupMode::ceiling: return at_rate_of(upper, quantity, work_power);
    case LookupMode::nearest: {
      const bool lower_is_nearer = quantity * quantity <= lower.quantity * upper.quantity;
      return at_rate_of(lower_is_nearer ? lower : upper, quantity, work_power);
    }
    case LookupMode::interpolate: break;
  }
  const double share = std::log(quantity / lower.quantity) / std::log(upper.quantity / lower.quantity);
  return lower.latency_us * std::pow(upper.latency_us / lower.latency_us, share);
}

}  // namespace

std::string_view event_name(LookupEvent event) {
  switch (event) {
    case LookupEvent::exact: return "exact";
    case LookupEvent::between_rows: return "between rows";
    case LookupEvent::nearest_shape: return "nearest shape";
    case LookupEvent::below_table: return "below the table";
    case LookupEvent::above_table: return "above the table";
    case LookupEvent::no_table: return "no table";
  }
  return "";
}

LookupReport& LookupReport::operator+=(const LookupReport& other) {
  for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
  return *this;
}

LatencyCurve::LatencyCurve(std::vector<CurvePoint> points, double work_power) : points_(std::move(points)), work_power_(work_power) {
  ROOFTUNE_EXPECTS(!points_.empty());
  std::ranges::sort(points_, [](const CurvePoint& a, const CurvePoint& b) {
    return std::pair(a.quantity, a.latency_us) < std::pair(b.quantity, b.latency_us);
  });
  const auto is_same = [](const CurvePoint& a, const CurvePoint& b) { return a.quantity == b.quantity; };
  points_.erase(std::unique(points_.begin(), points_.end(), is_same), points_.end());
  ROOFTUNE_EXPECTS(points_.front().quantity > 0.0 &&
                   std::ranges::all_of(points_, [](const CurvePoint& p) { return p.latency_us > 0.0; }));
}

double LatencyCurve::latency_us(double quantity, LookupMode mode, LookupReport& report) const {
  const auto upper = std::ranges::lower_bound(points_, quantity, {}, &CurvePoint::quantity);
  if (upper == points_.end()) {
    report.add(LookupEvent::above_table);
    return at_rate_of(points_.back(), quantity, work_power_);
  }
  if (upper->quantity == quantity) {
    report.add(LookupEvent::exact);
    return upper->latency_us;
  }
  if (upper == points_.begin()) {
    report.add(LookupEvent::below_table);
    return upper->latency_us;
  }
  report.add(LookupEvent::between_rows);
  return between(*(upper - 1), *upper, quantity, mode, work_power_);
}

LatencyGrid::LatencyGrid(std::vector<Row> rows) : rows_(std::move(rows)) {
  ROOFTUNE_EXPECTS(!rows_.empty());
  std::ranges::sort(rows_, {}, &Row::sequences);
}

double LatencyGrid::latency_us(double sequences, double tokens, LookupMode mode, LookupReport& report) const {
  const auto upper = std::ranges::lower_bound(rows_, sequences, {}, &Row::sequences);
  if (upper == rows_.end()) {
    report.add(LookupEvent::above_table);
    const Row& largest = rows_.back();
    return largest.by_tokens.latency_us(tokens, mode, report) * sequences / largest.sequences;
  }
  if (upper->sequences == sequences) return upper->by_tokens.latency_us(tokens, mode, report);
  if (upper == rows_.begin()) {
    report.add(LookupEvent::below_table);
    return upper->by_tokens.latency_us(tokens, mode, report);
  }
  const Row& lower = *(upper - 1);
  const CurvePoint below{.quantity = lower.sequences, .latency_us = lower.by_tokens.latency_us(tokens, mode, report)};
  const CurvePoint above{.quantity = upper->sequences, .latency_us = upper->by_tokens.latency_us(tokens, mode, report)};
  return between(below, above, sequences, mode, 1.0);
}

}  // namespace rooftune::kernels
