#include "rooftune/data/ground_truth.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "ground_truth_words.hpp"
#include "rooftune/core/limits.hpp"
#include "rooftune/data/request_table.hpp"
#include "rooftune/domain/release.hpp"
#include "rooftune/domain/served_model.hpp"
#include "rooftune/text/object_reader.hpp"
#include "rooftune/text/words.hpp"

namespace rooftune::data {
namespace {

using domain::ArrivalProcess;
using domain::Experiment;
using domain::Metric;
using domain::PromptPattern;
using domain::Workload;

/// inference-perf's names: its "constant" is no constant (see the header).
constexpr std::array<text::Choice<ArrivalProcess>, 2> kInferencePerfLoadTypes{
    {{"constant", ArrivalProcess::conditioned_poisson}, {"poisson", ArrivalProcess::poisson}}};

/// Columns that claim to be a time per token.
constexpr std::array<std::string_view, 3> kTokenTimeColumns{"tpot_true_mean", "itl_mean", "inference_perf_raw_itl_mean"};
/// What a row must have one of.
constexpr std::array kCompared{Metric::ttft_mean,   Metric::e2e_mean,   Metric::tpot_mean,
                               Metric::ttft_median, Metric::e2e_median, Metric::tpot_median};
/// The families of metrics whose statistic a file may leave open.
constexpr std::array<std::pair<std::string_view, Metric>, 3> kStatistics{
    {{"ttft", Metric::ttft_mean}, {"e2e", Metric::e2e_mean}, {"tpot", Metric::tpot_mean}}};
enum class Statistic { mean, unknown };
constexpr std::array<text::Choice<Statistic>, 2> kStatisticWords{{{"mean", Statistic::mean}, {"unknown", Statistic::unknown}}};
constexpr std::array<text::Choice<domain::LengthShape>, 2> kLengthShapes{
    {{"normal", domain::LengthShape::normal}, {"uniform", domain::LengthShape::uniform}}};

/// Relative difference above which such a column is said to violate the identity.
constexpr double kIdentityTolerance = 0.005;
/// Requests that a stage may have more or fewer than rate x duration before it is worth a warning.
constexpr double kRequestCountTolerance = 1.0;
/// Below these latencies, and above that for every token, a unit is wrong.
constexpr double kFastestFirstTokenMs = 1.0;
constexpr double kFastestTokenMs = 0.1;
constexpr double kSlowestTokenMs = 30'000.0;
/// Far above any benchmark of one endpoint; beyond them a unit is wrong, and the number of requests would not fit an int.
constexpr double kMaxRatePerSecond = 1e4;
constexpr double kMaxDurationSeconds = 1e5;

/// Which columns violate E2E = TTFT + (N - 1) x TPOT; reported once per column, not once per row.
class IdentityCheck {
 public:
  /// One row of measured means, with N the workload's mean number of generated tokens unless the row has its own.
  void add(const text::Node& row, double workload_tokens, text::Place experiment) {
    const double generated_tokens = mean(row, "output_tokens_mean").value_or(workload_tokens);
    const auto ttft = mean(row, "ttft_mean");
    const auto e2e = mean(row, "e2e_mean");
    if (!ttft || !e2e || generated_tokens <= 1.0) return;
    const double tpot = (*e2e - *ttft) / (generated_tokens - 1.0);
    for (const std::string_view name : kTokenTimeColumns) {
      const auto value = mean(row, name);
      if (!value) continue;
      Column& column = columns_[std::string(name)];
      column.experiments.insert(experiment);
      const double deviation = *value / tpot - 1.0;
      if (std::abs(deviation) <= kIdentityTolerance) continue;
      if (column.violating.empty()) column.first = row.find(name)->place;
      column.violating.insert(experiment);
      if (std::abs(deviation) > std::abs(column.worst)) column.worst = deviation;
    }
  }

  void report(text::Problems& problems) const {
    for (const auto& [name, column] : columns_) {
      if (column.violating.empty()) continue;
      problems.warning(column.first,
                       fmt::format("'{}' is not (E2E - TTFT) / (output tokens - 1) in {} of {} experiments: off by up to {:+.1f} %",
                                   name, column.violating.size(), column.experiments.size(), 100.0 * column.worst),
                       name == "tpot_true_mean" ? "correct it or output_tokens_generated" : "it is shown, never scored");
    }
  }

 private:
  struct Column {
    std::set<text::Place> experiments;  ///< that have the column
    std::set<text::Place> violating;
    text::Place first;
    double worst = 0.0;
  };

  static std::optional<double> mean(const text::Node& row, std::string_view name) {
    const text::Node* node = row.find(name);
    double value = 0.0;
    text::Problems reported_elsewhere("");
    if (node == nullptr || node->kind != text::Node::Kind::scalar ||
        !text::convert(*node, name, value, reported_elsewhere, text::above(0))) {
      return std::nullopt;
    }
    return value;
  }

  std::map<std::string, Column> columns_;
};

/// Reads the experiments of one file.
class GroundTruthReader {
 public:
  GroundTruthReader(const std::filesystem::path& file, text::Problems& problems) : file_(file), problems_(problems) {}

  std::vector<Experiment> experiments(const text::Node& root) {
    std::vector<Experiment> experiments;
    if (!text::is_list(root, "ground truth", problems_)) return experiments;
    if (root.items.empty()) problems_.error(root.place, "the file holds no experiment", "add one or leave the file out");
    std::map<std::string, int> line_of_id;
    for (const text::Node& node : root.items) {
      experiments.push_back(experiment(node));
      const auto [first, is_new] = line_of_id.emplace(experiments.back().id, node.place.line);
      if (!is_new && !first->first.empty()) {
        problems_.error(node.place, fmt::format("the id '{}' was given in line {} already", first->first, first->second),
                        "make ids unique");
      }
    }
    identity_.report(problems_);
    return experiments;
  }

  /// Where the experiments say on what they ran, by id.
  domain::PlacesByExperiment take_places() { return std::move(places_); }

 private:
  Experiment experiment(const text::Node& node) {
    Experiment experiment;
    text::ObjectReader reader(node, problems_, "an experiment", text::OtherKeys::tolerate);
    domain::Deployment& deployment = experiment.deployment;
    reader.required("id", experiment.id);
    reader.optional("sweep", experiment.sweep);
    reader.optional_choice<domain::Role>("role", experiment.role, kRoles);
    reader.required("model", deployment.model);
    reader.required("hardware", deployment.hardware);
    reader.required("tp", deployment.tp, text::counted(1, core::limits::kParallelDegree));
    reader.optional("dp", deployment.dp, text::counted(1, core::limits::kParallelDegree));
    reader.optional("pp", deployment.pp, text::counted(1, core::limits::kParallelDegree));
    if (const text::Node* apart = reader.optional_object("prefill_decode")) deployment.prefill_decode = prefill_decode(*apart);
    reader.optional("precision", deployment.precision);
    if (std::string engine; reader.optional("engine", engine)) deployment.engine = domain::engine_name(engine);
    reader.optional("flags", experiment.flags);
    if (const text::Node* settings = reader.required_object("vllm"))
      deployment.settings = engine_settings(*settings, reader, deployment);
    if (const text::Node* workload_node = reader.required_object("workload")) experiment.workload = workload(*workload_node);
    if (const text::Node* measured = reader.required_object("measured")) {
      experiment.measured = measurement(*measured, experiment.workload, node.place, experiment.role);
    }
    check_context(experiment, node.place);
    const auto position = [&](std::string_view key) {
      const text::Node* found = node.find(key);
      const text::Place place = found == nullptr ? node.place : found->place;
      return core::SourcePosition{file_.string(), place.line, place.column};
    };
    places_[experiment.id] = {.model = position("model"), .hardware = position("hardware")};
    return experiment;
  }

  domain::EngineSettings engine_settings(const text::Node& node, const text::ObjectReader& experiment,
                                         domain::Deployment& deployment) {
    // What is not recorded is what the engine's version does (sim::settle).
    domain::EngineSettings settings{.version = "", .max_model_len = 0, .max_num_batched_tokens = 0, .max_num_seqs = 0};
    settings.block_size = domain::default_block_size(deployment.engine);
    text::ObjectReader reader(node, problems_, "'vllm'");
    reader.required("version", settings.version);
    reader.optional("max_model_len", settings.max_model_len, text::counted(1, core::limits::kTokens));
    reader.optional("max_num_batched_tokens", settings.max_num_batched_tokens, text::counted(1, core::limits::kTokens));
    reader.optional("max_num_seqs", settings.max_num_seqs, text::counted(1, core::limits::kSequences));
    reader.optional("gpu_mem_util", settings.gpu_mem_util, text::above_up_to(0, 1));
    reader.optional("cpu_offload", settings.cpu_offload);
    reader.optional("total_kv_blocks", settings.total_kv_blocks, text::counted(1, core::limits::kKvBlocks));
    reader.optional("cpu_kv_blocks", settings.cpu_kv_blocks, text::counted(0, core::limits::kKvBlocks));
    reader.optional("block_size", settings.block_size, text::power_of_two());
    reader.optional("enable_prefix_caching", settings.enable_prefix_caching);
    reader.optional("enable_chunked_prefill", settings.enable_chunked_prefill);
    reader.optional("long_prefill_token_threshold", settings.long_prefill_token_threshold, text::counted(0, core::limits::kTokens));
    reader.optional("async_scheduling", settings.async_scheduling);
    reader.optional("scheduler_reserve_full_isl", settings.scheduler_reserve_full_isl);
    reader.optional("watermark", settings.watermark, text::within(0, 1));
    if (const text::Node* type = reader.find("kv_cache_dtype")) {
      text::convert_word(*type, "kv_cache_dtype", settings.kv_cache_dtype, domain::kKvCacheTypes, problems_);
    }
    reader.optional("quantization", settings.quantization);
    if (const text::Node* mode = reader.find("cudagraph_mode")) {
      text::convert_word(*mode, "cudagraph_mode", settings.cudagraph_mode, domain::kCudagraphModes, problems_);
    }
    reader.optional("cudagraph_capture_sizes", settings.cudagraph_capture_sizes, text::at_least(1));
    reader.optional("max_cudagraph_capture_size", settings.max_cudagraph_capture_size, text::counted(1, core::limits::kTokens));
    reader.optional("enable_expert_parallel", settings.enable_expert_parallel);
    domain::All2AllBackend backend{};
    if (reader.optional_choice("all2all_backend", backend,
                               std::span<const text::Choice<domain::All2AllBackend>>(domain::kAll2AllBackends))) {
      settings.all2all_backend = backend;
    }
    reader.optional("fuse_allreduce_rms", settings.fuse_allreduce_rms);
    if (const text::Node* speculative = reader.optional_object("speculative")) settings.speculative = speculation(*speculative);
    read_ranks(reader, experiment, deployment.dp, settings);
    read_degree(reader, "pipeline_parallel_size", experiment, "pp", deployment.pp);
    return settings;
  }

  domain::PrefillDecode prefill_decode(const text::Node& node) {
    domain::PrefillDecode apart;
    text::ObjectReader reader(node, problems_, "'prefill_decode'");
    if (const text::Node* pool = reader.required_object("prefill")) apart.prefill = engine_pool(*pool);
    if (const text::Node* pool = reader.required_object("decode")) apart.decode = engine_pool(*pool);
    return apart;
  }

  domain::EnginePool engine_pool(const text::Node& node) {
    domain::EnginePool pool;
    text::ObjectReader reader(node, problems_, "a pool of engines");
    reader.optional("engines", pool.engines, text::counted(1, core::limits::kParallelDegree));
    reader.optional("tp", pool.tp, text::counted(1, core::limits::kParallelDegree));
    return pool;
  }

  domain::Speculation speculation(const text::Node& node) {
    domain::Speculation speculation;
    text::ObjectReader reader(node, problems_, "'speculative'");
    reader.required("method", speculation.method);
    reader.optional("num_speculative_tokens", speculation.num_speculative_tokens, text::at_least(1));
    reader.optional("mean_accepted_length", speculation.mean_accepted_length, text::at_least(1));
    reader.optional("acceptance_per_position", speculation.acceptance_per_position, text::within(0, 1));
    reader.optional("draft_model", speculation.draft_model);
    reader.optional("draft_layers", speculation.draft_layers, text::at_least(1));
    return speculation;
  }

  /// Ranks of one engine beside engines behind a router: the same number for both is most likely the same thing said twice.
  void read_ranks(text::ObjectReader& reader, const text::ObjectReader& experiment, int dp, domain::EngineSettings& settings) {
    if (!reader.optional("data_parallel_size", settings.data_parallel_size, text::counted(1, core::limits::kParallelDegree))) return;
    const int ranks = settings.data_parallel_size;
    if (ranks == 1 || ranks != dp || experiment.node().find("dp") == nullptr) return;
    problems_.error(reader.place_of("data_parallel_size"), fmt::format("both 'dp' and 'data_parallel_size' are {}", ranks),
                    fmt::format("for one engine of {0} ranks write dp: 1, for {0} engines leave data_parallel_size out", ranks));
  }

  /// A degree that vLLM's settings name and the experiment may name too.
  void read_degree(text::ObjectReader& settings, std::string_view key, const text::ObjectReader& experiment, std::string_view own_key,
                   int& degree) {
    int given = 0;
    if (!settings.optional(key, given, text::at_least(1))) return;
    const bool is_named_twice = experiment.node().find(own_key) != nullptr;
    if (is_named_twice && given != degree) {
      problems_.error(settings.place_of(key), fmt::format("'{}' is {}, but '{}' is {}", key, given, own_key, degree),
                      "give one of them, or the same number");
    }
    degree = given;
  }

  Workload workload(const text::Node& node) {
    Workload workload;
    int question_tokens = 0;
    int output_tokens = 0;
    text::ObjectReader reader(node, problems_, "'workload'", text::OtherKeys::tolerate);
    reader.required("name", workload.name);
    reader.optional("type", workload.type);
    reader.optional("system_prompt_len", workload.system_prompt_tokens, text::counted(0, core::limits::kTokens));
    const text::Node* prompt_length = reader.optional_object("prompt_length");
    const text::Node* output_length = reader.optional_object("output_length");
    if (const text::Node* arrival_node = reader.optional_object("arrival")) arrival(*arrival_node, workload);
    const bool is_trace = workload.arrival.process == ArrivalProcess::trace;
    read_length(reader, "question_len", question_tokens, is_trace || prompt_length != nullptr);
    read_length(reader, "output_len", output_tokens, is_trace || output_length != nullptr);
    workload.prompt.mean_tokens = workload.system_prompt_tokens + question_tokens;
    workload.output.mean_tokens = output_tokens;
    if (prompt_length != nullptr) workload.prompt = length_distribution(*prompt_length, "'prompt_length'");
    if (output_length != nullptr) workload.output = length_distribution(*output_length, "'output_length'");
    if (const text::Node* effective_node = reader.optional_object("effective")) effective(*effective_node, workload);
    if (const text::Node* sessions_node = reader.optional_object("sessions")) sessions(*sessions_node, workload);
    if (const text::Node* warm_up_node = reader.optional_object("warm_up"))
      workload.warm_up = warm_up(*warm_up_node, workload.arrival);
    if (int seed = 0; reader.optional("numpy_seed", seed, text::at_least(0))) {
      workload.numpy_seed = static_cast<std::uint32_t>(seed);
      check_numpy(reader, workload);
    }
    reader.optional("temperature", workload.temperature, text::at_least(0));
    const auto stage_nodes = reader.required_list("stages");
    for (const text::Node& stage_node : stage_nodes) workload.stages.push_back(stage(stage_node, workload.arrival));
    std::int64_t requests = 0;
    for (const domain::Stage& stage : workload.stages) requests += stage.num_requests;
    if (requests > core::limits::kRequests) {
      problems_.error(reader.place_of("stages"), fmt::format("all stages have {} requests", requests),
                      fmt::format("an experiment has at most {}", core::limits::kRequests));
    }
    check_trace_stages(workload, reader.place_of("stages"));
    return workload;
  }

  void sessions(const text::Node& node, Workload& workload) {
    workload.pattern = PromptPattern::conversations;
    text::ObjectReader reader(node, problems_, "'sessions'");
    if (const text::Node* turns = reader.optional_object("turns")) workload.turns = length_distribution(*turns, "'turns'");
    if (const text::Node* think = reader.optional_object("think_time")) {
      text::ObjectReader time(*think, problems_, "'think_time'");
      time.required("mean", workload.think_time.mean, text::counted(0, core::limits::kTokens));
      time.optional_choice<domain::ThinkTime::Shape>("distribution", workload.think_time.shape, kThinkTimes);
    }
  }

  domain::WarmUp warm_up(const text::Node& node, const domain::Arrival& arrival) {
    domain::WarmUp warm_up{.concurrency = std::max(1, arrival.concurrency)};
    text::ObjectReader reader(node, problems_, "'warm_up'");
    reader.required("requests", warm_up.requests, text::counted(0, core::limits::kRequests));
    reader.optional("concurrency", warm_up.concurrency, text::counted(1, core::limits::kSequences));
    reader.optional_choice<domain::WarmUp::Prompt>("prompt", warm_up.prompt, kWarmUpPrompts);
    return warm_up;
  }

  void check_numpy(const text::ObjectReader& reader, const Workload& workload) {
    if (workload.prompt.shape == domain::LengthShape::uniform && workload.output.shape == domain::LengthShape::uniform) return;
    problems_.error(reader.place_of("numpy_seed"), "'numpy_seed' draws uniform lengths, but the lengths are not uniform",
                    "give prompt_length and output_length with distribution: uniform, min and max");
  }

  static void read_length(text::ObjectReader& reader, std::string_view key, int& target, bool given_otherwise) {
    if (given_otherwise) {
      reader.optional(key, target, text::counted(1, core::limits::kTokens));
    } else {
      reader.required(key, target, text::counted(1, core::limits::kTokens));
    }
  }

  domain::LengthDistribution length_distribution(const text::Node& node, std::string name) {
    domain::LengthDistribution length;
    text::ObjectReader reader(node, problems_, std::move(name));
    reader.optional_choice<domain::LengthShape>("distribution", length.shape, kLengthShapes);
    const bool is_uniform = length.shape == domain::LengthShape::uniform;
    if (is_uniform) {
      reader.required("min", length.min_tokens, text::counted(1, core::limits::kTokens));
      reader.required("max", length.max_tokens, text::counted(1, core::limits::kTokens));
      length.mean_tokens = 0.5 * (length.min_tokens + length.max_tokens);
    } else {
      reader.required("mean", length.mean_tokens, text::counted(1, core::limits::kTokens));
      reader.optional("standard_deviation", length.standard_deviation_tokens, text::counted(0, core::limits::kTokens));
      reader.optional("min", length.min_tokens, text::counted(1, core::limits::kTokens));
      reader.optional("max", length.max_tokens, text::counted(1, core::limits::kTokens));
    }
    if (length.min_tokens > length.max_tokens) {
      problems_.error(reader.place_of("min"), fmt::format("'min' {} is above 'max' {}", length.min_tokens, length.max_tokens),
                      "exchange them");
    }
    return length;
  }

  void arrival(const text::Node& node, Workload& workload) {
    domain::Arrival& arrival = workload.arrival;
    std::string table;
    text::ObjectReader reader(node, problems_, "'arrival'", text::OtherKeys::tolerate);
    if (!reader.optional_choice<ArrivalProcess>("process", arrival.process, kProcesses)) {
      reader.optional_choice<ArrivalProcess>("inference_perf_load_type", arrival.process, kInferencePerfLoadTypes);
    }
    if (arrival.process == ArrivalProcess::closed_loop) clients(reader, arrival);
    if (arrival.process == ArrivalProcess::gamma) {
      reader.required("coefficient_of_variation", arrival.gamma_coefficient_of_variation, text::above(0));
    }
    if (const text::Node* ramp = reader.optional_object("ramp_up")) rate_ramp(*ramp, arrival);
    const bool has_table =
        arrival.process == ArrivalProcess::trace ? reader.required("table", table) : reader.optional("table", table);
    if (has_table) workload.trace = trace(table, arrival.process, reader.place_of("table"));
  }

  void clients(text::ObjectReader& reader, domain::Arrival& arrival) {
    reader.required("concurrency", arrival.concurrency, text::counted(1, core::limits::kSequences));
    reader.optional("turnaround_us", arrival.turnaround_us, text::at_least(0));
    reader.optional_choice<domain::ClientStart>("start", arrival.start, kClientStarts);
    if (arrival.start == domain::ClientStart::ramp) {
      reader.required("ramp_duration", arrival.ramp, text::above(0));
    } else {
      reader.optional("ramp_duration", arrival.ramp, text::at_least(0));
    }
  }

  void rate_ramp(const text::Node& node, domain::Arrival& arrival) {
    text::ObjectReader reader(node, problems_, "'ramp_up'");
    reader.required_choice<domain::RateRamp>("strategy", arrival.rate_ramp, kRateRamps);
    reader.required("start_rps", arrival.first_rate, text::above_up_to(0, kMaxRatePerSecond));
    reader.required("end_rps", arrival.last_rate, text::above_up_to(0, kMaxRatePerSecond));
    if (arrival.process == ArrivalProcess::poisson || arrival.process == ArrivalProcess::gamma) return;
    problems_.error(node.place, "'ramp_up' goes with Poisson or gamma arrivals", "set 'process' to poisson or gamma");
  }

  std::vector<domain::TracedRequest> trace(const std::string& name, ArrivalProcess process, text::Place place) {
    auto table = read_request_table(file_.parent_path() / name);
    if (!table) {
      problems_.add(table.error());
      return {};
    }
    // Arrivals that the client held back are no arrivals at a rate.
    for (const auto& [stage, cap] : table->client_caps) {
      if (process != ArrivalProcess::trace) break;
      problems_.warning(
          place,
          fmt::format("stage {}: never more than {} requests were in flight, and as many {:.0f} % of the time: the client "
                      "was the limit, not the rate",
                      stage, cap.clients, 100.0 * cap.share_of_time),
          fmt::format("replay it as it was sent: process closed_loop, concurrency {}, start ramp over {:.1f} s, turnaround_us "
                      "{:.0f}, the same table",
                      cap.clients, cap.ramp_s, cap.turnaround_us));
    }
    return std::move(table->requests);
  }

  void effective(const text::Node& node, Workload& workload) {
    std::string order;
    bool multi_turn = false;
    double range_percent = 0.0;
    text::ObjectReader reader(node, problems_, "'effective'", text::OtherKeys::tolerate);
    reader.optional("distinct_prompts", workload.distinct_prompts, text::counted(1, core::limits::kGroups));
    reader.optional("order", order);
    reader.optional("multi_turn", multi_turn);
    reader.optional("turns_per_conversation", workload.turns_per_conversation, text::counted(1, core::limits::kGroups));
    reader.optional("num_groups", workload.prompt_groups, text::counted(0, core::limits::kGroups));
    reader.optional("prompt_tokens_actual_mean", workload.prompt.mean_tokens, text::counted(1, core::limits::kTokens));
    reader.optional("prompt_tokens_range_pct", range_percent, text::within(0, 100));
    reader.optional("output_tokens_generated", workload.output.mean_tokens, text::counted(1, core::limits::kTokens));
    workload.prompt_spread_fraction = range_percent / 100.0;
    const bool is_cycled = order.find("cycled") != std::string::npos;
    if (is_cycled && workload.distinct_prompts == 0) {
      problems_.error(reader.place_of("order"), "the prompts are cycled, but how many there are is not said",
                      "add 'distinct_prompts'");
    }
    if (multi_turn) {
      workload.pattern = PromptPattern::conversations;
    } else if (is_cycled || (order.empty() && workload.distinct_prompts > 0)) {
      workload.pattern = PromptPattern::cycled;
    } else if (!order.empty() && order.find("unique") == std::string::npos) {
      problems_.error(reader.place_of("order"), fmt::format("'order' is '{}'", order), "it must say 'cycled' or 'unique'");
    }
  }

  domain::Stage stage(const text::Node& node, const domain::Arrival& arrival) {
    domain::Stage stage;
    text::ObjectReader reader(node, problems_, "a stage");
    if (arrival.process == ArrivalProcess::closed_loop || arrival.process == ArrivalProcess::trace) {
      // A closed loop has no rate, and a trace brings its own arrivals; both end when their requests do, or a loop after its time.
      reader.optional("rate", stage.rate, text::above(0));
      reader.optional("duration", stage.duration, text::above_up_to(0, kMaxDurationSeconds));
      if (arrival.process == ArrivalProcess::closed_loop) {
        reader.optional("concurrency", stage.concurrency, text::counted(1, core::limits::kSequences));
        if (!reader.optional("num_requests", stage.num_requests, text::counted(1, core::limits::kRequests)) &&
            stage.duration.value == 0.0) {
          problems_.error(node.place, "a stage of a closed loop has neither 'num_requests' nor 'duration'", "say where it ends");
        }
      } else {
        reader.required("num_requests", stage.num_requests, text::counted(1, core::limits::kRequests));
      }
      return stage;
    }
    if (arrival.rate_ramp != domain::RateRamp::none) {
      if (reader.required("num_requests", stage.num_requests, text::counted(1, core::limits::kRequests)))
        stage.rate = domain::mean_rate(arrival, stage.num_requests);
      return stage;
    }
    const bool has_rate = reader.required("rate", stage.rate, text::above_up_to(0, kMaxRatePerSecond));
    const bool has_duration = reader.required("duration", stage.duration, text::above_up_to(0, kMaxDurationSeconds));
    const double expected = stage.rate.value * stage.duration.value;
    if (!reader.optional("num_requests", stage.num_requests, text::counted(1, core::limits::kRequests))) {
      if (expected > core::limits::kRequests) {
        problems_.error(node.place, fmt::format("rate x duration is {:g} requests", expected),
                        fmt::format("at most {} are taken; check the units (requests per second, seconds)", core::limits::kRequests));
        return stage;
      }
      stage.num_requests = static_cast<int>(std::lround(expected));
      if (has_rate && has_duration && stage.num_requests == 0) {
        problems_.error(node.place, "rate x duration is less than one request", "make the stage longer");
      }
    }
    if (has_rate && has_duration && std::abs(stage.num_requests - expected) > kRequestCountTolerance) {
      problems_.warning(reader.place_of("num_requests"),
                        fmt::format("a stage of {} requests, but rate x duration is {:g}", stage.num_requests, expected),
                        "num_requests counts; correct the rate or the duration");
    }
    return stage;
  }

  void check_trace_stages(const Workload& workload, text::Place place) {
    std::vector<int> counts(workload.stages.size());
    for (const domain::TracedRequest& request : workload.trace) {
      if (request.stage >= static_cast<int>(counts.size())) {
        problems_.error(place,
                        fmt::format("the table has requests of stage {}, but there are {} stages", request.stage, counts.size()),
                        "stages count from 0; -1 marks rows that do not belong to the experiment");
        return;
      }
      ++counts[static_cast<std::size_t>(request.stage)];
    }
    for (std::size_t i = 0; i < counts.size() && !workload.trace.empty(); ++i) {
      if (counts[i] == workload.stages[i].num_requests) continue;
      problems_.error(place,
                      fmt::format("stage {} has {} requests, but the table has {}", i, workload.stages[i].num_requests, counts[i]),
                      "make 'num_requests' what the table holds");
    }
  }

  domain::Measurement measurement(const text::Node& node, const Workload& workload, text::Place experiment, domain::Role role) {
    domain::Measurement measurement;
    text::ObjectReader reader(node, problems_, "'measured'", text::OtherKeys::tolerate);
    reader.optional_choice<domain::MeasuredAt>("measured_at", measurement.measured_at, kMeasuredAt);
    if (const text::Node* node_of_statistic = reader.optional_object("statistic")) {
      text::ObjectReader words(*node_of_statistic, problems_, "'statistic'");
      for (const auto& [name, metric] : kStatistics) {
        Statistic statistic = Statistic::mean;
        words.optional_choice<Statistic>(name, statistic, kStatisticWords);
        if (statistic == Statistic::unknown) measurement.unknown_statistic.push_back(metric);
      }
    }
    const double generated_tokens = workload.output.mean_tokens;
    if (const text::Node* summary = reader.required_object("summary")) {
      measurement.summary = latencies(*summary, "'summary'");
      identity_.add(*summary, generated_tokens, experiment);
      warn_about_failures(measurement.summary, *summary, role);
      warn_about_units(measurement.summary, *summary, generated_tokens);
    }
    measurement.stages.resize(workload.stages.size());
    const auto rows = reader.optional_list("stages");
    for (std::size_t i = 0; i < rows.size(); ++i) {
      int index = static_cast<int>(i);
      text::ObjectReader row(rows[i], problems_, "a measured stage", text::OtherKeys::tolerate);
      row.optional("stage", index, text::counted(0, core::limits::kGroups));
      const domain::Latencies row_latencies = latencies(rows[i], "a measured stage");
      identity_.add(rows[i], generated_tokens, experiment);
      if (static_cast<std::size_t>(index) < measurement.stages.size()) {
        measurement.stages[static_cast<std::size_t>(index)] = row_latencies;
      } else if (!workload.stages.empty()) {
        problems_.error(rows[i].place, fmt::format("measured stage {}, but the workload has {} stages", index, workload.stages.size()),
                        "stages count from 0");
      }
    }
    if (rows.empty() && measurement.stages.size() == 1) {
      measurement.stages.front() = measurement.summary;
    } else if (rows.size() < measurement.stages.size()) {
      problems_.warning(reader.place_of("stages"),
                        fmt::format("{} of {} stages were measured", rows.size(), measurement.stages.size()),
                        "only the summary is compared for the others");
    }
    return measurement;
  }

  domain::Latencies latencies(const text::Node& node, std::string name) {
    domain::Latencies latencies;
    text::ObjectReader reader(node, problems_, std::move(name), text::OtherKeys::tolerate);
    for (const auto& [field, metric] : kMetricFields) reader.optional(field, latencies[metric], text::above(0));
    reader.optional("itl_mean", latencies.itl_mean_ms, text::above(0));
    reader.optional("num_success", latencies.succeeded, text::counted(0, core::limits::kRequests));
    reader.optional("num_failure", latencies.failed, text::counted(0, core::limits::kRequests));
    if (std::ranges::none_of(kCompared, [&](Metric metric) { return latencies[metric].has_value(); })) {
      problems_.error(node.place, "the row has no mean or median of TTFT, E2E or TPOT", "give what was measured, in ms");
    }
    if (latencies[Metric::ttft_mean] > latencies[Metric::e2e_mean] && latencies[Metric::e2e_mean]) {
      problems_.error(reader.place_of("ttft_mean"), "the mean TTFT is longer than the mean E2E",
                      "check the columns and their units (ms)");
    }
    return latencies;
  }

  void warn_about_failures(const domain::Latencies& summary, const text::Node& node, domain::Role role) {
    if (summary.failed.value_or(0) == 0) return;
    problems_.warning(node.find("num_failure")->place,
                      fmt::format("{} of {} requests failed: the figures are over the others", *summary.failed,
                                  *summary.failed + summary.succeeded.value_or(0)),
                      role == domain::Role::overload ? "it is shown, never aggregated" : "give it the role 'overload'");
  }

  /// Latencies that no server reaches or that nobody waits for are in another unit.
  void warn_about_units(const domain::Latencies& summary, const text::Node& node, double generated_tokens) {
    const auto ttft = summary[Metric::ttft_mean];
    const auto e2e = summary[Metric::e2e_mean];
    const double per_token_ms = e2e ? *e2e / std::max(1.0, generated_tokens) : kFastestTokenMs;
    if ((ttft && *ttft < kFastestFirstTokenMs) || per_token_ms < kFastestTokenMs) {
      problems_.warning(node.place,
                        fmt::format("a mean TTFT of {:g} ms and a mean E2E of {:g} ms for {:g} tokens", ttft.value_or(0.0),
                                    e2e.value_or(0.0), generated_tokens),
                        "no server is so fast: are they seconds? give milliseconds");
    } else if (e2e && per_token_ms > kSlowestTokenMs) {
      problems_.warning(node.place, fmt::format("a mean E2E of {:g} ms for {:g} tokens", *e2e, generated_tokens),
                        "no server is so slow: are they microseconds? give milliseconds");
    }
  }

  void check_context(const Experiment& experiment, text::Place place) {
    const double longest = experiment.workload.prompt.mean_tokens + experiment.workload.output.mean_tokens;
    const int most = experiment.deployment.settings.max_model_len;
    if (most == 0 || longest <= most) return;
    problems_.error(place,
                    fmt::format("prompt and output are {:g} tokens, more than max_model_len {}", longest,
                                experiment.deployment.settings.max_model_len),
                    "the engine would refuse the requests: correct either");
  }

  std::filesystem::path file_;
  text::Problems& problems_;
  IdentityCheck identity_;
  domain::PlacesByExperiment places_;
};

}  // namespace

core::Result<GroundTruth> read_ground_truth(const std::filesystem::path& file) {
  const auto document = text::read_document(file);
  if (!document) return tl::unexpected(document.error());
  text::Problems problems(document->file);
  GroundTruthReader reader(file, problems);
  GroundTruth ground_truth{.experiments = reader.experiments(document->root), .places = reader.take_places(), .warnings = {}};
  if (problems.has_errors()) return tl::unexpected(problems.take_errors());
  ground_truth.warnings = problems.take_warnings();
  return ground_truth;
}

core::Result<GroundTruth> read_ground_truth(std::span<const std::filesystem::path> files) {
  GroundTruth all;
  core::Diagnostics errors;
  std::map<std::string, std::string> file_of_id;
  for (const std::filesystem::path& file : files) {
    auto one = read_ground_truth(file);
    if (!one) {
      std::ranges::move(one.error(), std::back_inserter(errors));
      continue;
    }
    for (Experiment& experiment : one->experiments) {
      const auto [first, is_new] = file_of_id.emplace(experiment.id, file.string());
      if (!is_new) {
        errors.push_back({.position = {.file = file.string()},
                          .problem = fmt::format("the experiment '{}' is in {} already", experiment.id, first->second),
                          .remedy = "give one of the files, or make ids unique"});
      }
      all.experiments.push_back(std::move(experiment));
    }
    all.places.merge(one->places);
    std::ranges::move(one->warnings, std::back_inserter(all.warnings));
  }
  if (!errors.empty()) return tl::unexpected(std::move(errors));
  return all;
}

}  // namespace rooftune::data
