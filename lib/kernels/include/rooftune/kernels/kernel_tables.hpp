#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rooftune/domain/gpu.hpp"
#include "rooftune/domain/release.hpp"
#include "rooftune/kernels/curve.hpp"
#include "rooftune/kernels/tables.hpp"

namespace rooftune::kernels {

/// A layer's curve, or the nearest shape's scaled by the ratio of work. Refers to the KernelTables it came from.
template <class Measured>
struct ShapeLookup {
  const Measured* measured = nullptr;
  double work_ratio = 1.0;  ///< work of the wanted shape / work of the measured one
  bool exact_shape = true;

  /// Arguments as of Measured::latency_us.
  template <class... Quantities>
  [[nodiscard]] double latency_us(LookupMode mode, LookupReport& report, Quantities... quantities) const {
    if (!exact_shape) report.add(LookupEvent::nearest_shape);
    return work_ratio * measured->latency_us(quantities..., mode, report);
  }
};
using CurveLookup = ShapeLookup<LatencyCurve>;
using GridLookup = ShapeLookup<LatencyGrid>;

/// A fused mixture-of-experts layer as one GPU of a tensor- and expert-parallel group runs it.
struct MoeShape {
  std::int64_t hidden = 0;
  std::int64_t ffn_width = 0;  ///< of the whole expert
  std::int64_t experts_per_token = 0;
  std::int64_t experts = 0;
  std::int64_t tp = 1;
  std::int64_t ep = 1;
  friend auto operator<=>(const MoeShape&, const MoeShape&) = default;
};

class GpuCurves;

/// Measured kernels of one GPU, indexed once. Finding a shape is done once per layer (binary search when it was measured, a
/// scan for the nearest otherwise); looking up along tokens or bytes is a binary search. Nothing allocates.
/// Distances between shapes are Euclidean in the logarithms of their sizes.
class KernelTables {
 public:
  /// Rows must be sound (efficiency.hpp: normalise). GEMM rows whose format is not known are left out.
  explicit KernelTables(const MeasuredKernels& kernels);
  ~KernelTables();
  KernelTables(const KernelTables&) = delete;
  KernelTables& operator=(const KernelTables&) = delete;

  /// Latency of y[m, n] = x[m, k] w[n, k]^T over m. Two stages: first (n, k), then m. Empty when the table has no row of the
  /// format: a bf16 product never takes its time from an FP8 row.
  [[nodiscard]] std::optional<CurveLookup> gemm(NumberFormat format, std::int64_t n, std::int64_t k) const;
  /// Latency of causal attention of new sequences over (sequences, tokens each). `shape`: heads of one GPU, so a missing
  /// TP degree is a missing shape.
  [[nodiscard]] std::optional<GridLookup> context_attention(NumberFormat kv_format, const HeadShape& shape) const;
  /// Latency of one-token attention over (sequences, context tokens of each).
  [[nodiscard]] std::optional<GridLookup> generation_attention(NumberFormat kv_format, const HeadShape& shape) const;
  /// Latency of an all-reduce over message bytes; the nearest measured number of ranks stands in for a missing one.
  [[nodiscard]] std::optional<CurveLookup> all_reduce(std::int64_t ranks) const;
  /// Latency of a fused mixture-of-experts layer over tokens, for the routing asked for where it was measured.
  [[nodiscard]] std::optional<CurveLookup> moe(NumberFormat format, const MoeShape& shape, std::string_view routing) const;

  /// The same kernels as one release of the engine runs them (empty: the newest), made ready to price shapes of any size. Made
  /// once per release; may be called from any thread. `fused`: whether all-reduces do the norm after them (empty: the release's default).
  [[nodiscard]] const GpuCurves& curves(const domain::GpuSpec& gpu, std::optional<domain::Release> release,
                                        std::optional<bool> fused = {}) const;

  /// Tells these tables from any others: a hash of the rows they came from.
  [[nodiscard]] const std::string& identity() const { return identity_; }

 private:
  struct GemmShape {
    NumberFormat format;
    std::int64_t n;
    std::int64_t k;
    friend auto operator<=>(const GemmShape&, const GemmShape&) = default;
  };
  struct AttentionShape {
    NumberFormat kv_format;
    HeadShape heads;
    friend auto operator<=>(const AttentionShape&, const AttentionShape&) = default;
  };
  struct RoutedMoeShape {
    NumberFormat format;
    std::string routing;
    MoeShape shape;
    friend auto operator<=>(const RoutedMoeShape&, const RoutedMoeShape&) = default;
  };
  /// Sorted by shape.
  template <class Shape, class Measured>
  using Index = std::vector<std::pair<Shape, Measured>>;

  [[nodiscard]] static Index<AttentionShape, LatencyGrid> index_attention(const std::vector<AttentionRow>& rows, double work_power);

  MeasuredKernels measured_;
  mutable std::mutex curves_made_;
  mutable std::map<std::pair<std::optional<domain::Release>, std::optional<bool>>, std::unique_ptr<const GpuCurves>> curves_;
  std::string identity_;
  Index<GemmShape, LatencyCurve> gemms_;
  Index<AttentionShape, LatencyGrid> context_attention_;
  Index<AttentionShape, LatencyGrid> generation_attention_;
  Index<std::int64_t, LatencyCurve> all_reduces_;
  Index<RoutedMoeShape, LatencyCurve> moes_;
};

}  // namespace rooftune::kernels
