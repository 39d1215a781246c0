#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "inference_perf_config.hpp"
#include "recorded_run.hpp"
#include "units.hpp"

namespace rooftune::importers {
namespace {

// A report folder of inference-perf: config.yaml (what was run), summary_lifecycle_metrics.json and stage_<n>_lifecycle_metrics.json
// (latencies in seconds), per_request_lifecycle_metrics.json where it was asked for. Up to 0.5 a request keeps its tokens and their
// times in `info`, from 0.6 on in info.request_metrics and info.response_metrics, with the server's own count in server_usage. Its
// output_tokens are those of the text tokenised again.

namespace fs = std::filesystem;
using domain::ArrivalProcess;
using domain::Metric;

/// Relative difference of configured and reported output lengths that is worth a word.
constexpr double kSameLength = 0.01;
/// Between the 5th and the 95th percentile lies this share of a uniform spread.
constexpr double kShareBetweenP5AndP95 = 0.9;

RecordedRow read_row(const text::Node& root, text::Problems& problems) {
  RecordedRow row;
  const auto set = [&](Metric metric, std::string_view name, std::string_view statistic) {
    const std::string path = fmt::format("successes.latency.{}.{}", name, statistic);
    if (const auto seconds = number_at(root, {path}, problems, text::above(0)))
      row.latencies[metric] = *seconds * kMillisecondsPerSecond;
  };
  for (const auto& [statistic, ttft, e2e] : {std::tuple{"mean", Metric::ttft_mean, Metric::e2e_mean},
                                             {"p90", Metric::ttft_p90, Metric::e2e_p90},
                                             {"p99", Metric::ttft_p99, Metric::e2e_p99}}) {
    set(ttft, "time_to_first_token", statistic);
    set(e2e, "request_latency", statistic);
  }
  if (const auto itl = number_at(root, {"successes.latency.inter_token_latency.mean"}, problems, text::above(0))) {
    row.latencies.itl_mean_ms = *itl * kMillisecondsPerSecond;
  }
  row.latencies.succeeded = count_at(root, {"successes.count"}, problems);
  row.latencies.failed = count_at(root, {"failures.count"}, problems);
  if (!row.latencies[Metric::ttft_mean]) {
    problems.error(root.place, "the report has no time to first token", "run inference-perf with api.streaming: true");
  }
  return row;
}

RecordedStage read_stage(const text::Node& root, text::Problems& problems) {
  RecordedStage stage;
  stage.row = read_row(root, problems);
  stage.num_requests = count_at(root, {"load_summary.count"}, problems);
  stage.rate_per_s = number_at(root, {"load_summary.requested_rate"}, problems, text::above(0));
  stage.sent_per_s = number_at(root, {"load_summary.achieved_rate"}, problems, text::above(0));
  stage.send_delay_s = number_at(root, {"load_summary.schedule_delay.mean"}, problems);
  stage.achieved_per_s = number_at(root, {"successes.throughput.requests_per_sec"}, problems, text::at_least(0));
  stage.duration_s = number_at(root, {"load_summary.send_duration"}, problems, text::above(0));
  if (const auto failed = stage.row.latencies.failed; failed.value_or(0) > 0)
    stage.achieved_per_s.reset();  // failures are told as such
  return stage;
}

/// The lengths that the summary reports, where the config does not fix them or they differ from it.
void apply_reported_lengths(const text::Node& summary, bool has_fixed_output, RecordedRun& run, text::Problems& problems) {
  domain::Workload& workload = run.workload;
  const auto prompt = number_at(summary, {"successes.prompt_len.mean", "successes.prompt_tokens.mean"}, problems, text::at_least(1));
  const auto output = number_at(summary, {"successes.output_len.mean", "successes.output_tokens.mean"}, problems, text::at_least(1));
  const auto at = [&](std::string_view path) { return number_at(summary, {path}, problems); };
  if (prompt) workload.prompt.mean_tokens = rounded(*prompt);
  if (workload.pattern == domain::PromptPattern::cycled) {
    const auto p5 = at("successes.prompt_len.p5");
    const auto p95 = at("successes.prompt_len.p95");
    if (prompt && p5 && p95) workload.prompt_spread_fraction = rounded((*p95 - *p5) / kShareBetweenP5AndP95 / *prompt);
  } else if (prompt) {
    workload.prompt.min_tokens = at("successes.prompt_len.min").value_or(1.0);
    workload.prompt.max_tokens = at("successes.prompt_len.max").value_or(workload.prompt.max_tokens);
  }
  if (!output) return;
  if (!has_fixed_output) {
    workload.output.mean_tokens = rounded(*output);
    workload.output.min_tokens = std::max(1.0, at("successes.output_len.min").value_or(1.0));
    workload.output.max_tokens = at("successes.output_len.max").value_or(workload.output.max_tokens);
  } else if (std::abs(*output / workload.output.mean_tokens - 1.0) > kSameLength) {
    run.assumptions.push_back(fmt::format(
        "outputs have the configured {:g} tokens; the reported mean of {:g} is that of the text tokenised again, which differs",
        workload.output.mean_tokens, *output));
  }
}

/// The file of requests.
class RequestsReader {
 public:
  RequestsReader(RecordedRun& run, text::Problems& problems) : run_(run), problems_(problems) {}

  /// Requests of the whole run, given to the stages in order of their start.
  void read(const text::Node& root) {
    for (const text::Node& node : root.items) add(node);
    if (succeeded_.empty()) {
      problems_.error(root.place,
                      fmt::format("none of the {} can be replayed: {} failed, {} lack {}", counted(root.items.size(), "request"),
                                  failed_, incomplete_, missing_.empty() ? "nothing" : missing_),
                      "the file is of a version that is not known here, or the run was not streaming: leave it out, or report it");
      return;
    }
    if (incomplete_ > 0) {
      run_.warnings.push_back(warning_at(run_.file, {.line = 0},
                                         fmt::format("{} of the file of requests lack {}", counted(incomplete_, "request"), missing_),
                                         "they are left out"));
    }
    std::ranges::sort(started_);
    std::ranges::stable_sort(succeeded_, {}, &RecordedRequest::start_s);
    std::size_t sent = 0;
    std::size_t next = 0;
    for (RecordedStage& stage : run_.stages) {
      sent += static_cast<std::size_t>(stage.num_requests.value_or(0));
      const bool is_last = sent >= started_.size();
      while (next < succeeded_.size() && (is_last || succeeded_[next].start_s < started_[sent].first)) {
        stage.requests.push_back(succeeded_[next++]);
      }
    }
  }

  /// Counts of the text tokenised again are not what the server generated.
  void judge_token_counts(const text::Node& summary, const std::optional<domain::LengthDistribution>& drawn) {
    if (server_counts_ == succeeded_.size() || run_.workload.pattern == domain::PromptPattern::cycled) return;
    const auto mismatches = count_at(summary, {"token_count_mismatches", "successes.token_count_mismatches"}, problems_).value_or(0);
    if (mismatches > 0) {
      warn(fmt::format("in {} the server counted other output tokens than the client (token_count_mismatches)",
                       counted(static_cast<std::size_t>(mismatches), "request")));
      return;
    }
    if (!drawn) return;
    std::vector<int> tokens;
    for (const RecordedRequest& request : succeeded_) tokens.push_back(request.output_tokens);
    const domain::LengthDistribution counted_tokens = length_distribution(tokens);
    const bool are_outside =
        counted_tokens.max_tokens > drawn->max_tokens + 1.0 || counted_tokens.min_tokens < drawn->min_tokens - 1.0;
    if (are_outside) {
      warn(
          fmt::format("outputs of {:g} to {:g} tokens, but the data drew {:g} to {:g} (data.output_distribution, ignore_eos): the "
                      "counts are of the text tokenised again, {:.2f} times what was generated",
                      counted_tokens.min_tokens, counted_tokens.max_tokens, drawn->min_tokens, drawn->max_tokens,
                      counted_tokens.max_tokens > drawn->max_tokens + 1.0 ? counted_tokens.max_tokens / drawn->max_tokens
                                                                          : counted_tokens.min_tokens / drawn->min_tokens));
    } else {
      run_.assumptions.emplace_back("output lengths are those of the text tokenised again: the file has no count of the server's");
    }
  }

 private:
  void add(const text::Node& node) {
    const auto start = number_at(node, {"start_time"}, problems_);
    const auto end = number_at(node, {"end_time"}, problems_);
    const bool failed = find_any(node, {"error"}) != nullptr;
    if (!start) {
      note_missing("'start_time'");
      return;
    }
    started_.emplace_back(*start, !failed);
    if (failed) {
      ++failed_;
      return;
    }
    const text::Node* token_times =
        find_any(node, {"info.output_token_times", "info.response_metrics.output_token_times", "info.response_metrics.chunk_times",
                        "info.response_metrics.text.output_token_times"});
    const auto input = count_at(node,
                                {"info.response_metrics.server_usage.prompt_tokens", "info.input_tokens",
                                 "info.request_metrics.text.input_tokens", "info.request_metrics.input_tokens"},
                                problems_);
    if (!end) return note_missing("'end_time'");
    if (token_times == nullptr || token_times->items.empty()) return note_missing("the times of their tokens ('output_token_times')");
    if (!input) return note_missing("'input_tokens'");
    double first_token = 0.0;
    if (!text::convert(token_times->items.front(), "'output_token_times'", first_token, problems_)) return;
    const auto by_server = count_at(node, {"info.response_metrics.server_usage.completion_tokens"}, problems_);
    const auto by_client = count_at(node, {"info.output_tokens", "info.response_metrics.output_tokens"}, problems_);
    const bool is_cycled = run_.workload.pattern == domain::PromptPattern::cycled;
    const int output = is_cycled ? static_cast<int>(run_.workload.output.mean_tokens) : by_server ? *by_server : by_client.value_or(0);
    if (output < 1) return note_missing("a count of their output tokens");
    if (by_server) ++server_counts_;
    const RecordedRequest request{.start_s = *start,
                                  .ttft_ms = (first_token - *start) * kMillisecondsPerSecond,
                                  .e2e_ms = (*end - *start) * kMillisecondsPerSecond,
                                  .input_tokens = *input,
                                  .output_tokens = output};
    if (check_request(request, node.place, problems_)) succeeded_.push_back(request);
  }

  void note_missing(std::string what) {
    ++incomplete_;
    if (missing_.empty()) missing_ = std::move(what);
  }

  void warn(std::string problem) {
    run_.warnings.push_back(warning_at(run_.file, {.line = 0}, std::move(problem),
                                       "the time per token comes out too short or too long by this factor; a report with the server's "
                                       "own counts (inference-perf 0.6 and later) has none of it"));
  }

  RecordedRun& run_;
  text::Problems& problems_;
  std::vector<std::pair<double, bool>> started_;  ///< every request: start, succeeded
  std::vector<RecordedRequest> succeeded_;
  std::size_t server_counts_ = 0;
  std::size_t failed_ = 0;
  std::size_t incomplete_ = 0;
  std::string missing_;  ///< of the first incomplete request
};

/// One server lived on through all stages, each with its own number of clients.
void set_clients(RecordedRun& run, const std::vector<int>& clients) {
  run.workload.arrival.concurrency = *std::ranges::max_element(clients);
  const bool differ = std::ranges::adjacent_find(clients, std::ranges::not_equal_to()) != clients.end();
  for (std::size_t i = 0; i < run.stages.size() && i < clients.size(); ++i) {
    if (differ) run.stages[i].concurrency = clients[i];
    run.stages[i].rate_per_s.reset();
    run.stages[i].achieved_per_s.reset();
  }
}

/// A JSON report of the folder, passed to `use` with its problems.
template <class Use>
void read_report(const fs::path& file, core::Diagnostics& errors, const Use& use) {
  const auto document = read_json(file);
  if (!document) return append(errors, document.error());
  text::Problems problems(document->file);
  use(document->root, problems);
  append(errors, problems.take_errors());
}

}  // namespace

core::Result<std::vector<RecordedRun>> read_inference_perf(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) {
    return core::fail({.file = folder.string()}, "this is no folder", "name the report folder of inference-perf, not a file in it");
  }
  const fs::path summary = folder / "summary_lifecycle_metrics.json";
  if (!fs::exists(summary, ignored)) {
    return core::fail({.file = folder.string()}, "the folder has no summary_lifecycle_metrics.json",
                      "name the report folder of inference-perf, and switch report.request_lifecycle.summary on");
  }
  RecordedRun run;
  run.file = folder.string();
  run.id = id_of(folder);
  core::Diagnostics errors;
  InferencePerfConfig load;
  if (const fs::path config = folder / "config.yaml"; fs::exists(config, ignored)) {
    const auto document = text::read_document(config);
    if (!document) return tl::unexpected(document.error());
    text::Problems problems(document->file);
    load = read_inference_perf_config(*document, run, problems);
    append(errors, problems.take_errors());
  } else {
    run.workload.arrival.process = ArrivalProcess::conditioned_poisson;
    run.assumptions.emplace_back("no config.yaml: load of type constant, prompts that all differ");
  }
  read_report(summary, errors, [&](const text::Node& root, text::Problems& problems) {
    run.summary = read_row(root, problems);
    apply_reported_lengths(root, load.has_fixed_output, run, problems);
  });
  for (std::size_t index = 0; fs::exists(folder / fmt::format("stage_{}_lifecycle_metrics.json", index), ignored); ++index) {
    read_report(folder / fmt::format("stage_{}_lifecycle_metrics.json", index), errors,
                [&](const text::Node& root, text::Problems& problems) { run.stages.push_back(read_stage(root, problems)); });
  }
  if (run.stages.empty() && load.stages.size() <= 1) {
    // A run of one stage may have only its summary.
    read_report(summary, errors,
                [&](const text::Node& root, text::Problems& problems) { run.stages.push_back(read_stage(root, problems)); });
  }
  if (!load.stages.empty() && load.stages.size() != run.stages.size() && errors.empty()) {
    return core::fail(
        {.file = folder.string()},
        fmt::format("config.yaml has {}, but the folder has reports of {}", counted(load.stages.size(), "stage"), run.stages.size()),
        "switch report.request_lifecycle.per_stage on, and keep all files of a run together");
  }
  for (std::size_t i = 0; i < load.stages.size() && i < run.stages.size(); ++i) {
    if (load.stages[i].rate_per_s) run.stages[i].rate_per_s = load.stages[i].rate_per_s;
    if (load.stages[i].duration_s) run.stages[i].duration_s = load.stages[i].duration_s;
    run.stages[i].most_in_flight = load.stages[i].most_in_flight;
  }
  const bool is_closed_loop = run.workload.arrival.process == ArrivalProcess::closed_loop;
  if (const fs::path requests = folder / "per_request_lifecycle_metrics.json"; fs::exists(requests, ignored)) {
    read_report(requests, errors, [&](const text::Node& root, text::Problems& problems) {
      if (!text::is_list(root, "the file of requests", problems)) return;
      RequestsReader reader(run, problems);
      reader.read(root);
      read_report(summary, errors,
                  [&](const text::Node& report, text::Problems&) { reader.judge_token_counts(report, load.drawn_outputs); });
    });
    const bool all_have_requests = std::ranges::none_of(run.stages, [](const RecordedStage& stage) { return stage.requests.empty(); });
    if (all_have_requests && run.workload.pattern != domain::PromptPattern::cycled && !is_closed_loop) {
      run.workload.arrival.process = ArrivalProcess::trace;
    }
  }
  if (load.replays_a_trace && run.workload.arrival.process != ArrivalProcess::trace && errors.empty()) {
    return core::fail(
        {.file = folder.string()}, "load type trace_replay without the file of requests",
        "only per_request_lifecycle_metrics.json says when what was sent: switch report.request_lifecycle.per_request on");
  }
  if (!load.has_fixed_output && run.workload.arrival.process != ArrivalProcess::trace) {
    run.assumptions.emplace_back("all prompts and all outputs have the mean length that the summary reports");
  }
  if (!errors.empty()) return tl::unexpected(std::move(errors));
  if (is_closed_loop && !load.clients.empty()) set_clients(run, load.clients);
  return std::vector{std::move(run)};
}

}  // namespace rooftune::importers
