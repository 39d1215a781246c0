#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "command_line.hpp"

namespace rooftune::testing_support {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

using ImportCommand = TemporaryFolderTest;

std::string example(const std::string& name) { return shipped("tests/import_examples/synthetic_" + name); }

TEST_F(ImportCommand, MakesGroundTruthOfEveryFormatThatEvaluateScores) {
  const std::string log = example("vllm.log");
  for (const auto& [format, input] :
       {std::pair{"guidellm", "guidellm_sweep.json"}, std::pair{"inference-perf", "inference_perf"},
        std::pair{"vllm-bench", "vllm_bench_detailed.json"}, std::pair{"vllm-console", "vllm_console.txt"},
        std::pair{"sglang", "sglang.jsonl"}, std::pair{"aiperf", "aiperf"}, std::pair{"llm-d", "llmd_v0_2.yaml"},
        std::pair{"inferencex", "inferencex_1k1k.json"}, std::pair{"otel", "otel_spans.jsonl"}, std::pair{"otel", "jaeger.json"},
        std::pair{"blis", "blis.json"}, std::pair{"blis-trace", "blis_trace"}, std::pair{"auto", "genai_perf.json"}}) {
    const std::string out = (folder_ / (std::string(format) + input) / "truth.json").string();
    const ProgramResult imported = rooftune({"import", format, example(input), "--gpu", "H100", "--vllm-log", log, "--out", out});
    ASSERT_EQ(imported.exit_code, 0) << imported;
    EXPECT_THAT(imported.output, HasSubstr("Assumed"));
    const ProgramResult evaluated =
        rooftune({"evaluate", "--ground-truth", out, "--config", shipped("configs/tuned/h100.json"), "--json"});
    ASSERT_EQ(evaluated.exit_code, 0) << evaluated;
    const auto json = nlohmann::json::parse(evaluated.output);
    EXPECT_EQ(json["overall"]["e2e_mean_ms"]["experiments"], std::string(format) == "inferencex" ? 2 : 1) << format;
  }
}

TEST_F(ImportCommand, WritesNothingWhenSomethingIsMissing) {
  const ProgramResult result =
      rooftune({"import", "guidellm", example("guidellm_sweep.json"), "--out", (folder_ / "truth.json").string()});
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.errors, HasSubstr("the GPU (--gpu)"));
  EXPECT_THAT(folder_.names(), IsEmpty());
}

TEST_F(ImportCommand, KeepsAnExistingFile) {
  const std::string out = folder_.write("truth.json", "mine").string();
  const ProgramResult result = rooftune({"import", "blis", example("blis.json"), "--out", out});
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.errors, HasSubstr("--force"));
  EXPECT_EQ(folder_.read("truth.json"), "mine");
}

TEST_F(ImportCommand, RefusesTextsThatSetNothing) {
  const ProgramResult result = rooftune({"import", "blis", example("blis.json"), "--set", "max_num_seqs", "--role", "callibration",
                                         "--out", (folder_ / "truth.json").string()});
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.errors, HasSubstr("'max_num_seqs' sets nothing"));
  EXPECT_THAT(result.errors, HasSubstr("did you mean 'calibration'?"));
}

}  // namespace
}  // namespace rooftune::testing_support
