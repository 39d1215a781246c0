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

TEST_F(SimulateCommand, SaysWhereTheTimeGoes) {
  const ProgramResult result = rooftune(with(kSmallLoad, {"--step-time-model", "physics"}));
  ASSERT_EQ(result.exit_code, 0) << result;
  for (const char* part :
       {"Latencies", "cache hits", "preemptions", "Where the time goes", "kv_reads", "bound by", "Batch size", "KV cache in use"}) {
    EXPECT_THAT(result.output, HasSubstr(part));
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
