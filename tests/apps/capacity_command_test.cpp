#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

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
  EXPECT_THAT(folder_.read("points.csv"), HasSubstr("\nLlama-3.1-70B-Instruct,bf16,4,false,concurrency,"));
  EXPECT_TRUE(json["most_tokens_per_gpu"].is_null()) << "it was not asked";
}

TEST_F(CapacityCommand, ComparesCheckpointsDegreesAndExpertParallelism) {
  const std::vector<std::string> asked{"capacity",
                                       "--gpu",
                                       "B200",
                                       "--model",
                                       "MiniMax-M2.5,MiniMax-M2.5-NVFP4",
                                       "--tp",
                                       "1,4",
                                       "--expert-parallel",
                                       "off,on",
                                       "--tokens-per-user",
                                       "30",
                                       "--max-num-seqs",
                                       "8",
                                       "--prompt-tokens",
                                       "200",
                                       "--output-tokens",
                                       "20",
                                       "--duration",
                                       "1",
                                       "--replicates",
                                       "1"};
  std::vector<std::string> for_machines = asked;
  for_machines.push_back("--json");
  const ProgramResult result = rooftune(for_machines);
  ASSERT_EQ(result.exit_code, 0) << result;
  const auto json = nlohmann::json::parse(result.output);
  std::vector<std::string> answered;
  std::vector<double> per_gpu;
  for (const auto& answer : json["answers"]) {
    const std::string mode = answer["expert_parallel"] ? " EP" : "";
    const std::string fate = answer.contains("refusal") ? "refused" : std::string(answer["weights"]);
    answered.push_back(fmt::format("{} {}{}: {}", std::string(answer["model"]), int(answer["tp"]), mode, fate));
    per_gpu.push_back(answer.contains("refusal") ? 0.0 : double(answer["most_clients"]["output_tokens_per_s"]) / double(answer["tp"]));
  }
  // Expert parallelism of one GPU is no deployment of its own.
  EXPECT_THAT(answered, testing::ElementsAre("MiniMax-M2.5 1: refused", "MiniMax-M2.5 4: fp8_block", "MiniMax-M2.5 4 EP: fp8_block",
                                             "MiniMax-M2.5-NVFP4 1: nvfp4, bf16", "MiniMax-M2.5-NVFP4 4: nvfp4, bf16",
                                             "MiniMax-M2.5-NVFP4 4 EP: nvfp4, bf16"));
  const auto& best = json["most_tokens_per_gpu"];
  EXPECT_EQ(best["output_tokens_per_s_per_gpu"], *std::ranges::max_element(per_gpu));
  EXPECT_EQ(per_gpu.at(best["answer"]), best["output_tokens_per_s_per_gpu"]);

  const ProgramResult read = rooftune(asked);
  EXPECT_THAT(read.output, HasSubstr("Several models on B200-SXM"));
  EXPECT_THAT(read.output, HasSubstr("most tokens/s per GPU: "));
  EXPECT_THAT(read.output, testing::ContainsRegex("MiniMax-M2.5 +fp8_block +4  on "));
}

TEST_F(CapacityCommand, AnswersOnceForADeploymentThatIsAskedAboutTwice) {
  const ProgramResult result =
      rooftune({"capacity", "--config", kConfig, "--model", "Llama-2-7b-hf", "--tp", "1,1", "--expert-parallel", "on,on", "--duration",
                "1", "--replicates", "1", "--prompt-tokens", "200", "--output-tokens", "20", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result;
  EXPECT_EQ(nlohmann::json::parse(result.output)["answers"].size(), 1U);
}

TEST_F(CapacityCommand, RefusesAModelThatNoFileDescribesBesideOneThatIsKnown) {
  const ProgramResult result = rooftune({"capacity", "--config", kConfig, "--model", "Llama-2-7b-hf,Llama-2-7b-hg", "--tp", "1"});
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.output, IsEmpty());
  EXPECT_THAT(result.errors, HasSubstr("did you mean 'Llama-2-7b-hf'?"));
}

TEST_F(CapacityCommand, TakesTheConfigThatWasCarriedToTheGpu) {
  const ProgramResult result = rooftune({"capacity", "--gpu", "B200", "--model", "Llama-3.3-70B-Instruct-FP8", "--tp", "1",
                                         "--duration", "2", "--replicates", "1", "--prompt-tokens", "200", "--output-tokens", "20"});
  EXPECT_EQ(result.exit_code, 0) << result;
  EXPECT_THAT(result.output, HasSubstr("config b200, which ships for B200-SXM"));
  EXPECT_THAT(result.output, HasSubstr("kernels"));
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
