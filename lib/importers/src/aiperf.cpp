#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "recorded_run.hpp"
#include "settings_text.hpp"
#include "units.hpp"

namespace rooftune::importers {
namespace {

// AIPerf and its forerunner GenAI-Perf. profile_export_aiperf.json and profile_export_genai_perf.json hold a block for every metric
// ({"unit", "avg", "p90", ...}) and what was asked for in input_config. profile_export.jsonl (AIPerf) has a record for every request:
// metadata (start and end in ns, phase) and metrics ({"value", "unit"}). GenAI-Perf's profile_export.json has times without tokens.

namespace fs = std::filesystem;
using domain::ArrivalProcess;
using domain::Metric;
using text::Node;

/// A statistic of a metric's block in ms, by the block's own unit.
std::optional<double> milliseconds_at(const Node& root, std::string_view metric, std::string_view statistic,
                                      text::Problems& problems) {
  const Node* block = find_any(root, {metric});
  if (block == nullptr) return std::nullopt;
  const auto value = number_at(*block, {statistic}, problems);
  if (!value || *value <= 0.0) return std::nullopt;
  const Node* unit = block->find("unit");
  const auto factor = milliseconds_in(unit == nullptr ? "ms" : std::string_view(unit->text));
  if (!factor) {
    problems.error(unit->place, fmt::format("'{}' is in '{}', which is no unit of time", metric, unit->text),
                   "it must be ms, s, us or ns");
    return std::nullopt;
  }
  return *value * *factor;
}

std::optional<double> average_of(const Node& root, std::string_view metric, text::Problems& problems) {
  return number_at(root, {fmt::format("{}.avg", metric)}, problems);
}

/// The first scalar under `key` at any depth, not in what concerns the warm-up.
const Node* find_deep(const Node& node, std::string_view key) {
  if (const Node* found = node.find(key); found != nullptr && found->kind == Node::Kind::scalar) return found;
  for (const text::Member& member : node.members) {
    if (member.key.find("warmup") != std::string::npos) continue;
    if (const Node* found = find_deep(member.value, key)) return found;
  }
  for (const Node& item : node.items) {
    const Node* name = item.find("name");
    if (name != nullptr && name->text.find("warmup") != std::string::npos) continue;
    if (const Node* found = find_deep(item, key)) return found;
  }
  return nullptr;
}

/// How the load was made, by input_config or the command line that the file keeps.
class LoadReader {
 public:
  LoadReader(const Node& root, RecordedRun& run, text::Problems& problems) : run_(run), problems_(problems) {
    if (const Node* config = find_any(root, {"input_config"})) config_ = config;
    const Node* command = find_deep(root, "cli_command");
    if (command != nullptr) command_ = command_line_settings(command->text);
  }

  void read() {
    read_model();
    concurrency = whole("concurrency");
    if (const auto rate = text_of({"request_rate", "rate"})) rate_per_s = number(*rate);
    read_prefixes();
  }

  /// Sets the arrivals of a run without the times of its requests.
  void set_arrivals(RecordedStage& stage) {
    domain::Arrival& arrival = run_.workload.arrival;
    if (rate_per_s) {
      const std::string mode = text_of({"request_rate_mode", "arrival_pattern", "request_distribution"}).value_or("poisson");
      arrival.process = mode == "constant" ? ArrivalProcess::constant : ArrivalProcess::poisson;
      stage.rate_per_s = rate_per_s;
      if (mode != "constant" && mode != "poisson") {
        run_.assumptions.push_back(fmt::format("arrivals of mode '{}' are drawn as a Poisson process", mode));
      }
      stage.most_in_flight = concurrency;
      if (const auto ramp = text_of({"request_rate_ramp_duration"}); ramp && number(*ramp).value_or(0.0) > 0.0) {
        run_.warnings.push_back(warning_at(run_.file, {.line = 0}, fmt::format("the rate rises over the first {} s", *ramp),
                                           "not simulated without the records (profile_export.jsonl): the rate is the same from the "
                                           "start"));
      }
    } else if (concurrency) {
      arrival = clients();
    } else {
      problems_.error({1, 1}, "the file says neither a concurrency nor a request rate",
                      "keep its input_config, or name the folder with profile_export.jsonl, whose requests are replayed");
    }
  }

  /// The closed loop, and how its clients start.
  [[nodiscard]] domain::Arrival clients() {
    domain::Arrival arrival{.process = ArrivalProcess::closed_loop, .concurrency = concurrency.value_or(1)};
    const auto ramp = text_of({"concurrency_ramp_duration"});
    if (const double seconds = ramp ? number(*ramp).value_or(0.0) : 0.0; seconds > 0.0) {
      arrival.start = domain::ClientStart::ramp;
      arrival.ramp = {seconds};
    }
    return arrival;
  }

  /// Requests of the warm-up come before the measured ones and are in none of the figures.
  void set_warm_up() {
    const auto requests = text_of({"warmup_request_count", "num_warmup_requests"});
    const double count = requests ? number(*requests).value_or(0.0) : 0.0;
    if (count < 1.0) return;
    const auto warm_clients = text_of({"warmup_concurrency"});
    const double most = warm_clients ? number(*warm_clients).value_or(0.0) : static_cast<double>(concurrency.value_or(0));
    run_.workload.warm_up = domain::WarmUp{.requests = static_cast<int>(count),
                                           .concurrency = most >= 1.0 ? static_cast<int>(most) : 1,
                                           .prompt = domain::WarmUp::Prompt::next};
  }

  std::optional<int> concurrency;
  std::optional<double> rate_per_s;

 private:
  void read_model() {
    if (config_ != nullptr) {
      for (const std::string_view path : {"endpoint.model_names", "model_names", "model", "models", "endpoint.models"}) {
        const Node* found = find_any(*config_, {path});
        if (found == nullptr) continue;
        const Node* name = found->kind == Node::Kind::list && !found->items.empty() ? &found->items.front() : found;
        if (const Node* inner = name->find("name")) name = inner;
        if (name->kind != Node::Kind::scalar) continue;
        run_.model = name->text;
        run_.places["model"] = name->place;
        return;
      }
    }
    if (const auto model = argument({"model", "m", "model_names"})) run_.model = *model;
  }

  /// Prompts that begin with one of a pool of prefixes.
  void read_prefixes() {
    const Node* prompt = config_ == nullptr ? nullptr : find_any(*config_, {"input.prompt.prefix_prompt", "prefix_prompt"});
    std::optional<double> length = prompt == nullptr ? std::nullopt : number_at(*prompt, {"length"}, problems_);
    std::optional<double> pool = prompt == nullptr ? std::nullopt : number_at(*prompt, {"pool_size", "num"}, problems_);
    if (const auto text = argument({"prefix_prompt_length"})) length = number(*text);
    if (const auto text = argument({"prompt_prefix_pool_size", "num_prefix_prompts"})) pool = number(*text);
    if (length.value_or(0.0) < 1.0 || pool.value_or(0.0) < 1.0) return;
    run_.workload.system_prompt_tokens = static_cast<int>(*length);
    run_.workload.prompt_groups = *pool > 1.0 ? static_cast<int>(*pool) : 0;
  }

  std::optional<std::string> argument(std::initializer_list<std::string_view> names) const {
    for (const std::string_view name : names) {
      const auto found = std::ranges::find(command_, name, &SettingText::name);
      if (found != command_.end()) return found->value;
    }
    return std::nullopt;
  }
  std::optional<std::string> text_of(std::initializer_list<std::string_view> names) const {
    for (const std::string_view name : names) {
      const Node* found = config_ == nullptr ? nullptr : find_deep(*config_, name);
      if (found != nullptr) return found->text;
    }
    return argument(names);
  }
  std::optional<double> number(const std::string& text) {
    double value = 0.0;
    if (!text::convert(Node::at({1, 1}, Node::Kind::scalar, text), "a value of input_config", value, problems_)) return std::nullopt;
    return value;
  }
  std::optional<int> whole(std::string_view name) {
    const auto text = text_of({name});
    const auto value = text ? number(*text) : std::nullopt;
    return value && *value >= 1.0 ? std::optional(static_cast<int>(*value)) : std::nullopt;
  }

  const Node* config_ = nullptr;
  std::vector<SettingText> command_;
  RecordedRun& run_;
  text::Problems& problems_;
};

domain::LengthDistribution lengths_of(const Node& root, std::string_view metric, text::Problems& problems) {
  domain::LengthDistribution lengths;
  const auto at = [&](std::string_view statistic) { return number_at(root, {fmt::format("{}.{}", metric, statistic)}, problems); };
  lengths.mean_tokens = rounded(at("avg").value_or(0.0));
  lengths.standard_deviation_tokens = rounded(at("std").value_or(0.0));
  lengths.min_tokens = std::max(1.0, at("min").value_or(1.0));
  lengths.max_tokens = at("max").value_or(lengths.max_tokens);
  return lengths;
}

/// The blocks of the summary.
RecordedStage read_summary(const Node& root, RecordedRun& run, text::Problems& problems) {
  RecordedStage stage;
  domain::Latencies& row = stage.row.latencies;
  for (const auto& [statistic, ttft, e2e] : {std::tuple{"avg", Metric::ttft_mean, Metric::e2e_mean},
                                             {"p90", Metric::ttft_p90, Metric::e2e_p90},
                                             {"p99", Metric::ttft_p99, Metric::e2e_p99}}) {
    row[ttft] = milliseconds_at(root, "time_to_first_token", statistic, problems);
    row[e2e] = milliseconds_at(root, "request_latency", statistic, problems);
  }
  row.itl_mean_ms = milliseconds_at(root, "inter_token_latency", "avg", problems);
  if (!row[Metric::ttft_mean]) {
    problems.error(root.place, "the export has no time to first token", "run with --streaming");
  }
  run.workload.prompt = lengths_of(root, "input_sequence_length", problems);
  run.workload.output = lengths_of(root, "output_sequence_length", problems);
  stage.row.output_tokens = average_of(root, "output_sequence_length", problems);
  const auto count_of = [&](std::string_view metric) -> std::optional<int> {
    const auto value = average_of(root, metric, problems);
    return value ? std::optional(static_cast<int>(std::lround(*value))) : std::nullopt;
  };
  row.succeeded = count_of("request_count");
  if (!row.succeeded) {
    if (const auto counted = count_at(root, {"request_latency.count"}, problems)) row.succeeded = counted;
  }
  row.failed = count_of("error_request_count").value_or(0);
  const auto throughput = average_of(root, "request_throughput", problems);
  stage.achieved_per_s = throughput;
  if (const auto duration_ms = milliseconds_at(root, "benchmark_duration", "avg", problems)) {
    stage.duration_s = *duration_ms / kMillisecondsPerSecond;
  } else if (throughput && *throughput > 0.0 && row.succeeded) {
    stage.duration_s = *row.succeeded / *throughput;
  }
  if (!row.succeeded && throughput && stage.duration_s) row.succeeded = static_cast<int>(std::lround(*throughput * *stage.duration_s));
  stage.num_requests = row.succeeded;
  return stage;
}

/// A record of profile_export.jsonl.
class RecordsReader {
 public:
  explicit RecordsReader(text::Problems& problems) : problems_(problems) {}

  void add(const Node& record) {
    const Node* phase = find_any(record, {"metadata.benchmark_phase"});
    if (phase != nullptr && phase->text == "warmup") return;
    if (find_any(record, {"error"}) != nullptr) {
      ++failed;
      return;
    }
    const auto start_ns = number_at(record, {"metadata.request_start_ns"}, problems_);
    const auto value = [&](std::string_view metric) {
      return number_at(record, {fmt::format("metrics.{}.value", metric)}, problems_);
    };
    const auto time_ms = [&](std::string_view metric) -> std::optional<double> {
      const auto number = value(metric);
      const Node* unit = find_any(record, {fmt::format("metrics.{}.unit", metric)});
      const auto factor = milliseconds_in(unit == nullptr ? "ms" : std::string_view(unit->text));
      return number && factor ? std::optional(*number * *factor) : std::nullopt;
    };
    const auto ttft = time_ms("time_to_first_token");
    const auto e2e = time_ms("request_latency");
    const auto input = value("input_sequence_length");
    auto output = value("output_sequence_length");
    if (!output) output = value("output_token_count");
    if (!start_ns || !ttft || !e2e || !input || !output || *output < 1.0) {
      ++incomplete;
      return;
    }
    const RecordedRequest request{.start_s = *start_ns / kNanosecondsPerSecond,
                                  .ttft_ms = *ttft,
                                  .e2e_ms = *e2e,
                                  .input_tokens = std::max(1, static_cast<int>(*input)),
                                  .output_tokens = static_cast<int>(*output)};
    // A session is one user's; several may send the same conversation of the input.
    const Node* session = find_any(record, {"metadata.x_correlation_id", "metadata.conversation_id"});
    if (check_request(request, record.place, problems_))
      turns.push_back({.conversation = session == nullptr ? "" : session->text, .request = request});
  }

  std::vector<RecordedTurn> turns;
  int failed = 0;
  int incomplete = 0;

 private:
  text::Problems& problems_;
};

/// The first of these files that is there, beside `path` or in it.
std::optional<fs::path> companion(const fs::path& path, std::initializer_list<std::string_view> names) {
  std::error_code ignored;
  const fs::path folder = fs::is_directory(path, ignored) ? path : path.parent_path();
  for (const std::string_view name : names) {
    if (fs::exists(folder / name, ignored)) return folder / name;
  }
  return std::nullopt;
}

void replay(RecordsReader& records, LoadReader* load, RecordedRun& run, text::Problems& problems) {
  if (records.turns.empty()) {
    problems.error({1, 1},
                   fmt::format("no record can be replayed: {} failed, {} lack times or tokens", records.failed, records.incomplete),
                   "run with --streaming");
    return;
  }
  if (records.incomplete > 0) {
    run.assumptions.push_back(
        fmt::format("{} without times or tokens left out", counted(static_cast<std::size_t>(records.incomplete), "record")));
  }
  if (run.stages.empty()) run.stages.emplace_back();
  RecordedStage& stage = run.stages.front();
  join_turns({std::move(records.turns)}, run);
  const domain::Workload& workload = run.workload;
  if (workload.prompt_groups > 1) share_prefixes({{.count = workload.prompt_groups, .tokens = workload.system_prompt_tokens}}, run);
  stage.duration_s = sending_s(stage.requests);
  stage.num_requests = static_cast<int>(stage.requests.size());
  stage.row.latencies.failed = records.failed;
  stage.achieved_per_s.reset();
  const bool is_closed_loop = load != nullptr && load->concurrency && !load->rate_per_s;
  if (is_closed_loop) {
    run.workload.arrival = load->clients();
  } else {
    run.workload.arrival.process = ArrivalProcess::trace;
  }
}

}  // namespace

core::Result<std::vector<RecordedRun>> read_aiperf(const fs::path& input) {
  const auto records_file = input.extension() == ".jsonl" ? std::optional(input) : companion(input, {"profile_export.jsonl"});
  const bool is_summary = input.extension() == ".json";
  const auto summary_file =
      is_summary ? std::optional(input) : companion(input, {"profile_export_aiperf.json", "profile_export_genai_perf.json"});
  if (!records_file && !summary_file) {
    return core::fail({.file = input.string()},
                      "no profile_export_aiperf.json, profile_export_genai_perf.json or profile_export.jsonl",
                      "name the artifact folder of AIPerf or GenAI-Perf, or one of these files");
  }
  RecordedRun run;
  run.file = input.string();
  run.id = id_of(input);
  run.workload.name = "aiperf";
  run.workload.type = "aiperf";
  core::Diagnostics errors;
  const auto take = [&](text::Problems& problems) {
    const core::Diagnostics found = problems.take_errors();
    errors.insert(errors.end(), found.begin(), found.end());
  };
  std::optional<text::Document> summary;
  std::optional<LoadReader> load;
  text::Problems summary_problems(summary_file ? summary_file->string() : "");
  if (summary_file) {
    auto document = read_json(*summary_file);
    if (!document) return tl::unexpected(document.error());
    summary = *std::move(document);
    if (find_any(summary->root, {"experiments"}) != nullptr && find_any(summary->root, {"request_latency"}) == nullptr) {
      return core::fail(summary->at(summary->root.place), "GenAI-Perf's raw profile: times without the number of tokens",
                        "name profile_export_genai_perf.json, which lies beside it");
    }
    load.emplace(summary->root, run, summary_problems);
    load->read();
    load->set_warm_up();
    run.stages.push_back(read_summary(summary->root, run, summary_problems));
  }
  if (records_file) {
    const auto documents = read_json_lines(*records_file);
    if (!documents) return tl::unexpected(documents.error());
    text::Problems problems(records_file->string());
    RecordsReader records(problems);
    for (const text::Document& document : *documents) records.add(document.root);
    replay(records, load ? &*load : nullptr, run, problems);
    take(problems);
  } else if (!summary_problems.has_errors()) {
    load->set_arrivals(run.stages.front());
    run.assumptions.emplace_back("prompts and outputs are drawn, normal around the export's means (else keep profile_export.jsonl)");
  }
  take(summary_problems);
  if (!errors.empty()) return tl::unexpected(std::move(errors));
  return std::vector{std::move(run)};
}

}  // namespace rooftune::importers
