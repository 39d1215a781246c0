#include "rooftune/sim/engine_releases.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "rooftune/core/contract.hpp"
#include "rooftune/core/letters.hpp"
#include "rooftune/sim/speculation.hpp"

namespace rooftune::sim {
namespace {

using domain::EngineSettings;
using domain::find_release;
using domain::release_text;

constexpr std::string_view kBatchDefaults =
    "vllm/engine/arg_utils.py, EngineArgs.get_batch_defaults, usage context OPENAI_API_SERVER: from 70 GiB on (pull request 12369 "
    "began with H100 and H200); the A100 is excepted since pull request 17885";
constexpr std::string_view kDriven = "the scheduler of 0.11.0 to 0.21.0, driven without a GPU: tests/sim/recorded";
constexpr std::string_view kCaptureSizes = "pull request 18698: 1, 2, 4 and the multiples of 8 up to 512";
constexpr std::string_view kAsyncDrafts =
    "pull request 31998 (January 2026): on beside EAGLE and MTP, off beside other drafters; which release began is not recorded";

constexpr std::string_view kSglang = "sglang";
constexpr std::string_view kChunkSizes =
    "SGLang's python/sglang/srt/server_args.py, by the memory of one GPU, where --chunked-prefill-size is not given";
constexpr std::string_view kGraphSizes =
    "SGLang's python/sglang/srt/server_args.py, by the memory of one GPU, where --cuda-graph-max-bs is not given";
constexpr std::string_view kPool =
    "SGLang has neither a watermark nor blocks without a hash: its radix cache gives the least recently used pages";

// clang-format off
constexpr std::array kRules{
  // setting, first release, value, GPUs, source
  EngineRule{"async_scheduling", {0, 9, 0}, "off", RuleGpus::every, "vllm/config/scheduler.py up to 0.13: async_scheduling = False"},
  EngineRule{"async_scheduling", {0, 14, 0}, "on", RuleGpus::every, "pull request 27614, first in 0.14.0: on where nothing forbids it"},
  EngineRule{"async_scheduling_with_draft_layers", {0, 9, 0}, "off", RuleGpus::every, "pull request 31998 describes what it ends: no asynchronous scheduling by default beside speculative decoding"},
  EngineRule{"async_scheduling_with_draft_layers", {0, 15, 0}, "on", RuleGpus::every, kAsyncDrafts},
  EngineRule{"async_scheduling_with_drafter", {0, 9, 0}, "off", RuleGpus::every, kAsyncDrafts},
  EngineRule{"scheduler_reserve_full_isl", {0, 9, 0}, "off", RuleGpus::every, "absent up to 0.18.1: pull request 37307 came after"},
  EngineRule{"scheduler_reserve_full_isl", {0, 19, 0}, "on", RuleGpus::every, "vllm/config/scheduler.py from 0.19.0: scheduler_reserve_full_isl = True"},
  EngineRule{"freed_unhashed_first", {0, 9, 0}, "off", RuleGpus::every, kDriven},
  EngineRule{"freed_unhashed_first", {0, 24, 0}, "on", RuleGpus::every, "vllm/v1/core/block_pool.py, free_blocks: 0.23.0 appends all, 0.24.0 puts those without a hash in front, as the main branch of 2026-06-24 did when it was driven"},
  EngineRule{"prompts_alone", {0, 9, 0}, "off", RuleGpus::every, kDriven},
  EngineRule{"growth_reserve", {0, 9, 0}, "off", RuleGpus::every, kDriven},
  EngineRule{"watermark", {0, 9, 0}, "0", RuleGpus::every, "vllm/config/scheduler.py: watermark = 0.0; v1 has none before"},
  EngineRule{"max_num_batched_tokens", {0, 9, 0}, "2048", RuleGpus::other, kBatchDefaults},
  EngineRule{"max_num_batched_tokens", {0, 9, 0}, "8192", RuleGpus::large, kBatchDefaults},
  EngineRule{"max_num_seqs", {0, 9, 0}, "256", RuleGpus::other, kBatchDefaults},
  EngineRule{"max_num_seqs", {0, 9, 0}, "1024", RuleGpus::large, kBatchDefaults},
  EngineRule{"cudagraph_mode", {0, 9, 0}, "PIECEWISE", RuleGpus::every, "the default that pull request 25444 replaced: captured around attention"},
  EngineRule{"cudagraph_mode", {0, 11, 0}, "FULL_AND_PIECEWISE", RuleGpus::every, "pull request 25444, first in 0.11.0"},
  EngineRule{"cudagraph_mode_with_deepep_high_throughput", {0, 9, 0}, "NONE", RuleGpus::every, "vllm/platforms/cuda.py of 0.10: no graphs with data parallelism and DeepEP's high-throughput kernels; what later releases do is not recorded"},
  EngineRule{"all2all_backend", {0, 9, 0}, "naive", RuleGpus::every, "docs.vllm.ai of 0.9.0, vllm.envs: VLLM_ALL2ALL_BACKEND = 'naive'"},
  EngineRule{"all2all_backend", {0, 11, 0}, "allgather_reducescatter", RuleGpus::every, "docs.vllm.ai of 0.11.0, vllm.envs; pull request 23964"},
  EngineRule{"capture_step_above_256", {0, 9, 0}, "8", RuleGpus::every, kCaptureSizes},
  EngineRule{"capture_step_above_256", {0, 11, 1}, "16", RuleGpus::every, "vllm/config/vllm.py, _set_cudagraph_sizes: steps of 8 below 256 and of 16 from there, as pull request 31846 describes 0.13; which release began is not recorded"},

  EngineRule{"async_scheduling", {0, 0, 0}, "on", RuleGpus::every, "SGLang's event_loop_overlap (python/sglang/srt/managers/scheduler.py): a batch is chosen when the one before it begins; --disable-overlap-schedule is off by default", kSglang},
  EngineRule{"scheduler_reserve_full_isl", {0, 0, 0}, "on", RuleGpus::every, "SGLang's PrefillAdder (python/sglang/srt/managers/schedule_policy.py): a request needs room for all of its prompt, and more", kSglang},
  EngineRule{"freed_unhashed_first", {0, 0, 0}, "off", RuleGpus::every, kPool, kSglang},
  EngineRule{"prompts_alone", {0, 0, 0}, "on", RuleGpus::every, "SGLang's get_next_batch_to_run (python/sglang/srt/managers/scheduler.py): a batch of prompts where there is one, else the decodes; --enable-mixed-chunk is off by default", kSglang},
  EngineRule{"growth_reserve", {0, 0, 0}, "on", RuleGpus::every, "SGLang's PrefillAdder (python/sglang/srt/managers/schedule_policy.py) and ScheduleBatch.retract_decode (schedule_batch.py)", kSglang},
  EngineRule{"watermark", {0, 0, 0}, "0", RuleGpus::every, kPool, kSglang},
  EngineRule{"max_num_batched_tokens", {0, 0, 0}, "8192", RuleGpus::every, kChunkSizes, kSglang},
  EngineRule{"max_num_batched_tokens", {0, 0, 0}, "2048", RuleGpus::under_35_gib, kChunkSizes, kSglang},
  EngineRule{"max_num_batched_tokens", {0, 0, 0}, "4096", RuleGpus::from_35_to_60_gib, kChunkSizes, kSglang},
  EngineRule{"max_num_batched_tokens", {0, 0, 0}, "16384", RuleGpus::from_160_gib, kChunkSizes, kSglang},
  EngineRule{"max_num_seqs", {0, 0, 0}, "2048", RuleGpus::every, "SGLang's model runner, where --max-running-requests is not given: 512 times the pool's tokens over the context length, from 2048 to 4096", kSglang},
  EngineRule{"cudagraph_mode", {0, 0, 0}, "FULL_DECODE_ONLY", RuleGpus::every, "SGLang's python/sglang/srt/model_executor/cuda_graph_runner.py captures steps that decode", kSglang},
  EngineRule{"all2all_backend", {0, 0, 0}, "allgather_reducescatter", RuleGpus::every, "SGLang's --moe-a2a-backend is 'none' by default: activations are gathered and reduced", kSglang},
  EngineRule{"max_cudagraph_capture_size", {0, 0, 0}, "256", RuleGpus::every, kGraphSizes, kSglang},
  EngineRule{"max_cudagraph_capture_size", {0, 0, 0}, "24", RuleGpus::under_35_gib, kGraphSizes, kSglang},
  EngineRule{"max_cudagraph_capture_size", {0, 0, 0}, "32", RuleGpus::from_35_to_60_gib, kGraphSizes, kSglang},
  EngineRule{"max_cudagraph_capture_size_from_tp_4", {0, 0, 0}, "512", RuleGpus::every, kGraphSizes, kSglang},
  EngineRule{"max_cudagraph_capture_size_from_tp_4", {0, 0, 0}, "80", RuleGpus::under_35_gib, kGraphSizes, kSglang},
  EngineRule{"max_cudagraph_capture_size_from_tp_4", {0, 0, 0}, "160", RuleGpus::from_35_to_60_gib, kGraphSizes, kSglang},
};
// clang-format on

bool is_large(const domain::GpuSpec& gpu) {
  return gpu.memory >= kLargeGpu && core::lower(gpu.name).find("a100") == std::string::npos;
}

bool holds(RuleGpus gpus, const domain::GpuSpec& gpu) {
  const double gib = gpu.memory.value;
  switch (gpus) {
    case RuleGpus::every: return true;
    case RuleGpus::large: return is_large(gpu);
    case RuleGpus::other: return !is_large(gpu);
    case RuleGpus::under_35_gib: return gib < 35.0;
    case RuleGpus::from_35_to_60_gib: return gib >= 35.0 && gib < 60.0;
    case RuleGpus::from_160_gib: return gib >= 160.0;
  }
  return false;
}

std::string_view rules_of(const domain::Deployment& deployment) { return deployment.engine == kSglang ? kSglang : "vllm"; }

const EngineRule& rule(std::string_view engine, std::string_view setting, Release release, const domain::GpuSpec& gpu) {
  const EngineRule* last = nullptr;
  for (const EngineRule& candidate : kRules) {
    const bool fits = candidate.engine == engine && candidate.setting == setting && candidate.first <= release;
    if (fits && holds(candidate.gpus, gpu)) last = &candidate;
  }
  ROOFTUNE_EXPECTS(last != nullptr);
  return *last;
}

int whole(std::string_view text) {
  int value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

/// The release whose rules hold, and why it is not the deployment's own.
std::pair<Release, std::string> release_of(const domain::Deployment& deployment) {
  const std::string& version = deployment.settings.version;
  const auto found = find_release(version);
  if (deployment.engine == kSglang) {
    return {
        found.value_or(kSglangRelease),
        "SGLang's defaults and its scheduler's rules are simulated as its sources have them; no schedule and no measurement of it was "
        "at hand to hold them against (docs/sglang.md)"};
  }
  if (deployment.engine != "vllm") {
    const Release taken = kLastKnownRelease;
    return {taken,
            fmt::format("what engine '{}' does by default is not known: the settings that were not recorded are those of vLLM {}",
                        deployment.engine, release_text(taken))};
  }
  const bool is_development = version.starts_with("main") || version.starts_with("nightly");
  if (is_development) return {kDevelopment, ""};
  if (!found) {
    return {kLastKnownRelease, fmt::format("the engine version '{}' names no release: vLLM {}'s defaults are taken", version,
                                           release_text(kLastKnownRelease))};
  }
  const Release nearest = std::clamp(*found, kFirstKnownRelease, kLastKnownRelease);
  // A patch release of the last known minor one is no other engine.
  if (nearest == *found || (found->major == nearest.major && found->minor == nearest.minor)) return {*found, ""};
  return {nearest,
          fmt::format("the defaults of vLLM {} are not known: those of {} are taken", release_text(*found), release_text(nearest))};
}

}  // namespace

std::span<const EngineRule> engine_rules() { return kRules; }

std::vector<int> default_capture_sizes(Release release, int max_num_seqs, int most) {
  const int largest = most > 0 ? most : std::min(2 * max_num_seqs, 512);
  const int step_above = whole(rule("vllm", "capture_step_above_256", release, {}).value);
  std::vector<int> sizes;
  for (const int size : {1, 2, 4}) {
    if (size <= largest) sizes.push_back(size);
  }
  for (int size = 8; size <= largest; size += size < 256 ? 8 : step_above) sizes.push_back(size);
  return sizes;
}

SettledDeployment settle(const domain::Deployment& deployment, const domain::ModelSpec& model, const domain::GpuSpec& gpu) {
  SettledDeployment settled{.deployment = deployment, .assumed = {}, .notice = {}};
  EngineSettings& settings = settled.deployment.settings;
  const auto [release, notice] = release_of(deployment);
  const std::string_view engine = rules_of(deployment);
  // By the rule of that name, where several decide a setting.
  const auto assume = [&, &release = release](std::string_view setting, std::string_view name = {}) {
    const EngineRule& found = rule(engine, name.empty() ? setting : name, release, gpu);
    settled.assumed.push_back({std::string(setting), std::string(found.value), std::string(found.source)});
    return found.value;
  };
  // Ranks that share no experts have nothing to wait for: each is a replica (docs.vllm.ai, "Data Parallel Deployment").
  if (model.experts() == nullptr) {
    settled.deployment.dp *= settings.data_parallel_size;
    settings.data_parallel_size = 1;
  }
  if (settings.max_model_len == 0) settings.max_model_len = model.max_positions;
  if (settings.max_num_batched_tokens == 0) settings.max_num_batched_tokens = whole(assume("max_num_batched_tokens"));
  if (settings.max_num_seqs == 0) settings.max_num_seqs = whole(assume("max_num_seqs"));
  if (!settings.async_scheduling) {
    std::string_view beside = "async_scheduling";
    if (settings.speculative && engine != kSglang) {
      const bool by_layers = draft_kind(settings.speculative->method) == DraftKind::layers;
      beside = by_layers ? "async_scheduling_with_draft_layers" : "async_scheduling_with_drafter";
    }
    settings.async_scheduling = assume("async_scheduling", beside) == "on";
  }
  if (!settings.scheduler_reserve_full_isl) settings.scheduler_reserve_full_isl = assume("scheduler_reserve_full_isl") == "on";
  if (!settings.watermark) settings.watermark = whole(assume("watermark"));
  if (settings.data_parallel_size > 1 && !settings.all2all_backend)
    settings.all2all_backend = domain::find_all2all_backend(assume("all2all_backend"));
  if (settings.cudagraph_mode.empty()) {
    const bool forbids_graphs = settings.data_parallel_size > 1 && settings.enable_expert_parallel && engine != kSglang &&
                                settings.all2all_backend == domain::All2AllBackend::deepep_high_throughput;
    settings.cudagraph_mode = assume(forbids_graphs ? "cudagraph_mode_with_deepep_high_throughput" : "cudagraph_mode");
  }
  if (settings.cudagraph_capture_sizes.empty() && settings.max_cudagraph_capture_size == 0 && engine == kSglang) {
    settings.max_cudagraph_capture_size =
        whole(assume("max_cudagraph_capture_size", deployment.tp < 4 ? "" : "max_cudagraph_capture_size_from_tp_4"));
  }
  if (settings.cudagraph_capture_sizes.empty()) {
    // SGLang's sizes are as far apart as those of vLLM today.
    settings.cudagraph_capture_sizes = default_capture_sizes(engine == kSglang ? kLastKnownRelease : release, settings.max_num_seqs,
                                                             settings.max_cudagraph_capture_size);
  }
  settled.prompts_alone = rule(engine, "prompts_alone", release, gpu).value == "on";
  settled.keeps_growth_reserve = rule(engine, "growth_reserve", release, gpu).value == "on";
  settled.freed_unhashed_first = rule(engine, "freed_unhashed_first", release, gpu).value == "on";
  if (!settled.assumed.empty() || engine == kSglang) settled.notice = notice;
  return settled;
}

}  // namespace rooftune::sim
