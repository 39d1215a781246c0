#include "rooftune/kernels/efficiency.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "kernels/rows.hpp"
#include "support/example_targets.hpp"

namespace rooftune::kernels {
namespace {

using testing::ElementsAre;

TEST(Normalise, DropsWhatCannotBeAndSaysHowMuch) {
  MeasuredKernels kernels;
  kernels.gemms = {gemm_row(NumberFormat::bf16, 4096, 4096, 4096, 200.0), gemm_row(NumberFormat::bf16, 4096, 4096, 4096, 100.0),
                   gemm_row(NumberFormat::bf16, 0, 4096, 4096, 200.0), gemm_row(NumberFormat::bf16, 1, 4096, 4096, 0.0)};
  const NormalisedKernels result = normalise(kernels, examples::h100());
  EXPECT_THAT(result.kernels.gemms, ElementsAre(kernels.gemms[0]));
  EXPECT_THAT(result.left_out, ElementsAre(LeftOut{.reason = "gemm: size or latency not positive", .rows = 2},
                                           LeftOut{.reason = "gemm: faster than the GPU's peak", .rows = 1}));
}

/// Curves are made of what is left: a latency of 0 has no logarithm.
TEST(Normalise, LeavesOutImpossibleRowsOfEveryTable) {
  MeasuredKernels kernels;
  kernels.latent_context = {{.heads = 16, .batch = 1, .new_tokens = 512, .kv_tokens = 512, .latency_us = 90.0},
                            {.heads = 16, .batch = 1, .new_tokens = 1024, .kv_tokens = 1024, .latency_us = 0.0}};
  kernels.latent_generation = {{.heads = 16, .batch = 1, .new_tokens = 1, .kv_tokens = 512, .latency_us = -1.0}};
  kernels.linear_attention = {{.op = "gdn",
                               .phase = "context",
                               .part = "whole",
                               .batch = 1,
                               .new_tokens = 512,
                               .key_heads = 4,
                               .value_heads = 8,
                               .latency_us = 0.0}};
  kernels.sparse_attention = {{.op = "dsa",
                               .model = "m",
                               .phase = "generation",
                               .batch = 1,
                               .new_tokens = 1,
                               .kv_tokens = 512,
                               .heads = 16,
                               .latency_us = std::numeric_limits<double>::quiet_NaN()}};
  kernels.collectives = {{.op = "all_gather", .ranks = 8, .message_bytes = 1024, .latency_us = 0.0},
                         {.op = "all_gather", .ranks = 8, .message_bytes = 2048, .latency_us = 5.0}};
  const NormalisedKernels result = normalise(kernels, examples::h100());
  EXPECT_EQ(result.kernels.latent_context.size(), 1U);
  EXPECT_TRUE(result.kernels.latent_generation.empty());
  EXPECT_TRUE(result.kernels.linear_attention.empty());
  EXPECT_TRUE(result.kernels.sparse_attention.empty());
  EXPECT_THAT(result.kernels.collectives, ElementsAre(kernels.collectives[1]));
  EXPECT_EQ(result.left_out.size(), 5U);
}

TEST(Normalise, FillsInTheFormatThatRatesImplyAndForgetsMfu) {
  MeasuredKernels kernels;
  kernels.gemms = {gemm_row({}, 4096, 4096, 4096, 100.0), gemm_row({}, 8, 4096, 4096, 9.0)};
  kernels.gemms[0].reported_mfu = 1.39;
  const NormalisedKernels result = normalise(kernels, examples::h100());
  ASSERT_EQ(result.kernels.gemms.size(), 2U);
  for (const GemmRow& row : result.kernels.gemms) {
    EXPECT_EQ(row.format, NumberFormat::fp8);
    EXPECT_EQ(row.reported_mfu, std::nullopt);
  }
}

TEST(Normalise, LeavesOutRowsWhoseFormatNothingTells) {
  MeasuredKernels kernels;
  kernels.gemms = {gemm_row({}, 8, 4096, 4096, 9.0)};
  EXPECT_TRUE(normalise(kernels, examples::h100()).kernels.gemms.empty());
}

TEST(Normalise, MergesRepeatsIntoOneSortedRow) {
  MeasuredKernels kernels;
  kernels.gemms = {gemm_row(NumberFormat::bf16, 8, 4096, 4096, 12.0), gemm_row(NumberFormat::bf16, 1, 4096, 4096, 11.0),
                   gemm_row(NumberFormat::bf16, 8, 4096, 4096, 14.0), gemm_row(NumberFormat::bf16, 8, 4096, 4096, 40.0)};
  kernels.all_reduces = {{.ranks = 2, .message_bytes = 256, .latency_us = 21.5},
                         {.ranks = 2, .message_bytes = 256, .latency_us = 4.2}};
  const MeasuredKernels clean = normalise(kernels, examples::h100()).kernels;
  EXPECT_THAT(clean.gemms,
              ElementsAre(gemm_row(NumberFormat::bf16, 1, 4096, 4096, 11.0), gemm_row(NumberFormat::bf16, 8, 4096, 4096, 14.0)));
  EXPECT_THAT(clean.all_reduces, ElementsAre(AllReduceRow{.ranks = 2, .message_bytes = 256, .latency_us = 4.2}));
}

TEST(Normalise, DropsExpertLayersThatFp8MadeSlower) {
  // Llama-4-Scout on H100, vLLM 0.24, 8 tokens: 1878.9 us in FP8, 696.71 in bf16.
  MoeRow bf16;
  bf16.tokens = 8;
  bf16.hidden = 5120;
  bf16.ffn_width = 8192;
  bf16.experts_per_token = 1;
  bf16.experts = 16;
  bf16.latency_us = 696.71;
  MoeRow fp8 = bf16;
  fp8.format = NumberFormat::fp8;
  fp8.latency_us = 1878.9;
  MoeRow sound = fp8;
  sound.hidden = 4096;
  MeasuredKernels kernels;
  kernels.moes = {bf16, fp8, sound};
  const NormalisedKernels result = normalise(kernels, examples::h100());
  EXPECT_THAT(result.kernels.moes, testing::UnorderedElementsAre(bf16, sound));
  EXPECT_THAT(result.left_out, ElementsAre(LeftOut{.reason = "moe: FP8 slower than bf16", .rows = 1}));
}

TEST(Normalise, ChangesNothingTheSecondTime) {
  MeasuredKernels kernels;
  kernels.gemms = {gemm_row(NumberFormat::bf16, 8, 4096, 4096, 12.0), gemm_row(NumberFormat::bf16, 1, 4096, 4096, 11.0)};
  const MeasuredKernels once = normalise(kernels, examples::h100()).kernels;
  const NormalisedKernels twice = normalise(once, examples::h100());
  EXPECT_EQ(twice.kernels, once);
  EXPECT_TRUE(twice.left_out.empty());
}

TEST(Summarise, GivesSharesOfTheDataSheet) {
  MeasuredKernels kernels;
  kernels.engine = "test-1";
  // 16384 x 4096 bf16 weights: 134.2 MB, 40.07 us at 3.35 TB/s.
  kernels.gemms = {gemm_row(NumberFormat::bf16, 1, 16384, 4096, 40.0656 / 0.8),
                   gemm_row(NumberFormat::bf16, 4096, 4096, 4096, 2.0 * 4096 * 4096 * 4096 / 989.5e6 / 0.75)};
  AttentionRow decode;
  decode.shape = {.heads = 32, .kv_heads = 8, .head_dim = 128};
  decode.batch = 64;
  decode.new_tokens = 1;
  decode.kv_tokens = 8192;
  decode.latency_us = kv_bytes(decode) / 3.35e6 / 0.85;
  kernels.generation_attention = {decode};
  AttentionRow prefill = decode;
  prefill.batch = 1;
  prefill.new_tokens = prefill.kv_tokens = 4096;
  prefill.latency_us = flops(prefill) / 989.5e6 / 0.55;
  kernels.context_attention = {prefill};
  kernels.all_reduces = {{.ranks = 4, .message_bytes = 256, .latency_us = 4.5},
                         {.ranks = 4, .message_bytes = 300000000, .latency_us = 1000.0}};

  const KernelEfficiency result = summarise(kernels, examples::h100());
  EXPECT_EQ(result.gpu, "H100-SXM");
  EXPECT_EQ(result.engine, "test-1");
  EXPECT_NEAR(result.weight_streaming_fraction.value(), 0.8, 1e-4);
  EXPECT_NEAR(result.gemm_compute_fraction.value(), 0.75, 1e-9);
  EXPECT_NEAR(result.kv_streaming_fraction.value(), 0.85, 1e-9);
  EXPECT_NEAR(result.context_attention_fraction.value(), 0.55, 1e-9);
  ASSERT_EQ(result.all_reduce.size(), 1U);
  EXPECT_EQ(result.all_reduce[0].floor_us, 4.5);
  EXPECT_DOUBLE_EQ(result.all_reduce[0].bus_gigabytes_per_s, 450.0);
  EXPECT_EQ(result.gemm_compute_by_tokens.size(), 2U);
}

TEST(Summarise, LeavesEmptyWhatWasNotMeasured) {
  const KernelEfficiency result = summarise({}, examples::h100());
  EXPECT_FALSE(result.weight_streaming_fraction || result.gemm_compute_fraction || result.kv_streaming_fraction);
  EXPECT_TRUE(result.all_reduce.empty());
}

}  // namespace
}  // namespace rooftune::kernels
