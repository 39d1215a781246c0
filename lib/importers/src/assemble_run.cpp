#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "engine_settings.hpp"
#include "recorded_run.hpp"
#include "rooftune/core/letters.hpp"
#include "rooftune/data/gpus.hpp"
#include "rooftune/data/models.hpp"
#include "rooftune/domain/model.hpp"
#include "rooftune/domain/release.hpp"
#include "rooftune/domain/served_model.hpp"
#include "settings_text.hpp"
#include "tool_names.hpp"

namespace rooftune::importers {
namespace {

using domain::ArrivalProcess;
using domain::Metric;

/// Relative difference above which a reported mean is said not to be that of the requests.
constexpr double kSameMean = 0.01;
/// A stage that finishes less than this share of the requested rate is called saturated.
constexpr double kKeepsUp = 0.95;
/// So is one whose last quarter of requests waits this much longer for its first token than the first quarter ...
constexpr double kGrowingQueue = 2.0;
/// ... where it has at least this many requests,
constexpr std::size_t kEnoughForATrend = 40;
/// and by this much: warm caches and noise move short TTFTs by factors.
constexpr double kGrowingQueueMs = 200.0;
/// Above this share of failed requests a run is overloaded: those that succeed are not the ones that were sent.
constexpr double kManyFailures = 0.1;

/// The setting without which there is no experiment: what it leaves open is what that version does.
constexpr std::array<std::string_view, 1> kRequiredSettings{"version"};
/// Those that a version decides, and that move predictions.
constexpr std::array<std::string_view, 6> kVersionDecides{"max_model_len",    "max_num_batched_tokens",     "max_num_seqs",
                                                          "async_scheduling", "scheduler_reserve_full_isl", "cudagraph_mode"};

/// Makes an experiment of what a benchmark recorded.
class Assembler {
 public:
  Assembler(RecordedRun run, const VllmLog& log, const ImportOptions& options, ImportedGroundTruth& result, core::Diagnostics& errors)
      : run_(std::move(run)), log_(log), options_(options), result_(result), errors_(errors) {}

  void assemble() {
    experiment().id = options_.id ? plain_id(*options_.id) : run_.id;
    experiment().sweep = run_.sweep;
    identify();
    apply_settings();
    experiment().workload = run_.workload;
    experiment().workload.name = options_.workload.value_or(run_.workload.name.empty() ? "imported" : run_.workload.name);
    share_prefix();
    add_stages();
    measure();
    judge_failures();
    require_means();
    for (std::string& text : run_.assumptions) assume(std::move(text));
    std::ranges::move(run_.warnings, std::back_inserter(result_.warnings));
    if (has_errors_) return;
    if (replays_requests()) add_table();
    result_.experiments.push_back(std::move(written_));
    result_.sources.push_back(run_.file);
  }

 private:
  domain::Experiment& experiment() { return written_.experiment; }

  void fail(std::string problem, std::string remedy) {
    errors_.push_back({.position = {.file = run_.file}, .problem = std::move(problem), .remedy = std::move(remedy)});
    has_errors_ = true;
  }
  void warn(std::string problem, std::string remedy, std::string_view about = {}) {
    const auto place = run_.places.find(std::string(about));
    core::SourcePosition position{.file = run_.file};
    if (place != run_.places.end()) position = {run_.file, place->second.line, place->second.column};
    result_.warnings.push_back({.position = std::move(position),
                                .problem = fmt::format("experiment '{}': {}", experiment().id, problem),
                                .remedy = std::move(remedy),
                                .severity = core::Severity::warning});
  }
  void assume(std::string text) { result_.assumptions.push_back(fmt::format("experiment '{}': {}", experiment().id, text)); }

  /// The file and the server's log say different things: both places are named.
  void warn_of_contradiction(std::string_view about, std::string_view in_file, std::string_view in_log, int line) {
    warn(fmt::format("{} is {} in the file but {} in {}:{}", about, in_file, in_log, log_.file, line), "the log's is taken", about);
  }

  /// Model, GPU, TP: the options', else the log's, else the file's.
  void identify() {
    domain::Deployment& deployment = experiment().deployment;
    std::vector<std::string> missing;
    deployment.model = options_.model.value_or(model());
    if (deployment.model.empty()) {
      missing.push_back(run_.model ? fmt::format("the model ('{}' names a place; --model)", *run_.model) : "the model (--model)");
    }
    const auto gpu = options_.gpu ? options_.gpu : run_.gpu;
    if (!gpu) missing.emplace_back("the GPU (--gpu)");
    const auto tp = options_.tp ? options_.tp : either(log_.tp, run_.tp, "tp");
    if (!tp) missing.emplace_back("the tensor-parallel degree (--tp)");
    if (gpu) deployment.hardware = gpu_name(*gpu);
    deployment.tp = tp.value_or(1);
    deployment.pp = either(log_.pp, run_.pp, "pp").value_or(1);
    deployment.dp = options_.replicas ? *options_.replicas : either(log_.dp, run_.replicas, "dp").value_or(1);
    deployment.precision = options_.precision.value_or(run_.precision.value_or(logged_precision()));
    if (run_.engine) {
      deployment.engine = domain::engine_name(*run_.engine);
      deployment.settings.block_size = domain::default_block_size(deployment.engine);
      if (deployment.engine != "sglang") {
        assume(fmt::format("the server was {}: vLLM's scheduler is simulated in its place", *run_.engine));
      }
    }
    judge_replicas();
    for (const std::string_view name : kRequiredSettings) {
      if (!options_.settings.contains(std::string(name)) && !log_.settings.contains(std::string(name)) &&
          !run_.settings.contains(std::string(name))) {
        missing.push_back(fmt::format("{0} (--set {0}=...)", name));
      }
    }
    if (!missing.empty()) fail(fmt::format("nothing says {}", fmt::join(missing, ", ")), "give these options, or --vllm-log FILE");
  }

  /// For people: element widths come from the model.
  [[nodiscard]] std::string logged_precision() const {
    const auto quantization = log_.settings.find("quantization");
    if (quantization != log_.settings.end()) return upper(quantization->second.text);
    return log_.dtype ? upper(log_.dtype->text) : std::string();
  }
  static std::string upper(std::string text) {
    std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    return text;
  }

  /// The file's and the log's model. A client may know it by the name that the server gives it.
  std::string model() {
    std::string in_file = run_.model ? model_name_of(*run_.model) : std::string();
    if (!log_.model) return in_file;
    const bool is_served_name = log_.served_model && run_.model && log_.served_model->text.find(*run_.model) != std::string::npos;
    if (in_file.empty() || is_served_name) return log_.model->text;
    if (domain::names_model(in_file, log_.model->text)) return in_file;
    if (!options_.model) warn_of_contradiction("model", in_file, log_.model->text, log_.model->line);
    return log_.model->text;
  }

  /// The log's count, else the file's.
  std::optional<int> either(const std::optional<LogCount>& in_log, const std::optional<int>& in_file, std::string_view about) {
    if (in_log && in_file && in_log->value != *in_file) {
      warn_of_contradiction(about, fmt::format("{}", *in_file), fmt::format("{}", in_log->value), in_log->line);
    }
    return in_log ? std::optional(in_log->value) : in_file;
  }

  /// The name that ships for a GPU that is spelled as tools spell it.
  std::string gpu_name(const std::string& said) {
    const auto gpus = data::default_gpus();
    if (!gpus) return said;
    const domain::GpuSpec* gpu = domain::find_gpu(*gpus, said);
    if (gpu == nullptr) {
      assume(fmt::format("'{}' is no GPU that ships: commands that use this file need its data sheet (--hardware FILE)", said));
      return said;
    }
    const bool is_name = said == gpu->name || std::ranges::find(gpu->aliases, said) != gpu->aliases.end();
    return is_name ? said : gpu->name;
  }

  /// Ranks of a mixture of experts are not independent: they exchange tokens in every layer.
  void judge_replicas() {
    domain::Deployment& deployment = experiment().deployment;
    if (!log_.dp || log_.dp->value == 1 || options_.replicas) return;
    const auto models = data::default_models();
    const domain::ModelSpec* spec = models ? domain::find_model(*models, deployment.model) : nullptr;
    if (spec != nullptr && spec->experts() != nullptr) {
      deployment.settings.data_parallel_size = deployment.dp;
      deployment.dp = 1;
      assume(fmt::format("data parallelism of {} with a mixture of experts is simulated as ranks that share them and step together",
                         log_.dp->value));
    } else {
      assume(fmt::format("data parallelism of {} is simulated as as many replicas behind a router", log_.dp->value));
    }
  }

  void apply_settings() {
    domain::EngineSettings& settings = experiment().deployment.settings;
    // What nobody said is what the engine's version does.
    settings.max_model_len = 0;
    settings.max_num_batched_tokens = 0;
    settings.max_num_seqs = 0;
    std::map<std::string, std::string> given = run_.settings;
    for (const auto& [name, fact] : log_.settings) {
      const auto own = run_.settings.find(name);
      if (own != run_.settings.end() && name == "speculative") {
        given[name] = joined_speculation(own->second, fact.text);
        continue;
      }
      if (own != run_.settings.end() && !is_same_setting(own->second, fact.text)) {
        warn_of_contradiction(name, own->second, fact.text, fact.line);
      }
      given[name] = fact.text;
    }
    for (const auto& [name, text] : options_.settings) given[name] = text;
    for (const auto& [name, text] : given) {
      text::Problems problems("");
      assign_setting(settings, name, text, problems);
      for (core::Diagnostic& problem : problems.take_errors()) {
        problem.position = position_of_setting(name);
        errors_.push_back(std::move(problem));
        has_errors_ = true;
      }
    }
    std::vector<std::string> defaults;
    for (const std::string_view name : {"gpu_mem_util", "block_size", "enable_prefix_caching", "enable_chunked_prefill"}) {
      if (given.contains(std::string(name))) continue;
      written_.inferred.emplace_back(name);
      if (name == "block_size" && settings.block_size != domain::EngineSettings{}.block_size) continue;  // its engine's own
      defaults.emplace_back(name);
    }
    if (!defaults.empty()) assume(fmt::format("vLLM's defaults for {}", fmt::join(defaults, ", ")));
    for (const std::string_view name : kVersionDecides) {
      if (!given.contains(std::string(name))) written_.inferred.emplace_back(name);
    }
    judge_widths(given);
    if (!settings.total_kv_blocks) {
      written_.inferred.emplace_back("total_kv_blocks");
      assume("no total_kv_blocks: simulations estimate it from memory, weights and gpu_mem_util (better: --vllm-log FILE)");
    }
  }

  /// Element widths that the server was told: the cache's are simulated, the weights' are those of the model's config.
  void judge_widths(const std::map<std::string, std::string>& given) {
    const domain::Deployment& deployment = experiment().deployment;
    const std::string& cache = deployment.settings.kv_cache_dtype;
    if (cache.starts_with("fp8")) {
      assume(fmt::format("kv_cache_dtype {} is simulated: 1 byte for an element of the KV cache", cache));
    }
    if (!given.contains("quantization")) return;
    const auto models = data::default_models();
    const domain::ModelSpec* spec = models ? domain::find_model(*models, deployment.model) : nullptr;
    if (spec != nullptr && domain::is_quantised(*spec)) return;
    if (deployment.settings.quantization == "fp8") {
      assume("quantization fp8 is simulated: 16-bit weights become FP8 when the server loads them");
      return;
    }
    const std::string notice =
        spec != nullptr ? domain::as_served(*spec, deployment.settings).notice
                        : fmt::format("quantization is '{}', and no facts of {} are at hand: its config says how wide its weights are",
                                      deployment.settings.quantization, deployment.model);
    result_.warnings.push_back({.position = position_of_setting("quantization"),
                                .problem = fmt::format("experiment '{}': {}", experiment().id, notice),
                                .remedy = "name a model whose config is quantised so",
                                .severity = core::Severity::warning});
  }

  /// Numbers and flags may be spelled in several ways: 0.9 and 0.90, true and True.
  static bool is_same_setting(const std::string& a, const std::string& b) {
    const auto folded = [](const std::string& text) {
      std::string result = core::lower(text);
      if (result.find('.') != std::string::npos && result.find_first_not_of("0123456789.") == std::string::npos &&
          std::ranges::count(result, '.') == 1) {
        while (result.ends_with('0')) result.pop_back();
      }
      return result;
    };
    return folded(a) == folded(b);
  }

  /// Where the value that counts was said.
  core::SourcePosition position_of_setting(const std::string& name) const {
    if (options_.settings.contains(name)) return {};
    if (const auto fact = log_.settings.find(name); fact != log_.settings.end()) return {.file = log_.file, .line = fact->second.line};
    const auto place = run_.places.find(name);
    return place == run_.places.end() ? core::SourcePosition{.file = run_.file}
                                      : core::SourcePosition{run_.file, place->second.line, place->second.column};
  }

  void share_prefix() {
    domain::Workload& workload = experiment().workload;
    if (options_.shared_prefix_tokens) workload.system_prompt_tokens = *options_.shared_prefix_tokens;
    const bool is_cycled = workload.pattern == domain::PromptPattern::cycled;
    const bool has_groups = std::ranges::any_of(run_.stages, [](const RecordedStage& stage) {
      return std::ranges::any_of(stage.requests, [](const RecordedRequest& request) { return request.prefix_group >= 0; });
    });
    if (!is_cycled && !has_groups && workload.system_prompt_tokens == 0) {
      assume("prompts share no prefix (else give --shared-prefix-tokens)");
    }
  }

  void add_stages() {
    domain::Workload& workload = experiment().workload;
    if (run_.stages.empty()) {
      std::ranges::move(run_.warnings, std::back_inserter(errors_));  // they say why
      run_.warnings.clear();
      fail("no load level with a finished request", "nothing can be imported");
    }
    std::vector<int> input_tokens;
    std::vector<int> output_tokens;
    for (RecordedStage& stage : run_.stages) {
      std::ranges::stable_sort(stage.requests, {}, &RecordedRequest::start_s);
      for (const RecordedRequest& request : stage.requests) {
        input_tokens.push_back(request.input_tokens);
        output_tokens.push_back(request.output_tokens);
      }
      workload.stages.push_back(domain_stage(stage));
    }
    if (workload.pattern != domain::PromptPattern::cycled && !input_tokens.empty()) {
      workload.prompt = length_distribution(input_tokens);
      workload.output = length_distribution(output_tokens);
    }
  }

  /// Whether the requests are replayed one by one: at their times, or, of a closed loop, with their lengths in their order.
  [[nodiscard]] bool replays_requests() const {
    const domain::Workload& workload = written_.experiment.workload;
    if (workload.arrival.process == ArrivalProcess::trace) return true;
    return workload.arrival.process == ArrivalProcess::closed_loop && workload.pattern != domain::PromptPattern::cycled &&
           std::ranges::none_of(run_.stages, [](const RecordedStage& stage) { return stage.requests.empty(); });
  }

  /// Of rate, duration and count two give the third.
  domain::Stage domain_stage(const RecordedStage& stage) {
    domain::Stage result;
    result.concurrency = stage.concurrency;
    double count = replays_requests() ? static_cast<double>(stage.requests.size()) : stage.num_requests.value_or(0);
    if (count == 0.0 && stage.rate_per_s && stage.duration_s) count = std::round(*stage.rate_per_s * *stage.duration_s);
    if (count == 0.0) count = static_cast<double>(stage.requests.size());
    if (count < 1.0) {
      fail(fmt::format("load level {} does not say how many requests it sent", experiment().workload.stages.size()),
           "without the count or the duration it cannot be replayed");
    }
    result.num_requests = static_cast<int>(count);
    if (experiment().workload.arrival.process == ArrivalProcess::closed_loop) {
      if (stage.duration_s) result.duration = {rounded(*stage.duration_s)};
      return result;
    }
    if (experiment().workload.arrival.rate_ramp != domain::RateRamp::none) {
      result.rate = domain::mean_rate(experiment().workload.arrival, result.num_requests);
      return result;
    }
    const double rate = stage.rate_per_s.value_or(stage.duration_s && *stage.duration_s > 0.0 ? count / *stage.duration_s : 0.0);
    if (rate <= 0.0) {
      fail(fmt::format("load level {} says neither its rate nor its duration", experiment().workload.stages.size()),
           "it cannot be replayed without");
      return result;
    }
    result.rate = {rounded(rate)};
    result.duration = {rounded(count / rate)};
    return result;
  }

  void measure() {
    domain::Measurement& measured = experiment().measured;
    measured.measured_at = options_.measured_at.value_or(run_.measured_at);
    std::vector<RecordedRequest> all;
    for (std::size_t i = 0; i < run_.stages.size(); ++i) {
      const RecordedStage& stage = run_.stages[i];
      all.insert(all.end(), stage.requests.begin(), stage.requests.end());
      const RecordedRow row = measured_row(stage.row, stage.requests, fmt::format("stage {}", i));
      measured.stages.push_back(row.latencies);
      written_.output_tokens.push_back(row.output_tokens);
      judge_saturation(stage, i);
    }
    const RecordedRow summary = !all.empty() || run_.summary ? measured_row(run_.summary.value_or(RecordedRow{}), all, "summary")
                                                             : pooled(measured.stages, written_.output_tokens);
    measured.summary = summary.latencies;
    if (!measured.summary.failed) measured.summary.failed = failed_in(measured.stages);
    written_.summary_output_tokens = summary.output_tokens;
  }

  /// Without a mean latency there is nothing to compare. Said about the user's file, in the words of its figures.
  void require_means() {
    const domain::Latencies& summary = experiment().measured.summary;
    if (has_errors_ || summary[Metric::ttft_mean] || summary[Metric::e2e_mean]) return;
    fail(fmt::format("experiment '{}': the file gives neither a mean time to first token nor a mean end-to-end latency",
                     experiment().id),
         "means are what is compared; medians and percentiles cannot stand in for them");
  }

  /// The requests' own figures where there are requests, else the reported ones; the time per token always by the identity.
  RecordedRow measured_row(const RecordedRow& reported, std::span<const RecordedRequest> requests, const std::string& title) {
    RecordedRow row = reported;
    if (!requests.empty()) {
      row = row_of(requests);
      compare_counts(reported, row, title);
      for (const Metric metric : {Metric::ttft_mean, Metric::e2e_mean}) compare(metric, reported, row, title);
      row.latencies.failed = reported.latencies.failed;
      row.latencies.itl_mean_ms = reported.latencies.itl_mean_ms;
    } else {
      round_all(row);
      set_token_time(row);
    }
    return row;
  }

  static void round_all(RecordedRow& row) {
    for (const Metric metric : domain::kMetrics) {
      if (auto& value = row.latencies[metric]) value = rounded(*value);
    }
    if (row.latencies.itl_mean_ms) row.latencies.itl_mean_ms = rounded(*row.latencies.itl_mean_ms);
    if (row.output_tokens) row.output_tokens = rounded(*row.output_tokens);
  }

  /// Two counts of one thing: requests by the report and by its list, tokens likewise.
  void compare_counts(const RecordedRow& reported, const RecordedRow& computed, const std::string& title) {
    const auto requests = reported.latencies.succeeded;
    if (requests && *requests != *computed.latencies.succeeded) {
      warn(fmt::format("{}: the file counts {} successful requests, but lists {} that can be replayed", title, *requests,
                       *computed.latencies.succeeded),
           "those of the list are taken");
    }
    if (reported.output_tokens && std::abs(*reported.output_tokens / *computed.output_tokens - 1.0) > kSameMean) {
      warn(fmt::format("{}: the file reports {:g} output tokens a request, but its requests have {:g}", title, *reported.output_tokens,
                       *computed.output_tokens),
           "the requests' is taken");
    }
  }

  void compare(Metric metric, const RecordedRow& reported, const RecordedRow& computed, const std::string& title) {
    const auto theirs = reported.latencies[metric];
    const auto ours = computed.latencies[metric];
    if (!theirs || !ours || std::abs(*theirs / *ours - 1.0) <= kSameMean) return;
    warn(fmt::format("{}: the file reports a {} of {:g}, but its requests give {:g}", title, domain::metric_name(metric), *theirs,
                     *ours),
         "the requests' is taken");
  }

  /// E2E = TTFT + (N - 1) x TPOT on means.
  void set_token_time(RecordedRow& row) {
    const double tokens = row.output_tokens.value_or(experiment().workload.output.mean_tokens);
    const auto ttft = row.latencies[Metric::ttft_mean];
    const auto e2e = row.latencies[Metric::e2e_mean];
    if (tokens > 1.0 && ttft && e2e && *e2e > *ttft) row.latencies[Metric::tpot_mean] = rounded((*e2e - *ttft) / (tokens - 1.0));
  }

  /// Means of all stages by their number of requests. Percentiles of parts say nothing about those of the whole.
  RecordedRow pooled(const std::vector<domain::Latencies>& stages, const std::vector<std::optional<double>>& tokens) {
    RecordedRow row;
    if (stages.size() == 1) return {.latencies = stages.front(), .output_tokens = tokens.front()};
    double total = 0.0;
    for (const domain::Stage& stage : experiment().workload.stages) total += stage.num_requests;
    const auto mean_of = [&](const auto& value_of) -> std::optional<double> {
      double sum = 0.0;
      for (std::size_t i = 0; i < stages.size(); ++i) {
        const std::optional<double> value = value_of(i);
        if (!value) return std::nullopt;
        sum += *value * experiment().workload.stages[i].num_requests / total;
      }
      return rounded(sum);
    };
    for (const Metric metric : {Metric::ttft_mean, Metric::e2e_mean}) {
      row.latencies[metric] = mean_of([&](std::size_t i) { return stages[i][metric]; });
    }
    row.output_tokens = mean_of([&](std::size_t i) { return tokens[i]; });
    const auto sum_of = [&](std::optional<int> domain::Latencies::*count) -> std::optional<int> {
      int sum = 0;
      for (const domain::Latencies& stage : stages) {
        if (!(stage.*count)) return std::nullopt;
        sum += *(stage.*count);
      }
      return stages.empty() ? std::nullopt : std::optional(sum);
    };
    row.latencies.succeeded = sum_of(&domain::Latencies::succeeded);
    row.latencies.failed = sum_of(&domain::Latencies::failed);
    set_token_time(row);
    assume("the summary is the mean of the stages by their number of requests; it has no percentiles");
    return row;
  }

  /// Requests that failed in all stages; empty where a stage does not say.
  static std::optional<int> failed_in(const std::vector<domain::Latencies>& stages) {
    int failed = 0;
    for (const domain::Latencies& stage : stages) {
      if (!stage.failed) return std::nullopt;
      failed += *stage.failed;
    }
    return stages.empty() ? std::nullopt : std::optional(failed);
  }

  void judge_saturation(const RecordedStage& stage, std::size_t index) {
    if (stage.rate_per_s && stage.achieved_per_s && *stage.achieved_per_s < kKeepsUp * *stage.rate_per_s) {
      warn(fmt::format("stage {} finished {:.3g} requests a second of the {:.3g} requested: saturated", index, *stage.achieved_per_s,
                       *stage.rate_per_s),
           "its latencies depend on how long the load lasted; think twice before fitting it");
      return;
    }
    if (stage.requests.size() < kEnoughForATrend) return;
    const std::size_t quarter = stage.requests.size() / 4;
    const std::span<const RecordedRequest> requests(stage.requests);
    const double early = *row_of(requests.first(quarter)).latencies[Metric::ttft_mean];
    const double late = *row_of(requests.last(quarter)).latencies[Metric::ttft_mean];
    if (late < kGrowingQueue * early || late < early + kGrowingQueueMs) return;
    warn(fmt::format("stage {}: the mean TTFT grows from {:.0f} ms in the first quarter of the requests to {:.0f} ms in the last: "
                     "saturated",
                     index, early, late),
         "its latencies depend on how long the load lasted; think twice before fitting it");
  }

  void judge_failures() {
    const domain::Latencies& summary = experiment().measured.summary;
    const double failed = summary.failed.value_or(0);
    const double sent = failed + summary.succeeded.value_or(0);
    experiment().role = options_.role.value_or(domain::Role::calibration);
    if (failed == 0.0 || sent == 0.0) return;
    if (failed / sent > kManyFailures && !options_.role) {
      experiment().role = domain::Role::overload;
      assume(fmt::format("role overload: {:.0f} of {:.0f} requests failed (else give --role)", failed, sent));
    }
    experiment().flags.push_back(fmt::format("{:.0f} of {:.0f} requests failed", failed, sent));
  }

  /// The requests as the workload's trace, and as the table that says so. Times count from each stage's first request; of a turn
  /// that follows another, from the reply to that.
  void add_table() {
    domain::Workload& workload = experiment().workload;
    const bool has_turns = has_conversations();
    std::string csv = fmt::format("stage,arrival_s,input_tokens,output_tokens,prefix_group,shared_prefix_tokens,{}ttft_ms,e2e_ms\n",
                                  has_turns ? "conversation," : "");
    std::map<std::int64_t, double> replied_s;
    const auto add = [&](int stage, double start_s, const RecordedRequest& request) {
      domain::TracedRequest traced = traced_request(stage, request.start_s - start_s, request);
      const auto [reply, is_first] = replied_s.emplace(request.conversation, 0.0);
      if (request.conversation >= 0 && !is_first) traced.arrival_s = rounded(std::max(0.0, request.start_s - reply->second));
      reply->second = request.start_s + request.e2e_ms * 1e-3;
      csv += fmt::format("{},{},{},{},{},{},", traced.stage, traced.arrival_s, traced.input_tokens, traced.output_tokens,
                         traced.prefix_group, traced.shared_prefix_tokens);
      if (has_turns) csv += fmt::format("{},", traced.conversation);
      csv += fmt::format("{},{}\n", rounded(request.ttft_ms), rounded(request.e2e_ms));
      if (stage >= 0) workload.trace.push_back(traced);
    };
    for (std::size_t i = 0; i < run_.stages.size(); ++i) {
      const auto& requests = run_.stages[i].requests;
      for (const RecordedRequest& request : requests) add(static_cast<int>(i), requests.front().start_s, request);
    }
    std::ranges::stable_sort(run_.outside, {}, &RecordedRequest::start_s);
    for (const RecordedRequest& request : run_.outside) add(-1, run_.outside.front().start_s, request);
    written_.table = experiment().id + ".csv";
    result_.tables.push_back({.name = written_.table, .csv = std::move(csv)});
  }

  [[nodiscard]] bool has_conversations() const {
    const auto is_turn = [](const RecordedRequest& request) { return request.conversation >= 0; };
    return std::ranges::any_of(run_.outside, is_turn) ||
           std::ranges::any_of(run_.stages, [&](const RecordedStage& stage) { return std::ranges::any_of(stage.requests, is_turn); });
  }

  [[nodiscard]] domain::TracedRequest traced_request(int stage, double arrival_s, const RecordedRequest& request) const {
    const int shared = written_.experiment.workload.system_prompt_tokens;
    const bool has_own_group = request.prefix_group >= 0;
    const std::int64_t group = has_own_group ? request.prefix_group : shared > 0 ? 0 : -1;
    return {.stage = stage,
            .arrival_s = rounded(arrival_s),
            .input_tokens = request.input_tokens,
            .output_tokens = request.output_tokens,
            .prefix_group = group,
            .shared_prefix_tokens = group < 0       ? 0
                                    : has_own_group ? request.shared_prefix_tokens
                                                    : shared,
            .conversation = request.conversation};
  }

  RecordedRun run_;
  const VllmLog& log_;
  const ImportOptions& options_;
  ImportedGroundTruth& result_;
  core::Diagnostics& errors_;
  data::WrittenExperiment written_;
  bool has_errors_ = false;
};

}  // namespace

bool check_request(const RecordedRequest& request, text::Place place, text::Problems& problems) {
  if (request.ttft_ms > request.e2e_ms) {
    problems.error(place,
                   fmt::format("this request's first token came after {:g} ms, later than its end after {:g} ms", request.ttft_ms,
                               request.e2e_ms),
                   "check the times and their units");
    return false;
  }
  return true;
}

void assemble(RecordedRun run, const VllmLog& log, const ImportOptions& options, ImportedGroundTruth& result,
              core::Diagnostics& errors) {
  Assembler(std::move(run), log, options, result, errors).assemble();
}

}  // namespace rooftune::importers
