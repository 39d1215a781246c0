#include "rooftune/kernels/gpu_curves.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "kernels/rows.hpp"
#include "rooftune/kernels/all_reduce.hpp"
#include "support/example_targets.hpp"

// Latencies are rows of bench_data, typed by hand: NVIDIA aiconfigurator 095f58a, Apache-2.0.
namespace rooftune::kernels {
namespace {

domain::GpuSpec gpu_named(const char* name) {
  domain::GpuSpec gpu = examples::h100();
  gpu.name = name;
  return gpu;
}

// H100, 8 ranks, microseconds.
std::vector<AllReduceRow> eight_ranks() {
  const auto row = [](std::int64_t kilobytes, double us, const char* kind, const char* engine) {
    return AllReduceRow{.ranks = 8, .message_bytes = kilobytes * 1024, .latency_us = us, .kind = kind, .engine = engine};
  };
  return {row(64, 6.3085, "custom", "vllm-0.14.0"),   row(128, 7.7203, "custom", "vllm-0.14.0"),
          row(256, 14.71, "custom", "vllm-0.14.0"),   row(512, 15.588, "custom", "vllm-0.14.0"),
          row(4096, 34.494, "custom", "vllm-0.14.0"), row(8192, 77.258, "custom", "vllm-0.14.0"),
          row(64, 6.352, "custom", "vllm-0.19.0"),    row(128, 7.7792, "custom", "vllm-0.19.0"),
          row(256, 10.7, "custom", "vllm-0.19.0"),    row(512, 11.866, "custom", "vllm-0.19.0"),
          row(4096, 30.57, "custom", "vllm-0.19.0"),  row(8192, 50.714, "custom", "vllm-0.19.0"),
          row(64, 18.68, "nccl", "nccl-2.29.2"),      row(128, 19.0, "nccl", "nccl-2.29.2"),
          row(256, 19.15, "nccl", "nccl-2.29.2"),     row(512, 20.13, "nccl", "nccl-2.29.2"),
          row(4096, 50.49, "nccl", "nccl-2.29.2"),    row(8192, 78.91, "nccl", "nccl-2.29.2")};
}

TEST(AllReduceCurve, FollowsTheReleasesChoiceOfKernels) {
  const auto at = [](const char* gpu, std::optional<domain::Release> release, double bytes) {
    return all_reduce_curve(eight_ranks(), gpu_named(gpu), 8, release).us(bytes);
  };
  constexpr double kKiB = 1024.0;
  // 0.10.2: vLLM's kernel below 256 KiB, NCCL from there; symmetric memory was off.
  EXPECT_DOUBLE_EQ(at("H100-SXM", domain::Release{0, 10, 2}, 128 * kKiB), 7.7203);
  EXPECT_DOUBLE_EQ(at("H100-SXM", domain::Release{0, 10, 2}, 256 * kKiB), 19.15);
  // From 0.11 on symmetric memory takes over, as tables from 0.18 on show.
  EXPECT_DOUBLE_EQ(at("H100-SXM", domain::Release{0, 15, 1}, 256 * kKiB), 10.7);
  EXPECT_DOUBLE_EQ(at("H100-SXM", std::nullopt, 8192 * kKiB), 50.714);
  // Before the limits, and on GPUs without any: the kernel's buffer of 8 MiB alone.
  EXPECT_DOUBLE_EQ(at("H100-SXM", domain::Release{0, 8, 5}, 256 * kKiB), 14.71);
  EXPECT_DOUBLE_EQ(at("A100-SXM", domain::Release{0, 10, 2}, 4096 * kKiB), 34.494);
  EXPECT_DOUBLE_EQ(at("A100-SXM", domain::Release{0, 10, 2}, 8192 * kKiB), 78.91);
}

TEST(AllReduceCurve, JumpsWhereTheAlgorithmChangesAndNotBefore) {
  const PriceCurve curve = all_reduce_curve(eight_ranks(), gpu_named("H100-SXM"), 8, domain::Release{0, 8, 5});
  // One stage below 256 KiB: what is just smaller goes on from 64 and 128 KiB.
  EXPECT_NEAR(curve.us(255.9 * 1024), 7.7203 * std::pow(2.0, std::log2(7.7203 / 6.3085)), 0.01);
  EXPECT_DOUBLE_EQ(curve.us(256.0 * 1024), 14.71);
}

TEST(AllReduceCurve, StaysWithOneStageWhereTheNormIsFused) {
  constexpr double kKiB = 1024.0;
  const PriceCurve fused = all_reduce_curve(eight_ranks(), gpu_named("B200-SXM"), 8, domain::Release{0, 10, 2}, true);
  EXPECT_DOUBLE_EQ(fused.us(128 * kKiB), 7.7203);
  // 64 KiB more take 7.7203 - 6.3085 us, up to the fused kernel's limit of 1 MiB; measured are 14.71 and 15.588 in two stages.
  EXPECT_NEAR(fused.us(256 * kKiB), 7.7203 + 2 * 1.4118, 1e-9);
  EXPECT_NEAR(fused.us(512 * kKiB), 15.588, 1e-9) << "where two stages are faster they count";
  EXPECT_DOUBLE_EQ(fused.us(4096 * kKiB), 50.49) << "past the limit another algorithm runs";
  // Off in 0.10 where nothing is said, on from 0.16 where nothing is said.
  EXPECT_GT(all_reduce_curve(eight_ranks(), gpu_named("B200-SXM"), 8, domain::Release{0, 10, 2}).us(256 * kKiB), 14.0);
  EXPECT_EQ(all_reduce_choice(gpu_named("B200-SXM"), 8, domain::Release{0, 16, 0}).fused_up_to, kKiB * kKiB);
  EXPECT_EQ(all_reduce_choice(gpu_named("B200-SXM"), 8, domain::Release{0, 14, 1}).fused_up_to, 0.0);
  EXPECT_EQ(all_reduce_choice(gpu_named("B200-SXM"), 8, domain::Release{0, 18, 0}, false).fused_up_to, 0.0);
  EXPECT_EQ(all_reduce_choice(gpu_named("H200-SXM"), 8, std::nullopt).fused_up_to, 512 * kKiB);
  EXPECT_EQ(all_reduce_choice(gpu_named("A100-SXM"), 8, std::nullopt).fused_up_to, 0.0);
}

TEST(AllReduceChoice, KnowsLimitsByGpuAndRanks) {
  constexpr double kMiB = 1024.0 * 1024.0;
  EXPECT_EQ(all_reduce_choice(gpu_named("H200-SXM"), 8, domain::Release{0, 10, 2}).own_below, kMiB / 4);
  EXPECT_EQ(all_reduce_choice(gpu_named("H200-SXM"), 4, domain::Release{0, 10, 2}).own_below, 8 * kMiB);
  EXPECT_EQ(all_reduce_choice(gpu_named("B200-SXM"), 4, std::nullopt).own_below, 2 * kMiB);
  EXPECT_EQ(all_reduce_choice(gpu_named("B300-SXM"), 8, std::nullopt).own_below, 4 * kMiB);
  EXPECT_TRUE(all_reduce_choice(gpu_named("B200-SXM"), 4, std::nullopt).symmetric);
  EXPECT_FALSE(all_reduce_choice(gpu_named("L40S"), 4, std::nullopt).symmetric);
}

GemmRow gemm(NumberFormat format, std::int64_t m, std::int64_t n, std::int64_t k, double us, const char* engine = "vllm-0.24.0") {
  return gemm_row(format, m, n, k, us, engine);
}

// H200, FP8, n = k = 8192.
MeasuredKernels h200_fp8() {
  MeasuredKernels kernels;
  for (const auto& [m, us] : std::initializer_list<std::pair<std::int64_t, double>>{
           {1, 22.288}, {16, 23.427}, {32, 27.03}, {48, 24.385}, {128, 26.718}, {160, 44.267}, {256, 33.735}})
    kernels.gemms.push_back(gemm(NumberFormat::fp8, m, 8192, 8192, us));
  return kernels;
}

TEST(GpuCurves, KeepTheBumpsOfAMeasuredProduct) {
  const GpuCurves curves(h200_fp8(), gpu_named("H200-SXM"), std::nullopt);
  const GemmPrice price = curves.gemm(NumberFormat::fp8, 8192, 8192);
  EXPECT_EQ(price.coverage, Coverage::measured);
  EXPECT_DOUBLE_EQ(price.by_tokens.us(32.0), 27.03);
  EXPECT_DOUBLE_EQ(price.by_tokens.us(48.0), 24.385);
  EXPECT_DOUBLE_EQ(price.by_tokens.us(160.0), 44.267);
  // Halfway between the logarithms of 16 and 32.
  EXPECT_NEAR(price.by_tokens.us(std::sqrt(16.0 * 32.0)), std::sqrt(23.427 * 27.03), 1e-9);
}

TEST(GpuCurves, TakeProductsFromTheCacheAtTheSpeedOfMemory) {
  MeasuredKernels kernels;
  const auto add = [&](std::int64_t m, std::int64_t n, double us, const char* flag) {
    kernels.gemms.push_back(gemm(NumberFormat::nvfp4, m, n, 8192, us));
    kernels.gemms.back().flag = flag;
  };
  // 302 MB in 56.7 us: 5.33 MB per us stream from memory.
  for (const auto& [m, us] : std::initializer_list<std::pair<std::int64_t, double>>{{1, 56.7}, {16, 56.7}, {512, 140.0}})
    add(m, 65536, us, "");
  add(16, 16384, 9.0, "l2_resident");  // 75.5 MB: no less than 14.2 us from memory
  add(16, 1024, 6.0, "l2_resident");   // 4.7 MB: the call takes longer than its weights
  add(512, 16384, 45.8, "");
  add(16, 2048, 5.0, "eager_host_bound");
  const GpuCurves curves(kernels, gpu_named("B200-SXM"), std::nullopt);
  EXPECT_NEAR(curves.gemm(NumberFormat::nvfp4, 16384, 8192).by_tokens.us(16.0), 56.7 / 4.0, 1e-9);
  EXPECT_DOUBLE_EQ(curves.gemm(NumberFormat::nvfp4, 1024, 8192).by_tokens.us(16.0), 6.0);
  EXPECT_NE(curves.gemm(NumberFormat::nvfp4, 2048, 8192).coverage, Coverage::measured) << "other flags stay out";
}

TEST(GpuCurves, AddConvolutionsOfTheSameHeadsThatAreNotTheHosts) {
  MeasuredKernels kernels;
  const auto add = [&](const char* op, const char* part, std::int64_t key_heads, double us, const char* flag) {
    kernels.linear_attention.push_back({.op = op,
                                        .phase = "context",
                                        .part = part,
                                        .batch = 1,
                                        .new_tokens = 128,
                                        .key_heads = key_heads,
                                        .value_heads = 32,
                                        .latency_us = us,
                                        .flag = flag});
  };
  for (const std::int64_t key_heads : {8, 16}) {
    add("gdn", "recurrence", key_heads, 30.0, "");
    add("gdn", "convolution", key_heads, key_heads == 8 ? 6.0 : 10.0, "");
  }
  add("kda", "recurrence", 32, 30.0, "");
  add("kda", "convolution", 32, 439.0, "eager");
  const GpuCurves curves(kernels, gpu_named("H100-SXM"), std::nullopt);
  const auto us = [&](const char* op, std::int64_t key_heads) {
    return curves.linear_attention(op, "context", key_heads, 32)->us(1.0, 128.0);
  };
  EXPECT_DOUBLE_EQ(us("gdn", 8), 36.0);
  EXPECT_DOUBLE_EQ(us("gdn", 16), 40.0);
  EXPECT_DOUBLE_EQ(us("kda", 32), 30.0) << "an eager convolution times the host";
  EXPECT_EQ(curves.linear_attention("gdn", "context", 16, 32)->coverage, Coverage::measured);
  EXPECT_EQ(curves.linear_attention("gdn", "context", 4, 32)->coverage, Coverage::scaled);
}

TEST(GpuCurves, LeaveOutGlitches) {
  MeasuredKernels kernels;
  // B200, FP8, 8192 x 7168: disturbed at 1 and 4 tokens.
  for (const auto& [m, us] : std::initializer_list<std::pair<std::int64_t, double>>{
           {1, 32.6}, {2, 17.2}, {4, 33.9}, {8, 17.5}, {16, 16.5}, {32, 22.0}, {64, 16.6}, {256, 23.3}})
    kernels.gemms.push_back(gemm(NumberFormat::fp8, m, 8192, 7168, us));
  const PriceCurve by_tokens = GpuCurves(kernels, gpu_named("B200-SXM"), std::nullopt).gemm(NumberFormat::fp8, 8192, 7168).by_tokens;
  EXPECT_DOUBLE_EQ(by_tokens.us(1.0), 17.2);
  EXPECT_DOUBLE_EQ(by_tokens.us(4.0), 17.5);
  EXPECT_DOUBLE_EQ(by_tokens.us(32.0), 22.0) << "a bump of a third is a kernel's own";
}

TEST(GpuCurves, ScaleAShapeThatWasNotMeasuredByTheRoofline) {
  const GpuCurves curves(h200_fp8(), gpu_named("H200-SXM"), std::nullopt);
  const GemmPrice twice = curves.gemm(NumberFormat::fp8, 16384, 8192);
  EXPECT_EQ(twice.coverage, Coverage::scaled);
  // Weights stream: close to twice the time less one call's constant; the bump at 32 comes along.
  EXPECT_GT(twice.by_tokens.us(16.0), 1.4 * 23.427);
  EXPECT_LT(twice.by_tokens.us(16.0), 2.0 * 23.427);
  EXPECT_GT(twice.by_tokens.us(32.0), twice.by_tokens.us(48.0));
}

TEST(GpuCurves, SmoothAwayWhatIsSpecialToAProductWhereOnlyWhatIsTypicalIsWanted) {
  // H100, bf16 (vLLM 0.24): from 1 to 16 tokens the second shape takes another kernel, the others don't.
  MeasuredKernels kernels;
  const auto add = [&](std::int64_t n, std::int64_t k, double at_1_us, double at_16_us) {
    kernels.gemms.push_back(gemm(NumberFormat::bf16, 1, n, k, at_1_us));
    kernels.gemms.push_back(gemm(NumberFormat::bf16, 16, n, k, at_16_us));
  };
  add(7168, 7168, 37.6, 36.5);
  add(16384, 5120, 57.1, 67.3);
  add(16384, 7168, 78.0, 79.2);
  add(768, 4096, 6.9, 7.1);  // 6 MB: no word on what streams
  const GpuCurves curves(kernels, gpu_named("H100-SXM"), std::nullopt);
  const auto growth = [&](std::int64_t n, std::int64_t k, ProductRows rows) {
    const PriceCurve curve = curves.gemm(NumberFormat::bf16, n, k, rows).by_tokens;
    return curve.us(16.0) / curve.us(1.0);
  };
  EXPECT_NEAR(growth(16384, 5120, ProductRows::own), 67.3 / 57.1, 1e-9);
  EXPECT_NEAR(growth(16384, 5120, ProductRows::typical), 1.01, 0.02);
  // The median shape stays where it was: 16384 x 7168 with 1 % of its own.
  EXPECT_NEAR(curves.gemm(NumberFormat::bf16, 16384, 7168, ProductRows::typical).by_tokens.us(16.0), 79.2, 1.0);
  // A shape without rows no more takes over what is special to its neighbour.
  EXPECT_GT(growth(20480, 5120, ProductRows::own), 1.1);
  EXPECT_NEAR(growth(20480, 5120, ProductRows::typical), 1.01, 0.02);
  EXPECT_EQ(curves.gemm(NumberFormat::bf16, 20480, 5120, ProductRows::typical).coverage, Coverage::scaled);
}

TEST(GpuCurves, NeverExplodeBeyondTheTable) {
  const GpuCurves curves(h200_fp8(), gpu_named("H200-SXM"), std::nullopt);
  const PriceCurve by_tokens = curves.gemm(NumberFormat::fp8, 8192, 8192).by_tokens;
  // As efficient as the largest row, and never below the smallest.
  EXPECT_NEAR(by_tokens.us(2560.0), 337.35, 1e-9);
  EXPECT_DOUBLE_EQ(by_tokens.us(0.5), 22.288);
  // A format without rows: between the data sheet's bound and a few times of it.
  const GemmPrice bounded = curves.gemm(NumberFormat::bf16, 8192, 8192);
  EXPECT_EQ(bounded.coverage, Coverage::bounded);
  for (const double m : {1.0, 64.0, 1024.0, 8192.0}) {
    const double sheet_us = std::max(2.0 * m * 8192 * 8192 / 989.5e6, 2.0 * 8192 * 8192 / 3.35e6);
    EXPECT_GT(bounded.by_tokens.us(m), sheet_us) << m;
    EXPECT_LT(bounded.by_tokens.us(m), 3.0 * sheet_us) << m;
  }
}

TEST(GpuCurves, LeaveFlaggedRowsOutAndTakeTheReleasesOwn) {
  MeasuredKernels kernels;
  kernels.gemms = {gemm(NumberFormat::fp8_block, 1, 2048, 2048, 3.0), gemm(NumberFormat::fp8_block, 1, 8192, 8192, 30.0),
                   gemm(NumberFormat::fp8_block, 4096, 8192, 8192, 400.0, "vllm-0.19.0"),
                   gemm(NumberFormat::fp8_block, 4096, 8192, 8192, 360.0, "vllm-0.24.0")};
  kernels.gemms[0].flag = "eager_host_bound";
  const auto us = [&](std::optional<domain::Release> release, double m) {
    return GpuCurves(kernels, gpu_named("H100-SXM"), release).gemm(NumberFormat::fp8_block, 8192, 8192).by_tokens.us(m);
  };
  EXPECT_DOUBLE_EQ(us(domain::Release{0, 19, 0}, 4096.0), 400.0);
  EXPECT_DOUBLE_EQ(us(domain::Release{0, 18, 0}, 4096.0), 400.0);
  EXPECT_DOUBLE_EQ(us(std::nullopt, 4096.0), 360.0);
  // Had the flagged row counted, a small layer would take its 3 us.
  const GpuCurves curves(kernels, gpu_named("H100-SXM"), std::nullopt);
  EXPECT_EQ(curves.gemm(NumberFormat::fp8_block, 2048, 2048).coverage, Coverage::scaled);
}

// gpt-oss-120b on H100, TP 2, MXFP4 in Triton.
MeasuredKernels gpt_oss() {
  MeasuredKernels kernels;
  for (const auto& [tokens, us] : std::initializer_list<std::pair<std::int64_t, double>>{{1, 48.336},
                                                                                         {2, 55.243},
                                                                                         {4, 83.979},
                                                                                         {8, 139.43},
                                                                                         {16, 210.92},
                                                                                         {32, 388.45},
                                                                                         {64, 392.36},
                                                                                         {256, 397.86},
                                                                                         {1024, 487.14},
                                                                                         {8192, 1676.8}}) {
    MoeRow row;
    row.format = NumberFormat::mxfp4;
    row.tokens = tokens;
    row.hidden = row.ffn_width = 2880;
    row.experts_per_token = 4;
    row.experts = 128;
    row.tp = 2;
    row.routing = "balanced";
    row.latency_us = us;
    kernels.moes.push_back(row);
  }
  return kernels;
}
constexpr MoeShape kGptOss{.hidden = 2880, .ffn_width = 2880, .experts_per_token = 4, .experts = 128, .tp = 2, .ep = 1};

TEST(ExpertPrice, IsLookedUpByTheExpertsThatTokensReach) {
  const GpuCurves curves(gpt_oss(), gpu_named("H100-SXM"), std::nullopt);
  const ExpertPrice price = curves.experts(NumberFormat::mxfp4, kGptOss, ExpertLoad::balanced);
  EXPECT_EQ(price.coverage, Coverage::measured);
  // One token reaches its four whatever rho is near 1.
  EXPECT_NEAR(price.at(1.0, 1.0).reading_us, 48.336, 1e-9);
  // 32 tokens reach 128 (1 - (124/128)^32) = 81.6 experts, as 20.4 tokens of the benchmark do: not the 388 us of all 128.
  const double reached = 128.0 * (1.0 - std::pow(124.0 / 128.0, 32.0));
  const double as_many = reached / 4.0;
  const double expected = 210.92 * std::pow(388.45 / 210.92, std::log(as_many / 16.0) / std::log(2.0));
  EXPECT_NEAR(price.at(32.0, 1.0).reading_us, expected, 1e-6);
  EXPECT_EQ(price.at(32.0, 1.0).load_us, 0.0);
  // Many tokens reach all, and take what the table says beyond that.
  EXPECT_NEAR(price.at(8192.0, 1.0).reading_us + price.at(8192.0, 1.0).load_us, 1676.8, 1e-6);
}

TEST(ExpertPrice, GrowsWithTokensAndItsDerivativeIsTheDifference) {
  const GpuCurves curves(gpt_oss(), gpu_named("H100-SXM"), std::nullopt);
  const ExpertPrice price = curves.experts(NumberFormat::mxfp4, kGptOss, ExpertLoad::balanced);
  double before = 0.0;
  for (double tokens = 1.0; tokens < 10000.0; tokens *= 1.3) {
    const ExpertPrice::At at = price.at(tokens, 0.7);
    EXPECT_GE(at.reading_us + at.load_us, before) << tokens;
    before = at.reading_us + at.load_us;
    const double difference = (price.at(tokens, 0.7001).reading_us - price.at(tokens, 0.6999).reading_us) / 0.0002;
    EXPECT_NEAR(at.per_rho_us, difference, 1e-3 * std::abs(difference) + 1e-6) << tokens;
  }
}

TEST(ExpertPrice, WaitsForTheBusiestGpuWhereExpertsAreDealtWhole) {
  MeasuredKernels kernels = gpt_oss();
  for (MoeRow& row : kernels.moes) {
    row.tp = 1;
    row.ep = 4;
  }
  MoeShape dealt = kGptOss;
  dealt.tp = 1;
  dealt.ep = 4;
  const GpuCurves curves(kernels, gpu_named("H100-SXM"), std::nullopt);
  const ExpertPrice price = curves.experts(NumberFormat::mxfp4, dealt, ExpertLoad::balanced);
  EXPECT_EQ(price.coverage, Coverage::measured);
  ExpertPrice even = price;
  even.ranks = 1;
  // 16 tokens reach 51 of 128 experts: 12.8 of 32 on each of four GPUs, and 1.029 sqrt(12.8 (1 - 12.8 / 32)) = 2.8 more on the busiest.
  const double reached = 128.0 * (1.0 - std::pow(124.0 / 128.0, 16.0));
  const double busiest = reached + 4.0 * 1.029 * std::sqrt(reached / 4.0 * (1.0 - reached / 128.0));
  const double tokens_alike = std::log(1.0 - busiest / 128.0) / std::log(124.0 / 128.0);
  EXPECT_NEAR(price.at(16.0, 1.0).reading_us, even.at(tokens_alike, 1.0).reading_us, 1e-6);
  EXPECT_GT(price.at(16.0, 1.0).reading_us, 1.1 * even.at(16.0, 1.0).reading_us);
  // 8192 tokens reach all on every GPU; their 8192 pairs a GPU differ by one in a hundred.
  EXPECT_NEAR(price.at(8192.0, 1.0).reading_us, even.at(8192.0, 1.0).reading_us, 1e-9);
  const double load_ratio = price.at(8192.0, 1.0).load_us / even.at(8192.0, 1.0).load_us;
  EXPECT_GT(load_ratio, 1.005);
  EXPECT_LT(load_ratio, 1.015);
  for (double tokens = 1.0; tokens < 10000.0; tokens *= 1.3) {
    const double difference = (price.at(tokens, 0.7001).reading_us - price.at(tokens, 0.6999).reading_us) / 0.0002;
    EXPECT_NEAR(price.at(tokens, 0.7).per_rho_us, difference, 1e-3 * std::abs(difference) + 1e-6) << tokens;
  }
}

TEST(ExpertPrice, ReadsGroupedRoutingByWhatItReached) {
  // DeepSeek-V3 on H200, TP 8: 64 and 256 tokens of "balanced" routing reached half of the 256 experts.
  MeasuredKernels kernels;
  for (const auto& [tokens, us] :
       std::initializer_list<std::pair<std::int64_t, double>>{{1, 40.0}, {16, 142.07}, {32, 260.52}, {64, 270.97}, {256, 291.78}}) {
    MoeRow row;
    row.format = NumberFormat::fp8_block;
    row.tokens = tokens;
    row.hidden = 7168;
    row.ffn_width = 2048;
    row.experts_per_token = 8;
    row.experts = 256;
    row.tp = 8;
    row.routing = "balanced";
    row.latency_us = us;
    row.flag = "grouped_routing";
    kernels.moes.push_back(row);
  }
  const MoeShape shape{.hidden = 7168, .ffn_width = 2048, .experts_per_token = 8, .experts = 256, .tp = 8, .ep = 1};
  const GpuCurves curves(kernels, gpu_named("H200-SXM"), std::nullopt);
  const ExpertPrice price = curves.experts(NumberFormat::fp8_block, shape, ExpertLoad::balanced);
  // 256 tokens reach 255.9 experts: twice as many as the benchmark could, which 16 tokens saturated.
  EXPECT_NEAR(price.at(256.0, 1.0).reading_us, 142.07 * 255.93 / 128.0, 0.5);
}

TEST(GpuCurves, ScaleExpertsOfAnotherSizeWhereTheyTurnToComputing) {
  const GpuCurves curves(gpt_oss(), gpu_named("H100-SXM"), std::nullopt);
  MoeShape half = kGptOss;
  half.tp = 4;
  const ExpertPrice price = curves.experts(NumberFormat::mxfp4, half, ExpertLoad::balanced);
  EXPECT_EQ(price.coverage, Coverage::scaled);
  const auto total_us = [&](const ExpertPrice& of, double tokens) {
    const ExpertPrice::At at = of.at(tokens, 1.0);
    return at.reading_us + at.load_us;
  };
  const ExpertPrice whole = curves.experts(NumberFormat::mxfp4, kGptOss, ExpertLoad::balanced);
  for (const double tokens : {1.0, 16.0, 256.0, 8192.0}) {
    EXPECT_LT(total_us(price, tokens), total_us(whole, tokens)) << tokens;
    EXPECT_GT(total_us(price, tokens), 0.4 * total_us(whole, tokens)) << tokens;
  }
}

TEST(GpuCurves, TakeAttentionOfOtherHeadsAsOtherSequences) {
  MeasuredKernels kernels;
  const auto add = [&](std::int64_t window, std::int64_t batch, std::int64_t tokens, double us) {
    AttentionRow row;
    row.shape = {.heads = 8, .kv_heads = 1, .head_dim = 64};
    row.batch = batch;
    row.new_tokens = 1;
    row.kv_tokens = tokens;
    row.window = window;
    row.latency_us = us;
    kernels.generation_attention.push_back(row);
  };
  add(0, 1, 1024, 12.0);
  add(0, 4, 1024, 16.0);
  add(128, 1, 1024, 10.0);
  add(128, 4, 1024, 10.5);
  const GpuCurves curves(kernels, gpu_named("H100-SXM"), std::nullopt);
  const auto full = curves.generation_attention(NumberFormat::bf16, {.heads = 32, .kv_heads = 4, .head_dim = 64}, 0).value();
  EXPECT_EQ(full.coverage, Coverage::scaled);
  EXPECT_DOUBLE_EQ(full.us(1.0, 1024.0), 16.0);
  const auto window = curves.generation_attention(NumberFormat::bf16, {.heads = 8, .kv_heads = 1, .head_dim = 64}, 128).value();
  EXPECT_EQ(window.coverage, Coverage::measured);
  EXPECT_DOUBLE_EQ(window.us(4.0, 1024.0), 10.5);
  // A window that was not measured is the whole kernel with fewer tokens, which the caller sees to.
  EXPECT_EQ(curves.generation_attention(NumberFormat::bf16, {.heads = 8, .kv_heads = 1, .head_dim = 64}, 512)->window, 0);
  EXPECT_FALSE(curves.context_attention(NumberFormat::bf16, {.heads = 8, .kv_heads = 1, .head_dim = 64}, 0).has_value());
}

TEST(GpuCurves, StreamDecodesAtTheRateOfCachesThatNoL2Holds) {
  MeasuredKernels kernels;
  const auto add = [&](std::int64_t batch, std::int64_t tokens, double us) {
    AttentionRow row;
    row.shape = {.heads = 8, .kv_heads = 8, .head_dim = 128};  // 4096 B a token
    row.batch = batch;
    row.new_tokens = 1;
    row.kv_tokens = tokens;
    row.latency_us = us;
    kernels.generation_attention.push_back(row);
  };
  // H100 (vLLM 0.24): 34 MB come from the L2, 67 and 134 MB in part; 268 and 1074 MB stream.
  add(8, 128, 12.9);
  add(8, 1024, 18.1);
  add(32, 512, 41.8);
  add(32, 1024, 67.5);
  add(32, 2048, 99.7);
  add(64, 4096, 353.7);
  const HeadShape heads{.heads = 8, .kv_heads = 8, .head_dim = 128};
  const GpuCurves curves(kernels, gpu_named("H100-SXM"), std::nullopt);
  const AttentionPrice::Streaming line = curves.generation_attention(NumberFormat::bf16, heads, 0)->streaming();
  EXPECT_DOUBLE_EQ(line.call_us, 12.9);
  const double rate = 0.5 * ((99.7 - 12.9) / (32.0 * 2048.0) + (353.7 - 12.9) / (64.0 * 4096.0));
  EXPECT_DOUBLE_EQ(line.us_per_token, rate);
  EXPECT_DOUBLE_EQ(line.us(32.0, 512.0), 12.9 + 32.0 * 512.0 * rate);
  // Four times the heads read four times as much.
  const HeadShape more{.heads = 32, .kv_heads = 32, .head_dim = 128};
  EXPECT_DOUBLE_EQ(curves.generation_attention(NumberFormat::bf16, more, 0)->streaming().us_per_token, 4.0 * rate);

  // Without a cache of that size the largest row counts.
  std::erase_if(kernels.generation_attention, [](const AttentionRow& row) { return row.batch * row.kv_tokens > 32 * 1024; });
  const GpuCurves small(kernels, gpu_named("H100-SXM"), std::nullopt);
  EXPECT_DOUBLE_EQ(small.generation_attention(NumberFormat::bf16, heads, 0)->streaming().us_per_token,
                   (67.5 - 12.9) / (32.0 * 1024.0));
}

TEST(Work, CountsPairsWithinAWindow) {
  EXPECT_EQ(attention_pairs(1000, 1000, 0), 500000.0);
  EXPECT_EQ(attention_pairs(10, 100, 0), 10 * 90 + 50.0);
  // 100 x 100 / 2 while the window fills, then 900 whole ones.
  EXPECT_EQ(attention_pairs(1000, 1000, 100), 5000.0 + 90000.0);
  EXPECT_EQ(attention_pairs(10, 1010, 100), 1000.0);
}

// H100, DeepSeek-V3.2, FP8 cache, 32 sequences decode, microseconds by heads of one GPU.
SparseAttentionRow sparse_row(std::int64_t heads, std::int64_t kv_tokens, double us) {
  SparseAttentionRow row{
      .op = "dsa", .model = "DeepSeek-V3.2", .phase = "generation", .kv_format = NumberFormat::fp8, .batch = 32, .new_tokens = 1};
  row.kv_tokens = kv_tokens;
  row.heads = heads;
  row.latency_us = us;
  return row;
}

TEST(SparseModules, OfHeadsBetweenTwoThatWereMeasuredLieBetweenThem) {
  MeasuredKernels kernels;
  kernels.sparse_attention = {sparse_row(8, 8192, 250.0),  sparse_row(16, 8192, 254.6),  sparse_row(64, 8192, 279.9),
                              sparse_row(8, 32768, 293.5), sparse_row(16, 32768, 300.8), sparse_row(64, 32768, 325.9)};
  const GpuCurves curves(kernels, examples::h100(), std::nullopt);
  const auto price = [&](std::int64_t heads) { return curves.sparse_generation("dsa", "DeepSeek-V3.2", NumberFormat::fp8, heads); };
  EXPECT_EQ(price(16)->coverage, Coverage::measured);
  EXPECT_DOUBLE_EQ(price(16)->us(32, 8192), 254.6);
  EXPECT_EQ(price(32)->coverage, Coverage::scaled);
  EXPECT_NEAR(price(32)->us(32, 8192), 254.6 * 2 / 3 + 279.9 / 3, 1e-9);
  EXPECT_NEAR(price(32)->smallest_us(), 254.6 * 2 / 3 + 279.9 / 3, 1e-9);
  EXPECT_EQ(price(32)->most_tokens(32), 32768);
  // Outside as so many fewer or more sequences, as for every attention.
  EXPECT_DOUBLE_EQ(price(128)->us(32, 8192), 2 * 279.9);
  // What was left out comes out: 264 us by the heads beside it, where a quarter of the larger one would be 70.
  std::erase_if(kernels.sparse_attention, [](const SparseAttentionRow& row) { return row.heads == 16; });
  const GpuCurves fewer(kernels, examples::h100(), std::nullopt);
  EXPECT_NEAR(fewer.sparse_generation("dsa", "DeepSeek-V3.2", NumberFormat::fp8, 16)->us(32, 8192), 254.6, 0.01 * 254.6);
  EXPECT_FALSE(curves.sparse_generation("msa", "DeepSeek-V3.2", NumberFormat::fp8, 16));
  EXPECT_FALSE(curves.sparse_generation("dsa", "DeepSeek-V3.2", NumberFormat::bf16, 16));
}

// H200, DeepSeek-V4-Flash at TP 8, one sequence.
TEST(SparseModules, ComputeChunksBehindWhatIsCached) {
  MeasuredKernels kernels;
  const auto add = [&](std::int64_t fresh, std::int64_t all, double us, const char* flag = "") {
    SparseAttentionRow row = sparse_row(8, all, us);
    row.op = "dsv4_csa";
    row.model = "DeepSeek-V4-Flash-FP8";
    row.phase = "context";
    row.batch = 1;
    row.new_tokens = fresh;
    row.tp = 8;
    row.flag = flag;
    kernels.sparse_attention.push_back(row);
  };
  add(1024, 1024, 312.0);
  add(1024, 1152, 332.7);
  add(1024, 3072, 530.2);
  add(4096, 4096, 1619.4);
  add(4096, 4224, 1683.0);
  add(4096, 6144, 2690.4);
  add(4096, 65536, 9999.0, "eager_host_bound");
  const GpuCurves curves(kernels, examples::h100(), std::nullopt);
  const auto price = curves.sparse_context("dsv4_csa", "DeepSeek-V4-Flash", NumberFormat::fp8, 8);
  ASSERT_TRUE(price) << "the experts' format is no part of the name";
  EXPECT_DOUBLE_EQ(price->us(4096, 0), 1619.4);
  EXPECT_DOUBLE_EQ(price->us(4096, 128), 1683.0);
  EXPECT_DOUBLE_EQ(price->us(1024, 2048), 530.2);
  EXPECT_NEAR(price->us(2048, 128), std::sqrt(332.7 * 1683.0), 1e-9) << "half-way between the logarithms of 1024 and 4096";
  EXPECT_EQ(price->most_cached_tokens, 2048) << "rows with a flag are none";
  EXPECT_DOUBLE_EQ(price->us(4096, 50000), 2690.4) << "what more is read is not for the table to say";
  EXPECT_DOUBLE_EQ(price->us(16, 0), 312.0);
}

// H100, DeepEP, 8 ranks.
TEST(ExpertExchange, IsThatOfTheNearestShapeWithAsManyBytes) {
  MeasuredKernels kernels;
  const auto add = [&](const char* kind, const char* op, ExchangeShape shape, std::int64_t tokens, double us, const char* flag = "") {
    kernels.expert_exchanges.push_back(
        {kind, op, shape.ranks, tokens, shape.hidden, shape.experts_per_token, shape.experts, us, flag});
  };
  const ExchangeShape deepseek{.ranks = 8, .hidden = 7168, .experts_per_token = 8, .experts = 256};
  add("low_latency", "dispatch", deepseek, 64, 24.574);
  add("low_latency", "dispatch", deepseek, 128, 36.721);
  add("low_latency", "dispatch", deepseek, 256, 62.565);
  add("low_latency", "dispatch", deepseek, 512, 1.0, "eager");
  add("high_throughput", "dispatch", deepseek, 64, 39.432);
  add("high_throughput", "dispatch", deepseek, 128, 50.112);
  const GpuCurves curves(kernels, examples::h100(), std::nullopt);
  const auto measured = curves.expert_exchange("low_latency", "dispatch", deepseek);
  ASSERT_TRUE(measured);
  EXPECT_EQ(measured->coverage, Coverage::measured);
  EXPECT_DOUBLE_EQ(measured->by_tokens.us(128), 36.721);
  EXPECT_DOUBLE_EQ(measured->by_tokens.us(512), 2 * 62.565) << "behind the last row without a flag: in proportion";
  // Half of the width, all else alike: as half of the tokens.
  ExchangeShape narrow = deepseek;
  narrow.hidden = 3584;
  const auto scaled = curves.expert_exchange("low_latency", "dispatch", narrow);
  EXPECT_EQ(scaled->coverage, Coverage::scaled);
  EXPECT_DOUBLE_EQ(scaled->by_tokens.us(256), 36.721);
  // Low latency sends a token to each of its experts; high throughput once to every rank: 8 (1 - (7/8)^k) of 8.
  EXPECT_DOUBLE_EQ(exchange_copies("low_latency", 8, 4), 4.0);
  EXPECT_NEAR(exchange_copies("high_throughput", 8, 8), 5.251, 1e-3);
  // Among four ranks three quarters of it leave a GPU, among eight seven eighths.
  ExchangeShape four = deepseek;
  four.ranks = 4;
  EXPECT_NEAR(curves.expert_exchange("low_latency", "dispatch", four)->by_tokens.us(128), 36.721 * 0.75 / 0.875, 1e-9);
  EXPECT_FALSE(curves.expert_exchange("low_latency", "combine", deepseek));
  EXPECT_FALSE(curves.expert_exchange("", "dispatch", deepseek));
}

}  // namespace
}  // namespace rooftune::kernels
