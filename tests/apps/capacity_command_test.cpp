#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
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
  EXPECT_THAT(folder_.read("points.csv"), HasSubstr("\nLlama-3.1-70B-Instruct,bf16,4,false,1,concurrency,"));
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
  for_machines.emplace_back("--json");
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

/// Latencies of one engine at the measured run's own load, as they follow from its requests, settings and clients.
double e2e_at_its_load(const std::string& file, const std::string& id, const std::string& points) {
  const ProgramResult result = rooftune({"capacity", "--like", shipped(file), "--select", "id=" + id, "--config", "h100", "--duration",
                                         "600", "--replicates", "1", "--objective", "ttft_mean=0.01", "--json"});
  EXPECT_EQ(result.exit_code, 2) << result;
  const auto json = nlohmann::json::parse(result.output);
  EXPECT_EQ(json["like"], id);
  return json["answers"][0][points][0]["latencies"]["e2e_mean_ms"];
}

double e2e_of_evaluate(const std::string& file, const std::string& id) {
  const ProgramResult result =
      rooftune({"evaluate", "--ground-truth", shipped(file), "--select", "id=" + id, "--config", "h100", "--json"});
  const auto json = nlohmann::json::parse(result.output);
  for (const auto& row : json["rows"]) {
    const bool is_first = row["stage"] == 0 || (row["stage"] == "summary" && json["rows"].size() < 8);
    if (is_first && row["metric"] == "e2e_mean_ms") return row["predicted"];
  }
  return 0.0;
}

TEST_F(CapacityCommand, TakesRequestsSettingsAndClientsFromAMeasuredRun) {
  const double measured_alike = e2e_of_evaluate("ground_truth/h100.json", "60");
  EXPECT_NEAR(e2e_at_its_load("ground_truth/h100.json", "60", "rates") / measured_alike, 1.0, 0.02);
  // The requests of the command line's defaults would be served in another time altogether.
  const ProgramResult plain = rooftune({"capacity", "--model", "Llama-3.1-70B-Instruct", "--tp", "4", "--rates", "2.5", "--config",
                                        "h100", "--replicates", "1", "--objective", "ttft_mean=0.01", "--json"});
  const auto json = nlohmann::json::parse(plain.output);
  EXPECT_GT(std::abs(double(json["answers"][0]["rates"][0]["latencies"]["e2e_mean_ms"]) / measured_alike - 1.0), 0.2);
}

TEST_F(CapacityCommand, LeavesTheRecordedPoolToItsOwnDeployment) {
  const auto answer = [](const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"capacity",   "--like",   shipped("ground_truth/h100.json"),
                                       "--select",   "id=60",    "--tp",
                                       "8",          "--config", "h100",
                                       "--duration", "2",        "--replicates",
                                       "1",          "--rates",  "1",
                                       "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ProgramResult result = rooftune(arguments);
    EXPECT_EQ(result.exit_code, 0) << result;
    return nlohmann::json::parse(result.output)["answers"][0];
  };
  const auto estimated = answer({});
  EXPECT_EQ(estimated["tp"], 8);
  EXPECT_EQ(estimated["model"], "Llama-3.1-70B-Instruct");
  const auto with_pool_of_tp_4 = answer({"--kv-blocks", "30251"});
  EXPECT_LT(estimated["rates"][0]["kv_use_fraction"], with_pool_of_tp_4["rates"][0]["kv_use_fraction"]);
}

TEST_F(CapacityCommand, KeepsTheRecordedPoolWhereTheGpuHasAnotherName) {
  const auto kv_use = [](const std::vector<std::string>& gpu) {
    std::vector<std::string> arguments{"capacity",
                                       "--like",
                                       shipped("ground_truth/h100.json"),
                                       "--select",
                                       "id=62",
                                       "--duration",
                                       "2",
                                       "--rates",
                                       "1",
                                       "--replicates",
                                       "1",
                                       "--json"};
    arguments.insert(arguments.end(), gpu.begin(), gpu.end());
    const ProgramResult result = rooftune(arguments);
    EXPECT_EQ(result.exit_code, 0) << result;
    return double(nlohmann::json::parse(result.output)["answers"][0]["rates"][0]["kv_use_fraction"]);
  };
  EXPECT_EQ(kv_use({"--gpu", "H100-SXM"}), kv_use({}));
}

TEST_F(CapacityCommand, AsksOneOfSeveralMeasuredEnginesAboutItsOwnClients) {
  const ProgramResult result =
      rooftune({"capacity", "--like", shipped("experiments/prefill_decode/together.json"), "--select", "id=gpt-oss-120b-8+8-c4",
                "--hardware", shipped("experiments/prefill_decode/gpus.yaml"), "--config", "h100", "--duration", "2", "--replicates",
                "1", "--objective", "ttft_mean=0.01", "--json"});
  ASSERT_EQ(result.exit_code, 2) << result;
  const auto points = nlohmann::json::parse(result.output)["answers"][0]["concurrencies"];
  ASSERT_EQ(points.size(), 1U);
  EXPECT_EQ(points[0]["concurrency"], 2) << "4 clients were measured on 2 engines";
}

TEST_F(CapacityCommand, NamesTheRunsWhereSeveralAreSelected) {
  const ProgramResult result = rooftune(
      {"capacity", "--like", shipped("ground_truth/h100.json"), "--select", "model=Yi-34B", "--select", "model=Qwen2.5-7B-Instruct"});
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.errors, HasSubstr("3 experiments are selected"));
}

TEST_F(CapacityCommand, SaysWhichPromptsAndWhereIntervalsSayNothing) {
  const ProgramResult result = rooftune({"capacity", "--model", "Llama-3.1-70B-Instruct", "--config", "h100", "--tp", "4",
                                         "--objective", "ttft_p90=500", "--duration", "20"});
  EXPECT_THAT(result.output, HasSubstr("every prompt differs: no prefix is reused"));
  EXPECT_THAT(result.output, HasSubstr("not determined")) << "close to saturation TTFT says nothing";
}

TEST_F(CapacityCommand, RefusesAnUnknownModelAtEveryDegree) {
  const ProgramResult result = rooftune({"capacity", "--config", kConfig, "--model", "Llama-2-7b-hg", "--tp", "1,2"});
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.output, IsEmpty());
  EXPECT_THAT(result.errors, HasSubstr("did you mean 'Llama-2-7b-hf'?"));
}

}  // namespace
}  // namespace rooftune::testing_support
