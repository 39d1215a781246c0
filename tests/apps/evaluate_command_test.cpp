#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "command_line.hpp"

namespace rooftune::testing_support {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

using EvaluateCommand = TemporaryFolderTest;

/// The hand-tuned column of field_notes.md, section 4, in the family's form.
constexpr const char* kHandTuned = R"({"H100": {"TFlopsPeak": 989.5, "BwPeakTBs": 3.35, "BwEffConstant": 0.72, "TOverheadMicros": 500,
  "mfuPrefill": 0.65, "mfuDecode": 0.12, "allReduceLatency": 20, "tpScalingExponent": 0.3, "decodeTpScalingExponent": 1.15,
  "mfuPrefillMultiplier": 2.32, "mfuDecodeMultiplier": 2.0, "prefillBwFactor": 0.75, "decodeBwFactor": 0.96,
  "vectorPeakFraction": 0.1, "prefillOverheadMicros": 500, "mixedPrefillOverheadMicros": 150}})";

TEST_F(EvaluateCommand, PrintsOneJsonObjectWithoutAStudy) {
  const std::string config = folder_.write("hardware_config.json", kHandTuned).string();
  const ProgramResult result = rooftune({"evaluate", "--ground-truth", kGroundTruth, "--config", config, "--json"});
  ASSERT_EQ(result.exit_code, 0) << result;
  const auto json = nlohmann::json::parse(result.output);
  EXPECT_EQ(json["schema"], "rooftune/evaluation/1");
  EXPECT_EQ(json["overall"]["e2e_mean_ms"]["experiments"], 15);
  EXPECT_GT(json["overall"]["loss_percent"], 0.0);
  EXPECT_TRUE(json["by"]["model"].contains("Yi-34B"));
  for (const auto& row : json["rows"]) {
    const double predicted = row["predicted"];
    const double measured = row["measured"];
    EXPECT_NEAR(row["error_percent"], 100.0 * (predicted / measured - 1.0), 1e-9);
    EXPECT_EQ(row["ape_percent"], std::abs(double(row["error_percent"])));
  }
}

TEST_F(EvaluateCommand, GivesTheSameBytesForOneAndTwoThreads) {
  const std::vector<std::string> arguments{"evaluate", "--ground-truth", kGroundTruth, "--json", "--select", "tp=2", "--threads"};
  std::vector<std::string> one = arguments;
  one.emplace_back("1");
  std::vector<std::string> two = arguments;
  two.emplace_back("2");
  EXPECT_EQ(rooftune(one).output, rooftune(two).output);
}

TEST_F(EvaluateCommand, ShowsOverloadedRunsInNoAverage) {
  const ProgramResult result = rooftune({"evaluate", "--ground-truth", shipped("ground_truth/overload.json"), "--ground-truth",
                                         kGroundTruth, "--select", "id=64", "--select", "id=20260217-170634", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result;
  const auto json = nlohmann::json::parse(result.output);
  EXPECT_EQ(json["overall"]["e2e_mean_ms"]["experiments"], 1);
  EXPECT_THAT(json["warnings"].dump(), HasSubstr("20260217-170634"));
}

TEST_F(EvaluateCommand, WritesTheRowsAsCsv) {
  const std::string csv = (folder_ / "rows.csv").string();
  const ProgramResult result = rooftune({"evaluate", "--ground-truth", kGroundTruth, "--select", "id=64", "--csv", csv});
  ASSERT_EQ(result.exit_code, 0) << result;
  EXPECT_THAT(folder_.read("rows.csv"), HasSubstr("64,Qwen2.5-7B-Instruct,H100-SXM,1,roleplay,summary,ttft_mean_ms,"));
  EXPECT_THAT(result.output, HasSubstr("TTFT mean"));
}

TEST_F(EvaluateCommand, PrintsNoColoursIntoAPipe) {
  EXPECT_EQ(rooftune({"evaluate", "--ground-truth", kGroundTruth, "--select", "id=64"}).output.find('\033'), std::string::npos);
}

TEST_F(EvaluateCommand, NeedsDataAndSaysSo) {
  const ProgramResult result = rooftune({"evaluate"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.output, IsEmpty());
  EXPECT_THAT(result.errors, HasSubstr("give --ground-truth FILE"));
}

TEST_F(EvaluateCommand, RefusesAnUnknownGpuInPlainWords) {
  std::string text = TemporaryFolder::read_file(kGroundTruth);
  text.replace(text.find("\"H100\""), 6, "\"H101\"");
  const ProgramResult result = rooftune({"evaluate", "--ground-truth", folder_.write("truth.json", text).string()});
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.errors, HasSubstr("unknown GPU 'H101'"));
}

}  // namespace
}  // namespace rooftune::testing_support
