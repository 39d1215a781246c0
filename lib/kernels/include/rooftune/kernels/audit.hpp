#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/domain/gpu.hpp"
#include "rooftune/kernels/tables.hpp"

namespace rooftune::kernels {

/// What a peak on a data sheet stands for.
struct NamedPeak {
  std::string gpu;
  NumberFormat format = NumberFormat::bf16;
  bool sparse = false;  ///< counts the zeros of 2:4 sparsity as work: twice the dense peak
  core::TeraflopsPerSecond rate;

  /// "148 TFLOP/s, H20 bf16"; "1466 TFLOP/s, L40S fp8 with sparsity"
  [[nodiscard]] std::string name() const;
  friend bool operator==(const NamedPeak&, const NamedPeak&) = default;
};

/// What an mfu column was made with: mfu = counted * FLOPs / (latency * peak).
struct Denominator {
  NamedPeak peak;
  double counted_per_flop = 1.0;  ///< 2: the full square was counted for a causal kernel
  friend bool operator==(const Denominator&, const Denominator&) = default;
};

enum class FindingKind {
  foreign_peak,               ///< divided by another GPU's peak
  sparse_peak,                ///< divided by a peak that counts sparsity
  fp8_kernel_over_bf16_peak,  ///< an FP8 kernel divided by the bf16 peak; no time for a bf16 model
  full_square_counted,        ///< a causal kernel counted with all pairs
  unknown_denominator,        ///< no peak that we know explains the column
  missing_format,             ///< the table does not say in which format its kernels compute
  zero_mfu,                   ///< rounded to nothing
  rounding_loss,              ///< too few digits to carry the value within 5 %
  impossible_rate,            ///< faster than the GPU can
  bad_latency,                ///< zero, negative or not a number
};
[[nodiscard]] std::string_view finding_name(FindingKind kind);

struct Finding {
  FindingKind kind = FindingKind::unknown_denominator;
  std::size_t rows = 0;  ///< that it concerns
  std::string message;
  friend bool operator==(const Finding&, const Finding&) = default;
};

/// One row as a file reports it, with its work counted by us.
struct ReportedRow {
  std::optional<NumberFormat> format;
  double flops = 0.0;  ///< causal where the kernel is
  double latency_us = 0.0;
  std::optional<double> mfu;
};
[[nodiscard]] std::vector<ReportedRow> reported(std::span<const GemmRow> rows);
[[nodiscard]] std::vector<ReportedRow> reported(std::span<const AttentionRow> rows);

enum class Mask { none, causal };

/// What a table's column of MFU values turns out to be.
struct MfuAudit {
  std::size_t rows = 0;
  std::optional<double> implied_peak_tflops;  ///< median of FLOPs / latency / mfu, weighted by the digits that mfu carries
  std::optional<Denominator> denominator;     ///< the known peak that explains at least nine rows of ten
  std::optional<NumberFormat> format;         ///< declared, or inferred from rates and denominator
  std::size_t rows_above_bf16_peak = 0;
  double highest_mfu = 0.0;  ///< recomputed over the dense peak of `format`
  std::vector<Finding> findings;

  [[nodiscard]] bool found(FindingKind kind) const;
};

/// Recomputes every row's rate from latency and work, and says what the column was divided by. `gpu`: where the file says
/// that the rows were measured. `mask`: whether counting the full square is a possible mistake.
[[nodiscard]] MfuAudit audit_mfu(std::span<const ReportedRow> rows, const domain::GpuSpec& gpu, Mask mask);

/// FLOPs per second over the peak of `format` on `gpu` (bf16 where it has no FP8 units).
[[nodiscard]] double achieved_fraction(double flops, double latency_us, NumberFormat format, const domain::GpuSpec& gpu);
/// The dense peak of the units that multiply the format; the next wider ones where the GPU has none.
[[nodiscard]] core::TeraflopsPerSecond dense_peak(const domain::GpuSpec& gpu, NumberFormat format);

/// Measured rates above a data sheet's peak by more than this are errors, not boost clocks.
inline constexpr double kPeakTolerance = 1.02;

}  // namespace rooftune::kernels
