#include "rooftune/runs/step_time_predictor.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "latency/batches.hpp"

namespace rooftune::runs {
namespace {

AdHocLoad deployment(const std::string& model) {
  AdHocLoad load;
  load.model = model;
  return load;
}

StepTimePredictor opened(const std::string& config) {
  auto predictor = open_step_time(deployment("Llama-2-7b-hf"), {.config = config});
  EXPECT_TRUE(predictor) << core::format(predictor.error());
  return *std::move(predictor);
}

TEST(StepTimePredictor, TakesEqualContextsWhereNoneAreListed) {
  for (const char* config : {"h100.physics", "h100.roofline_v1", "h100.serving"}) {
    StepTimePredictor predictor = opened(config);
    const std::array<std::int64_t, 3> contexts{601, 600, 600};
    latency::Batch listed;
    listed.decode_requests = 3;
    listed.decode_context_tokens = 1801;
    listed.decode_max_context_tokens = 601;
    latency::Batch summed = listed;
    listed.decode_contexts = contexts;
    EXPECT_EQ(predictor.microseconds(listed), predictor.microseconds(summed)) << config;
    EXPECT_GT(predictor.microseconds(summed), 1000.0) << config;
  }
}

TEST(StepTimePredictor, PredictsTheSameAfterItWasMovedAndCopied) {
  StepTimePredictor first = opened("h100.physics");
  latency::RandomBatches random(5);
  std::vector<latency::OwnedBatch> batches;
  for (int i = 0; i < 50; ++i) batches.push_back(random.mixed());
  std::vector<double> durations;
  for (const latency::OwnedBatch& batch : batches) durations.push_back(first.microseconds(batch.view()));
  StepTimePredictor copy = first.copy();
  StepTimePredictor moved = std::move(first);
  for (std::size_t i = 0; i < batches.size(); ++i) {
    EXPECT_EQ(moved.microseconds(batches[i].view()), durations[i]);
    EXPECT_EQ(copy.microseconds(batches[i].view()), durations[i]);
    EXPECT_NEAR(copy.breakdown(batches[i].view()).total_us, durations[i], 1e-9 * durations[i]);
  }
}

TEST(StepTimePredictor, LooksAtNothingOfTheLoad) {
  AdHocLoad sweep = deployment("Llama-2-7b-hf");
  sweep.rates_per_s = {1.0, 2.0};
  sweep.duration_s = 1e6;
  const auto predictor = open_step_time(sweep, {.config = "h100.physics"});
  ASSERT_TRUE(predictor) << core::format(predictor.error());
  EXPECT_EQ(predictor->item().experiment.workload.stages.front().num_requests, 1);
}

TEST(StepTimePredictor, RefusesAnUnknownModelByName) {
  const auto predictor = open_step_time(deployment("no-such-model"), {.config = "h100.physics"});
  ASSERT_FALSE(predictor);
  EXPECT_THAT(core::format(predictor.error()), testing::HasSubstr("no-such-model"));
}

}  // namespace
}  // namespace rooftune::runs
