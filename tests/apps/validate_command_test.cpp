#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "command_line.hpp"

namespace rooftune::testing_support {
namespace {

using testing::HasSubstr;

using ValidateCommand = TemporaryFolderTest;

TEST_F(ValidateCommand, RecognisesFilesByTheirContent) {
  const std::string study = folder_.write("study.yaml", small_study()).string();
  const std::string family = folder_.write("any_name.json", R"({"H100": {"TFlopsPeak": 989.5, "BwPeakTBs": 3.35}})").string();
  const ProgramResult result =
      rooftune({"validate", study, family, kGroundTruth, shipped("configs/gpus.yaml"), shipped("configs/models/yi-34b.yaml")});
  EXPECT_EQ(result.exit_code, 0) << result;
  for (const char* content : {"study 'small'", "hardware config for the step-time model roofline_v1", "ground truth, 15 experiments",
                              "GPUs", "34.39 billion parameters (33.9 active), 68.8 GB of weights"}) {
    EXPECT_THAT(result.output, HasSubstr(content));
  }
}

TEST_F(ValidateCommand, ChecksEveryShippedFile) {
  std::vector<std::string> arguments{"validate", shipped("configs/models")};
  for (const char* folder : {"experiments", "configs/tuned"}) {
    if (!std::filesystem::exists(shipped(folder))) continue;
    for (const auto& entry : std::filesystem::directory_iterator(shipped(folder))) {
      if (entry.is_regular_file() && entry.path().extension() != ".md") arguments.push_back(entry.path().string());
    }
  }
  const ProgramResult result = rooftune(arguments);
  EXPECT_EQ(result.exit_code, 0) << result;
}

/// Nemotron's time steps end at Python's Infinity.
TEST_F(ValidateCommand, TakesModelConfigsAsPythonWritesThem) {
  const std::string config = folder_
                                 .write("m/config.json", R"({"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2,
      "num_attention_heads": 4, "intermediate_size": 128, "vocab_size": 100, "time_step_limit": [0.0, Infinity]})")
                                 .string();
  const ProgramResult result = rooftune({"validate", config});
  EXPECT_EQ(result.exit_code, 0) << result;
  EXPECT_THAT(result.output, HasSubstr("billion parameters"));
}

TEST_F(ValidateCommand, GoesOnAfterABrokenFile) {
  const std::string truncated = folder_.write("truncated.json", "[{\"id\": \"1\", ").string();
  const std::string empty = folder_.write("empty.yaml", "").string();
  const std::string other = folder_.write("other.yaml", "colour: blue\n").string();
  const ProgramResult result = rooftune({"validate", truncated, empty, other, shipped("configs/gpus.yaml")});
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.errors, HasSubstr("truncated.json:1:"));
  EXPECT_THAT(result.errors, HasSubstr("empty.yaml"));
  EXPECT_THAT(result.errors, HasSubstr("other.yaml:1:1: error: not recognised"));
  EXPECT_THAT(result.output, HasSubstr("gpus.yaml"));
}

TEST_F(ValidateCommand, PrintsWhatItFoundAsJson) {
  const std::string broken = folder_.write("broken.yaml", "name: x\nobjective: {noise: -1}\n").string();
  const ProgramResult result = rooftune({"validate", kGroundTruth, broken, "--json"});
  EXPECT_EQ(result.exit_code, 1) << result;
  const auto json = nlohmann::json::parse(result.output);
  EXPECT_EQ(json["schema"], "rooftune/validation/1");
  EXPECT_FALSE(json["sound"]);
  EXPECT_TRUE(json["files"][0]["sound"]);
  EXPECT_EQ(json["files"][0]["content"], "ground truth, 15 experiments");
  EXPECT_FALSE(json["files"][1]["sound"]);
  EXPECT_EQ(json["files"][1]["problems"][0]["line"], 2);
  EXPECT_EQ(json["files"][1]["problems"][0]["severity"], "error");
  EXPECT_EQ(rooftune({"validate", kGroundTruth, "--json"}).exit_code, 0);
}

}  // namespace
}  // namespace rooftune::testing_support
