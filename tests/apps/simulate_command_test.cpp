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

}  // namespace
}  // namespace rooftune::testing_support
