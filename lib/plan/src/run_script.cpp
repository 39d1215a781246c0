#include "rooftune/plan/run_script.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "rooftune/core/letters.hpp"
#include "rooftune/domain/model.hpp"

namespace rooftune::plan {
namespace {

/// A run of this length sees a steady state, and its requests are enough for a mean that is good to a few percent.
constexpr double kLoadSeconds = 120.0;
constexpr int kFewestRequests = 200;

int requests_of(const NextRun& run) { return std::max(kFewestRequests, static_cast<int>(std::lround(run.rate_per_s * kLoadSeconds))); }
double seconds_of(const NextRun& run) { return requests_of(run) / run.rate_per_s; }

/// For file names and Kubernetes: letters, digits and '-'.
std::string plain(std::string text, bool lower) {
  std::ranges::transform(text, text.begin(), [lower](unsigned char c) {
    if (std::isalnum(c) == 0) return '-';
    return lower ? core::lower(static_cast<char>(c)) : static_cast<char>(c);
  });
  return text;
}

/// A name that Kubernetes takes.
std::string job_name(const std::string& name) {
  constexpr std::size_t kLongest = 63;
  std::string result = plain(name, true).substr(0, kLongest);
  while (result.ends_with('-')) result.pop_back();
  return result;
}

/// The id that a server loads: that of the model's own runs, which names its owner.
std::string model_id(const NextRun& run, const domain::Deployment& like) {
  return domain::names_model(like.model, run.model) ? like.model : run.model;
}

/// The server as the deployment records it; what it leaves open is left to the server.
std::string server_command(const NextRun& run, const domain::Deployment& like) {
  const domain::EngineSettings& settings = like.settings;
  std::string command = fmt::format("vllm serve \"$model\" --port 8000 --tensor-parallel-size {}", run.tp);
  const auto add = [&](std::string_view flag, auto value, bool is_said) {
    if (is_said) command += fmt::format(" {} {}", flag, value);
  };
  add("--max-model-len", settings.max_model_len, settings.max_model_len > 0);
  add("--max-num-seqs", settings.max_num_seqs, settings.max_num_seqs > 0);
  add("--max-num-batched-tokens", settings.max_num_batched_tokens, settings.max_num_batched_tokens > 0);
  add("--gpu-memory-utilization", settings.gpu_mem_util, true);
  add("--pipeline-parallel-size", like.pp, like.pp > 1);
  add("--kv-cache-dtype", settings.kv_cache_dtype, !settings.kv_cache_dtype.empty());
  add("--block-size", settings.block_size, settings.block_size != domain::EngineSettings{}.block_size);
  add("--data-parallel-size", settings.data_parallel_size, settings.data_parallel_size > 1);
  if (settings.all2all_backend)
    add("--all2all-backend", domain::all2all_backend_name(*settings.all2all_backend), settings.data_parallel_size > 1);
  if (settings.enable_expert_parallel) command += " --enable-expert-parallel";
  if (!settings.enable_prefix_caching) command += " --no-enable-prefix-caching";
  if (!settings.enable_chunked_prefill) command += " --no-enable-chunked-prefill";
  if (settings.async_scheduling) command += *settings.async_scheduling ? " --async-scheduling" : " --no-async-scheduling";
  if (settings.cudagraph_mode == "NONE") command += " --enforce-eager";
  return command;
}

std::string load_command(const NextRun& run, LoadGenerator generator, const std::string& name) {
  const std::string rate = fmt::format("{}", run.rate_per_s);
  switch (generator) {
    case LoadGenerator::vllm_bench:
      return fmt::format(
          "vllm bench serve --backend vllm --base-url http://localhost:8000 --model \"$model\" --dataset-name random "
          "--random-input-len {} --random-output-len {} --ignore-eos --request-rate {} --num-prompts {} "
          "--percentile-metrics ttft,tpot,itl,e2el --metric-percentiles 90,99 --save-result --save-detailed --result-filename "
          "{}.json\n",
          run.prompt_tokens, run.output_tokens, rate, requests_of(run), name);
    case LoadGenerator::guidellm:
      return fmt::format(
          "guidellm benchmark --target http://localhost:8000 --model \"$model\" --profile poisson --rate {} --max-requests {} "
          "--data 'prompt_tokens={},output_tokens={}' --output-dir {} --outputs json\n",
          rate, requests_of(run), run.prompt_tokens, run.output_tokens, name);
    case LoadGenerator::inference_perf: break;
  }
  const auto lengths = [](int tokens) { return fmt::format("{{min: {0}, max: {0}, mean: {0}, std_dev: 0}}", tokens); };
  return fmt::format(
      "cat > {0}.yaml <<CONFIG\napi: {{type: completion, streaming: true}}\ndata: {{type: random, input_distribution: {1}, "
      "output_distribution: {2}}}\nload: {{type: poisson, stages: [{{rate: {3}, duration: {4:.0f}}}]}}\n"
      "server: {{type: vllm, model_name: $model, base_url: \"http://localhost:8000\", ignore_eos: true}}\n"
      "tokenizer: {{pretrained_model_name_or_path: $model}}\n"
      "report: {{request_lifecycle: {{summary: true, per_stage: true, per_request: true}}}}\n"
      "storage: {{local_storage: {{path: {0}}}}}\nCONFIG\ninference-perf --config_file {0}.yaml\n",
      name, lengths(run.prompt_tokens), lengths(run.output_tokens), rate, seconds_of(run));
}

std::string import_command(LoadGenerator generator, const std::string& name, const std::string& gpu) {
  const std::string input = generator == LoadGenerator::inference_perf ? name
                            : generator == LoadGenerator::guidellm     ? name + "/benchmarks.json"
                                                                       : name + ".json";
  return fmt::format("rooftune import {} {} --gpu {} --vllm-log {}.server.log --out {}.ground_truth.json\n",
                     core::word_of(kLoadGenerators, generator), input, gpu, name, name);
}

/// Server in the background, the load when it answers, the server's end.
std::string body_of(const NextRun& run, const domain::Deployment& like, LoadGenerator generator, const std::string& name) {
  return fmt::format(
      "{} > {}.server.log 2>&1 &\nserver=$!\ntrap 'kill \"$server\" 2>/dev/null' EXIT\n"
      "until curl --silent --fail http://localhost:8000/health > /dev/null; do\n  kill -0 \"$server\"  # it has not given up\n  sleep "
      "5\ndone\n{}",
      server_command(run, like), name, load_command(run, generator, name));
}

std::string indented(const std::string& text, std::size_t width) {
  std::string result;
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    if (end > start) result += std::string(width, ' ') + text.substr(start, end - start);
    result += '\n';
    start = end + 1;
  }
  return result;
}

std::string job_of(const NextRun& run, const domain::Deployment& like, LoadGenerator generator, const std::string& name,
                   const std::string& gpu) {
  const std::string results = generator == LoadGenerator::vllm_bench ? name + ".json" : name;
  const std::string pip =
      generator == LoadGenerator::vllm_bench ? "" : fmt::format("pip install --quiet {}\n", core::word_of(kLoadGenerators, generator));
  const std::string script =
      fmt::format("set -euo pipefail\ncd /results\nmodel='{}'\n{}{}tar --create --gzip {}.server.log {} | base64\n",
                  model_id(run, like), pip, body_of(run, like, generator, name), name, results);
  return fmt::format(
      "# {}. Results are the last lines of its log:\n"
      "#   kubectl logs job/{} | sed '1,/^BEGIN-RESULTS/d' | base64 --decode | tar --extract --gzip\n#   {}"
      "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: {}}}\nspec:\n  backoffLimit: 0\n  template:\n    spec:\n      "
      "restartPolicy: Never\n"
      "      containers:\n      - name: run\n        image: vllm/vllm-openai:v{}\n        command: [bash, -c]\n        args:\n        "
      "- |\n{}"
      "        resources: {{limits: {{nvidia.com/gpu: {}}}}}\n"
      "        env: [{{name: HF_TOKEN, valueFrom: {{secretKeyRef: {{name: hugging-face, key: token, optional: true}}}}}}]\n"
      "        volumeMounts:\n        - {{name: results, mountPath: /results}}\n        - {{name: shm, mountPath: /dev/shm}}\n"
      "      volumes:\n      - {{name: results, emptyDir: {{}}}}\n      - {{name: shm, emptyDir: {{medium: Memory}}}}\n",
      gpu, job_name(name), import_command(generator, name, gpu), job_name(name), like.settings.version,
      indented(script.substr(0, script.rfind("tar --create")) + "echo BEGIN-RESULTS\n" + script.substr(script.rfind("tar --create")),
               10),
      run.tp);
}

}  // namespace

RunScript run_script(const NextRun& run, int number, const domain::Deployment& like, const std::string& gpu, LoadGenerator generator) {
  RunScript script;
  const std::string short_name(domain::short_model_name(run.model));
  script.name = plain(fmt::format("run-{}-{}-tp{}-rate{}", number, short_name, run.tp, run.rate_per_s), false);
  script.shell = fmt::format(
      "#!/usr/bin/env bash\n# {} at TP {} on {}: {} requests a second of {} prompt and {} output tokens, about {:.0f} GPU-minutes.\n"
      "# Needs vllm {} and {} on a machine with {} such GPUs; model is the id on Hugging Face, or a folder.\n"
      "set -euo pipefail\nmodel=${{1:-'{}'}}\n{}{}",
      run.model, run.tp, gpu, run.rate_per_s, run.prompt_tokens, run.output_tokens, run.gpu_minutes, like.settings.version,
      core::word_of(kLoadGenerators, generator), run.tp, model_id(run, like), body_of(run, like, generator, script.name),
      import_command(generator, script.name, gpu));
  script.kubernetes_job = job_of(run, like, generator, script.name, gpu);
  return script;
}

}  // namespace rooftune::plan
