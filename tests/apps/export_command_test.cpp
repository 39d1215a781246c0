#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "command_line.hpp"

namespace rooftune::testing_support {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

using ExportCommand = TemporaryFolderTest;

TEST_F(ExportCommand, ApproximatesAPhysicsConfigAndSaysHowBadly) {
  const ProgramResult result =
      rooftune({"export", shipped("configs/tuned/h100.json"), "--form", "alpha-beta", "--model", "Llama-2-7b-hf", "--tp", "1,2"});
  ASSERT_EQ(result.exit_code, 0) << result;
  const auto models = nlohmann::json::parse(result.output)["models"];
  ASSERT_EQ(models.size(), 2U);
  EXPECT_EQ(models[1]["tensor_parallelism"], 2);
  EXPECT_EQ(models[0]["alpha_coeffs"].size(), 3U);
  EXPECT_GT(models[0]["beta_coeffs"][0], models[1]["beta_coeffs"][0]) << "two GPUs read the weights faster";
  EXPECT_THAT(result.errors, HasSubstr("at worst"));
  EXPECT_THAT(result.errors, HasSubstr("not carried"));
}

TEST_F(ExportCommand, WritesAHardwareConfigThatLoadsAgain) {
  const std::string config = folder_.write("config.json", R"({"H100": {"mfuPrefill": 0.6, "mfuDecode": 0.2}})").string();
  const std::string out = (folder_ / "hardware_config.json").string();
  const ProgramResult result = rooftune({"export", config, "--form", "hardware-config", "--out", out});
  ASSERT_EQ(result.exit_code, 0) << result;
  EXPECT_EQ(nlohmann::json::parse(folder_.read("hardware_config.json"))["H100"]["mfuPrefill"], 0.6);
  EXPECT_EQ(rooftune({"validate", out}).exit_code, 0);
}

TEST_F(ExportCommand, SaysThatAHardwareConfigHasNoPlaceForPhysics) {
  const ProgramResult result = rooftune({"export", shipped("configs/tuned/h100.json"), "--form", "hardware-config"});
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.output, IsEmpty());
  EXPECT_THAT(result.errors, HasSubstr("this config is for 'physics' (export --form alpha-beta"));
}

TEST_F(ExportCommand, RefusesAnUnknownForm) {
  const ProgramResult result = rooftune({"export", shipped("configs/tuned/h100.json"), "--form", "alpha-betta"});
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.errors, HasSubstr("did you mean 'alpha-beta'?"));
}

}  // namespace
}  // namespace rooftune::testing_support
