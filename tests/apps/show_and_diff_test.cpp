#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "command_line.hpp"

namespace rooftune::testing_support {
namespace {

using testing::HasSubstr;
using Json = nlohmann::json;

using ShowCommand = TemporaryFolderTest;
using DiffCommand = TemporaryFolderTest;

TEST_F(ShowCommand, TellsMachinesWhatAStudyResolvesTo) {
  const std::string study = folder_.write("study.yaml", small_study()).string();
  const ProgramResult result = rooftune({"show", study, "--json"});
  ASSERT_EQ(result.exit_code, 0) << result;
  const Json json = Json::parse(result.output);
  EXPECT_EQ(json["schema"], "rooftune/resolved/1");
  ASSERT_EQ(json["experiments"].size(), 2U);
  EXPECT_EQ(json["experiments"][0]["gpu"], "H100-SXM");
  EXPECT_EQ(json["models"]["Qwen2.5-7B-Instruct"]["layers"], 28);
  EXPECT_EQ(json["gpus"]["H100-SXM"]["peak_bf16_tflops"], 989.5);
  EXPECT_EQ(json["free"][0]["parameter"], "frontend.constant_us");
}

TEST_F(ShowCommand, TellsWhatAModelIsMadeOf) {
  const ProgramResult result = rooftune({"show", "--model", "Mixtral-8x7B-v0.1", "--tp", "8"});
  ASSERT_EQ(result.exit_code, 0) << result;
  EXPECT_THAT(result.output, HasSubstr("46.7 billion parameters (12.7 active), 93.4 GB of weights"));
  EXPECT_THAT(result.output, HasSubstr("full attention, 32 heads, 8 KV heads of 128"));
  EXPECT_THAT(result.output, HasSubstr("2 of 8 experts of 14336"));
  EXPECT_THAT(result.output, HasSubstr("One of 8 GPUs: 11.68 GB of weights"));
  EXPECT_THAT(result.output, HasSubstr("8 ranks, 8192 B per token"));
  EXPECT_EQ(rooftune({"show", "--model", "Mixtral-8x7B"}).exit_code, 1);
}

TEST_F(DiffCommand, TellsMachinesAndPeopleWhatDiffersAndNothingElse) {
  folder_.write("study.yaml", small_study("['64']"));
  for (const char* seed : {"1", "2"}) {
    ASSERT_EQ(
        rooftune({"fit", "study.yaml", "--seed", seed, "--out", std::string("run") + seed}, {.working_directory = folder_.path()})
            .exit_code,
        0);
  }
  const ProgramResult same = rooftune({"diff", "run1", "run1", "--json"}, {.working_directory = folder_.path()});
  EXPECT_EQ(Json::parse(same.output)["same"], true) << same;

  const ProgramResult result = rooftune({"diff", "run1", "run2", "--json"}, {.working_directory = folder_.path()});
  const Json json = Json::parse(result.output);
  EXPECT_EQ(json["schema"], "rooftune/diff/1");
  EXPECT_EQ(json["manifest"], Json::parse(R"([{"what": "seed", "first": "1", "second": "2"}])"));
  ASSERT_FALSE(json["parameters"].empty());
  const Json& parameter = json["parameters"][0];
  EXPECT_DOUBLE_EQ(parameter["change_percent"], 100.0 * (parameter["second"].get<double>() / parameter["first"].get<double>() - 1.0));
  ASSERT_FALSE(json["predictions"].empty());
  EXPECT_EQ(json["unmatched_predictions"], 0);
  EXPECT_THAT(rooftune({"diff", "run1", "run2"}, {.working_directory = folder_.path()}).output, HasSubstr("seed: 1 | 2\n"));
}

TEST_F(DiffCommand, ComparesConfigsByWhatTheySayAndPredict) {
  const std::vector<std::string> on_data{"diff",     "h100",  "h100.roofline_v1", "--ground-truth", kGroundTruth,
                                         "--select", "id=64", "--select",         "id=62"};
  const auto with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = on_data;
    arguments.insert(arguments.end(), more.begin(), more.end());
    return rooftune(arguments);
  };
  const ProgramResult result = with({"--json", "--csv", (folder_ / "diff.csv").string()});
  ASSERT_EQ(result.exit_code, 0) << result;
  const Json json = Json::parse(result.output);
  EXPECT_EQ(json["manifest"][0]["what"], "step-time model");
  EXPECT_FALSE(json["parameters"].empty());
  EXPECT_THAT(folder_.read("diff.csv"), HasSubstr("prediction,64,summary,e2e_mean_ms,"));
  // Each side is what evaluate says of the config.
  std::size_t compared = 0;
  for (const std::string side : {"first", "second"}) {
    const ProgramResult alone = rooftune({"evaluate", "--config", side == "first" ? "h100" : "h100.roofline_v1", "--ground-truth",
                                          kGroundTruth, "--select", "id=64", "--select", "id=62", "--json"});
    const Json evaluation = Json::parse(alone.output);
    for (const Json& row : evaluation["rows"]) {
      for (const Json& one : json["predictions"]) {
        if (one["experiment"] != row["experiment"] || one["stage"] != row["stage"] || one["metric"] != row["metric"]) continue;
        EXPECT_EQ(one[side], row["predicted"]);
        EXPECT_EQ(one[side + "_error_percent"], row["error_percent"]);
        ++compared;
      }
    }
  }
  EXPECT_EQ(compared, 2 * json["predictions"].size());
  EXPECT_EQ(json["unmatched_predictions"], 0);
  const std::string text = with({}).output;
  EXPECT_THAT(text, HasSubstr("step-time model: "));
  EXPECT_THAT(text, HasSubstr("Mean latencies that the two predict"));
  EXPECT_THAT(text, HasSubstr("absolute error against what was measured"));
}

TEST_F(DiffCommand, ComparesConfigsWithoutDataByWhatTheySay) {
  const ProgramResult result = rooftune({"diff", "h100", shipped("configs/tuned/h100.json")});
  EXPECT_EQ(result.exit_code, 0) << result;
  EXPECT_EQ(result.output, "the configs say the same\n");
  const ProgramResult other = rooftune({"diff", "h100", "a100"});
  EXPECT_THAT(other.output, HasSubstr("--ground-truth FILE shows how far their predictions differ"));
  EXPECT_THAT(rooftune({"diff", "h100", "h1000"}).errors, HasSubstr("no config of the name 'h1000' ships"));
  const ProgramResult needless = rooftune({"diff", "h100", "a100", "--select", "id=64"});
  EXPECT_EQ(needless.exit_code, 1) << needless;
}

TEST_F(DiffCommand, ComplainsAboutBothFoldersAtOnce) {
  const ProgramResult result = rooftune({"diff", (folder_ / "a").string(), (folder_ / "b").string()});
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.errors, HasSubstr("a/manifest.json"));
  EXPECT_THAT(result.errors, HasSubstr("b/manifest.json"));
}

}  // namespace
}  // namespace rooftune::testing_support
