#include "server_arguments.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstdint>
#include <utility>

#include "rooftune/domain/experiment.hpp"
#include "rooftune/domain/served_model.hpp"

namespace rooftune::importers {
namespace {

using Names = std::pair<std::string_view, std::string_view>;

/// vLLM's names of the settings that an experiment has, and the experiment's.
constexpr std::array<Names, 26> kUsed{{{"max_model_len", "max_model_len"},
                                       {"max_seq_len", "max_model_len"},
                                       {"max_num_batched_tokens", "max_num_batched_tokens"},
                                       {"max_num_seqs", "max_num_seqs"},
                                       {"gpu_memory_utilization", "gpu_mem_util"},
                                       {"gpu_mem_util", "gpu_mem_util"},
                                       {"block_size", "block_size"},
                                       {"enable_prefix_caching", "enable_prefix_caching"},
                                       {"enable_chunked_prefill", "enable_chunked_prefill"},
                                       {"chunked_prefill_enabled", "enable_chunked_prefill"},
                                       {"long_prefill_token_threshold", "long_prefill_token_threshold"},
                                       {"num_gpu_blocks_override", "total_kv_blocks"},
                                       {"total_kv_blocks", "total_kv_blocks"},
                                       {"async_scheduling", "async_scheduling"},
                                       {"scheduler_reserve_full_isl", "scheduler_reserve_full_isl"},
                                       {"watermark", "watermark"},
                                       {"kv_cache_dtype", "kv_cache_dtype"},
                                       {"quantization", "quantization"},
                                       {"enable_expert_parallel", "enable_expert_parallel"},
                                       {"all2all_backend", "all2all_backend"},
                                       {"cudagraph_mode", "cudagraph_mode"},
                                       {"cudagraph_capture_sizes", "cudagraph_capture_sizes"},
                                       {"max_cudagraph_capture_size", "max_cudagraph_capture_size"},
                                       {"fuse_allreduce_rms", "fuse_allreduce_rms"},
                                       {"version", "version"},
                                       {"vllm_version", "version"}}};

/// An argument that changes what a server does and that no experiment has.
struct Unmodelled {
  std::string_view name;
  std::string_view defaults;  ///< values that mean "off", separated by blanks; None always does
  std::string_view what;
  std::string_view assumed;
};
constexpr std::string_view kOneTokenAStep =
    "commands refuse to simulate the experiment before it says how many drafts were accepted (--set speculative=eagle3:3:2.4, or "
    "lines of "
    "SpecDecoding metrics in the log): the measured time per token is that of several tokens a step";
constexpr std::string_view kOneGroup = "one GPU of a TP group holds whole sequences";
constexpr std::array<Unmodelled, 30> kUnmodelled{{
    {"speculative_config", "", "speculative decoding", kOneTokenAStep},
    {"speculative_model", "", "speculative decoding", kOneTokenAStep},
    {"num_speculative_tokens", "0", "speculative decoding", kOneTokenAStep},
    {"enable_lora", "False", "LoRA adapters", "the base model alone is simulated"},
    {"lora_modules", "", "LoRA adapters", "the base model alone is simulated"},
    {"scheduling_policy", "fcfs", "another scheduling policy", "first come, first served is simulated"},
    {"kv_transfer_config", "", "a KV connector", "no KV is fetched from or sent to elsewhere in the simulation"},
    {"kv_connector", "", "a KV connector", "no KV is fetched from or sent to elsewhere in the simulation"},
    {"kv_offloading_size", "0 0.0", "KV offloading", "give --set cpu_kv_blocks=N to simulate a second tier"},
    {"decode_context_parallel_size", "1", "context parallelism", kOneGroup},
    {"prefill_context_parallel_size", "1", "context parallelism", kOneGroup},
    {"enforce_eager", "False", "eager mode",
     "recorded as cudagraph_mode NONE, which the step-time model kernels prices; the others price steps with CUDA graphs"},
    {"cpu_offload_gb", "0 0.0", "weights in the host's memory", "all weights are simulated in GPU memory"},
    {"max_num_partial_prefills", "1", "several partial prefills", "one partial prefill at a time is simulated"},
    {"max_long_partial_prefills", "1", "several partial prefills", "one partial prefill at a time is simulated"},
    {"num_scheduler_steps", "1", "multi-step scheduling", "one step for each decision is simulated"},
    {"enable_dbo", "False", "two overlapping batches", "one batch at a time is simulated"},
    {"disable_hybrid_kv_cache_manager", "False", "one kind of layers in the KV cache", "the model's facts decide"},
    {"disable_sliding_window", "False", "no sliding window", "the model's facts decide"},
    {"disable_custom_all_reduce", "False", "NCCL's all-reduce", "the configured efficiency of all-reduces is simulated"},
    {"hf_overrides", "{}", "a changed model config", "the model's facts are simulated as they are"},
    {"rope_scaling", "", "a changed model config", "it changes no step time"},
    {"enable_return_routed_experts", "False", "routed experts in answers", "answers of tokens alone are simulated"},
    {"enable_sleep_mode", "False", "sleep mode", "a server that is always awake is simulated"},
    {"calculate_kv_scales", "False", "scales of an FP8 KV cache", "they cost no time in the simulation"},
    {"enable_eplb", "False", "experts that move between GPUs", "experts stay where they are, with loads as the model has them"},
    {"num_redundant_experts", "0", "copies of experts", "each expert is simulated once"},
    {"task", "auto generate", "another task than generation", "generation is simulated"},
    {"runner", "auto generate", "another task than generation", "generation is simulated"},
    {"dtype", "auto bfloat16 float16 half torch.bfloat16 torch.float16", "weights and activations of another type",
     "16 bits are simulated where the model's config does not say otherwise"},
}};

/// Arguments that change nothing about times: where the server listens, what it logs, how text becomes tokens; and those that name
/// the model and its parallelism, which are read apart.
constexpr std::array<std::string_view, 98> kWithoutEffect{"allow_credentials",
                                                          "allow_deprecated_quantization",
                                                          "allowed_headers",
                                                          "allowed_local_media_path",
                                                          "allowed_methods",
                                                          "allowed_origins",
                                                          "api_key",
                                                          "api_server_count",
                                                          "chat_template",
                                                          "chat_template_content_format",
                                                          "code_revision",
                                                          "collect_detailed_traces",
                                                          "config",
                                                          "config_format",
                                                          "cudagraph_metrics",
                                                          "data_parallel_address",
                                                          "data_parallel_backend",
                                                          "data_parallel_external_lb",
                                                          "data_parallel_hybrid_lb",
                                                          "data_parallel_rank",
                                                          "data_parallel_rpc_port",
                                                          "data_parallel_size",
                                                          "data_parallel_size_local",
                                                          "data_parallel_start_rank",
                                                          "decoding_config",
                                                          "device",
                                                          "device_config",
                                                          "disable_fastapi_docs",
                                                          "disable_frontend_multiprocessing",
                                                          "disable_log_requests",
                                                          "disable_log_stats",
                                                          "disable_uvicorn_access_log",
                                                          "distributed_executor_backend",
                                                          "download_dir",
                                                          "dp",
                                                          "enable_auto_tool_choice",
                                                          "enable_force_include_usage",
                                                          "enable_log_outputs",
                                                          "enable_log_requests",
                                                          "enable_mfu_metrics",
                                                          "enable_prompt_tokens_details",
                                                          "enable_request_id_headers",
                                                          "enable_server_load_tracking",
                                                          "enable_tokenizer_info_endpoint",
                                                          "exclude_tools_when_tool_choice_none",
                                                          "generation_config",
                                                          "guided_decoding_backend",
                                                          "hardware",
                                                          "headless",
                                                          "hf_config_path",
                                                          "hf_token",
                                                          "host",
                                                          "kv_cache_metrics",
                                                          "load_format",
                                                          "log_config_file",
                                                          "logprobs_mode",
                                                          "master_addr",
                                                          "master_port",
                                                          "max_log_len",
                                                          "max_logprobs",
                                                          "middleware",
                                                          "mm_processor_kwargs",
                                                          "model",
                                                          "model_loader_extra_config",
                                                          "model_path",
                                                          "model_tag",
                                                          "nnodes",
                                                          "node_rank",
                                                          "observability_config",
                                                          "otlp_traces_endpoint",
                                                          "override_generation_config",
                                                          "pipeline_parallel_size",
                                                          "pooler_config",
                                                          "port",
                                                          "pp",
                                                          "profiler_config",
                                                          "reasoning_parser",
                                                          "response_role",
                                                          "return_tokens_as_token_ids",
                                                          "revision",
                                                          "root_path",
                                                          "safetensors_load_strategy",
                                                          "seed",
                                                          "served_model_name",
                                                          "show_hidden_metrics_for_version",
                                                          "skip_mm_profiling",
                                                          "skip_tokenizer_init",
                                                          "structured_outputs_config",
                                                          "swap_space",
                                                          "tensor_parallel_size",
                                                          "tensor_parallelism",
                                                          "tokenizer",
                                                          "tokenizer_mode",
                                                          "tokenizer_revision",
                                                          "tool_call_parser",
                                                          "tp",
                                                          "trust_remote_code",
                                                          "uvicorn_log_level"};

/// Modes as numbers, in vLLM's listings of 0.10 and 0.11 (vllm/config/compilation.py, CUDAGraphMode).
constexpr std::array<Names, 5> kModeNumbers{
    {{"0", "NONE"}, {"1", "PIECEWISE"}, {"2", "FULL"}, {"[2,0]", "FULL_DECODE_ONLY"}, {"[2,1]", "FULL_AND_PIECEWISE"}}};

bool is_among(const auto& words, std::string_view word) { return std::ranges::find(words, word) != std::ranges::end(words); }

bool is_true(std::string_view value) { return value == "True" || value == "true" || value == "1"; }

/// The whole number that a text begins with, or 0.
int number_of(std::string_view text) {
  int value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::string without_blanks(std::string_view text) {
  std::string result(text);
  std::erase_if(result, [](unsigned char c) { return std::isspace(c) != 0; });
  return result;
}

/// "FULL_AND_PIECEWISE" of "<CUDAGraphMode.FULL_AND_PIECEWISE: (2, 1)>", "[2,1]", "CUDAGraphMode.NONE"; empty where it names none.
std::string mode_of(std::string_view value) {
  const std::string plain = without_blanks(value);
  for (const auto& [number, name] : kModeNumbers) {
    if (plain == number) return std::string(name);
  }
  std::string_view text = value;
  if (const std::size_t dot = text.rfind("CUDAGraphMode."); dot != std::string_view::npos) text.remove_prefix(dot + 14);
  std::string name(text.substr(0, text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz")));
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return name;
}

/// "[1, 2, 4]" of a list that is not empty, whatever its brackets; empty otherwise.
std::string sizes_of(std::string_view value) {
  std::string sizes;
  for (const char c : value) {
    if (std::isdigit(static_cast<unsigned char>(c)) != 0) {
      sizes += c;
    } else if (!sizes.empty() && sizes.back() != ' ') {
      sizes += ' ';
    }
  }
  if (sizes.ends_with(' ')) sizes.pop_back();
  return sizes;
}

std::vector<SettingText> compilation_settings(std::string_view config) {
  std::vector<SettingText> settings;
  if (std::string mode = mode_of(nested_setting(config, "cudagraph_mode")); !mode.empty()) {
    settings.push_back({.name = "cudagraph_mode", .value = std::move(mode)});
  }
  if (std::string sizes = sizes_of(nested_setting(config, "cudagraph_capture_sizes")); !sizes.empty()) {
    settings.push_back({.name = "cudagraph_capture_sizes", .value = std::move(sizes)});
  } else if (std::string largest = sizes_of(nested_setting(config, "max_cudagraph_capture_size")); !largest.empty()) {
    settings.push_back({.name = "max_cudagraph_capture_size", .value = std::move(largest)});
  }
  // pass_config; its name up to 0.11 comes second.
  for (const std::string_view name : {"fuse_allreduce_rms", "enable_fi_allreduce_fusion"}) {
    std::string fused = nested_setting(config, name);
    if (fused != "True" && fused != "False" && fused != "true" && fused != "false") continue;
    settings.push_back({.name = "fuse_allreduce_rms", .value = std::move(fused)});
    break;
  }
  return settings;
}

/// "eagle3:3" of a speculative_config, in any of Python's ways to print it.
std::string speculation_of(std::string_view config) {
  std::string method = nested_setting(config, "method");
  if (method == "None") method.clear();
  std::string tokens = nested_setting(config, "num_speculative_tokens");
  if (tokens.empty()) tokens = nested_setting(config, "num_spec_tokens");
  if (method.empty() && tokens.empty()) return {};
  if (method.empty()) method = "draft_model";  // vLLM's word where a draft alone is named
  return tokens.empty() ? method : fmt::format("{}:{}", method, tokens);
}

/// vLLM's own offloading to the host's memory: the one connector that the engine has.
bool is_offloading(std::string_view name, std::string_view value) {
  return name == "kv_transfer_config" && nested_setting(value, "kv_connector") == "OffloadingConnector" &&
         number_of(nested_setting(value, "num_cpu_blocks")) > 0;
}

/// Its blocks may be larger than the GPU's.
std::vector<SettingText> offloading_settings(std::string_view config) {
  const int own_tokens = number_of(nested_setting(config, "block_size"));
  const int tokens = own_tokens > 0 ? own_tokens : domain::default_block_size("vllm");
  const auto blocks =
      static_cast<std::int64_t>(number_of(nested_setting(config, "num_cpu_blocks"))) * tokens / domain::default_block_size("vllm");
  return {{.name = "cpu_kv_blocks", .value = fmt::format("{}", blocks)}};
}

bool is_off(const Unmodelled& entry, std::string_view value) {
  if (value.empty() || value == "None") return true;
  for (std::string_view rest = entry.defaults; !rest.empty();) {
    const std::size_t end = std::min(rest.find(' '), rest.size());
    if (rest.substr(0, end) == value) return true;
    // Reports write Python's False in JSON's way.
    if (rest.substr(0, end) == "False" && value == "false") return true;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return false;
}

std::string described(std::string_view name, std::string_view value) {
  constexpr std::size_t kShown = 60;
  if (name == "speculative_config") {
    std::string said = speculation_of(value);
    const std::size_t colon = said.find(':');
    if (colon != std::string::npos) return fmt::format("{}, {} tokens", said.substr(0, colon), said.substr(colon + 1));
    if (!said.empty()) return said;
  }
  if (std::string connector = nested_setting(value, "kv_connector"); !connector.empty()) return connector;
  return fmt::format("{}={}{}", name, value.substr(0, kShown), value.size() > kShown ? "..." : "");
}

/// As Python prints it: what reads a server's log reads these.
std::string value_text(const text::Node& node) {
  using Kind = text::Node::Kind;
  std::vector<std::string> parts;
  switch (node.kind) {
    case Kind::null: return "None";
    case Kind::scalar: return node.text == "true" ? "True" : node.text == "false" ? "False" : node.text;
    case Kind::list:
      for (const text::Node& item : node.items) parts.push_back(value_text(item));
      return fmt::format("[{}]", fmt::join(parts, ", "));
    case Kind::object: break;
  }
  for (const text::Member& member : node.members) parts.push_back(fmt::format("'{}': '{}'", member.key, value_text(member.value)));
  return fmt::format("{{{}}}", fmt::join(parts, ", "));
}

}  // namespace

std::vector<SettingText> settings_of_argument(std::string_view name, std::string_view value) {
  if (value.empty() || value == "None") return {};
  if (name == "compilation_config") return compilation_settings(value);
  if (is_offloading(name, value)) return offloading_settings(value);
  if (name == "enforce_eager") {
    return is_true(value) ? std::vector<SettingText>{{.name = "cudagraph_mode", .value = "NONE"}} : std::vector<SettingText>{};
  }
  if (name == "speculative_config") {
    std::string said = speculation_of(value);
    return said.empty() ? std::vector<SettingText>{} : std::vector<SettingText>{{.name = "speculative", .value = std::move(said)}};
  }
  const auto used = std::ranges::find(kUsed, name, &Names::first);
  if (used == kUsed.end() || value == "auto") return {};
  if (name == "kv_cache_dtype" && !is_among(domain::kKvCacheTypes, value)) return {};
  SettingText setting{.name = std::string(used->second), .value = std::string(value)};
  if (name == "cudagraph_mode") setting.value = mode_of(value);
  if (name == "cudagraph_capture_sizes") setting.value = sizes_of(value);
  return setting.value.empty() ? std::vector<SettingText>{} : std::vector<SettingText>{std::move(setting)};
}

NotSimulated not_simulated(std::string_view name, std::string_view value) {
  if (is_offloading(name, value)) return {};
  if (name == "kv_cache_dtype" && !value.empty() && value != "None" && !is_among(domain::kKvCacheTypes, value)) {
    return {.what = "an element type of its own for the KV cache",
            .described = described(name, value),
            .assumed = "the KV pool's blocks are the log's; bytes per element are those of the model's facts"};
  }
  const auto entry = std::ranges::find(kUnmodelled, name, &Unmodelled::name);
  if (entry == kUnmodelled.end() || is_off(*entry, value)) return {};
  return {.what = entry->what, .described = described(name, value), .assumed = entry->assumed};
}

bool is_known_argument(std::string_view name) {
  return std::ranges::find(kUsed, name, &Names::first) != kUsed.end() || name == "compilation_config" ||
         std::ranges::find(kUnmodelled, name, &Unmodelled::name) != kUnmodelled.end() || is_among(kWithoutEffect, name) ||
         name.starts_with("ssl_");
}

void read_arguments(const text::Node& arguments, RecordedRun& run) {
  std::vector<std::string> others;
  for (const text::Member& member : arguments.members) {
    const std::size_t dashes = std::min(member.key.find_first_not_of('-'), member.key.size());
    std::string name = member.key.substr(dashes);
    std::ranges::replace(name, '-', '_');
    const bool is_flag = dashes > 0 && member.value.kind == text::Node::Kind::null;
    std::string value = is_flag ? "True" : value_text(member.value);
    if (name.starts_with("no_")) {
      name.erase(0, 3);
      value = "False";
    }
    for (SettingText& setting : settings_of_argument(name, value)) {
      run.places[setting.name] = member.value.place;
      run.settings[setting.name] = std::move(setting.value);
    }
    if (const NotSimulated found = not_simulated(name, value); !found.what.empty()) {
      run.warnings.push_back(warning_at(run.file, member.place,
                                        fmt::format("the server ran with {} ({})", found.what, found.described),
                                        fmt::format("not simulated: {}", found.assumed)));
    } else if (value != "None" && !is_known_argument(name)) {
      others.push_back(fmt::format("{}={}", name, value));
    }
  }
  if (!others.empty()) {
    run.assumptions.push_back(fmt::format("arguments of the server that are not simulated: {}", fmt::join(others, ", ")));
  }
}

}  // namespace rooftune::importers
