#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rooftune/core/units.hpp"

namespace rooftune::domain {

/// Speculative decoding as a deployment records it.
struct Speculation {
  std::string method;                            ///< "eagle3", "mtp", "ngram", "draft_model" ...
  int num_speculative_tokens = 0;                ///< drafted per step; 0: not recorded
  std::optional<double> mean_accepted_length{};  ///< tokens per step, the one that is always there included
  /// Share of the steps that accept at least 1, 2, ... drafted tokens, as vLLM logs it; empty: not recorded.
  std::vector<double> acceptance_per_position{};
  std::string draft_model{};  ///< id of the model that drafts, where it is one of its own
  int draft_layers = 1;       ///< mtp, eagle: layers of the target's last kind that one draft pass takes
  friend bool operator==(const Speculation&, const Speculation&) = default;
};

/// How tokens of data-parallel ranks come to the experts and back (vLLM's --all2all-backend).
enum class All2AllBackend {
  naive,
  allgather_reducescatter,
  deepep_low_latency,
  deepep_high_throughput,
  pplx,
  flashinfer_all2allv,
  flashinfer_nvlink_one_sided,
  flashinfer_nvlink_two_sided,
  mori,
  nixl_ep,
};
/// By vLLM's names.
inline constexpr std::array<std::pair<std::string_view, All2AllBackend>, 10> kAll2AllBackends{
    {{"naive", All2AllBackend::naive},
     {"allgather_reducescatter", All2AllBackend::allgather_reducescatter},
     {"deepep_low_latency", All2AllBackend::deepep_low_latency},
     {"deepep_high_throughput", All2AllBackend::deepep_high_throughput},
     {"pplx", All2AllBackend::pplx},
     {"flashinfer_all2allv", All2AllBackend::flashinfer_all2allv},
     {"flashinfer_nvlink_one_sided", All2AllBackend::flashinfer_nvlink_one_sided},
     {"flashinfer_nvlink_two_sided", All2AllBackend::flashinfer_nvlink_two_sided},
     {"mori", All2AllBackend::mori},
     {"nixl_ep", All2AllBackend::nixl_ep}}};
[[nodiscard]] std::string_view all2all_backend_name(All2AllBackend backend);
[[nodiscard]] std::optional<All2AllBackend> find_all2all_backend(std::string_view name);

/// Tokens of a KV block where nobody says: vLLM's, and SGLang's page.
[[nodiscard]] constexpr int default_block_size(std::string_view engine) { return engine == "sglang" ? 1 : 16; }

/// Engine settings of a deployment, under vLLM's names. What is empty, or 0 where that is said, was not recorded:
/// sim::settle fills it with what the engine's version does.
struct EngineSettings {
  std::string version;
  int max_model_len = 4096;           ///< 0: the model's own maximum
  int max_num_batched_tokens = 2048;  ///< 0: the version's default for the GPU
  int max_num_seqs = 128;             ///< 0: the version's default for the GPU
  double gpu_mem_util = 0.9;
  bool cpu_offload = false;
  std::optional<int> total_kv_blocks{};  ///< empty: estimated from model, memory and gpu_mem_util
  int cpu_kv_blocks = 0;
  int block_size = default_block_size("vllm");  ///< tokens; a power of two
  bool enable_prefix_caching = true;
  bool enable_chunked_prefill = true;
  int long_prefill_token_threshold = 0;  ///< caps a prefill chunk; 0: off
  std::optional<bool> async_scheduling{};
  std::optional<bool> scheduler_reserve_full_isl{};  ///< a request is admitted only when its whole prompt finds free blocks
  std::optional<double> watermark{};                 ///< share of the KV blocks that newcomers must leave free
  std::string kv_cache_dtype{};                      ///< "auto", "fp8" ...
  std::string quantization{};
  std::string cudagraph_mode{};  ///< "FULL_AND_PIECEWISE", "PIECEWISE", "FULL_DECODE_ONLY", "NONE" ...
  std::vector<int> cudagraph_capture_sizes{};
  int max_cudagraph_capture_size = 0;  ///< where no sizes are given, those up to here; 0: the version's default
  bool enable_expert_parallel = false;
  /// Ranks of one engine, each with attention and a KV pool of its own, that share the experts of a mixture of experts and step
  /// together. Of a dense model, which has nothing to share, sim::settle makes replicas.
  int data_parallel_size = 1;
  std::optional<All2AllBackend> all2all_backend{};  ///< of such ranks; empty: the version's default
  std::optional<bool> fuse_allreduce_rms{};         ///< all-reduce and the norm after it as one kernel; empty: the version's default
  std::optional<Speculation> speculative{};

  friend bool operator==(const EngineSettings&, const EngineSettings&) = default;
};

/// Engines of one kind, where prefill and decode run apart.
struct EnginePool {
  int engines = 1;
  int tp = 0;  ///< GPUs of one engine; 0: Deployment::tp
  friend bool operator==(const EnginePool&, const EnginePool&) = default;
};

/// Prefill and decode apart: some engines compute prompts, others fetch their KV cache and generate.
struct PrefillDecode {
  EnginePool prefill;
  EnginePool decode;
  friend bool operator==(const PrefillDecode&, const PrefillDecode&) = default;
};

/// A model on GPUs behind one endpoint: dp engines of data_parallel_size ranks on tp x pp GPUs each.
struct Deployment {
  std::string model;     ///< id as the file gives it
  std::string hardware;  ///< GPU name as the file gives it
  int tp = 1;            ///< tensor-parallel degree
  int dp = 1;            ///< replicas behind a router
  int pp = 1;            ///< pipeline stages
  std::string precision;
  std::string engine = "vllm";
  EngineSettings settings;
  std::optional<PrefillDecode> prefill_decode{};  ///< empty: every engine does both

  friend bool operator==(const Deployment&, const Deployment&) = default;
};

/// GPUs of one engine that does both, prefill and decode.
[[nodiscard]] constexpr int gpus_of_engine(const Deployment& deployment) {
  return deployment.tp * deployment.pp * deployment.settings.data_parallel_size;
}
/// Schedulers with a KV pool of their own: settings such as max_num_seqs and total_kv_blocks are those of one.
[[nodiscard]] constexpr int schedulers(const Deployment& deployment) { return deployment.dp * deployment.settings.data_parallel_size; }

enum class ArrivalProcess {
  conditioned_poisson,  ///< exponential gaps rescaled so that exactly rate x duration requests fill the stage
  poisson,
  gamma,
  constant,
  closed_loop,  ///< a fixed number of clients, each sending its next request when the last one ended
  trace,        ///< arrivals and lengths from a table of requests
};

/// How the clients of a closed loop begin.
enum class ClientStart {
  burst,  ///< all at once
  ramp,   ///< one after the other, evenly over Arrival::ramp
};

/// How the rate of an open loop grows from request to request (`vllm bench serve --ramp-up-strategy`).
enum class RateRamp { none, linear, exponential };

struct Arrival {
  ArrivalProcess process = ArrivalProcess::conditioned_poisson;
  int concurrency = 0;                          ///< closed_loop
  double gamma_coefficient_of_variation = 1.0;  ///< gamma
  ClientStart start = ClientStart::burst;       ///< closed_loop
  core::Seconds ramp{};                         ///< closed_loop, start ramp: from the first client's start to the last one's
  std::optional<double> turnaround_us{};  ///< closed_loop: from a reply to the same client's next request; empty: client.turnaround_us
  RateRamp rate_ramp = RateRamp::none;    ///< poisson, gamma: the rate of request i of n goes from first to last as i / (n - 1)
  core::RequestsPerSecond first_rate{};   ///< rate_ramp
  core::RequestsPerSecond last_rate{};    ///< rate_ramp
  friend bool operator==(const Arrival&, const Arrival&) = default;
};

/// The rate of request `i` of `count` under the arrival's ramp: as `vllm bench serve` has it.
[[nodiscard]] core::RequestsPerSecond ramped_rate(const Arrival& arrival, int i, int count);
/// `count` requests per mean time until the last of them, under the arrival's ramp.
[[nodiscard]] core::RequestsPerSecond mean_rate(const Arrival& arrival, int count);

enum class LengthShape {
  normal,   ///< normal(mean, standard_deviation) rounded and clipped to [min, max]; fixed when the deviation is 0
  uniform,  ///< every whole number from min to max alike
};

/// Lengths in whole tokens.
struct LengthDistribution {
  double mean_tokens = 0.0;
  double standard_deviation_tokens = 0.0;
  double min_tokens = 1.0;
  double max_tokens = 1e9;
  LengthShape shape = LengthShape::normal;
  friend bool operator==(const LengthDistribution&, const LengthDistribution&) = default;
};

/// One load level. A stage starts when every request of the one before has finished.
struct Stage {
  core::RequestsPerSecond rate;
  core::Seconds duration;
  int num_requests = 0;  ///< 0: closed loop that ends after `duration`: no request is sent later
  int concurrency = 0;   ///< closed loop: clients of this stage; 0: Arrival::concurrency
  friend bool operator==(const Stage&, const Stage&) = default;
};

/// How long a user thinks before the next turn of a conversation.
struct ThinkTime {
  enum class Shape { constant, exponential };
  core::Seconds mean{};
  Shape shape = Shape::exponential;
  friend bool operator==(const ThinkTime&, const ThinkTime&) = default;
};

/// Requests that are sent before the measured ones, by a closed loop of their own, and wait for their end.
struct WarmUp {
  enum class Prompt {
    first,  ///< copies of the first measured prompt
    next,   ///< prompts of their own, drawn as the measured ones
  };
  int requests = 0;
  int concurrency = 1;
  Prompt prompt = Prompt::next;
  friend bool operator==(const WarmUp&, const WarmUp&) = default;
};

/// One row of a replayed request table.
struct TracedRequest {
  int stage = 0;
  double arrival_s = 0.0;  ///< after the stage's start; conversations: of a turn that follows another, the time to think before it
  int input_tokens = 0;
  int output_tokens = 0;
  std::int64_t prefix_group = -1;  ///< requests of one group share their first `shared_prefix_tokens`; -1: none
  int shared_prefix_tokens = 0;
  /// Rows of one conversation are its turns, in the order of the table: a turn is sent when the one before has ended, and its
  /// prompt goes on from there. -1: none.
  std::int64_t conversation = -1;
  friend bool operator==(const TracedRequest&, const TracedRequest&) = default;
};

/// How prompts relate to each other.
enum class PromptPattern {
  cycled,         ///< `distinct_prompts` fixed prompts in turn; request i of a stage uses prompt i mod distinct_prompts
  unique,         ///< every prompt differs after the shared prefix
  conversations,  ///< multi-turn: each turn's prompt is the conversation so far plus a new question
};

struct Workload {
  std::string name;
  std::string type;
  PromptPattern pattern = PromptPattern::unique;
  int distinct_prompts = 0;        ///< cycled
  int prompt_groups = 0;           ///< groups that share a system prompt; 0: all prompts share one when system_prompt_tokens > 0
  int turns_per_conversation = 1;  ///< conversations, where `turns` is empty
  std::optional<LengthDistribution> turns{};  ///< conversations: how many turns one has
  ThinkTime think_time{};                     ///< conversations: from a reply to the next turn
  int system_prompt_tokens = 0;               ///< leading tokens shared within a group
  LengthDistribution prompt;                  ///< whole prompt, system prompt included
  double prompt_spread_fraction = 0.0;        ///< cycled: lengths uniform in mean x (1 +- this/2), fixed per prompt
  LengthDistribution output;
  /// Lengths are those that numpy.random.RandomState(seed).randint draws: all prompts of the stage, then all outputs, as
  /// `vllm bench serve` and InferenceX do. Empty: drawn from the experiment's own streams.
  std::optional<std::uint32_t> numpy_seed{};
  std::optional<double> temperature{};  ///< that requests ask for; 0: greedy; empty: the model's default sampling
  Arrival arrival;
  std::optional<WarmUp> warm_up{};
  std::vector<Stage> stages;
  std::vector<TracedRequest> trace;  ///< process trace: arrivals and lengths; closed_loop: lengths, in the order of the table
  friend bool operator==(const Workload&, const Workload&) = default;
};

/// The metrics that are compared. All in milliseconds.
enum class Metric { ttft_mean, ttft_p90, ttft_p99, e2e_mean, e2e_p90, e2e_p99, tpot_mean, ttft_median, e2e_median, tpot_median };
inline constexpr std::array kMetrics{Metric::ttft_mean,  Metric::ttft_p90,   Metric::ttft_p99,  Metric::e2e_mean,
                                     Metric::e2e_p90,    Metric::e2e_p99,    Metric::tpot_mean, Metric::ttft_median,
                                     Metric::e2e_median, Metric::tpot_median};
inline constexpr std::size_t kMetricCount = kMetrics.size();

/// "ttft_mean_ms" ...
[[nodiscard]] std::string_view metric_name(Metric metric);
[[nodiscard]] std::optional<Metric> find_metric(std::string_view name);

[[nodiscard]] constexpr bool is_median(Metric metric) {
  return metric == Metric::ttft_median || metric == Metric::e2e_median || metric == Metric::tpot_median;
}

/// Measured or predicted latencies of one stage or of all requests pooled; empty where not known.
struct Latencies {
  std::array<std::optional<double>, kMetricCount> value_ms;
  std::optional<double> itl_mean_ms;  ///< shown, never scored: often not per generated token
  std::optional<int> succeeded;
  std::optional<int> failed;

  [[nodiscard]] std::optional<double> operator[](Metric metric) const { return value_ms[static_cast<std::size_t>(metric)]; }
  std::optional<double>& operator[](Metric metric) { return value_ms[static_cast<std::size_t>(metric)]; }
  friend bool operator==(const Latencies&, const Latencies&) = default;
};

enum class MeasuredAt { client, server };

struct Measurement {
  MeasuredAt measured_at = MeasuredAt::client;
  std::vector<Metric> unknown_statistic{};  ///< means that may be medians: the source does not say
  Latencies summary;
  std::vector<Latencies> stages;
  friend bool operator==(const Measurement&, const Measurement&) = default;
};

/// What an experiment may be used for. `overload` is shown but never aggregated, and refused in fits unless named.
enum class Role { calibration, new_gpu, overload };
[[nodiscard]] std::string_view role_name(Role role);

/// One measured deployment under one load: the unit that splits and weights work on.
struct Experiment {
  std::string id;
  std::string sweep{};  ///< groups experiments that differ in concurrency or rate alone; empty: none
  Role role = Role::calibration;
  Deployment deployment;
  Workload workload;
  Measurement measured;
  std::vector<std::string> flags;
  friend bool operator==(const Experiment&, const Experiment&) = default;
};

/// The index of the pooled row beside stage indices 0, 1, ...
inline constexpr int kSummaryStage = -1;

}  // namespace rooftune::domain
