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

}  // namespace
}  // namespace rooftune::testing_support
