#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "command_line.hpp"

namespace rooftune::testing_support {
namespace {

using nlohmann::json;

using OnboardCommand = TemporaryFolderTest;

/// Signed errors of unseen runs at a step, by experiment and metric.
std::map<std::string, double> unseen(const json& result, const std::string& step) {
  std::map<std::string, double> errors;
  for (const json& one : result["steps"]) {
    if (one["step"] != step) continue;
    for (const json& row : one["unseen"]) {
      errors[row["experiment"].get<std::string>() + " " + row["metric"].get<std::string>()] = row["error_percent"];
    }
  }
  return errors;
}

json onboarded(const std::string& study, const std::string& out) {
  const ProgramResult result = rooftune({"onboard", study, "--out", out, "--json"});
  EXPECT_EQ(result.exit_code, 0) << result;
  return json::parse(result.output);
}

TEST_F(OnboardCommand, PredictsOneA100RunFromTheOther) {
  const json result = onboarded(shipped("experiments/onboard_a100.yaml"), (folder_ / "out").string());
  for (const auto& [step, run] : {std::pair{"run 36", "38"}, std::pair{"run 38", "36"}}) {
    const auto errors = unseen(result, step);
    EXPECT_LT(std::abs(errors.at(std::string(run) + " e2e_mean_ms")), 7.0) << step;
    EXPECT_LT(std::abs(errors.at(std::string(run) + " ttft_mean_ms")), 7.0) << step;
  }
  // Kernel tables alone.
  EXPECT_LT(std::abs(unseen(result, "kernel tables").at("36 e2e_mean_ms")), 4.0);
  EXPECT_LT(std::abs(unseen(result, "kernel tables").at("38 e2e_mean_ms")), 4.0);
  for (const json& parameter : result["steps"].back()["parameters"]) {
    EXPECT_TRUE(parameter["bound"].is_null()) << parameter["parameter"];
    if (parameter["parameter"] == "physics.pnorm") {
      EXPECT_NEAR(double(parameter["value"]), double(parameter["expected"]), 0.1);
    }
  }
}

TEST_F(OnboardCommand, FitsNoRowThatAQueueDecides) {
  const json result = onboarded(shipped("experiments/onboard_l40s.yaml"), (folder_ / "out").string());
  const json& last = result["steps"].back();
  ASSERT_FALSE(last["left_out"].empty());
  EXPECT_EQ(last["left_out"][0]["metric"], "ttft_mean_ms");
  EXPECT_EQ(last["left_out"][0]["stage"], 1);
}

TEST_F(OnboardCommand, CarriesAConfigToAnotherVersionOfTheEngine) {
  const json result = onboarded(shipped("experiments/onboard_vllm_0_11.yaml"), (folder_ / "out").string());
  const std::string unseen_run = "guidellm-jan20-codellama-train-1 e2e_mean_ms";
  EXPECT_GT(std::abs(unseen(result, "as it is").at(unseen_run)), 4.0);
  EXPECT_LT(std::abs(unseen(result, "2 runs").at(unseen_run)), 2.0);
}

TEST_F(OnboardCommand, PredictsALargerModelBetterFromARunOfAGpuWithPlantedHostTerms) {
  const json result = onboarded(shipped("experiments/onboard_b200_like.yaml"), (folder_ / "out").string());
  for (const char* metric : {"e2e_mean_ms", "ttft_mean_ms"}) {
    const std::string largest = std::string("planted-Llama-3.1-70B ") + metric;
    const double before = std::abs(unseen(result, "kernel tables").at(largest));
    for (const char* run : {"run planted-Llama-3.1-8B", "run planted-Qwen3-14B", "2 runs"})
      EXPECT_LT(std::abs(unseen(result, run).at(largest)), before) << run << ' ' << metric;
  }
}

TEST_F(OnboardCommand, JudgesIntervalsAndChoicesOnSimulatedGpus) {
  const std::vector<std::string> arguments{"onboard", shipped("experiments/onboard_a100.yaml"), "--simulate-transfers", "2", "--json"};
  ProgramOptions here;
  here.working_directory = folder_.path();
  const ProgramResult result = rooftune(arguments, here);
  ASSERT_EQ(result.exit_code, 0) << result;
  const json transfers = json::parse(result.output);
  EXPECT_EQ(transfers["schema"], "rooftune/simulated-transfers/1");
  EXPECT_EQ(transfers["steps"][0]["step"], "kernel tables");
  EXPECT_EQ(transfers["steps"][0]["metrics"]["e2e_mean_ms"]["measurements"], 8) << "two draws of two runs of two stages";
  EXPECT_EQ(transfers["steps"][1]["metrics"]["e2e_mean_ms"]["measurements"], 4);
  EXPECT_EQ(rooftune(arguments, here).output, result.output) << "the same seed, the same bits";
  EXPECT_TRUE(folder_.names().empty()) << "no run folder, not even for a while";
}

TEST_F(OnboardCommand, SaysHowFarParametersMoveBetweenGroups) {
  const std::vector<std::string> arguments{"onboard", shipped("experiments/hierarchical.yaml"), "--spreads", "--json"};
  ProgramOptions here;
  here.working_directory = folder_.path();
  const ProgramResult result = rooftune(arguments, here);
  ASSERT_EQ(result.exit_code, 0) << result;
  const json hierarchy = json::parse(result.output);
  EXPECT_TRUE(hierarchy["settled"]);
  const auto between_gpus = std::ranges::find_if(hierarchy["spreads"], [](const json& spread) {
    return spread["parameter"] == "physics.weight_bandwidth_fraction" && spread["between"] == "GPU";
  });
  ASSERT_NE(between_gpus, hierarchy["spreads"].end());
  EXPECT_TRUE((*between_gpus)["narrowed"]);
  EXPECT_EQ((*between_gpus)["groups"].size(), 2U) << "the A100 and the L40S; the H100's values are the shared ones";
  EXPECT_EQ(hierarchy["groups"].size(), 11U);
  for (const json& group : hierarchy["groups"]) EXPECT_LT(group["error_percent"], 6.0) << group;
  EXPECT_TRUE(folder_.names().empty()) << "it keeps nothing";
}

TEST_F(OnboardCommand, RefusesToKeepAnythingOfSimulatedGpus) {
  for (const std::vector<std::string>& kept : std::vector<std::vector<std::string>>{
           {"--csv", "rows.csv"}, {"--next-runs", "next"}, {"--out", "run"}, {"--store", "store.sqlite"}, {"--resume"}}) {
    std::vector<std::string> arguments{"onboard", shipped("experiments/onboard_a100.yaml"), "--simulate-transfers", "2"};
    arguments.insert(arguments.end(), kept.begin(), kept.end());
    const ProgramResult result = rooftune(arguments, {.working_directory = folder_.path()});
    EXPECT_EQ(result.exit_code, 1) << result;
    EXPECT_THAT(result.errors, testing::AllOf(testing::HasSubstr("excludes"), testing::HasSubstr("--simulate-transfers"),
                                              testing::HasSubstr(kept.front())));
  }
  EXPECT_TRUE(folder_.names().empty());
}

/// vLLM 0.23 traces of another laboratory, which do not ship.
TEST_F(OnboardCommand, PredictsMixedPromptsOfANewVersionFromOneRun) {
  const std::string traces = shipped("../shared/data/residency/experiments.json");
  if (!std::filesystem::exists(traces))
    GTEST_SKIP() << "traces without a licence, which do not ship: " << traces << "; the runs of vLLM 0.11 that do are tested above";
  const std::string study = "name: newer\ndata:\n  ground_truth: [" + traces +
                            "]\n  select: {id: [rate2_vanilla, rate8_vanilla, w7_sweep_agg6]}\nstart: {config: " +
                            shipped("configs/tuned/h100.physics.json") +
                            "}\nonboard: {gpu: H100-SXM, reference: H100-SXM, candidates: {models: [Qwen3-14B], tp: [1]}}\n"
                            "objective: {noise: 0.03}\nsolver:\n  - {algorithm: ceres_lm, max_evaluations: 200, tolerance: 1.0e-6}\n";
  const json result = onboarded(folder_.write("study.yaml", study).string(), (folder_ / "out").string());
  for (const char* step : {"run rate2_vanilla", "2 runs"}) {
    for (const char* metric : {"ttft_mean_ms", "e2e_mean_ms"}) {
      EXPECT_LT(std::abs(unseen(result, step).at(std::string("w7_sweep_agg6 ") + metric)), 3.0) << step << ' ' << metric;
    }
  }
}

}  // namespace
}  // namespace rooftune::testing_support
