// What a person sees who has a folder of measurements and types three commands.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "command_line.hpp"

namespace rooftune::testing_support {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class InitCommand : public TemporaryFolderTest {
 protected:
  void SetUp() override { fs::copy(shipped("tests/init_example"), folder_ / "mine", fs::copy_options::recursive); }
  [[nodiscard]] std::string mine(const std::string& name = "") const { return (folder_ / "mine" / name).string(); }
};

TEST_F(InitCommand, SaysWhatItRecognisedAndWhatToTypeNext) {
  const ProgramResult init = rooftune({"init", "mine"}, {.working_directory = folder_.path()});
  ASSERT_EQ(init.exit_code, 0) << init;
  EXPECT_THAT(init.output, testing::StartsWith("In mine\n"
                                               "  inference-perf qwen3-14b  (log: qwen3-14b/server.log)\n"
                                               "  vllm-bench     sharegpt/llama-rate4.json  (log: sharegpt/server.log)\n"
                                               "  server log     qwen3-14b/server.log\n"
                                               "  server log     sharegpt/server.log\n"
                                               "  GPUs           gpu.yaml\n"
                                               "  2 files of no use here\n"
                                               "\n"
                                               "qwen3-14b: Qwen/Qwen3-14B on MyGPU, TP 1, 2 stages, E2E 2500.0 ms\n"
                                               "llama-rate4: meta-llama/Llama-3.1-8B-Instruct on MyGPU, TP 1, 1 stage, E2E 2871.8 ms\n"
                                               "The runs were on MyGPU, the only GPU that the folder describes (else give --gpu).\n"));
  EXPECT_THAT(init.output, testing::EndsWith("written       mine/rooftune: ground_truth.json, study.yaml\n"
                                             "next          rooftune onboard mine/rooftune/study.yaml --out mine/rooftune/run\n"));
  // inference-perf counts about two stream events per token.
  EXPECT_THAT(init.errors,
              HasSubstr("mine/qwen3-14b: warning: experiment 'qwen3-14b': 'itl_mean' is not (E2E - TTFT) / (output tokens - 1)"));

  const ProgramResult onboard = rooftune({"onboard", "mine/rooftune/study.yaml", "--out", "mine/rooftune/run", "--next-runs", "next"},
                                         {.working_directory = folder_.path()});
  ASSERT_EQ(onboard.exit_code, 0) << onboard;
  EXPECT_THAT(onboard.output, HasSubstr("tuned config  mine/rooftune/run/tuned.json"));
  EXPECT_THAT(onboard.output, HasSubstr("next run      next/run-1-"));

  const ProgramResult report = rooftune({"report", "mine/rooftune/run", "-o", "mine.html"}, {.working_directory = folder_.path()});
  EXPECT_EQ(report.exit_code, 0) << report;
}

TEST_F(InitCommand, WritesNothingWhereSomethingIsMissing) {
  fs::remove(mine("gpu.yaml"));
  const ProgramResult init = rooftune({"init", mine()});
  EXPECT_EQ(init.exit_code, 1) << init;
  EXPECT_THAT(init.errors, HasSubstr("nothing says the GPU (--gpu)"));
  EXPECT_FALSE(fs::exists(mine("rooftune")));
}

TEST_F(InitCommand, FitsWhereTheRunsAreOnTheGpuWhoseFitShips) {
  fs::remove(mine("gpu.yaml"));
  const ProgramResult init = rooftune({"init", "mine", "--gpu", "NVIDIA H100 80GB HBM3"}, {.working_directory = folder_.path()});
  ASSERT_EQ(init.exit_code, 0) << init;
  EXPECT_THAT(init.output, testing::StartsWith("In mine\n"
                                               "  inference-perf qwen3-14b  (log: qwen3-14b/server.log)\n"
                                               "  vllm-bench     sharegpt/llama-rate4.json  (log: sharegpt/server.log)\n"));
  EXPECT_THAT(init.output, HasSubstr("experiments 'qwen3-14b', 'llama-rate4': not recorded, so by default of vLLM 0.15.1 on H100-SXM: "
                                     "async_scheduling on, scheduler_reserve_full_isl off"));
  EXPECT_THAT(init.output, testing::EndsWith("next          rooftune fit mine/rooftune/study.yaml --out mine/rooftune/run\n"));
  const ProgramResult shown = rooftune({"show", mine("rooftune/study.yaml")});
  EXPECT_EQ(shown.exit_code, 0) << shown;

  const ProgramResult fit =
      rooftune({"fit", "mine/rooftune/study.yaml", "--out", "mine/rooftune/run"}, {.working_directory = folder_.path()});
  ASSERT_EQ(fit.exit_code, 0) << fit;
  EXPECT_THAT(fit.output, HasSubstr("\nqwen3-14b    Qwen3-14B              H100-SXM   1  shared_prefix "));
  EXPECT_THAT(fit.output, HasSubstr("\nllama-rate4  Llama-3.1-8B-Instruct  H100-SXM   1  vllm-bench "));
  EXPECT_THAT(fit.output, HasSubstr("\nloss "));
  EXPECT_THAT(fit.output, HasSubstr("mine/rooftune/run/tuned.json"));
  const ProgramResult evaluated =
      rooftune({"evaluate", "--ground-truth", mine("rooftune/ground_truth.json"), "--config", mine("rooftune/run/tuned.json")});
  EXPECT_EQ(evaluated.exit_code, 0) << evaluated;
}

TEST_F(InitCommand, KeepsAStudyThatWasEdited) {
  ASSERT_EQ(rooftune({"init", mine()}).exit_code, 0);
  fs::remove(mine("rooftune/ground_truth.json"));
  folder_.write("mine/rooftune/study.yaml", "edited\n");
  const ProgramResult again = rooftune({"init", mine()});
  EXPECT_EQ(again.exit_code, 1) << again;
  EXPECT_THAT(again.errors, HasSubstr("study.yaml: error: the file exists (name another folder with --out, or replace it"));
  EXPECT_EQ(folder_.read("mine/rooftune/study.yaml"), "edited\n");
  EXPECT_FALSE(fs::exists(mine("rooftune/ground_truth.json"))) << "all of the result or nothing";
  EXPECT_EQ(rooftune({"init", mine(), "--force"}).exit_code, 0);
}

TEST_F(InitCommand, TakesAGpuFromTheFamilysHardwareConfig) {
  fs::remove(mine("gpu.yaml"));
  folder_.write(
      "mine/hardware_config.json",
      R"({"MyGPU": {"TFlopsPeak": 312, "BwPeakTBs": 2.039, "MemoryGiB": 80, "IntraNodeBwGBps": 300, "InterNodeBwGBps": 50}})");
  const ProgramResult init = rooftune({"init", mine()});
  ASSERT_EQ(init.exit_code, 0) << init;
  EXPECT_THAT(folder_.read("mine/rooftune/gpus.yaml"), HasSubstr("name: MyGPU"));
  EXPECT_EQ(rooftune({"validate", mine("rooftune/gpus.yaml")}).exit_code, 0);
}

TEST_F(InitCommand, KeepsEveryPeakThatAHardwareConfigStates) {
  fs::remove(mine("gpu.yaml"));
  folder_.write("mine/hardware_config.json", R"({"MyGPU": {"TFlopsPeak": 312, "TFlopsFP8": 624, "TFlopsFP4": 1248, "TFlopsINT8": 625,
      "aliases": ["my-gpu-80"], "BwPeakTBs": 2.039, "MemoryGiB": 80, "IntraNodeBwGBps": 300}})");
  const ProgramResult init = rooftune({"init", mine()});
  ASSERT_EQ(init.exit_code, 0) << init;
  const std::string gpus = folder_.read("mine/rooftune/gpus.yaml");
  for (const char* fact : {"peak_fp8_tflops: 624", "peak_fp4_tflops: 1248", "peak_int8_tops: 625", "my-gpu-80"}) {
    EXPECT_THAT(gpus, HasSubstr(fact));
  }
  EXPECT_EQ(rooftune({"validate", mine("rooftune/gpus.yaml")}).exit_code, 0) << gpus;
}

TEST_F(InitCommand, NamesFilesWhoseNamesYamlWouldMisread) {
  fs::create_directory(folder_ / "res, final: #1");
  fs::rename(mine("gpu.yaml"), folder_ / "res, final: #1" / "gpu.yaml");
  fs::rename(folder_ / "res, final: #1", mine("res, final: #1"));
  const ProgramResult init = rooftune({"init", mine()});
  ASSERT_EQ(init.exit_code, 0) << init;
  EXPECT_THAT(folder_.read("mine/rooftune/study.yaml"), HasSubstr("hardware: [\"../res, final: #1/gpu.yaml\"]"));
  const ProgramResult shown = rooftune({"show", mine("rooftune/study.yaml")});
  EXPECT_EQ(shown.exit_code, 0) << shown;
}

TEST_F(InitCommand, RecognisesTablesOfCollectivesAlone) {
  folder_.write("mine/kernels/collective.csv", "op,ranks,bytes,latency_us\nalltoall,2,1024,9\n");
  const ProgramResult init = rooftune({"init", "mine"}, {.working_directory = folder_.path()});
  ASSERT_EQ(init.exit_code, 0) << init;
  EXPECT_THAT(init.output, HasSubstr("  kernel tables  kernels\n"));
}

TEST_F(InitCommand, KeepsWhatAnEarlierInitWrote) {
  ASSERT_EQ(rooftune({"init", mine()}).exit_code, 0);
  const ProgramResult again = rooftune({"init", mine()});
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_THAT(again.errors, HasSubstr("name another folder with --out, or replace it with --force"));
  EXPECT_EQ(rooftune({"init", mine(), "--force"}).exit_code, 0);
}

TEST_F(InitCommand, SaysWhereNothingWasMeasured) {
  folder_.write("empty/notes.txt", "nothing");
  const ProgramResult init = rooftune({"init", (folder_ / "empty").string()});
  EXPECT_EQ(init.exit_code, 1);
  EXPECT_THAT(init.errors, HasSubstr("no result of a load generator here"));
}

}  // namespace
}  // namespace rooftune::testing_support
