#include "rooftune/kernels/kernel_tables.hpp"

#include <gtest/gtest.h>

#include "kernels/rows.hpp"

namespace rooftune::kernels {
namespace {

AttentionRow attention_row(HeadShape shape, std::int64_t batch, std::int64_t new_tokens, std::int64_t kv_tokens, double latency_us) {
  AttentionRow row;
  row.shape = shape;
  row.batch = batch;
  row.new_tokens = new_tokens;
  row.kv_tokens = kv_tokens;
  row.latency_us = latency_us;
  return row;
}

constexpr HeadShape kLlama70bTp4{.heads = 16, .kv_heads = 2, .head_dim = 128};
constexpr HeadShape kLlama7b{.heads = 32, .kv_heads = 32, .head_dim = 128};

MeasuredKernels measured() {
  MeasuredKernels kernels;
  kernels.gemms = {gemm_row(NumberFormat::bf16, 1, 4096, 4096, 14.0), gemm_row(NumberFormat::bf16, 1024, 4096, 4096, 50.0),
                   gemm_row(NumberFormat::bf16, 1, 16384, 4096, 50.0), gemm_row(NumberFormat::fp8, 1, 11008, 4096, 20.0),
                   gemm_row(std::nullopt, 1, 11008, 4096, 1.0)};
  kernels.context_attention = {attention_row(kLlama7b, 1, 1024, 1024, 40.0), attention_row(kLlama7b, 1, 2048, 2048, 100.0)};
  kernels.generation_attention = {attention_row(kLlama70bTp4, 1, 1, 1024, 10.0), attention_row(kLlama70bTp4, 64, 1, 1024, 40.0),
                                  attention_row(kLlama7b, 1, 1, 1024, 20.0)};
  kernels.all_reduces = {{.ranks = 2, .message_bytes = 8192, .latency_us = 4.0},
                         {.ranks = 8, .message_bytes = 8192, .latency_us = 7.0}};
  MoeRow moe;
  moe.tokens = 1;
  moe.hidden = 4096;
  moe.ffn_width = 14336;
  moe.experts_per_token = 2;
  moe.experts = 8;
  moe.routing = "balanced";
  moe.latency_us = 258.74;
  kernels.moes = {moe};
  return kernels;
}

class Tables : public testing::Test {
 protected:
  KernelTables tables{measured()};
  LookupReport report;
};

TEST_F(Tables, FindAMeasuredProductExactly) {
  const CurveLookup gemm = tables.gemm(NumberFormat::bf16, 4096, 4096).value();
  EXPECT_TRUE(gemm.exact_shape);
  EXPECT_EQ(gemm.latency_us(LookupMode::interpolate, report, 1024.0), 50.0);
  EXPECT_EQ(report.count(LookupEvent::exact), 1U);
  EXPECT_EQ(report.count(LookupEvent::nearest_shape), 0U);
}

TEST_F(Tables, ScaleTheNearestShapeByWorkAndSaySo) {
  // 11008 x 4096 was measured in FP8 only; 16384 x 4096 is the nearest bf16 shape.
  const CurveLookup gemm = tables.gemm(NumberFormat::bf16, 11008, 4096).value();
  EXPECT_FALSE(gemm.exact_shape);
  EXPECT_DOUBLE_EQ(gemm.latency_us(LookupMode::interpolate, report, 1.0), 50.0 * 11008 / 16384);
  EXPECT_EQ(report.count(LookupEvent::nearest_shape), 1U);
}

TEST_F(Tables, NeverMixFormats) {
  EXPECT_EQ(tables.gemm(NumberFormat::fp8, 11008, 4096)->latency_us(LookupMode::nearest, report, 1.0), 20.0);
  EXPECT_FALSE(tables.context_attention(NumberFormat::fp8, kLlama7b).has_value());
  MeasuredKernels fp8_only = measured();
  std::erase_if(fp8_only.gemms, [](const GemmRow& row) { return row.format == NumberFormat::bf16; });
  EXPECT_FALSE(KernelTables(fp8_only).gemm(NumberFormat::bf16, 11008, 4096).has_value());
}

TEST_F(Tables, TakeMissingTpDegreesFromTheNearestHeadShape) {
  // Llama-3.1-70B at TP 8: 8 heads, 1 KV head; the nearest has twice the KV heads.
  const HeadShape tp8{.heads = 8, .kv_heads = 1, .head_dim = 128};
  const GridLookup attention = tables.generation_attention(NumberFormat::bf16, tp8).value();
  EXPECT_FALSE(attention.exact_shape);
  EXPECT_DOUBLE_EQ(attention.latency_us(LookupMode::interpolate, report, 64.0, 1024.0), 20.0);
  EXPECT_EQ(report.count(LookupEvent::nearest_shape), 1U);
}

TEST_F(Tables, GrowContextAttentionWithTheSquareBeyondTheTable) {
  const GridLookup attention = tables.context_attention(NumberFormat::bf16, kLlama7b).value();
  EXPECT_DOUBLE_EQ(attention.latency_us(LookupMode::interpolate, report, 1.0, 4096.0), 400.0);
  EXPECT_EQ(report.count(LookupEvent::above_table), 1U);
}

TEST_F(Tables, ScaleAllReduceByTheRingWhereRanksAreMissing) {
  EXPECT_TRUE(tables.all_reduce(2)->exact_shape);
  const CurveLookup four = tables.all_reduce(4).value();
  EXPECT_FALSE(four.exact_shape);
  EXPECT_GT(four.latency_us(LookupMode::interpolate, report, 8192.0), 0.0);
}

TEST_F(Tables, PreferTheRoutingAskedFor) {
  const MoeShape mixtral{.hidden = 4096, .ffn_width = 14336, .experts_per_token = 2, .experts = 8};
  EXPECT_TRUE(tables.moe(NumberFormat::bf16, mixtral, "balanced")->exact_shape);
  EXPECT_FALSE(tables.moe(NumberFormat::bf16, mixtral, "power_law_1.2")->exact_shape);
  EXPECT_FALSE(tables.moe(NumberFormat::fp8, mixtral, "balanced").has_value());
}

TEST_F(Tables, AreEmptyWhereNothingWasMeasured) {
  const KernelTables empty{MeasuredKernels{}};
  EXPECT_FALSE(empty.gemm(NumberFormat::bf16, 1, 1).has_value());
  EXPECT_FALSE(empty.generation_attention(NumberFormat::bf16, kLlama7b).has_value());
  EXPECT_FALSE(empty.all_reduce(2).has_value());
}

TEST(NumberFormat, IsFoundInItsUsualSpellings) {
  for (const char* name : {"bf16", "BF16", "bfloat16", "float16", "fp16"}) EXPECT_EQ(find_format(name), NumberFormat::bf16) << name;
  for (const char* name : {"fp8", "fp8_e4m3", "FP8"}) EXPECT_EQ(find_format(name), NumberFormat::fp8) << name;
  EXPECT_EQ(find_format("nvfp4"), NumberFormat::nvfp4);
  EXPECT_EQ(find_format("int3"), std::nullopt);
}

// By hand, field notes section 4: 2 m k n; 4 h dh Sq Skv R with R = 1/2 for causal prefill and 1 for decode.
TEST(Work, CountsFlopsAndBytes) {
  EXPECT_EQ(flops(gemm_row({}, 8, 6144, 2048, 1.0)), 2.0 * 8 * 2048 * 6144);
  EXPECT_EQ(weight_bytes(gemm_row(NumberFormat::fp8, 8, 6144, 2048, 1.0)), 2048.0 * 6144);
  EXPECT_EQ(flops(attention_row(kLlama7b, 2, 1024, 1024, 1.0)), 2 * 4.0 * 32 * 128 * 1024 * 1024 / 2);
  EXPECT_EQ(flops(attention_row(kLlama7b, 1, 512, 1024, 1.0)), 4.0 * 32 * 128 * 1.5 * 512 * 512);
  EXPECT_EQ(flops(attention_row(kLlama7b, 3, 1, 1000, 1.0)), 3 * 4.0 * 32 * 128 * 1000);
  EXPECT_EQ(kv_bytes(attention_row(kLlama70bTp4, 3, 1, 1000, 1.0)), 2.0 * 3 * 1000 * 2 * 128 * 2);
}

}  // namespace
}  // namespace rooftune::kernels
