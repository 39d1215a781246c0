#include "rooftune/plan/run_script.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "support/temporary_folder.hpp"

namespace rooftune::plan {
namespace {

using testing::HasSubstr;
using testing::Not;

NextRun recommended() {
  NextRun run;
  run.model = "Qwen/Qwen3-14B";
  run.tp = 2;
  run.rate_per_s = 2.5;
  run.prompt_tokens = 500;
  run.output_tokens = 250;
  run.gpu_minutes = 12.0;
  return run;
}

domain::Deployment like() {
  domain::Deployment deployment;
  deployment.settings.version = "0.15.1";
  deployment.settings.max_num_seqs = 64;
  return deployment;
}

TEST(RunScript, IsServerLoadAndImportOfOneRun) {
  const RunScript script = run_script(recommended(), 1, like(), "MyGPU", LoadGenerator::vllm_bench);
  EXPECT_EQ(script.name, "run-1-Qwen3-14B-tp2-rate2-5");
  EXPECT_THAT(script.shell,
              HasSubstr("vllm serve \"$model\" --port 8000 --tensor-parallel-size 2 --max-model-len 4096 --max-num-seqs 64"));
  EXPECT_THAT(script.shell,
              HasSubstr("--random-input-len 500 --random-output-len 250 --ignore-eos --request-rate 2.5 --num-prompts 300"));
  EXPECT_THAT(script.shell, HasSubstr("rooftune import vllm-bench run-1-Qwen3-14B-tp2-rate2-5.json --gpu MyGPU --vllm-log "));
}

TEST(RunScript, KnowsOtherLoadGenerators) {
  const RunScript guidellm = run_script(recommended(), 1, like(), "MyGPU", LoadGenerator::guidellm);
  EXPECT_THAT(guidellm.shell, HasSubstr("guidellm benchmark --target http://localhost:8000"));
  EXPECT_THAT(guidellm.shell, HasSubstr("prompt_tokens=500,output_tokens=250"));
  EXPECT_THAT(guidellm.shell, HasSubstr("--profile poisson --rate 2.5 --max-requests 300"));
  EXPECT_THAT(guidellm.shell, HasSubstr("--output-dir run-1-Qwen3-14B-tp2-rate2-5 --outputs json"));
  EXPECT_THAT(guidellm.shell, HasSubstr("rooftune import guidellm run-1-Qwen3-14B-tp2-rate2-5/benchmarks.json "));
  const RunScript perf = run_script(recommended(), 1, like(), "MyGPU", LoadGenerator::inference_perf);
  EXPECT_THAT(perf.shell, HasSubstr("load: {type: poisson, stages: [{rate: 2.5, duration: 120}]}"));
  EXPECT_THAT(perf.shell, HasSubstr("rooftune import inference-perf run-1-Qwen3-14B-tp2-rate2-5 --gpu"));
}

TEST(RunScript, SwitchesOffWhatTheLikeRunsHadOff) {
  domain::Deployment deployment = like();
  EXPECT_THAT(run_script(recommended(), 1, deployment, "G", LoadGenerator::vllm_bench).shell, Not(HasSubstr("--no-enable")));
  deployment.settings.enable_prefix_caching = false;
  EXPECT_THAT(run_script(recommended(), 1, deployment, "G", LoadGenerator::vllm_bench).shell, HasSubstr("--no-enable-prefix-caching"));
}

TEST(RunScript, LeavesToTheServerWhatNobodyRecordedAndSetsWhatTheRunHad) {
  domain::Deployment deployment = like();
  deployment.settings.max_model_len = 0;
  deployment.settings.max_num_seqs = 0;
  deployment.settings.max_num_batched_tokens = 0;
  deployment.settings.kv_cache_dtype = "fp8";
  deployment.settings.async_scheduling = false;
  deployment.settings.enable_expert_parallel = true;
  const std::string shell = run_script(recommended(), 1, deployment, "G", LoadGenerator::vllm_bench).shell;
  for (const char* left : {"--max-model-len", "--max-num-seqs", "--max-num-batched-tokens"}) EXPECT_THAT(shell, Not(HasSubstr(left)));
  EXPECT_THAT(shell, HasSubstr("--kv-cache-dtype fp8 --enable-expert-parallel --no-async-scheduling"));
}

TEST(RunScript, NamesTheModelAsItsOwnRunsDid) {
  NextRun run = recommended();
  run.model = "Qwen3-14B";
  domain::Deployment deployment = like();
  deployment.model = "Qwen/Qwen3-14B";
  EXPECT_THAT(run_script(run, 1, deployment, "G", LoadGenerator::vllm_bench).shell, HasSubstr("model=${1:-'Qwen/Qwen3-14B'}"));
  deployment.model = "org/another";
  EXPECT_THAT(run_script(run, 1, deployment, "G", LoadGenerator::vllm_bench).shell, HasSubstr("model=${1:-'Qwen3-14B'}"));
}

TEST(RunScript, IsAKubernetesJobToo) {
  const std::string job = run_script(recommended(), 3, like(), "MyGPU", LoadGenerator::vllm_bench).kubernetes_job;
  EXPECT_THAT(job, HasSubstr("metadata: {name: run-3-qwen3-14b-tp2-rate2-5}"));
  EXPECT_THAT(job, HasSubstr("image: vllm/vllm-openai:v0.15.1"));
  EXPECT_THAT(job, HasSubstr("nvidia.com/gpu: 2"));
  EXPECT_THAT(job, HasSubstr("          vllm serve"));
}

TEST(RunScript, IsSoundBash) {
  const testing_support::TemporaryFolder folder;
  for (const auto& [name, generator] : kLoadGenerators) {
    const auto file = folder.write("run.sh", run_script(recommended(), 1, like(), "MyGPU", generator).shell);
    EXPECT_EQ(std::system(("bash -n '" + file.string() + "'").c_str()), 0) << name;
  }
}

}  // namespace
}  // namespace rooftune::plan
