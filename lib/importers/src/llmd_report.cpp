#include <fmt/format.h>

#include <algorithm>

#include "inference_perf_config.hpp"
#include "recorded_run.hpp"
#include "rooftune/text/python_json.hpp"
#include "server_arguments.hpp"
#include "units.hpp"

namespace rooftune::importers {
namespace {

// llm-d's benchmark report (YAML or JSON), one for a stage of a load generator's run. 0.1: scenario.{host, platform, model, load} and
// metrics; 0.2: scenario.stack (components, with what is standard about each and its own arguments), scenario.load, and
// results.request_performance.aggregate. Every statistic carries its unit.

using domain::ArrivalProcess;
using domain::Metric;
using text::Node;

class ReportReader {
 public:
  ReportReader(const text::Document& report, RecordedRun& run, text::Problems& problems)
      : file_(report.file), root_(report.root), run_(run), problems_(problems) {}

  void read() {
    const Node* aggregate = find_any(root_, {"results.request_performance.aggregate", "metrics"});
    if (aggregate == nullptr || find_any(root_, {"scenario"}) == nullptr) {
      problems_.error(root_.place, "this is no benchmark report: it lacks 'scenario', and 'results' (0.2) or 'metrics' (0.1)",
                      "name a report that llm-d's benchmark wrote");
      return;
    }
    run_.workload.name = "llm-d";
    run_.workload.type = "llmd_report";
    if (const Node* stack = find_any(root_, {"scenario.stack"})) {
      read_stack(*stack);
    } else {
      read_platform();
    }
    stage_.row = read_row(*aggregate);
    read_duration();
    read_load(*aggregate);
    run_.stages.push_back(std::move(stage_));
  }

 private:
  void read_stack(const Node& stack) {
    const Node* engine = nullptr;
    std::vector<std::string> roles;
    for (const Node& component : stack.items) {
      const Node* kind = find_any(component, {"standardized.kind"});
      if (kind == nullptr || kind->text != "inference_engine") continue;
      if (engine == nullptr) engine = &component;
      if (const Node* role = find_any(component, {"standardized.role"})) roles.push_back(role->text);
    }
    if (engine == nullptr) return;
    const bool is_split = std::ranges::find(roles, "prefill") != roles.end() && std::ranges::find(roles, "decode") != roles.end();
    if (is_split) {
      warn(*engine, "engines of the roles prefill and decode: the two phases run on different GPUs",
           "not simulated: one engine that does both is simulated");
    }
    set_model(find_any(*engine, {"standardized.model.name"}));
    if (const Node* gpu = find_any(*engine, {"standardized.accelerator.model"})) run_.gpu = gpu->text;
    run_.tp = count_at(*engine, {"standardized.accelerator.parallelism.tp"}, problems_);
    run_.pp = count_at(*engine, {"standardized.accelerator.parallelism.pp"}, problems_);
    const int replicas = count_at(*engine, {"standardized.replicas"}, problems_).value_or(1);
    const int ranks = count_at(*engine, {"standardized.accelerator.parallelism.dp"}, problems_).value_or(1);
    run_.replicas = std::max(1, replicas) * std::max(1, ranks);
    read_version(find_any(*engine, {"standardized.tool_version"}));
    if (const Node* arguments = find_any(*engine, {"native.args"})) read_arguments(*arguments, run_);
  }

  /// Report 0.1.
  void read_platform() {
    set_model(find_any(root_, {"scenario.model.name"}));
    if (const Node* hosts = find_any(root_, {"scenario.host.accelerator"}); hosts != nullptr && !hosts->items.empty()) {
      const Node& host = hosts->items.front();
      if (const Node* gpu = find_any(host, {"model"})) run_.gpu = gpu->text;
      run_.tp = count_at(host, {"parallelism.tp"}, problems_);
      run_.pp = count_at(host, {"parallelism.pp"}, problems_);
      run_.replicas = static_cast<int>(hosts->items.size()) * std::max(1, count_at(host, {"parallelism.dp"}, problems_).value_or(1));
    }
    if (const Node* types = find_any(root_, {"scenario.host.type"}); types != nullptr) {
      const auto has = [&](std::string_view role) {
        return std::ranges::any_of(types->items, [&](const Node& type) { return type.text == role; });
      };
      if (has("prefill") && has("decode")) {
        warn(*types, "hosts of the types prefill and decode: the two phases run on different GPUs",
             "not simulated: one engine that does both is simulated");
      }
    }
    if (const Node* engines = find_any(root_, {"scenario.platform.engine"}); engines != nullptr && !engines->items.empty()) {
      read_version(find_any(engines->items.front(), {"version"}));
      if (const Node* arguments = find_any(engines->items.front(), {"args"})) read_arguments(*arguments, run_);
    }
  }

  void set_model(const Node* name) {
    if (name == nullptr) return;
    run_.model = name->text;
    run_.places["model"] = name->place;
  }

  /// "0.11.0"; an image's tag ("ghcr.io/llm-d/llm-d-cuda:0.3.1") is a version of llm-d, not of vLLM.
  void read_version(const Node* version) {
    if (version == nullptr) return;
    const std::string_view text = version->text.starts_with('v') ? std::string_view(version->text).substr(1) : version->text;
    const bool is_version = !text.empty() && text.front() >= '0' && text.front() <= '9' && text.find('.') != std::string_view::npos;
    if (!is_version) return;
    run_.settings["version"] = std::string(text);
    run_.places["version"] = version->place;
  }

  RecordedRow read_row(const Node& aggregate) {
    RecordedRow row;
    const auto set = [&](Metric metric, std::string_view name, std::string_view statistic) {
      row.latencies[metric] = milliseconds(aggregate, name, statistic);
    };
    for (const auto& [statistic, ttft, e2e] : {std::tuple{"mean", Metric::ttft_mean, Metric::e2e_mean},
                                               {"p90", Metric::ttft_p90, Metric::e2e_p90},
                                               {"p99", Metric::ttft_p99, Metric::e2e_p99}}) {
      set(ttft, "time_to_first_token", statistic);
      set(e2e, "request_latency", statistic);
    }
    row.latencies.itl_mean_ms = milliseconds(aggregate, "inter_token_latency", "mean");
    row.output_tokens = number_at(aggregate, {"requests.output_length.mean"}, problems_, at_least_one());
    const auto total = count_at(aggregate, {"requests.total"}, problems_);
    row.latencies.failed = count_at(aggregate, {"requests.failures"}, problems_).value_or(0);
    if (total) row.latencies.succeeded = std::max(0, *total - *row.latencies.failed);
    stage_.num_requests = total;
    derive_e2e(aggregate, row);
    return row;
  }

  /// Generators that report no request latency: the identity gives the mean.
  void derive_e2e(const Node& aggregate, RecordedRow& row) {
    const auto tpot = milliseconds(aggregate, "time_per_output_token", "mean");
    const auto ttft = row.latencies[Metric::ttft_mean];
    if (row.latencies[Metric::e2e_mean] || !tpot || !ttft || !row.output_tokens) return;
    row.latencies[Metric::e2e_mean] = *ttft + *tpot * (*row.output_tokens - 1.0);
    run_.assumptions.emplace_back("the mean E2E is mean TTFT + mean TPOT x (output tokens - 1): exact only for outputs of one length");
  }

  std::optional<double> milliseconds(const Node& aggregate, std::string_view name, std::string_view statistic) {
    const Node* block = find_any(aggregate, {fmt::format("latency.{}", name)});
    if (block == nullptr) return std::nullopt;
    const auto value = number_at(*block, {statistic}, problems_);
    if (!value || *value <= 0.0) return std::nullopt;
    const Node* unit = block->find("units");
    const auto factor = unit == nullptr ? std::nullopt : milliseconds_in(unit->text);
    if (!factor) {
      problems_.error(block->place, fmt::format("'{}' does not say its unit of time", name), "give 'units': s or ms");
      return std::nullopt;
    }
    return *value * *factor;
  }

  static text::Range at_least_one() { return text::at_least(1); }

  /// "PT49.97S", or a number of seconds.
  void read_duration() {
    const Node* duration = find_any(root_, {"run.time.duration", "metrics.time.duration"});
    if (duration == nullptr) return;
    std::string_view text = duration->text;
    double seconds = 0.0;
    if (text.starts_with("PT")) {
      text.remove_prefix(2);
      double value = 0.0;
      while (!text.empty()) {
        const std::size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
        if (digits == 0 || digits == text.size()) return;
        value = std::strtod(std::string(text.substr(0, digits)).c_str(), nullptr);
        seconds += value * (text[digits] == 'H' ? 3600.0 : text[digits] == 'M' ? 60.0 : 1.0);
        text.remove_prefix(digits + 1);
      }
    } else if (!text::convert(*duration, "'duration'", seconds, problems_, text::above(0))) {
      return;
    }
    if (seconds > 0.0) run_duration_s_ = seconds;
  }

  void read_load(const Node& aggregate) {
    const auto input = number_at(aggregate, {"requests.input_length.mean"}, problems_, text::at_least(1));
    if (input) run_.workload.prompt.mean_tokens = rounded(*input);
    if (stage_.row.output_tokens) run_.workload.output.mean_tokens = rounded(*stage_.row.output_tokens);
    const Node* standard = find_any(root_, {"scenario.load.standardized"});
    const Node* config = find_any(root_, {"scenario.load.native.config", "scenario.load.args"});
    const Node* tool = find_any(root_, {"scenario.load.standardized.tool", "scenario.load.name"});
    const auto index = count_at(root_, {"scenario.load.standardized.stage", "scenario.load.metadata.stage"}, problems_);
    run_.workload.arrival.process = ArrivalProcess::conditioned_poisson;
    if (tool != nullptr && tool->text.starts_with("inference-perf") && config != nullptr && config->kind == Node::Kind::object) {
      if (!read_inference_perf_load({file_, *config}, index.value_or(0))) return;
    } else if (tool != nullptr && tool->text.starts_with("guidellm")) {
      run_.workload.arrival.process = ArrivalProcess::constant;
    }
    if (standard != nullptr) read_standard_load(*standard);
    if (config != nullptr && !has_load()) read_tool_options(*config);
    if (!has_load()) {
      problems_.error(root_.place, "the report says neither the rate of its stage nor a number of clients",
                      "it needs scenario.load (rate_qps, concurrency or the load generator's own configuration)");
    }
    run_.assumptions.emplace_back("all prompts and all outputs have the mean length that the report gives");
  }

  /// What inference-perf was asked for, of the stage that this report is about. False: a load that no report can hold.
  bool read_inference_perf_load(const text::Document& config, int index) {
    const InferencePerfConfig load = read_inference_perf_config(config, run_, problems_);
    if (load.replays_a_trace) {
      problems_.error(find_any(config.root, {"load.type"})->place,
                      "load type trace_replay: the report does not say when what was sent",
                      "import inference-perf's own folder, with per_request_lifecycle_metrics.json");
      return false;
    }
    if (index >= static_cast<int>(load.stages.size())) return true;
    const auto stage = static_cast<std::size_t>(index);
    stage_.rate_per_s = load.stages[stage].rate_per_s;
    stage_.duration_s = load.stages[stage].duration_s;
    stage_.most_in_flight = load.stages[stage].most_in_flight;
    if (stage < load.clients.size()) {
      run_.workload.arrival = {.process = ArrivalProcess::closed_loop, .concurrency = load.clients[stage]};
      stage_.rate_per_s.reset();
    }
    return true;
  }

  void read_standard_load(const Node& load) {
    if (const Node* rate = find_any(load, {"rate_qps"}); rate != nullptr && !is_infinite(*rate) && !stage_.rate_per_s && !is_loop()) {
      stage_.rate_per_s = number_at(load, {"rate_qps"}, problems_, text::above(0));
    }
    const Node* concurrency = find_any(load, {"concurrency"});
    if (concurrency != nullptr && !is_infinite(*concurrency) && !stage_.rate_per_s)
      set_clients(count_at(load, {"concurrency"}, problems_));
    if (const Node* turns = find_any(load, {"multi_turn.enabled"}); turns != nullptr && turns->text == "true") {
      warn(*turns, "the load is conversations of several turns",
           "not simulated: every turn is simulated as a prompt of its own, which finds no history in the prefix cache");
    }
    const auto prefix = number_at(load, {"prefix.prefix_len.value"}, problems_, text::at_least(0));
    if (run_.workload.pattern == domain::PromptPattern::cycled || prefix.value_or(0.0) < 1.0) return;
    run_.workload.system_prompt_tokens = static_cast<int>(*prefix);
    run_.workload.prompt_groups = count_at(load, {"prefix.num_groups"}, problems_).value_or(0);
  }

  /// Load generators whose own names the report keeps: vllm bench and its like.
  void read_tool_options(const Node& options) {
    for (const text::Member& member : options.members) {
      std::string name = member.key;
      name.erase(0, std::min(name.find_first_not_of('-'), name.size()));
      std::ranges::replace(name, '-', '_');
      const Node& value = member.value;
      if (name == "request_rate" && !is_infinite(value))
        stage_.rate_per_s = number_at(options, {member.key}, problems_, text::above(0));
      if (name == "max_concurrency" && !stage_.rate_per_s) set_clients(count_at(options, {member.key}, problems_));
    }
    if (stage_.rate_per_s && is_loop()) run_.workload.arrival = {.process = ArrivalProcess::conditioned_poisson};
  }

  void set_clients(std::optional<int> clients) {
    if (!clients || *clients < 1) return;
    run_.workload.arrival = {.process = ArrivalProcess::closed_loop, .concurrency = *clients};
    stage_.duration_s = run_duration_s_;
  }

  [[nodiscard]] bool is_loop() const { return run_.workload.arrival.process == ArrivalProcess::closed_loop; }
  [[nodiscard]] bool has_load() const { return is_loop() || stage_.rate_per_s.has_value(); }

  void warn(const Node& node, std::string problem, std::string remedy) {
    run_.warnings.push_back(warning_at(file_, node.place, std::move(problem), std::move(remedy)));
  }

  std::string file_;
  const Node& root_;
  RecordedRun& run_;
  text::Problems& problems_;
  RecordedStage stage_;
  std::optional<double> run_duration_s_;
};

}  // namespace

core::Result<std::vector<RecordedRun>> read_llmd_report(const std::filesystem::path& file) {
  const auto content = text::read_text(file);
  if (!content) return tl::unexpected(content.error());
  const bool is_json =
      content->find_first_not_of(" \t\r\n") != std::string::npos && content->at(content->find_first_not_of(" \t\r\n")) == '{';
  const auto report =
      is_json ? text::parse_python_json(*content, file.string()) : text::parse_document(*content, file.string(), text::Syntax::yaml);
  if (!report) return tl::unexpected(report.error());
  text::Problems problems(report->file);
  RecordedRun run;
  run.file = report->file;
  run.id = id_of(file);
  ReportReader(*report, run, problems).read();
  if (problems.has_errors()) return tl::unexpected(problems.take_errors());
  return std::vector{std::move(run)};
}

}  // namespace rooftune::importers
