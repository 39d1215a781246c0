#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/core/parallel_map.hpp"
#include "rooftune/core/units.hpp"
#include "rooftune/eval/calibrated_domain.hpp"
#include "rooftune/eval/dataset.hpp"
#include "rooftune/params/config.hpp"
#include "rooftune/plan/speculation.hpp"

namespace rooftune::plan {

enum class LatencyKind { ttft, tpot, e2e };
enum class LatencyStatistic { mean, p90, p99 };
inline constexpr std::array kLatencyKinds{LatencyKind::ttft, LatencyKind::tpot, LatencyKind::e2e};
inline constexpr std::array kLatencyStatistics{LatencyStatistic::mean, LatencyStatistic::p90, LatencyStatistic::p99};

/// A latency that users must not exceed.
struct LatencyObjective {
  LatencyKind kind = LatencyKind::ttft;
  LatencyStatistic statistic = LatencyStatistic::mean;
  core::Milliseconds limit;
  friend bool operator==(const LatencyObjective&, const LatencyObjective&) = default;
};

/// "ttft_p90"
[[nodiscard]] std::string latency_name(LatencyKind kind, LatencyStatistic statistic);
/// `ttft_p90=500` (ms).
[[nodiscard]] core::Result<LatencyObjective> parse_objective(std::string_view text);

/// One value for every kind and statistic.
using LatencyTable = std::array<std::array<double, kLatencyStatistics.size()>, kLatencyKinds.size()>;
[[nodiscard]] inline double at(const LatencyTable& table, LatencyKind kind, LatencyStatistic statistic) {
  return table[static_cast<std::size_t>(kind)][static_cast<std::size_t>(statistic)];
}

struct LatencyInterval {
  double lower_ms = 0.0;
  double upper_ms = 0.0;
  bool is_determined = true;  ///< calibrate::PredictionInterval::is_determined: false where the interval says nothing
};

/// Predicted steady latencies of one load, as clients see them: means over replicates. The first fifth of the requests fills the
/// engine and is not counted.
struct LoadPoint {
  double rate_per_s = 0.0;  ///< offered; of a closed loop: served
  int concurrency = 0;      ///< clients of a closed loop; 0: arrivals at the rate
  int replicas = 1;
  LatencyTable latency_ms{};
  LatencyTable deviation_ms{};          ///< between replicates: what other arrivals change
  double output_tokens_per_s = 0.0;     ///< while requests arrive
  double mean_batch = 0.0;              ///< running requests of one engine, over its busy time
  double kv_use_fraction = 0.0;         ///< the fullest the pool ever was
  double preempted_fraction = 0.0;      ///< preemptions by request
  std::int64_t rejected = 0;            ///< requests that fit neither max_model_len nor the pool
  std::int64_t rejected_by_length = 0;  ///< of them, those that are longer than max_model_len, which any load has its share of
  bool keeps_up = true;                 ///< false where the queue grows as long as the load lasts
  /// Where the mean of a measured run should fall, by kLatencyKinds: set by qualify() where the config knows its uncertainty.
  std::array<std::optional<LatencyInterval>, kLatencyKinds.size()> mean_interval{};
  std::vector<eval::DomainExit> domain_exits{};  ///< set by qualify()
  std::vector<std::string> missed{};  ///< objectives that do not hold: "ttft_p90", and "throughput" where it does not keep up

  [[nodiscard]] bool is_good() const { return missed.empty(); }
};

struct CapacityOptions {
  std::vector<LatencyObjective> objectives;
  core::Seconds duration{60.0};  ///< of each simulated load, at least; longer where `min_requests` need it
  int min_requests = 400;        ///< of each engine
  int replicates = 3;            ///< simulations with other arrivals
  std::uint64_t seed = 1;
  double rate_tolerance = 0.01;  ///< relative; the bisection ends there
  core::ThreadCount threads{};
};

/// A deployment with the shape of its requests, whose load is varied. The case's workload says lengths, how prompts relate and how
/// clients behave (the gaps of an open loop, the turnaround of a closed one); how many come is set here. A table of requests is sent
/// again from its start until there are enough.
struct CapacityCase {
  const eval::Case& base;
  const params::Config& config;
};

/// How prompts relate and what one is, for people: "every prompt differs", "prompts of 10 groups share 100 leading tokens".
[[nodiscard]] std::string prompts_text(const domain::Workload& workload);
/// Share of the requests that are longer than max_model_len, which the engine refuses.
[[nodiscard]] double refused_share(const eval::Case& item);

[[nodiscard]] LoadPoint predict_rate(const CapacityCase& subject, double rate_per_s, int replicas, const CapacityOptions& options);
[[nodiscard]] LoadPoint predict_concurrency(const CapacityCase& subject, int concurrency, const CapacityOptions& options);

/// The highest rate of one engine, or of so many behind a router, that keeps all objectives.
struct Capacity {
  std::optional<LoadPoint> best;    ///< empty: not even an idle engine keeps them
  std::optional<LoadPoint> beyond;  ///< the next higher rate that was tried, and what it missed; empty: kMaxCapacityRate is kept
};

/// Prefill and decode apart beside engines that do both, on as many GPUs.
struct ApartAnswer {
  domain::PrefillDecode pools;  ///< each with its tp
  int gpus = 0;
  int replicas_together = 0;  ///< engines of the compared deployment's tp
  Capacity apart{};
  Capacity together{};  ///< of all replicas, behind a router
  /// Highest rate apart over that together: the mean over draws of arrivals, and where 90 % of such means fall. Empty where one of
  /// the two keeps the objectives at no rate.
  std::optional<double> gain{};
  double gain_lower = 0.0;
  double gain_upper = 0.0;

  /// "pays", "does not pay", or that the draws do not tell.
  [[nodiscard]] bool pays() const { return gain && gain_lower > 1.0; }
  [[nodiscard]] bool costs() const { return gain && gain_upper < 1.0; }
};

/// Rates above are not searched.
inline constexpr double kMaxCapacityRate = 1000.0;
/// A rate at which requests hardly meet each other.
inline constexpr double kIdleRate = 1.0 / 64.0;

/// Doubles the rate until an objective is missed, then bisects its logarithm.
[[nodiscard]] Capacity find_capacity(const CapacityCase& subject, const CapacityOptions& options, int replicas = 1);

/// The most clients of a closed loop that each still get `tokens_per_s` (1 / mean TPOT), found by doubling and bisection up to
/// kMostClients and as many as the engine runs requests (max_num_seqs); empty where not even one does.
inline constexpr int kMostClients = 4096;
[[nodiscard]] std::optional<LoadPoint> find_most_clients(const CapacityCase& subject, double tokens_per_s,
                                                         const CapacityOptions& options);
/// Output tokens per second that one user sees.
[[nodiscard]] double tokens_per_user(const LoadPoint& point);

/// Engines behind a round-robin router that carry a load together.
struct Fleet {
  int replicas = 0;
  int gpus = 0;
  LoadPoint point;  ///< of the whole fleet at the load
};

/// The fewest engines that keep all objectives at `rate_per_s`, found by simulating whole fleets from the capacity of one engine on.
/// Empty when one engine keeps them at no rate.
[[nodiscard]] std::optional<Fleet> size_fleet(const CapacityCase& subject, const Capacity& capacity, double rate_per_s,
                                              const CapacityOptions& options);

/// Says of a point how sure it is (90 % intervals) and where it leaves the config's calibrated domain.
void qualify(const CapacityCase& subject, LoadPoint& point, const CapacityOptions& options);

/// Everything that was asked about one deployment: a model at a tensor-parallel degree, with or without expert parallelism, on one
/// rank or several.
struct CapacityAnswer {
  std::string model;
  std::string weights{};  ///< how the weights of its layers are kept, by their share: "mxfp4, bf16"
  int tp = 1;
  bool expert_parallel = false;
  int data_parallel = 1;   ///< ranks of one engine
  int gpus_of_engine = 0;  ///< with its pipeline stages
  std::string refusal{};   ///< why the model cannot run there ("the weights do not fit ..."); the rest is then empty
  Capacity capacity{};
  std::optional<Fleet> fleet{};
  std::vector<LoadPoint> rates{};
  std::vector<LoadPoint> concurrencies{};
  std::optional<LoadPoint> most_clients{};  ///< of CapacityQuestions::tokens_per_user
  std::optional<SpeculationGain> speculation{};
  std::optional<ApartAnswer> apart{};  ///< where pools were asked about
};

struct CapacityReport {
  std::string gpu;
  std::string step_time_model;
  std::string like{};     ///< the measured run whose requests, engine settings and clients these are
  std::string prompts{};  ///< prompts_text()
  double prompt_tokens = 0.0;
  double output_tokens = 0.0;
  std::vector<LatencyObjective> objectives;
  int replicates = 1;
  std::optional<double> load_per_s{};  ///< that fleets were sized for
  std::optional<double> tokens_per_user{};
  std::vector<CapacityAnswer> answers;  ///< by model, TP and expert parallelism
};

/// The answer whose closed loop gives most tokens/s per GPU (CapacityQuestions::tokens_per_user), or null.
[[nodiscard]] const CapacityAnswer* best_interactive(const CapacityReport& report);
/// Output tokens per second of one GPU in that loop, which the answer must have.
[[nodiscard]] double interactive_tokens_per_gpu(const CapacityAnswer& answer);
/// The answer whose fleet has the fewest GPUs, or null.
[[nodiscard]] const CapacityAnswer* smallest_fleet(const CapacityReport& report);

/// What to ask beside the highest rate.
struct CapacityQuestions {
  std::optional<double> load_per_s{};
  std::vector<double> rates{};
  std::vector<int> concurrencies{};
  std::optional<double> tokens_per_user{};  ///< output tokens per second of each user, at least, in a closed loop
};

/// How a model keeps the weights of its layers, the format of the most weights first: "fp8", "mxfp4, bf16". Formats of less than a
/// hundredth (routers) are left out.
[[nodiscard]] std::string weights_text(const domain::ModelSpec& model);

/// Answers everything for one case; its points are qualified.
[[nodiscard]] CapacityAnswer answer(const CapacityCase& subject, const CapacityQuestions& questions, const CapacityOptions& options);

}  // namespace rooftune::plan
