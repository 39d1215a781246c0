#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "recorded_run.hpp"

namespace rooftune::importers {
namespace {

// A report folder of inference-perf: config.yaml (what was run), summary_lifecycle_metrics.json and stage_<n>_lifecycle_metrics.json
// (latencies in seconds), per_request_lifecycle_metrics.json where it was asked for.

namespace fs = std::filesystem;
using domain::ArrivalProcess;
using domain::Metric;

constexpr double kMillisecondsPerSecond = 1e3;
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
  stage.achieved_per_s = number_at(root, {"successes.throughput.requests_per_sec"}, problems, text::at_least(0));
  stage.duration_s = number_at(root, {"load_summary.send_duration"}, problems, text::above(0));
  if (const auto failed = stage.row.latencies.failed; failed.value_or(0) > 0)
    stage.achieved_per_s.reset();  // failures are told as such
  return stage;
}

/// What config.yaml says about the load.
class ConfigReader {
 public:
  ConfigReader(const text::Document& config, RecordedRun& run) : root_(config.root), run_(run), problems_(config.file) {}

  core::Diagnostics read() {
    run_.model = text_at(root_, {"server.model_name"}, problems_);
    read_load();
    read_data();
    return problems_.take_errors();
  }

  /// Rates and durations by stage.
  [[nodiscard]] const std::vector<RecordedStage>& load_stages() const { return load_stages_; }
  [[nodiscard]] bool outputs_have_fixed_length() const { return has_fixed_output_; }

 private:
  void read_load() {
    const std::string type = text_at(root_, {"load.type"}, problems_).value_or("constant");
    if (type == "constant") {
      // inference-perf draws exponential gaps and rescales them so that exactly rate x duration requests fill the stage.
      run_.workload.arrival.process = ArrivalProcess::conditioned_poisson;
      run_.assumptions.emplace_back("load type constant: exponential gaps rescaled to fill the stage, as inference-perf draws them");
    } else if (type == "poisson") {
      run_.workload.arrival.process = ArrivalProcess::poisson;
    } else {
      problems_.error(find_any(root_, {"load.type"})->place, fmt::format("load type '{}' cannot be replayed", type),
                      "constant and poisson can");
    }
    if (const text::Node* stages = find_any(root_, {"load.stages"});
        stages != nullptr && text::is_list(*stages, "'stages'", problems_)) {
      for (const text::Node& node : stages->items) {
        RecordedStage& stage = load_stages_.emplace_back();
        stage.rate_per_s = number_at(node, {"rate"}, problems_, text::above(0));
        stage.duration_s = number_at(node, {"duration"}, problems_, text::above(0));
      }
    }
  }

  void read_data() {
    domain::Workload& workload = run_.workload;
    workload.type = text_at(root_, {"data.type"}, problems_).value_or("");
    workload.name = workload.type;
    const auto output = count_at(root_, {"data.shared_prefix.output_len"}, problems_);
    const auto groups = count_at(root_, {"data.shared_prefix.num_groups", "data.shared_prefix.num_unique_system_prompts"}, problems_);
    const auto prompts =
        count_at(root_, {"data.shared_prefix.num_prompts_per_group", "data.shared_prefix.num_users_per_system_prompt"}, problems_);
    if (workload.type != "shared_prefix" || !output || !groups || !prompts) return;
    workload.system_prompt_tokens = count_at(root_, {"data.shared_prefix.system_prompt_len"}, problems_).value_or(0);
    const int question = count_at(root_, {"data.shared_prefix.question_len"}, problems_).value_or(0);
    if (const text::Node* turns = find_any(root_, {"data.shared_prefix.enable_multi_turn_chat"});
        turns != nullptr && turns->text == "true") {
      problems_.error(turns->place, "multi-turn chats cannot be imported: the report does not say how long their prompts grew",
                      "describe the workload by hand (docs/file_formats.md, ground truth)");
    }
    workload.pattern = domain::PromptPattern::cycled;
    workload.prompt_groups = *groups;
    workload.distinct_prompts = *groups * *prompts;
    workload.prompt.mean_tokens = workload.system_prompt_tokens + question;
    workload.output.mean_tokens = *output;
    has_fixed_output_ = true;
    run_.assumptions.push_back(fmt::format("prompts are {} fixed ones in turn, starting anew in every stage (data.shared_prefix)",
                                           workload.distinct_prompts));
    const text::Node* ignore_eos = find_any(root_, {"server.ignore_eos"});
    if (ignore_eos == nullptr || ignore_eos->text != "true") {
      run_.assumptions.push_back(fmt::format("every output has the configured {} tokens (server.ignore_eos is not set)", *output));
    }
  }

  const text::Node& root_;
  RecordedRun& run_;
  text::Problems problems_;
  std::vector<RecordedStage> load_stages_;
  bool has_fixed_output_ = false;
};

/// The lengths that the summary reports, where the config does not fix them or they differ from it.
void apply_reported_lengths(const text::Node& summary, bool has_fixed_output, RecordedRun& run, text::Problems& problems) {
  domain::Workload& workload = run.workload;
  const auto prompt = number_at(summary, {"successes.prompt_len.mean"}, problems, text::at_least(1));
  const auto output = number_at(summary, {"successes.output_len.mean"}, problems, text::at_least(1));
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

/// Requests of the whole run, given to the stages in order of their start.
void add_requests(const text::Node& root, RecordedRun& run, text::Problems& problems) {
  std::vector<std::pair<double, bool>> started;  // every request: start, succeeded
  std::vector<RecordedRequest> succeeded;
  for (const text::Node& node : root.items) {
    const auto start = number_at(node, {"start_time"}, problems);
    const auto end = number_at(node, {"end_time"}, problems);
    const bool failed = find_any(node, {"error"}) != nullptr;
    if (!start) continue;
    started.emplace_back(*start, !failed);
    const text::Node* token_times = find_any(node, {"info.output_token_times"});
    const auto input = count_at(node, {"info.input_tokens"}, problems);
    if (failed || !end || token_times == nullptr || token_times->items.empty() || !input) continue;
    double first_token = 0.0;
    if (!text::convert(token_times->items.front(), "'output_token_times'", first_token, problems)) continue;
    const int reported = count_at(node, {"info.output_tokens"}, problems).value_or(0);
    const int output =
        run.workload.pattern == domain::PromptPattern::cycled ? static_cast<int>(run.workload.output.mean_tokens) : reported;
    const RecordedRequest request{.start_s = *start,
                                  .ttft_ms = (first_token - *start) * kMillisecondsPerSecond,
                                  .e2e_ms = (*end - *start) * kMillisecondsPerSecond,
                                  .input_tokens = *input,
                                  .output_tokens = output};
    if (check_request(request, node.place, problems)) succeeded.push_back(request);
  }
  std::ranges::sort(started);
  std::ranges::stable_sort(succeeded, {}, &RecordedRequest::start_s);
  std::size_t sent = 0;
  std::size_t next = 0;
  for (RecordedStage& stage : run.stages) {
    sent += static_cast<std::size_t>(stage.num_requests.value_or(0));
    const bool is_last = sent >= started.size();
    while (next < succeeded.size() && (is_last || succeeded[next].start_s < started[sent].first)) {
      stage.requests.push_back(succeeded[next++]);
    }
  }
}

void append(core::Diagnostics& all, const core::Diagnostics& more) { all.insert(all.end(), more.begin(), more.end()); }

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
  bool has_fixed_output = false;
  std::vector<RecordedStage> load_stages;
  if (const fs::path config = folder / "config.yaml"; fs::exists(config, ignored)) {
    const auto document = text::read_document(config);
    if (!document) return tl::unexpected(document.error());
    ConfigReader reader(*document, run);
    append(errors, reader.read());
    has_fixed_output = reader.outputs_have_fixed_length();
    load_stages = reader.load_stages();
  } else {
    run.workload.arrival.process = ArrivalProcess::conditioned_poisson;
    run.assumptions.emplace_back("no config.yaml: load of type constant, prompts that all differ");
  }
  read_report(summary, errors, [&](const text::Node& root, text::Problems& problems) {
    run.summary = read_row(root, problems);
    apply_reported_lengths(root, has_fixed_output, run, problems);
  });
  for (std::size_t index = 0; fs::exists(folder / fmt::format("stage_{}_lifecycle_metrics.json", index), ignored); ++index) {
    read_report(folder / fmt::format("stage_{}_lifecycle_metrics.json", index), errors,
                [&](const text::Node& root, text::Problems& problems) { run.stages.push_back(read_stage(root, problems)); });
  }
  if (run.stages.empty() && load_stages.size() <= 1) {
    // A run of one stage may have only its summary.
    read_report(summary, errors,
                [&](const text::Node& root, text::Problems& problems) { run.stages.push_back(read_stage(root, problems)); });
  }
  if (!load_stages.empty() && load_stages.size() != run.stages.size() && errors.empty()) {
    return core::fail(
        {.file = folder.string()},
        fmt::format("config.yaml has {}, but the folder has reports of {}", counted(load_stages.size(), "stage"), run.stages.size()),
        "switch report.request_lifecycle.per_stage on, and keep all files of a run together");
  }
  for (std::size_t i = 0; i < load_stages.size() && i < run.stages.size(); ++i) {
    if (load_stages[i].rate_per_s) run.stages[i].rate_per_s = load_stages[i].rate_per_s;
    if (load_stages[i].duration_s) run.stages[i].duration_s = load_stages[i].duration_s;
  }
  if (const fs::path requests = folder / "per_request_lifecycle_metrics.json"; fs::exists(requests, ignored)) {
    read_report(requests, errors, [&](const text::Node& root, text::Problems& problems) {
      if (text::is_list(root, "the file of requests", problems)) add_requests(root, run, problems);
    });
    const bool all_have_requests = std::ranges::none_of(run.stages, [](const RecordedStage& stage) { return stage.requests.empty(); });
    if (all_have_requests && run.workload.pattern != domain::PromptPattern::cycled) {
      run.workload.arrival.process = ArrivalProcess::trace;
    }
  }
  if (!has_fixed_output && run.workload.arrival.process != ArrivalProcess::trace) {
    run.assumptions.emplace_back("all prompts and all outputs have the mean length that the summary reports");
  }
  if (!errors.empty()) return tl::unexpected(std::move(errors));
  return std::vector{std::move(run)};
}

}  // namespace rooftune::importers
