#include "load_options.hpp"

#include <fmt/format.h>

#include <array>
#include <limits>

#include "command_line.hpp"
#include "rooftune/core/limits.hpp"
#include "rooftune/core/word.hpp"
#include "rooftune/domain/served_model.hpp"

namespace rooftune::app {
namespace {

constexpr std::array<core::Word<domain::ArrivalProcess>, 4> kArrivals{{
    {"poisson", domain::ArrivalProcess::poisson},
    {"conditioned_poisson", domain::ArrivalProcess::conditioned_poisson},
    {"gamma", domain::ArrivalProcess::gamma},
    {"constant", domain::ArrivalProcess::constant},
}};

Option add_model_option(const Command& command, runs::AdHocLoad& load, const std::string& group) {
  return command.add_option("--model", load.model, "model, e.g. Llama-2-7b-hf").group(group);
}

void add_parallel_options(const Command& command, runs::AdHocLoad& load, const std::string& group) {
  const auto add = [&](const char* name, auto& value, const char* help) {
    return command.add_option(name, value, help).capture_default_str().group(group);
  };
  add("--tp", load.tp, "tensor-parallel degree").check(positive(core::limits::kParallelDegree));
  add("--pp", load.pp, "pipeline stages").check(positive(core::limits::kParallelDegree));
}

}  // namespace

void add_prompt_options(const Command& command, runs::AdHocLoad& load, const std::string& group) {
  const auto add = [&](const char* name, auto& value, const char* help) {
    return command.add_option(name, value, help).capture_default_str().group(group);
  };
  add("--prompt-tokens", load.prompt.mean_tokens, "mean length of a prompt, shared prefix included")
      .check(positive(core::limits::kTokens));
  add("--output-tokens", load.output.mean_tokens, "mean length of an output").check(positive(core::limits::kTokens));
  add("--shared-prefix-tokens", load.shared_prefix_tokens, "leading tokens that the prompts of a group share")
      .check(not_negative(core::limits::kTokens));
  add("--distinct-prompts", load.distinct_prompts, "prompts that are sent in turn; 0: every prompt differs")
      .check(not_negative(core::limits::kGroups));
}

void add_shape_options(const Command& command, runs::AdHocLoad& load, const std::string& group) {
  const auto add = [&](const char* name, auto& value, const char* help) {
    return command.add_option(name, value, help).capture_default_str().group(group);
  };
  add("--gpu", load.gpu, "GPU");
  add_prompt_options(command, load, group);
  add_engine_options(command, load.engine, group);
}

void add_engine_options(const Command& command, runs::EngineFlags& engine, const std::string& group) {
  const auto add = [&](const char* name, auto& value, const char* help) {
    return command.add_option(name, value, help).capture_default_str().group(group);
  };
  add("--engine", engine.engine, "whose defaults and scheduler are simulated (docs/sglang.md)").check(one_of({"vllm", "sglang"}));
  add("--engine-version", engine.version, "its version: what it does where no other setting is given");
  add("--max-num-seqs", engine.max_num_seqs, "default: the version's for the GPU").check(positive(core::limits::kSequences));
  add("--max-num-batched-tokens", engine.max_num_batched_tokens, "default: the version's for the GPU")
      .check(positive(core::limits::kTokens));
  add("--max-model-len", engine.max_model_len, "default: the model's").check(positive(core::limits::kTokens));
  add("--kv-blocks", engine.kv_blocks, "KV blocks of 16 tokens (SGLang: pages of one); default: estimated from memory and weights")
      .check(positive(core::limits::kKvBlocks));
  add("--cpu-kv-blocks", engine.cpu_kv_blocks, "KV blocks that are kept in the host's memory beside; 0: no offload")
      .check(not_negative(core::limits::kKvBlocks));
  add("--gpu-memory-utilization", engine.gpu_memory_utilization, "share of the memory that the engine may use")
      .check(between(0.01, 1.0));
  add("--kv-cache-dtype", engine.kv_cache_dtype, "auto: as the model has it")
      .check(one_of({domain::kKvCacheTypes.begin(), domain::kKvCacheTypes.end()}));
  add("--async-scheduling", engine.async_scheduling, "auto: as the version does").check(one_of({"auto", "on", "off"}));
  add("--scheduler-reserve-full-isl", engine.reserve_full_isl, "auto: as the version does").check(one_of({"auto", "on", "off"}));
  add("--prefix-caching", engine.prefix_caching, "prompts skip leading blocks that are resident").check(one_of({"on", "off"}));
  add("--cudagraph-mode", engine.cudagraph_mode, "default: the version's")
      .check(one_of({domain::kCudagraphModes.begin(), domain::kCudagraphModes.end()}));
  add("--long-prefill-token-threshold", engine.long_prefill_token_threshold, "caps a prefill chunk; 0: off")
      .check(not_negative(core::limits::kTokens));
  add("--speculation", engine.speculation,
      "speculative decoding, METHOD:TOKENS:LENGTH: eagle, eagle3, mtp, draft_model or ngram, tokens drafted per step, and the mean "
      "accepted length (the token that is always there included) or 0.8/0.6/0.4, the share of the steps that accept at least so many");
  add("--draft-model", engine.draft_model, "the model that drafts, for --speculation draft_model");
  add("--draft-layers", engine.draft_layers, "layers of the model that one draft pass takes, for eagle and mtp")
      .check(positive(core::limits::kParallelDegree));
  command.add_flag("--enable-expert-parallel,--ep", engine.enable_expert_parallel, "experts are spread over the GPUs whole")
      .group(group);
  add("--data-parallel-size,--dp", engine.data_parallel_size,
      "ranks of one engine, each on --tp GPUs with attention and a KV pool of its own, that share the experts and step together; of a "
      "dense model: replicas")
      .check(positive(core::limits::kParallelDegree));
  std::vector<std::string> backends;
  for (const auto& [name, backend] : domain::kAll2AllBackends) backends.emplace_back(name);
  add("--all2all-backend", engine.all2all_backend,
      "how tokens of such ranks come to experts that are dealt whole; default: the version's")
      .check(one_of(backends));
}

void add_traffic_options(const Command& command, runs::AdHocLoad& load, const std::string& group) {
  const auto add = [&](const char* name, auto& value, const char* help) {
    return command.add_option(name, value, help).capture_default_str().group(group);
  };
  add("--rate", load.rate_per_s, "requests per second").check(positive(core::limits::kRate_per_s));
  command
      .add_choice("--arrivals", load.arrival.process, kArrivals,
                  "poisson, conditioned_poisson (as inference-perf sends), gamma or constant")
      .group(group);
  add("--gamma-variation", load.arrival.gamma_coefficient_of_variation, "gamma arrivals: standard deviation of a gap over its mean")
      .check(positive(core::limits::kRate_per_s));
  add("--duration", load.duration_s, "seconds during which requests are sent").check(positive(core::limits::kSeconds));
  add("--num-prompts", load.num_prompts, "so many requests instead of a duration").check(positive(core::limits::kRequests));
  command
      .add_option("--concurrency", load.concurrency,
                  "a closed loop of so many clients instead of a rate; several: a sweep, e.g. --concurrency 4,8,16")
      .delimiter(',')
      .check(positive(core::limits::kSequences))
      .group(group);
  command
      .add_option("--client-ramp", load.arrival.ramp.value,
                  "seconds from the first client's start to the last one's; default: all at once")
      .check(not_negative(core::limits::kSeconds))
      .group(group);
  add("--turnaround-us", load.arrival.turnaround_us,
      "from a reply to the same client's next request; default: the config's client.turnaround_us")
      .check(not_negative(core::limits::kSeconds));
  add("--num-warmups", load.num_warmups, "requests that are served before the others and counted in nothing")
      .check(positive(core::limits::kRequests));
  command.add_option("--ramp-up-strategy", load.ramp_up_strategy, "how the rate grows from the first request to the last")
      .check(one_of({"linear", "exponential"}))
      .group(group);
  command.add_option("--ramp-up-start-rps", load.arrival.first_rate.value, "rate of the first request")
      .check(positive(core::limits::kRate_per_s))
      .group(group);
  command.add_option("--ramp-up-end-rps", load.arrival.last_rate.value, "rate of the last request")
      .check(positive(core::limits::kRate_per_s))
      .group(group);
  add("--replay", load.replay,
      "CSV table of requests (docs/file_formats.md): their lengths, prefixes and conversations; without --concurrency their arrivals "
      "too");
  add("--range-ratio", load.range_ratio, "lengths uniform from this share of --prompt-tokens and --output-tokens to them")
      .check(between(0.0, 1.0));
  add("--numpy-seed", load.numpy_seed, "the very lengths that vllm bench and InferenceX draw in that range with this seed")
      .check(not_negative(std::numeric_limits<int>::max()));
  add("--turns", load.turns, "turns of a conversation; each prompt is the conversation so far and a new question of --prompt-tokens")
      .check(positive(core::limits::kGroups));
  add("--think-time", load.think_time_s, "mean seconds (exponential) from a reply to the next turn")
      .check(not_negative(core::limits::kSeconds));
  add("--prompt-tokens-sd", load.prompt.standard_deviation_tokens, "standard deviation of the length of a prompt")
      .check(not_negative(core::limits::kTokens));
  add("--prompt-tokens-min", load.prompt.min_tokens, "shortest prompt").check(positive(core::limits::kTokens));
  add("--prompt-tokens-max", load.prompt.max_tokens, "longest prompt").check(positive(core::limits::kTokens));
  add("--output-tokens-sd", load.output.standard_deviation_tokens, "standard deviation of the length of an output")
      .check(not_negative(core::limits::kTokens));
  add("--output-tokens-min", load.output.min_tokens, "shortest output").check(positive(core::limits::kTokens));
  add("--output-tokens-max", load.output.max_tokens, "longest output").check(positive(core::limits::kTokens));
  add("--prompt-groups", load.prompt_groups, "groups that share a prefix each").check(positive(core::limits::kGroups));
}

void add_pool_option(const Command& command, runs::AdHocLoad& load, const std::string& group) {
  command
      .add_option("--prefill-decode", load.prefill_decode,
                  "prefill and decode apart, e.g. 2x4+1x8: two prefill engines of 4 GPUs, one decode engine of 8")
      .group(group);
}

void add_load_options(const Command& command, runs::AdHocLoad& load) {
  constexpr auto kGroup = "Workload (instead of a study or ground truth)";
  const auto add = [&](const char* name, auto& value, const char* help) {
    return command.add_option(name, value, help).capture_default_str().group(kGroup);
  };
  add_model_option(command, load, kGroup);
  add_shape_options(command, load, kGroup);
  add_parallel_options(command, load, kGroup);
  add("--replicas", load.replicas, "engines behind a router").check(positive(core::limits::kParallelDegree));
  add_pool_option(command, load, kGroup);
  add("--router", load.router, "how requests reach replicas").check(one_of({"round_robin", "least_loaded"}));
  add_traffic_options(command, load, kGroup);
  add("--warm-up-prompt", load.warm_up_prompt, "warm-ups are copies of the first prompt, or the next ones")
      .check(one_of({"first", "next"}));
  command.add_option("--rates", load.rates_per_s, "a sweep: simulate each of these rates by itself, e.g. --rates 1,2,4,8")
      .delimiter(',')
      .check(positive(core::limits::kRate_per_s))
      .group(kGroup);
}

void add_deployment_options(const Command& command, runs::AdHocLoad& load, const std::string& group) {
  add_model_option(command, load, group).required();
  command.add_option("--gpu", load.gpu, "GPU").capture_default_str().group(group);
  add_parallel_options(command, load, group);
  add_engine_options(command, load.engine, group);
}

void add_capacity_options(const Command& command, DataOptions& data, runs::CapacityRequest& request) {
  data.use_shipped_config = true;
  add_config_options(command, data);
  constexpr auto kShape = "Deployment and requests";
  command.add_option("--model", request.models, "model, e.g. Llama-2-7b-hf; several checkpoints (FP8, NVFP4) with commas")
      .delimiter(',')
      .group(kShape);
  add_shape_options(command, request.load, kShape);
  add_pool_option(command, request.load, kShape);
  Option measured = add_repeatable(command, "--like", request.like,
                                   "ground truth with a measured run whose lengths, prefixes, engine settings, KV pool and clients "
                                   "are taken; its model, GPU and TP degree too, where none are given")
                        .group(kShape);
  for (const char* shape :
       {"--prompt-tokens", "--output-tokens", "--shared-prefix-tokens", "--distinct-prompts", "--engine", "--engine-version",
        "--gpu-memory-utilization", "--kv-cache-dtype", "--async-scheduling", "--scheduler-reserve-full-isl", "--prefix-caching",
        "--cudagraph-mode", "--long-prefill-token-threshold", "--enable-expert-parallel", "--cpu-kv-blocks", "--speculation",
        "--draft-model", "--draft-layers", "--prefill-decode"}) {
    measured.excludes(shape);
  }
  add_repeatable(command, "--select", request.select, "field=value: which run of --like, e.g. id=60; repeatable")
      .needs(measured)
      .group(kShape);
  command
      .add_option("--expert-parallel", request.expert_parallel,
                  "off,on tries both where a model has experts; default: as --enable-expert-parallel")
      .delimiter(',')
      .check(one_of({"off", "on"}))
      .excludes("--enable-expert-parallel")
      .group(kShape);
  command
      .add_option("--data-parallel", request.data_parallel, "ranks of one engine to try, e.g. 1,4; default: as --data-parallel-size")
      .delimiter(',')
      .check(positive(core::limits::kParallelDegree))
      .excludes("--data-parallel-size")
      .group(kShape);
  command.add_option("--tp", request.tp, "tensor-parallel degrees to try")
      .delimiter(',')
      .capture_default_str()
      .check(positive(core::limits::kParallelDegree))
      .group(kShape);
  constexpr auto kQuestions = "Questions";
  add_repeatable(command, "--objective", request.objectives,
                 "latency=ms to stay below, e.g. ttft_p90=500; ttft, tpot, e2e with mean, p90, p99; repeatable")
      .group(kQuestions);
  command.add_option("--load", request.questions.load_per_s, "requests per second to find the fewest GPUs for")
      .check(positive(core::limits::kRepeats))
      .group(kQuestions);
  command.add_option("--rates", request.questions.rates, "requests per second to show, e.g. 1,2,4,8")
      .delimiter(',')
      .check(positive(core::limits::kRate_per_s))
      .group(kQuestions);
  command.add_option("--concurrency", request.questions.concurrencies, "closed loops of so many clients to show, e.g. 1,8,64")
      .delimiter(',')
      .check(positive(core::limits::kRepeats))
      .group(kQuestions);
  command
      .add_option(
          "--tokens-per-user", request.questions.tokens_per_user,
          "output tokens per second that each client of a closed loop gets at least; finds the most clients, and tokens/s per GPU")
      .check(positive(core::limits::kRate_per_s))
      .group(kQuestions);
  command.add_option("--duration", request.duration_s, "seconds of every simulated load, at least")
      .capture_default_str()
      .check(positive(core::limits::kSeconds))
      .group(kQuestions);
  add_model_options(command, data);
}

void note_what_is_given(const Command& command, runs::CapacityRequest& request) {
  request.is_gpu_given = command.option("--gpu").is_given();
  request.is_tp_given = command.option("--tp").is_given();
}

}  // namespace rooftune::app
