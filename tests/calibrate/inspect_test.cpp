#include "rooftune/calibrate/inspect.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "support/simulated_runs.hpp"

namespace rooftune::calibrate {
namespace {

using testing::DoubleNear;

class CountingSink final : public InspectionSink {
 public:
  void on_step(const sim::StepEvent& event, const latency::StepBreakdown& breakdown) override {
    ++steps;
    busy_us += event.duration_us;
    breakdown_us += breakdown.total_us;
  }
  void on_finished(const sim::RequestEvent& event) override {
    ++requests;
    output_tokens += event.output_tokens;
  }

  std::int64_t steps = 0;
  std::int64_t requests = 0;
  std::int64_t output_tokens = 0;
  double busy_us = 0.0;
  double breakdown_us = 0.0;
};

double total(const std::vector<HistogramBin>& bins) {
  return std::accumulate(bins.begin(), bins.end(), 0.0, [](double sum, const HistogramBin& bin) { return sum + bin.time_us; });
}

class Inspect : public testing::TestWithParam<const char*> {};

TEST_P(Inspect, AccountsForEveryStepAndRequest) {
  const params::Config config = examples::config_with(GetParam(), {});
  const eval::Dataset dataset = examples::dataset_of(examples::four_runs(), config);
  CountingSink sink;
  const Inspection inspection = inspect(dataset.cases[0], 0, config, {&sink});
  EXPECT_EQ(sink.steps, inspection.prediction.counters.steps);
  EXPECT_EQ(sink.requests, 2 * examples::kRequestsPerStage);
  EXPECT_EQ(sink.output_tokens, 2 * examples::kRequestsPerStage * 60);
  EXPECT_THAT(sink.busy_us, DoubleNear(inspection.busy_us, 1e-6 * inspection.busy_us));
  EXPECT_THAT(sink.breakdown_us, DoubleNear(inspection.busy_us, 1e-9 * inspection.busy_us));
  EXPECT_THAT(total(inspection.batch_requests), DoubleNear(inspection.busy_us, 1e-6 * inspection.busy_us));
  EXPECT_THAT(total(inspection.kv_use_fraction), DoubleNear(inspection.busy_us, 1e-6 * inspection.busy_us));
}

INSTANTIATE_TEST_SUITE_P(StepTimeModels, Inspect, testing::Values("physics", "roofline_v1", "blackbox"));

}  // namespace
}  // namespace rooftune::calibrate
