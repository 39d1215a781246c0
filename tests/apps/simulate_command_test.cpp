#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "command_line.hpp"

namespace rooftune::testing_support {
namespace {

using testing::HasSubstr;

using SimulateCommand = TemporaryFolderTest;

const std::vector<std::string> kSmallLoad{"simulate", "--model",         "Llama-2-7b-hf", "--rate",          "2", "--duration",
                                          "10",       "--prompt-tokens", "400",           "--output-tokens", "20"};

std::vector<std::string> with(std::vector<std::string> arguments, const std::vector<std::string>& more) {
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

TEST_F(SimulateCommand, SaysWhichEnginesServe) {
  const auto says = [](const std::vector<std::string>& more, const char* engines, const char* fetched) {
    const ProgramResult result = rooftune(with(kSmallLoad, more));
    ASSERT_EQ(result.exit_code, 0) << result;
    EXPECT_THAT(result.output, HasSubstr(engines));
    EXPECT_THAT(result.output, HasSubstr(fetched));
  };
  says({"--tp", "2", "--dp", "3"}, "Llama-2-7b-hf on 3 x H100-SXM, TP 2, physics", "0.0 % read back from the host");
  says({"--pp", "2"}, "on 1 x H100-SXM, TP 1, 2 pipeline stages", "0.0 % read back from the host");
  says({"--prefill-decode", "2x1+1x4"}, "on 2 x H100-SXM, TP 1 for prefill and 1 x H100-SXM, TP 4 for decode",
       "% fetched by decode engines");
}

TEST_F(SimulateCommand, SaysWhereTheTimeGoes) {
  const ProgramResult result = rooftune(with(kSmallLoad, {"--step-time-model", "physics"}));
  ASSERT_EQ(result.exit_code, 0) << result;
  for (const char* part :
       {"Latencies", "cache hits", "preemptions", "Where the time goes", "kv_reads", "bound by", "Batch size", "KV cache in use"}) {
    EXPECT_THAT(result.output, HasSubstr(part));
  }
}

TEST_F(SimulateCommand, SweepsClientsAndSaysWhatAGpuAndAUserGet) {
  const ProgramResult result =
      rooftune({"simulate", "--model", "Llama-2-7b-hf", "--config", "h100", "--tp", "2", "--concurrency", "4,8,16", "--num-prompts",
                "64", "--prompt-tokens", "200", "--output-tokens", "50", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result;
  const auto points = nlohmann::json::parse(result.output)["points"];
  ASSERT_EQ(points.size(), 3U);
  double per_user = 1e9;
  double per_gpu = 0.0;
  for (const auto& point : points) {
    EXPECT_EQ(point["finished"], 64);
    EXPECT_TRUE(point["rate_per_s"].is_null());
    EXPECT_EQ(point["gpus"], 2);
    EXPECT_NEAR(point["output_tokens_per_s_per_gpu"], double(point["output_tokens_per_s"]) / 2.0, 1e-9);
    // More clients: more for the GPU, less for each of them.
    EXPECT_LT(double(point["output_tokens_per_s_per_user"]), per_user);
    EXPECT_GT(double(point["output_tokens_per_s_per_gpu"]), per_gpu);
    per_user = point["output_tokens_per_s_per_user"];
    per_gpu = point["output_tokens_per_s_per_gpu"];
  }
  EXPECT_EQ(points[2]["concurrency"], 16);
}

TEST_F(SimulateCommand, KeepsClientsBusyForTheWholeDuration) {
  const ProgramResult result = rooftune({"simulate", "--model", "Llama-2-7b-hf", "--config", "h100", "--concurrency", "32",
                                         "--duration", "20", "--prompt-tokens", "200", "--output-tokens", "20", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result;
  const auto json = nlohmann::json::parse(result.output);
  EXPECT_GT(json["summary"]["finished"], 32 * 20);  // a request takes well below a second
}

TEST_F(SimulateCommand, ReplaysATableOfConversations) {
  folder_.write("turns.csv",
                "stage,arrival_s,input_tokens,output_tokens,conversation\n0,0,160,16,1\n0,0,160,16,2\n0,0,320,16,1\n0,0,320,16,2\n");
  const ProgramResult result = rooftune({"simulate", "--model", "Llama-2-7b-hf", "--config", "h100", "--concurrency", "1,2",
                                         "--replay", (folder_ / "turns.csv").string(), "--json"});
  ASSERT_EQ(result.exit_code, 0) << result;
  for (const auto& point : nlohmann::json::parse(result.output)["points"]) {
    // Each second turn finds the first one's prompt and answer: 160 + 16 tokens, less the last one, in whole blocks.
    EXPECT_NEAR(point["prefix_hit_fraction"], 2.0 * 160.0 / 960.0, 0.04);
  }
}

TEST_F(SimulateCommand, TracesEveryStepAndRequest) {
  const ProgramResult result =
      rooftune(with(kSmallLoad, {"--trace", (folder_ / "steps.csv").string(), "--chrome-trace", (folder_ / "chrome.json").string(),
                                 "--requests", (folder_ / "requests.csv").string(), "--json"}));
  ASSERT_EQ(result.exit_code, 0) << result;
  const auto json = nlohmann::json::parse(result.output);
  const std::int64_t steps = json["counters"]["steps"];
  EXPECT_EQ(std::ranges::count(folder_.read("steps.csv"), '\n'), steps + 1);
  EXPECT_EQ(std::ranges::count(folder_.read("requests.csv"), '\n'), 20 + 1);
  const auto chrome = nlohmann::json::parse(folder_.read("chrome.json"));
  EXPECT_EQ(std::ranges::count_if(chrome["traceEvents"], [](const auto& event) { return event["ph"] == "X"; }), steps);
  EXPECT_EQ(json["counters"]["generated_tokens"], 20 * 20);
}

TEST_F(SimulateCommand, WantsOneExperiment) {
  const ProgramResult result = rooftune({"simulate", "--ground-truth", kGroundTruth, "--select", "tp=4"});
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.errors, HasSubstr("2 experiments are selected: 60, 61"));
}

TEST_F(SimulateCommand, PredictsWhatEvaluateDoes) {
  const auto simulated =
      nlohmann::json::parse(rooftune({"simulate", "--ground-truth", kGroundTruth, "--select", "id=64", "--json"}).output);
  const auto evaluated =
      nlohmann::json::parse(rooftune({"evaluate", "--ground-truth", kGroundTruth, "--select", "id=64", "--json"}).output);
  for (const auto& row : evaluated["rows"]) {
    if (row["stage"] != "summary") continue;
    const double predicted = row["predicted"];
    EXPECT_NEAR(simulated["summary"][std::string(row["metric"])], predicted, 1e-6 * predicted);
  }
}

TEST_F(SimulateCommand, RefusesAModelThatDoesNotFit) {
  const ProgramResult result = rooftune({"simulate", "--model", "Llama-3.1-70B-Instruct", "--tp", "1"});
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.errors, HasSubstr("the weights do not fit"));
}

TEST_F(SimulateCommand, SweepsRates) {
  const std::vector<std::string> load{
      "simulate",           "--model", "Llama-2-7b-hf",      "--rates", "1,8", "--duration", "20", "--output-tokens", "40",
      "--output-tokens-sd", "10",      "--prompt-tokens-sd", "50"};
  const ProgramResult table = rooftune(load);
  ASSERT_EQ(table.exit_code, 0) << table;
  EXPECT_THAT(table.output, HasSubstr("Latencies by rate"));
  const auto json = nlohmann::json::parse(rooftune(with(load, {"--json"})).output);
  ASSERT_EQ(json["points"].size(), 2U);
  EXPECT_EQ(json["points"][1]["finished"], 160);
  EXPECT_GT(json["points"][1]["tpot_mean_ms"], json["points"][0]["tpot_mean_ms"]);
}

TEST_F(SimulateCommand, RoutesStagesAndRefusalsShow) {
  const ProgramResult result = rooftune({"simulate",
                                         "--model",
                                         "Llama-2-7b-hf",
                                         "--rate",
                                         "4",
                                         "--duration",
                                         "10",
                                         "--replicas",
                                         "2",
                                         "--router",
                                         "least_loaded",
                                         "--pp",
                                         "2",
                                         "--prompt-tokens",
                                         "500",
                                         "--prompt-tokens-sd",
                                         "100",
                                         "--max-model-len",
                                         "500",
                                         "--requests",
                                         (folder_ / "requests.csv").string(),
                                         "--step-time-model",
                                         "physics"});
  ASSERT_EQ(result.exit_code, 0) << result;
  EXPECT_THAT(result.output, HasSubstr("pipeline_hops"));
  EXPECT_THAT(result.output, HasSubstr("longer than max_model_len (500 tokens)"));
  EXPECT_THAT(folder_.read("requests.csv"), HasSubstr("rejected: longer than max_model_len"));
}

}  // namespace
}  // namespace rooftune::testing_support
