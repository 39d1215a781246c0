#include "rooftune/io/ground_truth.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

namespace rooftune::io {
namespace {

namespace fs = std::filesystem;
using domain::Metric;
using testing::HasSubstr;
using testing::Not;

GroundTruth read_or_fail(const fs::path& file) {
  auto ground_truth = read_ground_truth(file);
  if (!ground_truth) {
    ADD_FAILURE() << core::format(ground_truth.error());
    return {};
  }
  return *std::move(ground_truth);
}

const domain::Experiment& find(const GroundTruth& ground_truth, std::string_view id) {
  return *std::ranges::find(ground_truth.experiments, id, &domain::Experiment::id);
}

TEST(UpstreamGroundTruth, LoadsUnchanged) {
  const char* folder = std::getenv("ROOFTUNE_UPSTREAM_DATA");
  if (folder == nullptr) GTEST_SKIP() << "ROOFTUNE_UPSTREAM_DATA does not name a folder with experiments.json";
  const GroundTruth ground_truth = read_or_fail(fs::path(folder) / "experiments.json");
  ASSERT_EQ(ground_truth.experiments.size(), 19U);
  const domain::Experiment& scout = find(ground_truth, "17");
  EXPECT_EQ(scout.workload.prompt.mean_tokens, 575.0);
  EXPECT_EQ(scout.measured.stages.size(), 2U);
  EXPECT_THAT(core::format(ground_truth.warnings), HasSubstr("'itl_mean' is not (E2E - TTFT) / (output tokens - 1) in "));
  EXPECT_THAT(core::format(ground_truth.warnings), HasSubstr("4068 of 4800 requests failed"));
  EXPECT_THAT(core::format(ground_truth.warnings), Not(HasSubstr("tpot_true_mean")));
}

}  // namespace
}  // namespace rooftune::io
