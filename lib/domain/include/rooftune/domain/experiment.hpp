#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/core/units.hpp"

namespace rooftune::domain {

/// Engine settings of a deployment, under vLLM's names.
struct EngineSettings {
  std::string version;
  int max_model_len = 4096;
  int max_num_batched_tokens = 2048;
  int max_num_seqs = 128;
  double gpu_mem_util = 0.9;
  bool cpu_offload = false;
  std::optional<int> total_kv_blocks;  ///< empty: estimated from model, memory and gpu_mem_util
  int cpu_kv_blocks = 0;
  int block_size = 16;  ///< tokens; a power of two
  bool enable_prefix_caching = true;
  bool enable_chunked_prefill = true;
  int long_prefill_token_threshold = 0;  ///< caps a prefill chunk; 0: off

  friend bool operator==(const EngineSettings&, const EngineSettings&) = default;
};

/// A model on GPUs behind one endpoint.
struct Deployment {
  std::string model;     ///< id as the file gives it
  std::string hardware;  ///< GPU name as the file gives it
  int tp = 1;            ///< tensor-parallel degree
  int dp = 1;            ///< replicas behind a router
  int pp = 1;            ///< pipeline stages
  std::string precision;
  std::string engine = "vllm";
  EngineSettings settings;

  friend bool operator==(const Deployment&, const Deployment&) = default;
};

enum class ArrivalProcess {
  conditioned_poisson,  ///< exponential gaps rescaled so that exactly rate x duration requests fill the stage
  poisson,
  gamma,
  constant,
  closed_loop,  ///< a fixed number of clients, each sending its next request when the last one ended
  trace,        ///< arrivals and lengths from a table of requests
};

struct Arrival {
  ArrivalProcess process = ArrivalProcess::conditioned_poisson;
  int concurrency = 0;                          ///< closed_loop
  double gamma_coefficient_of_variation = 1.0;  ///< gamma
  friend bool operator==(const Arrival&, const Arrival&) = default;
};

/// Lengths in whole tokens: normal(mean, standard_deviation) rounded and clipped to [min, max]; fixed when the deviation is 0.
struct LengthDistribution {
  double mean_tokens = 0.0;
  double standard_deviation_tokens = 0.0;
  double min_tokens = 1.0;
  double max_tokens = 1e9;
  friend bool operator==(const LengthDistribution&, const LengthDistribution&) = default;
};

/// One load level. A stage starts when every request of the one before has finished.
struct Stage {
  core::RequestsPerSecond rate;
  core::Seconds duration;
  int num_requests = 0;
  friend bool operator==(const Stage&, const Stage&) = default;
};

/// One row of a replayed request table.
struct TracedRequest {
  int stage = 0;
  double arrival_s = 0.0;  ///< after the stage's start
  int input_tokens = 0;
  int output_tokens = 0;
  std::int64_t prefix_group = -1;  ///< requests of one group share their first `shared_prefix_tokens`; -1: none
  int shared_prefix_tokens = 0;
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
  int distinct_prompts = 0;             ///< cycled
  int prompt_groups = 0;                ///< groups that share a system prompt; 0: all prompts share one when system_prompt_tokens > 0
  int turns_per_conversation = 1;       ///< conversations
  int system_prompt_tokens = 0;         ///< leading tokens shared within a group
  LengthDistribution prompt;            ///< whole prompt, system prompt included
  double prompt_spread_fraction = 0.0;  ///< cycled: lengths uniform in mean x (1 +- this/2), fixed per prompt
  LengthDistribution output;
  Arrival arrival;
  std::vector<Stage> stages;
  std::vector<TracedRequest> trace;  ///< process trace only
  friend bool operator==(const Workload&, const Workload&) = default;
};

/// The metrics that are compared. All in milliseconds.
enum class Metric { ttft_mean, ttft_p90, ttft_p99, e2e_mean, e2e_p90, e2e_p99, tpot_mean };
inline constexpr std::array kMetrics{Metric::ttft_mean, Metric::ttft_p90, Metric::ttft_p99, Metric::e2e_mean,
                                     Metric::e2e_p90,   Metric::e2e_p99,  Metric::tpot_mean};
inline constexpr std::size_t kMetricCount = kMetrics.size();

/// "ttft_mean_ms" ...
[[nodiscard]] std::string_view metric_name(Metric metric);
[[nodiscard]] std::optional<Metric> find_metric(std::string_view name);

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
