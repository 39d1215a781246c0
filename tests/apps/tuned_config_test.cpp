// What every command that writes a config owes its reader: it says where it came from, and loads without any other file.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "command_line.hpp"

namespace rooftune::testing_support {
namespace {

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size()))
    text.replace(at, what.size(), with);
  return text;
}

/// A study on two runs of a GPU that does not ship.
class TunedConfig : public TemporaryFolderTest, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    folder_.write("gpu.yaml",
                  "schema: rooftune/gpus/1\ngpus:\n  - name: MyGPU\n    peak_bf16_tflops: 989.5\n    hbm_bandwidth_tbs: 3.35\n"
                  "    interconnect: nvlink\n    link_bandwidth_gbs: 450\n    memory_gib: 80\n    source: its data sheet\n");
    ground_truth_ = folder_
                        .write("truth.json",
                               replaced(TemporaryFolder::read_file(kGroundTruth), "\"hardware\": \"H100\"", "\"hardware\": \"MyGPU\""))
                        .string();
    std::string study = replaced(small_study(), kGroundTruth, ground_truth_);
    study = replaced(study, "data:\n", "data:\n  hardware: [gpu.yaml]\n");
    study = replaced(study, "step_time_model: physics", "config: h100");  // onboard needs a start that knows its uncertainty
    study += "improve: {rounds: 0, seeds: 2}\nonboard: {gpu: MyGPU}\n";
    study_ = folder_.write("study.yaml", study).string();
  }

  std::string study_;
  std::string ground_truth_;
};

TEST_P(TunedConfig, SaysWhereItCameFromAndPredictsWithoutAnyOtherFile) {
  const std::filesystem::path run = folder_ / "run";
  const ProgramResult written = rooftune({GetParam(), study_, "--out", run.string()});
  ASSERT_EQ(written.exit_code, 0) << written;
  const auto config = nlohmann::json::parse(folder_.read("run/tuned.json"));
  for (const std::string& key :
       std::vector<std::string>{"study", "rooftune", "simulator", "seed", "input " + study_, "input " + ground_truth_}) {
    EXPECT_TRUE(config["provenance"].contains(key)) << key;
  }
  EXPECT_TRUE(config["hardware"].contains("MyGPU"));
  const ProgramResult alone = rooftune({"evaluate", "--ground-truth", ground_truth_, "--select", "id=64", "--select", "id=62",
                                        "--config", (run / "tuned.json").string(), "--json"});
  ASSERT_EQ(alone.exit_code, 0) << alone;
  EXPECT_EQ(nlohmann::json::parse(alone.output)["rows"], nlohmann::json::parse(folder_.read("run/evaluation.json"))["rows"]);
}

INSTANTIATE_TEST_SUITE_P(OfEveryCommand, TunedConfig, testing::Values("fit", "improve", "onboard"),
                         [](const auto& command) { return std::string(command.param); });

}  // namespace
}  // namespace rooftune::testing_support
