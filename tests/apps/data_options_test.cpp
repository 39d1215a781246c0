#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "command_line.hpp"

namespace rooftune::testing_support {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

using DataOptions = TemporaryFolderTest;

TEST_F(DataOptions, ReportsEveryBrokenFileAtOnce) {
  const std::string broken = folder_.write("broken.json", "[{\"id\": ").string();
  const ProgramResult result = rooftune({"evaluate", "--ground-truth", broken, "--config", "missing.json"});
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.output, IsEmpty());
  EXPECT_THAT(result.errors, HasSubstr("broken.json:1:"));
  EXPECT_THAT(result.errors, HasSubstr("missing.json"));
}

TEST_F(DataOptions, NamesTheFieldsThatSelect) {
  const ProgramResult result = rooftune({"evaluate", "--ground-truth", kGroundTruth, "--select", "modell=x"});
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.errors, HasSubstr("did you mean 'model'?"));
}

TEST_F(DataOptions, ReplacesWhatTheStudySaysAboutAField) {
  const std::string study = folder_.write("study.yaml", small_study()).string();
  const ProgramResult result = rooftune({"show", study, "--select", "id=66"});
  EXPECT_EQ(result.exit_code, 0) << result;
  EXPECT_THAT(result.output, HasSubstr("\n66 "));
  EXPECT_THAT(result.output, Not(HasSubstr("\n64 ")));
}

TEST_F(DataOptions, ReplacesTheStudysGroundTruth) {
  const std::string study = folder_.write("study.yaml", small_study("['36']")).string();
  const ProgramResult result = rooftune({"show", study, "--ground-truth", shipped("ground_truth/a100.json")});
  EXPECT_EQ(result.exit_code, 0) << result;
  EXPECT_THAT(result.output, HasSubstr("A100-SXM"));
}

TEST_F(DataOptions, CountsPathsOfAStudyFromItsFolder) {
  folder_.write("data/truth.json", TemporaryFolder::read_file(kGroundTruth));
  std::string text = small_study();
  text.replace(text.find(kGroundTruth), kGroundTruth.size(), "../data/truth.json");
  folder_.write("studies/study.yaml", text);
  EXPECT_EQ(rooftune({"show", "studies/study.yaml"}, {.working_directory = folder_.path()}).exit_code, 0);
  EXPECT_EQ(rooftune({"show", "study.yaml"}, {.working_directory = folder_ / "studies"}).exit_code, 0);
}

TEST_F(DataOptions, AddsFoldersOfModels) {
  folder_.write("models/Llama-2-7b-hf/config.json",
                R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "intermediate_size": 11008, "num_attention_heads": 32,
                    "num_hidden_layers": 7, "vocab_size": 32000, "torch_dtype": "bfloat16"})");
  const ProgramResult result =
      rooftune({"show", "--ground-truth", kGroundTruth, "--select", "id=67", "--models", (folder_ / "models").string()});
  EXPECT_EQ(result.exit_code, 0) << result;
  EXPECT_THAT(result.output, HasSubstr("Llama-2-7b-hf       7"));
}

TEST_F(DataOptions, KnowShippedConfigsByNameFromAnyFolder) {
  const std::vector<std::string> command{"evaluate", "--ground-truth", kGroundTruth, "--select", "id=64", "--json", "--config"};
  const auto evaluate = [&](const std::string& config) {
    std::vector<std::string> arguments = command;
    arguments.push_back(config);
    return rooftune(arguments, {.working_directory = folder_.path()});
  };
  const ProgramResult by_name = evaluate("h100");
  ASSERT_EQ(by_name.exit_code, 0) << by_name;
  EXPECT_EQ(by_name.output, evaluate(shipped("configs/tuned/h100.json")).output);
  EXPECT_NE(by_name.output, evaluate("h100.roofline_v1").output);
  folder_.write("h100", TemporaryFolder::read_file(shipped("configs/tuned/a100.json")));
  EXPECT_EQ(by_name.output, evaluate("h100").output) << "a name is never a file";
  EXPECT_THAT(evaluate("b100").errors, HasSubstr("no config of the name 'b100' ships (choose one of: a100, a100.physics, b200"));
}

TEST_F(DataOptions, TakeTheGpusShippedConfigWhereNoneIsNamed) {
  const auto evaluate = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments{"evaluate"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return rooftune(arguments);
  };
  const ProgramResult said = evaluate({"--ground-truth", kGroundTruth, "--select", "id=64"});
  ASSERT_EQ(said.exit_code, 0) << said;
  EXPECT_THAT(said.output, HasSubstr("config h100, which ships for H100-SXM (--config names another)\n"));
  const ProgramResult json = evaluate({"--ground-truth", kGroundTruth, "--select", "id=64", "--json"});
  EXPECT_THAT(json.errors, HasSubstr("config h100, which ships for H100-SXM"));
  EXPECT_EQ(json.output, evaluate({"--ground-truth", kGroundTruth, "--select", "id=64", "--json", "--config", "h100"}).output);
  EXPECT_THAT(evaluate({"--ground-truth", kGroundTruth, "--select", "id=64", "--step-time-model", "roofline_v1"}).output,
              HasSubstr("config h100.roofline_v1"));
  const ProgramResult two = evaluate({"--ground-truth", shipped("ground_truth/a100.json"), "--ground-truth", kGroundTruth});
  EXPECT_EQ(two.exit_code, 1) << two;
  EXPECT_THAT(two.errors, HasSubstr("the experiments are on A100-SXM, H100-SXM, and every GPU has a config of its own (name one with "
                                    "--config, or choose a GPU with --select hardware=...)"));
  const std::string study = folder_.write("study.yaml", small_study()).string();
  EXPECT_THAT(evaluate({study}).output, Not(HasSubstr("which ships"))) << "a study says what it starts from";
  const ProgramResult without = rooftune({"simulate", "--model", "Llama-2-7b-hf", "--gpu", "A100-SXM", "--step-time-model",
                                          "roofline_v1", "--rate", "1", "--duration", "10"});
  EXPECT_EQ(without.exit_code, 0) << without;
  EXPECT_THAT(
      without.errors,
      HasSubstr("no config ships for A100-SXM with the step-time model 'roofline_v1': every parameter has its default, which no run "
                "has calibrated (name a config with --config, or make one with fit or onboard)"));
}

TEST_F(DataOptions, StudiesStartFromShippedConfigsByName) {
  std::string text = small_study();
  text.replace(text.find("  step_time_model: physics"), 26, "  config: h100");
  folder_.write("studies/study.yaml", text);
  const ProgramResult fitted = rooftune({"fit", "studies/study.yaml", "--out", "run"}, {.working_directory = folder_.path()});
  ASSERT_EQ(fitted.exit_code, 0) << fitted;
  EXPECT_THAT(folder_.read("run/study.yaml"), HasSubstr("config: h100\n"));
  EXPECT_THAT(folder_.read("run/manifest.json"), HasSubstr("shipped:configs/tuned/h100.json"));
}

}  // namespace
}  // namespace rooftune::testing_support
