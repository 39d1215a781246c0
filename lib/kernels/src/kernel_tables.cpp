#include "rooftune/kernels/kernel_tables.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "rooftune/kernels/digest.hpp"
#include "rooftune/kernels/gpu_curves.hpp"

namespace rooftune::kernels {
namespace {

template <class Shape>
using PointsByShape = std::map<Shape, std::vector<CurvePoint>>;

/// One curve per shape, sorted as std::map is.
template <class Shape>
std::vector<std::pair<Shape, LatencyCurve>> curves_of(PointsByShape<Shape> points_by_shape) {
  std::vector<std::pair<Shape, LatencyCurve>> index;
  for (auto& [shape, points] : points_by_shape) index.emplace_back(shape, LatencyCurve(std::move(points)));
  return index;
}

double squared_log_ratio(std::int64_t a, std::int64_t b) {
  const double log_ratio = std::log(static_cast<double>(a) / static_cast<double>(b));
  return log_ratio * log_ratio;
}

double ratio(std::int64_t a, std::int64_t b) { return static_cast<double>(a) / static_cast<double>(b); }

/// The entry of `wanted`, or the one at the smallest distance (infinite: may not stand in). `work_ratio(shape)` is the
/// work of the wanted shape over that of `shape`.
template <class Shape, class Measured, class Distance, class WorkRatio>
std::optional<ShapeLookup<Measured>> find(const std::vector<std::pair<Shape, Measured>>& index, const Shape& wanted,
                                          const Distance& distance, const WorkRatio& work_ratio) {
  const auto exact = std::ranges::lower_bound(index, wanted, {}, &std::pair<Shape, Measured>::first);
  if (exact != index.end() && exact->first == wanted) return ShapeLookup<Measured>{.measured = &exact->second};
  const std::pair<Shape, Measured>* nearest = nullptr;
  double smallest = std::numeric_limits<double>::infinity();
  for (const auto& entry : index) {
    const double d = distance(entry.first);
    if (d < smallest) {
      smallest = d;
      nearest = &entry;
    }
  }
  if (nearest == nullptr) return std::nullopt;
  return ShapeLookup<Measured>{.measured = &nearest->second, .work_ratio = work_ratio(nearest->first), .exact_shape = false};
}

constexpr double kUnrelated = std::numeric_limits<double>::infinity();

/// Another head width is another kernel: it stands in only where no shape of the same width was measured.
constexpr double kHeadDimWeight = 100.0;

double head_distance(const HeadShape& a, const HeadShape& b) {
  return squared_log_ratio(a.heads, b.heads) + squared_log_ratio(a.kv_heads, b.kv_heads) +
         kHeadDimWeight * squared_log_ratio(a.head_dim, b.head_dim);
}

}  // namespace

KernelTables::Index<KernelTables::AttentionShape, LatencyGrid> KernelTables::index_attention(const std::vector<AttentionRow>& rows,
                                                                                             double work_power) {
  std::map<AttentionShape, PointsByShape<std::int64_t>> by_shape;
  for (const AttentionRow& row : rows) {
    if (row.window > 0) continue;
    by_shape[{row.kv_format, row.shape}][row.batch].push_back(
        {.quantity = static_cast<double>(row.kv_tokens), .latency_us = row.latency_us});
  }
  Index<AttentionShape, LatencyGrid> index;
  for (auto& [shape, by_batch] : by_shape) {
    std::vector<LatencyGrid::Row> grid;
    for (auto& [batch, points] : by_batch) {
      grid.push_back({.sequences = static_cast<double>(batch), .by_tokens = LatencyCurve(std::move(points), work_power)});
    }
    index.emplace_back(shape, LatencyGrid(std::move(grid)));
  }
  return index;
}

KernelTables::KernelTables(const MeasuredKernels& kernels)
    : measured_(kernels),
      identity_(core::Digest().add(kernels).hex()),
      context_attention_(index_attention(kernels.context_attention, 2.0)),
      generation_attention_(index_attention(kernels.generation_attention, 1.0)) {
  PointsByShape<GemmShape> gemms;
  for (const GemmRow& row : kernels.gemms) {
    if (!row.format) continue;
    gemms[{*row.format, row.n, row.k}].push_back({.quantity = static_cast<double>(row.m), .latency_us = row.latency_us});
  }
  gemms_ = curves_of(std::move(gemms));

  PointsByShape<std::int64_t> all_reduces;
  for (const AllReduceRow& row : kernels.all_reduces) {
    all_reduces[row.ranks].push_back({.quantity = static_cast<double>(row.message_bytes), .latency_us = row.latency_us});
  }
  all_reduces_ = curves_of(std::move(all_reduces));

  PointsByShape<RoutedMoeShape> moes;
  for (const MoeRow& row : kernels.moes) {
    const MoeShape shape{row.hidden, row.ffn_width, row.experts_per_token, row.experts, row.tp, row.ep};
    moes[{row.format, row.routing, shape}].push_back({.quantity = static_cast<double>(row.tokens), .latency_us = row.latency_us});
  }
  moes_ = curves_of(std::move(moes));
}

KernelTables::~KernelTables() = default;

const GpuCurves& KernelTables::curves(const domain::GpuSpec& gpu, std::optional<domain::Release> release,
                                      std::optional<bool> fused) const {
  const std::lock_guard lock(curves_made_);
  std::unique_ptr<const GpuCurves>& curves = curves_[{release, fused}];
  if (curves == nullptr) curves = std::make_unique<const GpuCurves>(measured_, gpu, release, fused);
  return *curves;
}

std::optional<CurveLookup> KernelTables::gemm(NumberFormat format, std::int64_t n, std::int64_t k) const {
  const auto distance = [&](const GemmShape& shape) {
    return shape.format == format ? squared_log_ratio(shape.n, n) + squared_log_ratio(shape.k, k) : kUnrelated;
  };
  return find(gemms_, GemmShape{format, n, k}, distance,
              [&](const GemmShape& shape) { return ratio(n, shape.n) * ratio(k, shape.k); });
}

std::optional<GridLookup> KernelTables::context_attention(NumberFormat kv_format, const HeadShape& shape) const {
  const auto distance = [&](const AttentionShape& other) {
    return other.kv_format == kv_format ? head_distance(other.heads, shape) : kUnrelated;
  };
  // Compute-bound: work is heads x dim.
  return find(context_attention_, AttentionShape{kv_format, shape}, distance, [&](const AttentionShape& other) {
    return ratio(shape.heads, other.heads.heads) * ratio(shape.head_dim, other.heads.head_dim);
  });
}

std::optional<GridLookup> KernelTables::generation_attention(NumberFormat kv_format, const HeadShape& shape) const {
  const auto distance = [&](const AttentionShape& other) {
    return other.kv_format == kv_format ? head_distance(other.heads, shape) : kUnrelated;
  };
  // Bound by reading keys and values: work is KV heads x dim.
  return find(generation_attention_, AttentionShape{kv_format, shape}, distance, [&](const AttentionShape& other) {
    return ratio(shape.kv_heads, other.heads.kv_heads) * ratio(shape.head_dim, other.heads.head_dim);
  });
}

std::optional<CurveLookup> KernelTables::all_reduce(std::int64_t ranks) const {
  const auto distance = [&](std::int64_t other) { return squared_log_ratio(other, ranks); };
  // A ring moves 2 (r - 1) / r of the message over each link.
  const auto ring_share = [](std::int64_t r) { return ratio(r - 1, r); };
  return find(all_reduces_, ranks, distance, [&](std::int64_t other) { return ring_share(ranks) / ring_share(other); });
}

std::optional<CurveLookup> KernelTables::moe(NumberFormat format, const MoeShape& shape, std::string_view routing) const {
  const auto distance = [&](const RoutedMoeShape& other) {
    if (other.format != format) return kUnrelated;
    // Another routing stands in only where no shape was measured with the one asked for.
    const double routing_distance = other.routing == routing ? 0.0 : 1e6;
    return routing_distance + squared_log_ratio(shape.hidden, other.shape.hidden) +
           squared_log_ratio(shape.ffn_width, other.shape.ffn_width) +
           squared_log_ratio(shape.experts_per_token, other.shape.experts_per_token) +
           squared_log_ratio(shape.experts, other.shape.experts) + squared_log_ratio(shape.tp, other.shape.tp) +
           squared_log_ratio(shape.ep, other.shape.ep);
  };
  const auto active_elements = [](const MoeShape& moe) {
    return static_cast<double>(moe.hidden) * static_cast<double>(moe.ffn_width) * static_cast<double>(moe.experts_per_token) /
           static_cast<double>(moe.tp * moe.ep);
  };
  return find(moes_, RoutedMoeShape{format, std::string(routing), shape}, distance,
              [&](const RoutedMoeShape& other) { return active_elements(shape) / active_elements(other.shape); });
}

}  // namespace rooftune::kernels
