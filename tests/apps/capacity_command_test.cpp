#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "command_line.hpp"

namespace rooftune::testing_support {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

using CapacityCommand = TemporaryFolderTest;

const std::string kConfig = shipped("configs/tuned/h100.json");

TEST_F(CapacityCommand, AnswersAllQuestionsAtOnce) {
  const std::string csv = (folder_ / "points.csv").string();
  const ProgramResult result = rooftune({"capacity",
                                         "--config",
                                         kConfig,
                                         "--model",
                                         "Llama-3.1-70B-Instruct",
                                         "--tp",
                                         "1,4",
                                         "--prompt-tokens",
                                         "600",
                                         "--output-tokens",
                                         "250",
                                         "--objective",
                                         "tpot_mean=40",
                                         "--load",
                                         "10",
                                         "--rates",
                                         "1,2",
                                         "--concurrency",
                                         "4",
                                         "--duration",
                                         "10",
                                         "--replicates",
                                         "1",
                                         "--json",
                                         "--csv",
                                         csv});
  ASSERT_EQ(result.exit_code, 0) << result;
  const auto json = nlohmann::json::parse(result.output);
  EXPECT_EQ(json["schema"], "rooftune/capacity/1");
  ASSERT_EQ(json["answers"].size(), 2U);
  EXPECT_THAT(json["answers"][0]["refusal"].dump(), HasSubstr("the weights do not fit"));
  const auto& answer = json["answers"][1];
  EXPECT_LE(answer["capacity"]["latencies"]["tpot_mean_ms"], 40.0);
  EXPECT_GT(answer["capacity"]["rate_per_s"], 1.0);
  EXPECT_EQ(answer["fleet"]["gpus"], 4 * int(answer["fleet"]["replicas"]));
  EXPECT_EQ(answer["rates"].size(), 2U);
  EXPECT_EQ(answer["concurrencies"][0]["concurrency"], 4);
  EXPECT_THAT(folder_.read("points.csv"), HasSubstr("\n4,concurrency,"));
}

TEST_F(CapacityCommand, FailsWhereNoRateKeepsTheObjective) {
  const ProgramResult result = rooftune({"capacity", "--config", kConfig, "--model", "Llama-2-7b-hf", "--tp", "1", "--objective",
                                         "ttft_mean=0.01", "--duration", "5", "--replicates", "1"});
  EXPECT_EQ(result.exit_code, 2) << result;
  EXPECT_THAT(result.output, HasSubstr("not even an idle engine keeps ttft_mean"));
}

TEST_F(CapacityCommand, RefusesAnUnknownModelAtEveryDegree) {
  const ProgramResult result = rooftune({"capacity", "--config", kConfig, "--model", "Llama-2-7b-hg", "--tp", "1,2"});
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.output, IsEmpty());
  EXPECT_THAT(result.errors, HasSubstr("did you mean 'Llama-2-7b-hf'?"));
}

}  // namespace
}  // namespace rooftune::testing_support
