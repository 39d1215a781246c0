#include "rooftune/kernels/audit.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/rows.hpp"
#include "support/example_targets.hpp"

namespace rooftune::kernels {
namespace {

using testing::HasSubstr;

domain::GpuSpec l40s() {
  domain::GpuSpec gpu = examples::h100();
  gpu.name = "L40S";
  gpu.peak_bf16 = {362.05};
  gpu.peak_fp8 = core::TeraflopsPerSecond{733.0};
  gpu.hbm_bandwidth = {0.864};
  return gpu;
}

AttentionRow prefill_row(std::int64_t seq_len, double latency_us, double mfu) {
  AttentionRow row;
  row.shape = {.heads = 32, .kv_heads = 32, .head_dim = 128};
  row.batch = 1;
  row.new_tokens = row.kv_tokens = seq_len;
  row.latency_us = latency_us;
  row.reported_mfu = mfu;
  return row;
}

AttentionRow decode_row(std::int64_t batch, std::int64_t kv_len, double latency_us, double mfu) {
  AttentionRow row = prefill_row(kv_len, latency_us, mfu);
  row.batch = batch;
  row.new_tokens = 1;
  return row;
}

GemmRow reported_gemm(std::optional<NumberFormat> format, std::int64_t m, std::int64_t k, std::int64_t n, double latency_us,
                      double mfu) {
  GemmRow row = gemm_row(format, m, n, k, latency_us);
  row.reported_mfu = mfu;
  return row;
}

template <class Row>
MfuAudit audit(const std::vector<Row>& rows, Mask mask, const domain::GpuSpec& gpu = examples::h100()) {
  return audit_mfu(reported(rows), gpu, mask);
}

std::string message(const MfuAudit& audit, FindingKind kind) {
  for (const Finding& finding : audit.findings) {
    if (finding.kind == kind) return finding.message;
  }
  return "no finding of kind " + std::string(finding_name(kind));
}

// Field notes, section 5: the row quoted in the early documents.
TEST(MfuAudit, NamesTheH20DefaultThatAnH100TableWasDividedBy) {
  const MfuAudit result = audit<AttentionRow>({prefill_row(1024, 45.85, 1.266)}, Mask::causal);
  ASSERT_TRUE(result.denominator.has_value());
  EXPECT_EQ(result.denominator->peak.name(), "148 TFLOP/s, H20 bf16");
  EXPECT_EQ(result.denominator->counted_per_flop, 1.0);
  EXPECT_NEAR(*result.implied_peak_tflops, 148.0, 0.1);
  EXPECT_EQ(message(result, FindingKind::foreign_peak),
            "divided by 148 TFLOP/s, H20 bf16, not 989.5 TFLOP/s, H100-SXM bf16: 6.69 times too high");
  EXPECT_NEAR(result.highest_mfu, 1.266 * 148.0 / 989.5, 1e-3);
  EXPECT_LT(result.highest_mfu, 1.0);
}

// Field notes, section 5: 1.146 at m 4096, k 2048, n 6144 becomes 0.573 over the FP8 peak.
TEST(MfuAudit, RecognisesAnFp8KernelOverTheBf16Peak) {
  const double latency_us = 2.0 * 4096 * 2048 * 6144 / (1.146 * 989.5e6);
  const MfuAudit result = audit<GemmRow>({reported_gemm(std::nullopt, 4096, 2048, 6144, latency_us, 1.146)}, Mask::none);
  EXPECT_THAT(message(result, FindingKind::fp8_kernel_over_bf16_peak), HasSubstr("FP8 kernel over bf16 peak"));
  EXPECT_EQ(result.denominator->peak.name(), "989.5 TFLOP/s, H100-SXM bf16");
  EXPECT_EQ(result.format, NumberFormat::fp8);
  EXPECT_NEAR(result.highest_mfu, 0.573, 5e-4);
  EXPECT_FALSE(result.found(FindingKind::impossible_rate));
}

TEST(MfuAudit, DoesNotBelieveADtypeThatItsRatesContradict) {
  const double latency_us = 2.0 * 4096 * 2048 * 6144 / (1.146 * 989.5e6);
  const MfuAudit result = audit<GemmRow>({reported_gemm(NumberFormat::bf16, 4096, 2048, 6144, latency_us, 1.146)}, Mask::none);
  EXPECT_EQ(result.format, NumberFormat::fp8);
  EXPECT_TRUE(result.found(FindingKind::fp8_kernel_over_bf16_peak));
}

// Latencies of the shipped 32-32-128 table (right: divided by 989.5, causal), its MFU doubled as a full square would.
TEST(MfuAudit, SeesTheFullSquareCountedForACausalKernel) {
  const MfuAudit result = audit<AttentionRow>(
      {prefill_row(4096, 217.109, 1.279), prefill_row(8192, 761.923, 1.458), prefill_row(16384, 2972.661, 1.495)}, Mask::causal);
  EXPECT_THAT(message(result, FindingKind::full_square_counted), HasSubstr("full square counted for a causal kernel"));
  EXPECT_EQ(result.denominator->peak.name(), "989.5 TFLOP/s, H100-SXM bf16");
  EXPECT_NEAR(result.highest_mfu, 0.748, 1e-3);
}

TEST(MfuAudit, FindsNothingInASoundTable) {
  const MfuAudit result = audit<AttentionRow>(
      {prefill_row(4096, 217.109, 0.640), prefill_row(8192, 761.923, 0.729), prefill_row(16384, 2972.661, 0.748)}, Mask::causal);
  EXPECT_TRUE(result.findings.empty()) << result.findings.front().message;
  EXPECT_NEAR(*result.implied_peak_tflops, 989.5, 1.0);
}

// Four rows of the shipped gemm/h100 table, which has no dtype column.
TEST(MfuAudit, TakesTheShippedTableWithoutDtypeForFp8) {
  const MfuAudit result =
      audit<GemmRow>({reported_gemm({}, 4096, 2048, 6144, 90.9, 0.573), reported_gemm({}, 8, 2048, 6144, 8.988, 0.011),
                      reported_gemm({}, 16, 2048, 6144, 8.816, 0.023), reported_gemm({}, 32, 2048, 6144, 8.907, 0.046)},
                     Mask::none);
  EXPECT_EQ(result.denominator->peak.name(), "1979 TFLOP/s, H100-SXM fp8");
  EXPECT_EQ(result.format, NumberFormat::fp8);
  EXPECT_EQ(result.rows_above_bf16_peak, 1U);
  EXPECT_EQ(message(result, FindingKind::missing_format),
            "no dtype column; 1 of 4 rows run above 989.5 TFLOP/s, the bf16 peak of H100-SXM: FP8 kernels");
  EXPECT_FALSE(result.found(FindingKind::fp8_kernel_over_bf16_peak));
}

TEST(MfuAudit, NamesASparsePeak) {
  // 366.5 TFLOP/s: half the dense FP8 peak of an L40S, reported over the sparse one.
  const double latency_us = 2.0 * 4096 * 4096 * 4096 / 366.5e6;
  const MfuAudit result = audit<GemmRow>({reported_gemm(NumberFormat::fp8, 4096, 4096, 4096, latency_us, 0.25)}, Mask::none, l40s());
  EXPECT_EQ(message(result, FindingKind::sparse_peak),
            "divided by 1466 TFLOP/s, L40S fp8 with sparsity; dense is 733 TFLOP/s, L40S fp8");
  EXPECT_NEAR(result.highest_mfu, 0.5, 1e-3);
}

TEST(MfuAudit, CountsZerosAndWhatRoundingCosts) {
  // Rows of the shipped 32-32-128-tp1 decode table; 0.003 carries 17 % of rounding.
  const MfuAudit result = audit<AttentionRow>(
      {decode_row(1, 256, 37.034, 0.0), decode_row(512, 4096, 11835.356, 0.003), decode_row(512, 8192, 21837.027, 0.003)}, Mask::none);
  EXPECT_EQ(message(result, FindingKind::zero_mfu), "1 rows have an MFU of exactly 0");
  EXPECT_EQ(message(result, FindingKind::rounding_loss), "rounding costs 2 rows up to 17 %");
  EXPECT_EQ(result.denominator->peak.name(), "989.5 TFLOP/s, H100-SXM bf16");
}

TEST(MfuAudit, RefusesRatesThatNoFormatExplains) {
  const double latency_us = 2.0 * 4096 * 4096 * 4096 / 3000e6;
  const MfuAudit result = audit<GemmRow>({reported_gemm(NumberFormat::bf16, 4096, 4096, 4096, latency_us, 3.03)}, Mask::none);
  EXPECT_EQ(message(result, FindingKind::impossible_rate), "1 rows run above 1979 TFLOP/s, the highest peak of H100-SXM");
  EXPECT_TRUE(audit<GemmRow>({reported_gemm(NumberFormat::bf16, 64, 64, 64, 0.0, 0.1)}, Mask::none).found(FindingKind::bad_latency));
}

TEST(MfuAudit, SaysSoWhenNoKnownPeakExplainsAColumn) {
  const MfuAudit result = audit<AttentionRow>({prefill_row(8192, 761.923, 0.5), prefill_row(16384, 2972.661, 0.5126)}, Mask::causal);
  EXPECT_FALSE(result.denominator.has_value());
  EXPECT_THAT(message(result, FindingKind::unknown_denominator), HasSubstr("divided by 144"));
}

TEST(MfuAudit, NeedsNoMfuColumn) {
  GemmRow row = reported_gemm(NumberFormat::bf16, 4096, 4096, 4096, 200.0, 0.0);
  row.reported_mfu.reset();
  const MfuAudit result = audit<GemmRow>({row}, Mask::none);
  EXPECT_TRUE(result.findings.empty());
  EXPECT_EQ(result.implied_peak_tflops, std::nullopt);
  EXPECT_NEAR(result.highest_mfu, 0.6945, 1e-3);
}

TEST(DensePeak, FallsBackToBf16WithoutFp8Units) {
  EXPECT_EQ(dense_peak(examples::a100(), NumberFormat::fp8).value, 312.0);
  EXPECT_EQ(dense_peak(examples::h100(), NumberFormat::fp8).value, 1979.0);
}

}  // namespace
}  // namespace rooftune::kernels
