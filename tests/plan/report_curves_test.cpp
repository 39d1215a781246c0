#include "rooftune/plan/report_curves.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rooftune::plan {
namespace {

const domain::GpuSpec kGpu{.name = "G",
                           .aliases = {},
                           .peak_bf16 = core::TeraflopsPerSecond{100.0},
                           .peak_fp8 = std::nullopt,
                           .hbm_bandwidth = core::TerabytesPerSecond{2.0},
                           .link_bandwidth = core::GigabytesPerSecond{300.0},
                           .memory = core::Gibibytes{80.0},
                           .source = "invented"};

kernels::MeasuredKernels square_products(int count) {
  kernels::MeasuredKernels kernels;
  for (int i = 1; i <= count; ++i) {
    kernels.gemms.push_back(
        {.format = kernels::NumberFormat::bf16, .m = i, .n = 1000, .k = 1000, .latency_us = 10.0, .reported_mfu = {}});
  }
  return kernels;
}

TEST(KernelRoofline, CountsWorkAndTheBytesThatMustMove) {
  const KernelRoofline roofline = kernel_roofline(square_products(1), kGpu);
  ASSERT_EQ(roofline.points.size(), 1U);
  // 2 m n k = 2e6 FLOP in 10 us; 16-bit weights, input and output: 2 (n k + m k + m n) = 2.004e6 bytes.
  EXPECT_DOUBLE_EQ(roofline.points[0].achieved_tflops, 0.2);
  EXPECT_DOUBLE_EQ(roofline.points[0].flops_per_byte, 2e6 / 2.004e6);
  EXPECT_EQ(roofline.bandwidth_tbs, 2.0);
  EXPECT_FALSE(roofline.peak_fp8_tflops);
}

TEST(KernelRoofline, ThinsEvenlyFromTheFirstRowOn) {
  const KernelRoofline roofline = kernel_roofline(square_products(1000), kGpu, 10);
  EXPECT_EQ(roofline.measured, 1000U);
  ASSERT_EQ(roofline.points.size(), 10U);
  EXPECT_EQ(roofline.points[0].shape, "m 1, n 1000, k 1000");
  EXPECT_EQ(roofline.points[1].shape, "m 101, n 1000, k 1000");
}

}  // namespace
}  // namespace rooftune::plan
