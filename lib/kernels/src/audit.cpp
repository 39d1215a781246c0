#include "rooftune/kernels/audit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <tuple>

namespace rooftune::kernels {
namespace {

struct SheetPeak {
  std::string_view gpu;
  double bf16_tflops;
  double fp8_tflops;  ///< 0: no FP8 units
};
/// Dense peaks of NVIDIA data sheets: GPUs whose defaults have been seen in benchmark scripts, or are easily confused.
constexpr std::array kSheet{
    SheetPeak{"H20", 148.0, 296.0},        SheetPeak{"H100-SXM", 989.5, 1979.0}, SheetPeak{"H100-PCIe", 756.0, 1513.0},
    SheetPeak{"H100-NVL", 835.5, 1671.0},  SheetPeak{"A100-SXM", 312.0, 0.0},    SheetPeak{"L40S", 362.05, 733.0},
    SheetPeak{"L4", 121.0, 242.5},         SheetPeak{"A10", 125.0, 0.0},         SheetPeak{"A30", 165.0, 0.0},
    SheetPeak{"B200-SXM", 2250.0, 4500.0},
};

/// The column rounds to this many digits; a candidate must explain what is left after rounding this well.
constexpr double kMatchTolerance = 0.005;
constexpr double kMatchedShare = 0.9;
constexpr double kWorthwhileRounding = 0.05;

double rate_tflops(const ReportedRow& row) { return row.flops / row.latency_us * 1e-6; }

bool has_latency(const ReportedRow& row) { return std::isfinite(row.latency_us) && row.latency_us > 0.0; }

/// Half a unit of the last digit that the column carries.
double half_last_digit(std::span<const ReportedRow> rows) {
  double unit = 1.0;
  for (int decimals = 0; decimals < 9; ++decimals, unit /= 10.0) {
    const bool enough = std::ranges::all_of(
        rows, [unit](const ReportedRow& row) { return !row.mfu || std::abs(*row.mfu / unit - std::round(*row.mfu / unit)) < 1e-6; });
    if (enough) break;
  }
  return unit / 2.0;
}

/// Median of the implied peaks; a row counts by its mfu, which is inverse to its rounding error.
std::optional<double> implied_peak_tflops(std::span<const ReportedRow> rows) {
  std::vector<std::pair<double, double>> peak_and_weight;
  double total = 0.0;
  for (const ReportedRow& row : rows) {
    if (!row.mfu || !(*row.mfu > 0.0) || !has_latency(row)) continue;
    peak_and_weight.emplace_back(rate_tflops(row) / *row.mfu, *row.mfu);
    total += *row.mfu;
  }
  std::ranges::sort(peak_and_weight);
  double passed = 0.0;
  for (const auto& [peak, weight] : peak_and_weight) {
    passed += weight;
    if (passed >= total / 2.0) return peak;
  }
  return std::nullopt;
}

void add_peaks(std::vector<NamedPeak>& peaks, std::string_view gpu, double bf16_tflops, double fp8_tflops) {
  for (const bool sparse : {false, true}) {
    const double factor = sparse ? 2.0 : 1.0;
    peaks.push_back({.gpu = std::string(gpu), .format = NumberFormat::bf16, .sparse = sparse, .rate = {factor * bf16_tflops}});
    if (fp8_tflops > 0.0) {
      peaks.push_back({.gpu = std::string(gpu), .format = NumberFormat::fp8, .sparse = sparse, .rate = {factor * fp8_tflops}});
    }
  }
}

std::vector<NamedPeak> known_peaks(const domain::GpuSpec& own) {
  std::vector<NamedPeak> peaks;
  add_peaks(peaks, own.name, own.peak_bf16.value, own.peak_fp8 ? own.peak_fp8->value : 0.0);
  for (const SheetPeak& sheet : kSheet) {
    if (sheet.gpu != own.name) add_peaks(peaks, sheet.gpu, sheet.bf16_tflops, sheet.fp8_tflops);
  }
  return peaks;
}

bool explains(const Denominator& denominator, std::span<const ReportedRow> rows, double half_digit) {
  std::size_t with_mfu = 0;
  std::size_t matched = 0;
  for (const ReportedRow& row : rows) {
    if (!row.mfu || !(*row.mfu > 0.0) || !has_latency(row)) continue;
    ++with_mfu;
    const double expected = denominator.counted_per_flop * rate_tflops(row) / denominator.peak.rate.value;
    matched += std::abs(expected - *row.mfu) <= half_digit + kMatchTolerance * *row.mfu ? 1U : 0U;
  }
  return with_mfu > 0 && static_cast<double>(matched) >= kMatchedShare * static_cast<double>(with_mfu);
}

/// The most ordinary explanation: kernels in the format they are said to have, own GPU, dense, causal where causal.
std::optional<Denominator> most_ordinary_denominator(std::span<const ReportedRow> rows, const domain::GpuSpec& gpu, Mask mask,
                                                     std::optional<NumberFormat> declared, double half_digit) {
  std::optional<Denominator> best;
  const auto oddity = [&](const Denominator& denominator) {
    return std::tuple(denominator.peak.gpu != gpu.name, denominator.peak.sparse, declared && denominator.peak.format != *declared,
                      denominator.counted_per_flop);
  };
  for (const NamedPeak& peak : known_peaks(gpu)) {
    for (const double counted : {1.0, 2.0}) {
      if (counted > 1.0 && mask == Mask::none) continue;
      const Denominator candidate{.peak = peak, .counted_per_flop = counted};
      if (explains(candidate, rows, half_digit) && (!best || oddity(candidate) < oddity(*best))) best = candidate;
    }
  }
  return best;
}

/// The format that all rows declare, if they do and agree.
std::optional<NumberFormat> declared_format(std::span<const ReportedRow> rows) {
  if (rows.empty() || !rows.front().format) return std::nullopt;
  const bool agree = std::ranges::all_of(rows, [&](const ReportedRow& row) { return row.format == rows.front().format; });
  return agree ? rows.front().format : std::nullopt;
}

}  // namespace

std::string NamedPeak::name() const {
  return fmt::format("{:g} TFLOP/s, {} {}{}", rate.value, gpu, format_name(format), sparse ? " with sparsity" : "");
}

std::string_view finding_name(FindingKind kind) {
  switch (kind) {
    case FindingKind::foreign_peak: return "foreign_peak";
    case FindingKind::sparse_peak: return "sparse_peak";
    case FindingKind::fp8_kernel_over_bf16_peak: return "fp8_kernel_over_bf16_peak";
    case FindingKind::full_square_counted: return "full_square_counted";
    case FindingKind::unknown_denominator: return "unknown_denominator";
    case FindingKind::missing_format: return "missing_format";
    case FindingKind::zero_mfu: return "zero_mfu";
    case FindingKind::rounding_loss: return "rounding_loss";
    case FindingKind::impossible_rate: return "impossible_rate";
    case FindingKind::bad_latency: return "bad_latency";
  }
  return "";
}

std::vector<ReportedRow> reported(std::span<const GemmRow> rows) {
  std::vector<ReportedRow> result;
  for (const GemmRow& row : rows) {
    result.push_back({.format = row.format, .flops = flops(row), .latency_us = row.latency_us, .mfu = row.reported_mfu});
  }
  return result;
}

std::vector<ReportedRow> reported(std::span<const AttentionRow> rows) {
  std::vector<ReportedRow> result;
  for (const AttentionRow& row : rows) {
    result.push_back({.format = row.format, .flops = flops(row), .latency_us = row.latency_us, .mfu = row.reported_mfu});
  }
  return result;
}

bool MfuAudit::found(FindingKind kind) const { return std::ranges::find(findings, kind, &Finding::kind) != findings.end(); }

core::TeraflopsPerSecond dense_peak(const domain::GpuSpec& gpu, NumberFormat format) {
  // Without units of its own a format is read as it is and multiplied in bf16.
  if (format == NumberFormat::nvfp4) return gpu.peak_fp4 ? *gpu.peak_fp4 : gpu.peak_bf16;
  return computes_in_bf16(format) || !gpu.peak_fp8 ? gpu.peak_bf16 : *gpu.peak_fp8;
}

double achieved_fraction(double flops, double latency_us, NumberFormat format, const domain::GpuSpec& gpu) {
  return flops / latency_us / core::flops_per_us(dense_peak(gpu, format));
}

MfuAudit audit_mfu(std::span<const ReportedRow> rows, const domain::GpuSpec& gpu, Mask mask) {
  MfuAudit audit;
  audit.rows = rows.size();
  const auto count_rows = [&](const auto& predicate) { return static_cast<std::size_t>(std::ranges::count_if(rows, predicate)); };
  const auto report = [&](FindingKind kind, std::size_t concerned, std::string message) {
    if (concerned > 0) audit.findings.push_back({.kind = kind, .rows = concerned, .message = std::move(message)});
  };

  const std::size_t bad = count_rows([](const ReportedRow& row) { return !has_latency(row); });
  report(FindingKind::bad_latency, bad, fmt::format("{} rows have no positive latency", bad));

  const double bf16_tflops = gpu.peak_bf16.value;
  const double highest_possible_tflops = gpu.peak_fp8 ? std::max(bf16_tflops, gpu.peak_fp8->value) : bf16_tflops;
  audit.rows_above_bf16_peak =
      count_rows([&](const ReportedRow& row) { return has_latency(row) && rate_tflops(row) > kPeakTolerance * bf16_tflops; });
  const std::size_t impossible = count_rows(
      [&](const ReportedRow& row) { return has_latency(row) && rate_tflops(row) > kPeakTolerance * highest_possible_tflops; });
  report(FindingKind::impossible_rate, impossible,
         fmt::format("{} rows run above {:g} TFLOP/s, the highest peak of {}", impossible, highest_possible_tflops, gpu.name));

  const std::optional<NumberFormat> declared = declared_format(rows);
  const double half_digit = half_last_digit(rows);
  audit.implied_peak_tflops = implied_peak_tflops(rows);
  audit.denominator = most_ordinary_denominator(rows, gpu, mask, declared, half_digit);

  // Faster than bf16 can be: FP8, whatever the file says.
  const bool runs_fp8 = audit.rows_above_bf16_peak > impossible;
  audit.format = runs_fp8 ? NumberFormat::fp8 : declared;
  if (!audit.format && audit.denominator && audit.denominator->peak.gpu == gpu.name && !audit.denominator->peak.sparse) {
    audit.format = audit.denominator->peak.format;
  }
  const std::size_t without_format = count_rows([](const ReportedRow& row) { return !row.format.has_value(); });
  report(FindingKind::missing_format, without_format,
         runs_fp8 ? fmt::format("no dtype column; {} of {} rows run above {:g} TFLOP/s, the bf16 peak of {}: FP8 kernels",
                                audit.rows_above_bf16_peak, rows.size(), bf16_tflops, gpu.name)
                  : fmt::format("no dtype column for {} rows", without_format));

  const std::size_t with_mfu = count_rows([](const ReportedRow& row) { return row.mfu.has_value() && *row.mfu > 0.0; });
  if (audit.denominator) {
    const NamedPeak& peak = audit.denominator->peak;
    const NumberFormat kernel_format = audit.format.value_or(peak.format);
    const double right_tflops = dense_peak(gpu, kernel_format).value;
    const std::string should_be = fmt::format("{:g} TFLOP/s, {} {}", right_tflops, gpu.name, format_name(kernel_format));
    if (peak.gpu != gpu.name) {
      report(FindingKind::foreign_peak, with_mfu,
             fmt::format("divided by {}, not {}: {:.3g} times too high", peak.name(), should_be, right_tflops / peak.rate.value));
    } else if (kernel_format == NumberFormat::fp8 && peak.format == NumberFormat::bf16 && !peak.sparse && gpu.peak_fp8) {
      report(FindingKind::fp8_kernel_over_bf16_peak, with_mfu,
             fmt::format("FP8 kernel over bf16 peak: divided by {}, not {}", peak.name(), should_be));
    }
    if (peak.sparse) {
      report(FindingKind::sparse_peak, with_mfu, fmt::format("divided by {}; dense is {}", peak.name(), should_be));
    }
    if (audit.denominator->counted_per_flop > 1.0) {
      report(FindingKind::full_square_counted, with_mfu, "full square counted for a causal kernel: 2 times too high");
    }
  } else if (audit.implied_peak_tflops) {
    report(FindingKind::unknown_denominator, with_mfu,
           fmt::format("divided by {:.4g} TFLOP/s, which is no peak that we know", *audit.implied_peak_tflops));
  }

  for (const ReportedRow& row : rows) {
    if (!has_latency(row)) continue;
    const double mfu = achieved_fraction(row.flops, row.latency_us, audit.format.value_or(NumberFormat::bf16), gpu);
    audit.highest_mfu = std::max(audit.highest_mfu, mfu);
  }

  const std::size_t zeros = count_rows([](const ReportedRow& row) { return row.mfu == 0.0; });
  report(FindingKind::zero_mfu, zeros, fmt::format("{} rows have an MFU of exactly 0", zeros));
  double worst_rounding = 0.0;
  std::size_t coarse = 0;
  for (const ReportedRow& row : rows) {
    if (!row.mfu || !(*row.mfu > 0.0) || half_digit / *row.mfu <= kWorthwhileRounding) continue;
    ++coarse;
    worst_rounding = std::max(worst_rounding, half_digit / *row.mfu);
  }
  report(FindingKind::rounding_loss, coarse, fmt::format("rounding costs {} rows up to {:.0f} %", coarse, 100.0 * worst_rounding));
  return audit;
}

}  // namespace rooftune::kernels
