#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "command_line.hpp"

namespace rooftune::testing_support {
namespace {

using testing::HasSubstr;

using CrossvalCommand = TemporaryFolderTest;

TEST_F(CrossvalCommand, ShowsBothSidesOfEveryFoldAndWritesARunFolder) {
  const std::string study = folder_.write("study.yaml", small_study("['64', '62', '66']")).string();
  const ProgramResult result = rooftune({"crossval", study, "--out", (folder_ / "run").string()});
  ASSERT_EQ(result.exit_code, 0) << result;
  EXPECT_THAT(result.output, HasSubstr("model=Qwen2.5-7B-Instruct"));
  EXPECT_THAT(result.output, HasSubstr("Held-out errors of all folds pooled"));
  const auto json = nlohmann::json::parse(folder_.read("run/result.json"));
  ASSERT_EQ(json["folds"].size(), 2u);
  EXPECT_NE(json["folds"][0]["parameters"], json["folds"][1]["parameters"]);
  EXPECT_EQ(json["held_out"]["e2e_mean_ms"]["experiments"], 3);
}

TEST_F(CrossvalCommand, EndsWithTwoWhenAFoldWasNotFitted) {
  // Neither parameter has an effect on a dense model whose front end is fixed.
  std::string text = small_study("['64', '62']", "physics.moe_layer_us");
  text.replace(text.find("frontend.constant_us"), 20, "physics.moe_routing_correlation");
  const ProgramResult result = rooftune({"crossval", folder_.write("study.yaml", text).string(), "--out", (folder_ / "run").string()});
  EXPECT_EQ(result.exit_code, 2) << result;
  EXPECT_THAT(result.errors, HasSubstr("nothing was written"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "run"));
}

TEST_F(CrossvalCommand, NamesTheGroupsThatThereAre) {
  const std::string study = folder_.write("study.yaml", small_study()).string();
  const ProgramResult result = rooftune({"crossval", study, "--group", "modell"});
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.errors, HasSubstr("did you mean 'model'?"));
}

}  // namespace
}  // namespace rooftune::testing_support
