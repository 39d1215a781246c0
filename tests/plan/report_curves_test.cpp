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

/// An experiment of a sweep whose requests have 101 output tokens each.
eval::Case loop_of(const std::string& id, const std::string& sweep, int clients) {
  eval::Case item;
  item.model.name = "M";
  item.gpu = kGpu;
  item.experiment.id = id;
  item.experiment.sweep = sweep;
  item.experiment.deployment.tp = 2;
  item.experiment.workload.arrival = {.process = domain::ArrivalProcess::closed_loop, .concurrency = clients};
  sim::RequestPlan plan;
  plan.stages.emplace_back().requests = {{.output_tokens = 100}, {.output_tokens = 102}};
  item.plans = {{.kept = std::make_shared<const sim::RequestPlan>(std::move(plan))}};
  return item;
}

eval::Row row(const std::string& id, domain::Metric metric, double predicted_ms, double measured_ms) {
  return {
      .experiment = id, .stage = domain::kSummaryStage, .metric = metric, .predicted_ms = predicted_ms, .measured_ms = measured_ms};
}

TEST(InteractivityCurves, HoldASweepsPacesByClients) {
  eval::Dataset dataset;
  dataset.cases = {loop_of("c8", "s", 8), loop_of("c4", "s", 4), loop_of("alone", "", 4), loop_of("lone", "t", 4)};
  std::vector<eval::Row> rows{row("c8", domain::Metric::ttft_mean, 200.0, 100.0), row("c8", domain::Metric::tpot_mean, 20.0, 10.0),
                              row("c4", domain::Metric::tpot_mean, 5.0, 8.0), row("c4", domain::Metric::e2e_mean, 505.0, 808.0)};
  for (const char* id : {"alone", "lone"}) {
    rows.push_back(row(id, domain::Metric::tpot_mean, 5.0, 8.0));
    rows.push_back(row(id, domain::Metric::e2e_mean, 505.0, 808.0));
  }
  const auto curves = interactivity_curves(dataset, rows);
  ASSERT_EQ(curves.size(), 1U) << "one point is no curve";
  EXPECT_EQ(curves[0].sweep, "s");
  EXPECT_EQ(curves[0].tp, 2);
  ASSERT_EQ(curves[0].points.size(), 2U);
  EXPECT_EQ(curves[0].points[0].clients, 4);
  // 4 clients x 101 tokens in 505 ms, by two GPUs.
  EXPECT_DOUBLE_EQ(curves[0].points[0].predicted.tokens_per_s_per_gpu, 400.0);
  EXPECT_DOUBLE_EQ(curves[0].points[0].measured.tokens_per_s_per_gpu, 250.0);
  // Without a measured E2E: TTFT and a hundred further tokens.
  EXPECT_DOUBLE_EQ(curves[0].points[1].measured.tokens_per_s_per_gpu, 8.0 * 101.0 / 1.1 / 2.0);
  EXPECT_DOUBLE_EQ(curves[0].points[1].measured.tokens_per_s_per_user, 100.0);
  EXPECT_DOUBLE_EQ(curves[0].points[1].predicted.tokens_per_s_per_user, 50.0);
}

}  // namespace
}  // namespace rooftune::plan
