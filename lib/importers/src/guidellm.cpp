#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "guidellm_data.hpp"
#include "recorded_run.hpp"
#include "units.hpp"

namespace rooftune::importers {
namespace {

// GuideLLM's report: {"benchmarks": [...]}, one for each strategy of the run's profile. A benchmark has its strategy, the requests
// by outcome (successful, errored, incomplete) and `metrics` by outcome. Fields moved between versions: 0.2 has args.strategy and
// run_stats, later ones config.strategy and scheduler_metrics; times of a request stand on it or under info.timings; the data are in
// the benchmark (0.2 to 0.7) or once for the report, under config.spec (0.8, "version": 2). Lists of requests may be samples.

using domain::ArrivalProcess;
using domain::Metric;

/// One benchmark of the report.
struct Level {
  std::string strategy;  ///< "constant", "poisson", "concurrent", "synchronous", "throughput"
  std::optional<int> streams;
  RecordedStage stage;
  domain::LengthDistribution prompt;  ///< of the metrics, for reports without requests
  domain::LengthDistribution output;
  double ramp_s = 0.0;  ///< over which clients or the rate come up
  std::vector<RecordedTurn> turns;
  std::size_t cut_off = 0;
  std::size_t listed = 0;  ///< successful requests in the report, where it lists fewer than it counts; else 0

  [[nodiscard]] bool has_rate() const {
    return strategy == "constant" || strategy == "poisson" || (strategy == "replay" && !stage.requests.empty());
  }
};

std::optional<RecordedRequest> read_request(const text::Node& node, text::Problems& problems) {
  const std::size_t reported_before = problems.error_count();
  const auto start = number_at(node, {"start_time", "request_start_time", "info.timings.request_start"}, problems);
  const auto ttft = number_at(node, {"time_to_first_token_ms"}, problems, text::above(0));
  const auto latency = number_at(node, {"request_latency"}, problems, text::above(0));
  const auto input = count_at(node, {"prompt_tokens", "input_metrics.text_tokens", "request_args.prompt_tokens"}, problems);
  const auto output = count_at(node, {"output_tokens", "output_metrics.text_tokens"}, problems);
  if (!start || !ttft || !latency || !input || !output) {
    if (problems.error_count() > reported_before) return std::nullopt;
    std::vector<std::string_view> missing;
    if (!start) missing.emplace_back("its start");
    if (!ttft) missing.emplace_back("'time_to_first_token_ms' (was streaming off?)");
    if (!latency) missing.emplace_back("'request_latency'");
    if (!input) missing.emplace_back("'prompt_tokens'");
    if (!output) missing.emplace_back("'output_tokens'");
    problems.error(node.place, fmt::format("a successful request lacks {}", fmt::join(missing, ", ")),
                   "run GuideLLM with a streaming backend and a tokenizer");
    return std::nullopt;
  }
  RecordedRequest request{.start_s = *start,
                          .ttft_ms = *ttft,
                          .e2e_ms = *latency * kMillisecondsPerSecond,
                          .input_tokens = *input,
                          .output_tokens = *output};
  if (!check_request(request, node.place, problems)) return std::nullopt;
  return request;
}

domain::LengthDistribution read_lengths(const text::Node& node, std::string_view metric, text::Problems& problems) {
  const std::string base = fmt::format("metrics.{}.successful.", metric);
  domain::LengthDistribution lengths;
  const auto at = [&](std::string_view key) { return number_at(node, {base + std::string(key)}, problems); };
  lengths.mean_tokens = rounded(at("mean").value_or(0.0));
  lengths.standard_deviation_tokens = rounded(at("std_dev").value_or(0.0));
  lengths.min_tokens = std::max(1.0, at("min").value_or(lengths.min_tokens));
  lengths.max_tokens = at("max").value_or(lengths.max_tokens);
  return lengths;
}

RecordedRow read_row(const text::Node& node, text::Problems& problems) {
  RecordedRow row;
  const auto set = [&](Metric metric, std::string_view name, std::string_view statistic, double factor) {
    const std::string path = fmt::format("metrics.{}.successful.{}", name, statistic);
    if (const auto value = number_at(node, {path}, problems); value && *value > 0.0) row.latencies[metric] = *value * factor;
  };
  for (const auto& [statistic, ttft, e2e] : {std::tuple{"mean", Metric::ttft_mean, Metric::e2e_mean},
                                             {"percentiles.p90", Metric::ttft_p90, Metric::e2e_p90},
                                             {"percentiles.p99", Metric::ttft_p99, Metric::e2e_p99}}) {
    set(ttft, "time_to_first_token_ms", statistic, 1.0);
    set(e2e, "request_latency", statistic, kMillisecondsPerSecond);
  }
  if (const auto itl = number_at(node, {"metrics.inter_token_latency_ms.successful.mean"}, problems); itl && *itl > 0.0) {
    row.latencies.itl_mean_ms = rounded(*itl);
  }
  row.output_tokens = number_at(node, {"metrics.output_token_count.successful.mean"}, problems);
  row.latencies.succeeded = count_at(
      node, {"run_stats.requests_made.successful", "metrics.request_totals.successful", "scheduler_metrics.requests_made.successful"},
      problems);
  row.latencies.failed =
      count_at(node, {"run_stats.requests_made.errored", "metrics.request_totals.errored", "scheduler_metrics.requests_made.errored"},
               problems);
  return row;
}

std::size_t count_of(const text::Node& node, std::initializer_list<std::string_view> paths) {
  const text::Node* list = find_any(node, paths);
  return list == nullptr ? 0 : list->items.size();
}

Level read_level(const text::Node& node, text::Problems& problems) {
  Level level;
  const text::Node* strategy = find_any(node, {"args.strategy", "config.strategy", "strategy"});
  if (strategy == nullptr) {
    problems.error(node.place, "this benchmark does not say its strategy", "is it a report of GuideLLM 0.2 or later?");
    return level;
  }
  level.strategy = text_at(*strategy, {"type_", "type"}, problems).value_or("");
  level.stage.rate_per_s = number_at(*strategy, {"rate"}, problems, text::above(0));
  level.streams = count_at(*strategy, {"streams", "max_concurrency"}, problems);
  level.ramp_s = number_at(*strategy, {"rampup_duration", "startup_duration", "rampup"}, problems).value_or(0.0);
  if (level.has_rate()) level.stage.most_in_flight = count_at(*strategy, {"max_concurrency"}, problems);
  level.stage.row = read_row(node, problems);
  level.prompt = read_lengths(node, "prompt_token_count", problems);
  level.output = read_lengths(node, "output_token_count", problems);
  level.cut_off = count_of(node, {"requests.incomplete"});
  if (const text::Node* successful = find_any(node, {"requests.successful"});
      successful != nullptr && text::is_list(*successful, "'successful'", problems)) {
    for (const text::Node& request : successful->items) {
      const text::Node* conversation = find_any(request, {"info.conversation_id", "conversation_id"});
      if (const auto read = read_request(request, problems)) {
        level.turns.push_back({.conversation = conversation == nullptr ? "" : conversation->text, .request = *read});
        level.stage.requests.push_back(*read);
      }
    }
    domain::Latencies& row = level.stage.row.latencies;
    row.failed = std::max(row.failed.value_or(0), static_cast<int>(count_of(node, {"requests.errored"})));
    if (level.stage.requests.size() < static_cast<std::size_t>(row.succeeded.value_or(0))) {
      level.listed = std::max<std::size_t>(1, successful->items.size());
      level.stage.requests.clear();
    }
  }
  if (level.stage.requests.empty()) {
    level.stage.achieved_per_s = number_at(node, {"metrics.requests_per_second.successful.mean"}, problems, text::at_least(0));
  }
  const auto start = number_at(node, {"start_time"}, problems);
  const auto end = number_at(node, {"end_time"}, problems);
  if (start && end && *end > *start) level.stage.duration_s = *end - *start;
  level.stage.num_requests = level.stage.row.latencies.succeeded;
  return level;
}

void describe_data(const SyntheticData& data, RecordedRun& run) {
  domain::Workload& workload = run.workload;
  if (data.turns > 1 && workload.pattern != domain::PromptPattern::conversations) {
    run.warnings.push_back(
        warning_at(run.file, {.line = 0}, fmt::format("the data are conversations of {} turns", data.turns),
                   "not simulated: every turn is replayed as a prompt of its own, which finds no history in the prefix cache"));
  }
  if (data.prefixes.empty()) return;
  int groups = 0;
  double tokens = 0.0;
  double weights = 0.0;
  for (const PrefixBucket& bucket : data.prefixes) {
    groups += bucket.count;
    tokens += bucket.weight * bucket.tokens;
    weights += bucket.weight;
  }
  if (groups == 1) {
    workload.system_prompt_tokens = data.prefixes.front().tokens;
    return;
  }
  share_prefixes(data.prefixes, run);
  if (workload.arrival.process == ArrivalProcess::trace) return;
  workload.prompt_groups = groups;
  workload.system_prompt_tokens = static_cast<int>(tokens / weights);
  if (data.prefixes.size() > 1) {
    run.warnings.push_back(warning_at(run.file, {.line = 0}, "prefix_buckets of several lengths without every request",
                                      fmt::format("all prompts are simulated with a shared beginning of the mean length, {} tokens",
                                                  workload.system_prompt_tokens)));
  }
}

/// A list of requests that was cut to a sample cannot be replayed as if it were all.
void tell_sampled(const Level& level, RecordedRun& run) {
  if (level.listed == 0) return;
  run.assumptions.push_back(
      fmt::format("the report lists {} of {} successful requests (a sample): its metrics count, and requests are drawn", level.listed,
                  level.stage.row.latencies.succeeded.value_or(0)));
}

/// Times of a request-wise run are replayed; without requests the arrivals are drawn as the strategy draws them.
RecordedRun rate_run(const std::filesystem::path& file, const std::vector<Level>& levels) {
  RecordedRun run;
  run.file = file.string();
  run.id = id_of(file);
  std::vector<std::vector<RecordedTurn>> turns;
  bool has_requests = true;
  bool is_poisson = false;
  std::size_t other_levels = 0;
  std::size_t cut_off = 0;
  for (const Level& level : levels) {
    if (!level.has_rate()) {
      run.outside.insert(run.outside.end(), level.stage.requests.begin(), level.stage.requests.end());
      ++other_levels;
      continue;
    }
    run.stages.push_back(level.stage);
    turns.push_back(level.turns);
    tell_sampled(level, run);
    has_requests = has_requests && !level.stage.requests.empty();
    is_poisson = is_poisson || level.strategy == "poisson";
    cut_off += level.cut_off;
    run.workload.prompt = level.prompt;
    run.workload.output = level.output;
  }
  if (other_levels > 0) {
    run.assumptions.push_back(
        fmt::format("{} without a rate (synchronous, throughput, concurrent) left out; their requests have stage -1",
                    counted(other_levels, "load level")));
  }
  if (cut_off > 0) {
    run.assumptions.push_back(fmt::format("{} that the end of a load level cut off left out", counted(cut_off, "request")));
  }
  run.workload.arrival.process = has_requests ? ArrivalProcess::trace
                                 : is_poisson ? ArrivalProcess::poisson
                                              : ArrivalProcess::constant;
  if (has_requests) {
    join_turns(std::move(turns), run);
  } else {
    run.assumptions.emplace_back("without every request in the report lengths are drawn, normal around its means");
    if (std::ranges::any_of(levels, [](const Level& level) { return level.has_rate() && level.ramp_s > 0.0; })) {
      run.warnings.push_back(warning_at(run.file, {.line = 0}, "the rate rises while a load level begins (rampup)",
                                        "not simulated without every request in the report: the rate is the same from the start"));
    }
    for (RecordedStage& stage : run.stages) stage.requests.clear();
  }
  return run;
}

/// A closed loop for each number of clients.
std::vector<RecordedRun> closed_loop_runs(const std::string& id, const std::vector<Level>& levels) {
  std::vector<RecordedRun> runs;
  for (const Level& level : levels) {
    const std::optional<int> clients = level.strategy == "synchronous"  ? 1
                                       : level.strategy == "concurrent" ? level.streams
                                                                        : std::nullopt;
    if (!clients || *clients < 1) continue;
    RecordedRun& run = runs.emplace_back();
    run.id = fmt::format("{}-c{}", id, *clients);
    run.sweep = id;
    run.stages = {level.stage};
    run.stages.front().rate_per_s.reset();
    if (!level.stage.requests.empty()) join_turns({level.turns}, run);
    tell_sampled(level, run);
    run.workload.prompt = level.prompt;
    run.workload.output = level.output;
    run.workload.arrival = {.process = ArrivalProcess::closed_loop, .concurrency = *clients};
    if (level.ramp_s > 0.0) {
      run.workload.arrival.start = domain::ClientStart::ramp;
      run.workload.arrival.ramp = {level.ramp_s};
    }
    if (level.cut_off > 0) {
      run.assumptions.push_back(fmt::format("{} that the end of the load level cut off left out", counted(level.cut_off, "request")));
    }
  }
  return runs;
}

void read_model(const text::Node& report, const text::Node& benchmark, RecordedRun& run, text::Problems& problems) {
  const text::Node* model = find_any(benchmark, {"worker.backend_model", "config.backend.model", "backend.model"});
  if (model == nullptr) model = find_any(report, {"config.spec.backend.model", "args.model", "args.backend_kwargs.model"});
  std::string name;
  if (model == nullptr || !text::convert(*model, "'model'", name, problems)) return;
  run.model = std::move(name);
  run.places["model"] = model->place;
}

}  // namespace

core::Result<std::vector<RecordedRun>> read_guidellm(const std::filesystem::path& file) {
  const auto document = read_json(file);
  if (!document) return tl::unexpected(document.error());
  text::Problems problems(document->file);
  std::vector<Level> levels;
  text::ObjectReader reader(document->root, problems, "a report of GuideLLM", text::OtherKeys::tolerate);
  const auto benchmarks = reader.required_list("benchmarks");
  for (const text::Node& benchmark : benchmarks) levels.push_back(read_level(benchmark, problems));
  if (problems.has_errors()) return tl::unexpected(problems.take_errors());

  const bool has_rates = std::ranges::any_of(levels, &Level::has_rate);
  std::vector<RecordedRun> runs = has_rates ? std::vector{rate_run(file, levels)} : closed_loop_runs(id_of(file), levels);
  if (runs.empty()) {
    problems.error(reader.place_of("benchmarks"), "no benchmark has a rate or a number of concurrent streams",
                   "run GuideLLM with --rate-type constant, poisson, sweep or concurrent");
  }
  for (RecordedRun& run : runs) {
    run.file = document->file;
    read_model(document->root, benchmarks.front(), run, problems);
    run.workload.type = "guidellm_synthetic";
    run.workload.name = "guidellm";
    describe_data(guidellm_data(document->root, benchmarks.front()), run);
  }
  if (problems.has_errors()) return tl::unexpected(problems.take_errors());
  return runs;
}

}  // namespace rooftune::importers
