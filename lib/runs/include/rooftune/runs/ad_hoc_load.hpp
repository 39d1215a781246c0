#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/domain/experiment.hpp"

namespace rooftune::runs {

/// Engine settings given by flags; what is not given is what the engine's version does on the GPU.
struct EngineFlags {
  std::string engine = "vllm";
  std::string version = "0.15.1";  ///< of the runs that the shipped configs were fitted to
  std::optional<int> max_num_seqs;
  std::optional<int> max_num_batched_tokens;
  std::optional<int> max_model_len;
  std::optional<int> kv_blocks;
  int cpu_kv_blocks = 0;  ///< that the host's memory keeps beside; 0: no offload
  double gpu_memory_utilization = 0.9;
  std::string kv_cache_dtype = "auto";
  std::string async_scheduling = "auto";
  std::string reserve_full_isl = "auto";
  std::string prefix_caching = "on";
  std::string cudagraph_mode;
  int long_prefill_token_threshold = 0;
  bool enable_expert_parallel = false;
  std::optional<std::string> speculation;  ///< "method:tokens:accepted", as in parse_speculation
  std::string draft_model;
  int draft_layers = 1;
  int data_parallel_size = 1;
  std::optional<std::string> all2all_backend;

  /// What the flags say; `speculation` must parse.
  [[nodiscard]] domain::EngineSettings settings() const;
};

/// "eagle3:3:2.4": method, drafted tokens and mean accepted length, or instead of that "0.8/0.6/0.4", the shares of the steps that
/// accept at least 1, 2, 3 drafted tokens.
[[nodiscard]] core::Result<domain::Speculation> parse_speculation(std::string_view text);

/// "2x4+1x8": two prefill engines of 4 GPUs, one decode engine of 8.
[[nodiscard]] core::Result<domain::PrefillDecode> parse_prefill_decode(std::string_view text);

/// A deployment and a load given by flags instead of a file.
struct AdHocLoad {
  std::string model;
  std::string gpu = "H100-SXM";
  int tp = 1;
  int pp = 1;
  int replicas = 1;
  std::optional<std::string> prefill_decode;  ///< as in parse_prefill_decode
  std::string router = "round_robin";
  double rate_per_s = 1.0;
  std::vector<double> rates_per_s;  ///< a sweep, if not empty
  std::vector<int> concurrency;     ///< clients of a closed loop; several: a sweep
  domain::Arrival arrival{.process = domain::ArrivalProcess::poisson};
  double duration_s = 60.0;
  std::optional<int> num_prompts;  ///< requests; empty: as many as come within the duration
  std::optional<int> num_warmups;
  std::string warm_up_prompt = "next";
  std::optional<std::string> ramp_up_strategy;
  domain::LengthDistribution prompt{.mean_tokens = 512.0};
  domain::LengthDistribution output{.mean_tokens = 128.0};
  std::optional<std::string> replay;  ///< table of requests: lengths, prefixes, conversations, and without clients arrivals
  std::optional<double> range_ratio;  ///< lengths uniform from this share of the mean lengths to them
  std::optional<int> numpy_seed;
  int turns = 1;
  double think_time_s = 0.0;
  int shared_prefix_tokens = 0;
  int prompt_groups = 1;
  int distinct_prompts = 0;
  EngineFlags engine;

  std::vector<domain::TracedRequest> table{};  ///< read from `replay`

  [[nodiscard]] bool is_sweep() const { return !rates_per_s.empty() || concurrency.size() > 1; }
};

/// The experiments that the flags describe: one, or one for each rate or number of clients.
[[nodiscard]] core::Result<std::vector<domain::Experiment>> make_experiments(const AdHocLoad& load);

}  // namespace rooftune::runs
