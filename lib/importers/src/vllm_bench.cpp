#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "rooftune/core/letters.hpp"
#include "serving_result.hpp"
#include "settings_text.hpp"
#include "units.hpp"

namespace rooftune::importers {
namespace {

// The result of `vllm bench serve --save-result`: one flat object; with --save-detailed also lists by request (input_lens,
// output_lens, ttfts, itls in seconds, errors; newer versions start_times). --append-result adds one object a line. SGLang's
// bench_serving grew out of the same script: its objects have mean_e2e_latency_ms for mean_e2el_ms, server_info for the model, and
// total_output_tokens_retokenized beside the tokens that were asked for.

using domain::ArrivalProcess;
using domain::Metric;

/// Relative difference of two counts of the same tokens that is worth a word.
constexpr double kSameTokens = 0.01;
/// Of the duration: requests that start within this share of it were sent at once.
constexpr double kAtOnce = 0.05;
/// With at least this share of the clients busy on average, they and not the rate make the load.
constexpr double kClientsBusy = 0.9;

/// A list of numbers by request; empty where the result is not detailed.
std::vector<double> numbers_at(const text::Node& root, std::string_view key, text::Problems& problems) {
  std::vector<double> values;
  if (const text::Node* list = find_any(root, {key})) text::convert(*list, fmt::format("'{}'", key), values, problems);
  return values;
}

/// Reads one result.
class ResultReader {
 public:
  ResultReader(const text::Node& root, RecordedRun& run, text::Problems& problems) : root_(root), run_(run), problems_(problems) {}

  void read() {
    read_server();
    run_.workload.name = is_sglang_ ? "sglang-bench" : "vllm-bench";
    run_.workload.type = is_sglang_ ? "sglang_bench" : "vllm_bench";
    if (!read_lengths()) return;
    read_row();
    read_requests();
    read_arrivals();
    read_warm_up();
    run_.stages.push_back(std::move(stage_));
    read_data();
  }

 private:
  void read_server() {
    const text::Node* sglang =
        find_any(root_, {"server_info", "accept_length", "total_output_tokens_retokenized", "mean_e2e_latency_ms"});
    const text::Node* backend = find_any(root_, {"backend"});
    is_sglang_ = sglang != nullptr || (backend != nullptr && backend->text.starts_with("sglang"));
    if (backend != nullptr && backend->text.starts_with("sglang")) run_.engine = "sglang";
    if (const text::Node* model = find_any(root_, {"model_id", "server_info.model_path", "model"})) {
      run_.model = text_at(root_, {"model_id", "server_info.model_path", "model"}, problems_);
      run_.places["model"] = model->place;
    }
    if (const text::Node* info = find_any(root_, {"server_info"})) read_sglang_server(*info);
    read_speculation();
  }

  /// SGLang's words for what vLLM calls otherwise.
  void read_sglang_server(const text::Node& info) {
    run_.tp = count_at(info, {"tp_size"}, problems_);
    run_.pp = count_at(info, {"pp_size"}, problems_);
    run_.replicas = count_at(info, {"dp_size"}, problems_);
    for (const auto& [theirs, ours] :
         {std::pair{"context_length", "max_model_len"}, std::pair{"max_running_requests", "max_num_seqs"},
          std::pair{"chunked_prefill_size", "max_num_batched_tokens"}, std::pair{"mem_fraction_static", "gpu_mem_util"},
          std::pair{"kv_cache_dtype", "kv_cache_dtype"}, std::pair{"quantization", "quantization"}}) {
      const text::Node* value = find_any(info, {theirs});
      if (value == nullptr || value->kind != text::Node::Kind::scalar || value->text == "auto" || value->text.starts_with('-'))
        continue;
      set(ours, value->text, value->place);
    }
    if (const auto ranks = count_at(info, {"ep_size"}, problems_); ranks && *ranks > 1) {
      set("enable_expert_parallel", "true", find_any(info, {"ep_size"})->place);
    }
    if (const text::Node* off = find_any(info, {"disable_radix_cache"}); off != nullptr && off->text == "true") {
      set("enable_prefix_caching", "false", off->place);
    }
    if (const auto tokens = count_at(info, {"max_total_num_tokens"}, problems_); tokens && *tokens > 0) {
      constexpr int kBlockTokens = 16;
      set("total_kv_blocks", fmt::format("{}", std::max(1, *tokens / kBlockTokens)), find_any(info, {"max_total_num_tokens"})->place);
    }
    for (const auto& [key, what] :
         {std::pair{"enable_lora", "LoRA adapters"}, std::pair{"enable_dp_attention", "data-parallel attention"},
          std::pair{"enable_hierarchical_cache", "a cache in the host's memory"}}) {
      const text::Node* value = find_any(info, {key});
      if (value != nullptr && value->text == "true")
        warn(*value, fmt::format("the server ran with {} ({})", what, key), "not simulated");
    }
    if (const text::Node* mode = find_any(info, {"disaggregation_mode"}); mode != nullptr && mode->text != "null") {
      warn(*mode, fmt::format("the server did one phase only (disaggregation_mode {})", mode->text),
           "not simulated: one engine that does both phases is simulated");
    }
  }

  /// SGLang's word for a drafter, as vLLM calls it where it drafts a chain of tokens; trees of drafts (speculative_eagle_topk above 1)
  /// keep a name that nothing simulates.
  [[nodiscard]] std::string drafter(const text::Node* algorithm) {
    if (algorithm == nullptr) return "unknown";
    const auto branches = count_at(root_, {"server_info.speculative_eagle_topk"}, problems_);
    if (branches && *branches > 1) return fmt::format("{} (trees of {} branches)", algorithm->text, *branches);
    const std::string name = core::lower(algorithm->text);
    if (name == "nextn") return "mtp";
    return name == "standalone" ? "draft_model" : name;
  }

  void read_speculation() {
    const text::Node* method = find_any(root_, {"server_info.speculative_algorithm", "speculative_algorithm"});
    // vLLM counts drafts and their tokens (pull request 31739). SGLang's steps are tokens of a chain; its speculative_num_draft_tokens
    // counts the verified one as well.
    auto drafted = count_at(root_, {"server_info.speculative_num_steps"}, problems_);
    const auto drafts = number_at(root_, {"spec_decode_num_drafts"}, problems_);
    const auto draft_tokens = number_at(root_, {"spec_decode_draft_tokens"}, problems_);
    if (!drafted && drafts && draft_tokens && *drafts > 0.0)
      drafted = static_cast<int>(std::lround(std::min(*draft_tokens / *drafts, 1e6)));
    const auto accepted = number_at(root_, {"accept_length", "spec_decode_acceptance_length"}, problems_);
    const bool has_accepted = accepted && *accepted > 1.0;
    if (method == nullptr && !has_accepted) return;
    const text::Node& said = method != nullptr ? *method : *find_any(root_, {"accept_length", "spec_decode_acceptance_length"});
    set("speculative",
        fmt::format("{}:{}{}", drafter(method), drafted.value_or(0), has_accepted ? fmt::format(":{:g}", *accepted) : ""), said.place);
    warn(
        said,
        fmt::format("the server ran with speculative decoding{}{}", method == nullptr ? "" : fmt::format(" ({})", method->text),
                    has_accepted ? fmt::format(": {:g} tokens were accepted a step", *accepted) : ""),
        "commands refuse to simulate the experiment before method, drafted tokens and accepted length are known (--vllm-log, or --set "
        "speculative=eagle3:3:2.4); the measured time per token is that of several tokens a step");
  }

  void set(const std::string& name, std::string value, text::Place place) {
    run_.settings[name] = std::move(value);
    run_.places[name] = place;
  }

  bool read_lengths() {
    const auto completed = count_at(root_, {"completed"}, problems_);
    const auto input = number_at(root_, {"total_input_tokens"}, problems_, text::at_least(0));
    const auto output = number_at(root_, {"total_output_tokens", "total_output"}, problems_, text::at_least(0));
    if (!completed || !input || !output) {
      problems_.error(root_.place,
                      "this is no result of vllm bench serve: it lacks 'completed', 'total_input_tokens' or 'total_output_tokens'",
                      "name a file that --save-result wrote");
      return false;
    }
    if (*completed == 0) {
      problems_.error(root_.place, "no request of this run succeeded", "there is nothing to import");
      return false;
    }
    completed_ = *completed;
    run_.workload.prompt.mean_tokens = rounded(*input / completed_);
    run_.workload.output.mean_tokens = rounded(*output / completed_);
    stage_.row.output_tokens = run_.workload.output.mean_tokens;
    if (const text::Node* again = find_any(root_, {"total_output_tokens_retokenized"})) {
      const double tokens = number_at(root_, {"total_output_tokens_retokenized"}, problems_).value_or(*output);
      if (std::abs(tokens / *output - 1.0) > kSameTokens) {
        warn(*again,
             fmt::format("{:g} output tokens were asked for, {:g} count the text tokenised again: {:.2f} times as many", *output,
                         tokens, tokens / *output),
             "the former are taken: without ignore_eos outputs may have been shorter");
      }
    }
    return true;
  }

  void read_row() {
    domain::Latencies& row = stage_.row.latencies;
    const auto set = [&](Metric metric, std::string_view statistic, std::string_view name, std::string_view sglang_name) {
      const std::string key = fmt::format("{}_{}_ms", statistic, name);
      const std::string other = fmt::format("{}_{}_ms", statistic, sglang_name);
      if (const auto value = number_at(root_, {key, other}, problems_); value && *value > 0.0) row[metric] = *value;
    };
    set(Metric::ttft_mean, "mean", "ttft", "ttft");
    set(Metric::ttft_p90, "p90", "ttft", "ttft");
    set(Metric::ttft_p99, "p99", "ttft", "ttft");
    set(Metric::e2e_mean, "mean", "e2el", "e2e_latency");
    set(Metric::e2e_p90, "p90", "e2el", "e2e_latency");
    set(Metric::e2e_p99, "p99", "e2el", "e2e_latency");
    if (const auto itl = number_at(root_, {"mean_itl_ms"}, problems_); itl && *itl > 0.0) row.itl_mean_ms = *itl;
    row.succeeded = completed_;
    const auto prompts = count_at(root_, {"num_prompts"}, problems_);
    row.failed = count_at(root_, {"failed"}, problems_);
    if (!row.failed && prompts) row.failed = std::max(0, *prompts - completed_);
    stage_.num_requests = prompts ? *prompts : completed_;
    if (!row[Metric::e2e_mean]) derive_e2e();
    require_means();
  }

  /// Without e2el among --percentile-metrics the identity gives the mean.
  void derive_e2e() {
    domain::Latencies& row = stage_.row.latencies;
    const auto tpot = number_at(root_, {"mean_tpot_ms"}, problems_, text::above(0));
    if (!tpot || !row[Metric::ttft_mean]) return;
    row[Metric::e2e_mean] = *row[Metric::ttft_mean] + *tpot * (run_.workload.output.mean_tokens - 1.0);
    if (find_any(root_, {"ttfts"}) == nullptr) {
      run_.assumptions.emplace_back(
          "the mean E2E is mean TTFT + mean TPOT x (output tokens - 1): exact only for outputs of one length "
          "(else run with --percentile-metrics ttft,tpot,itl,e2el or --save-detailed)");
    }
  }

  /// Names what is there in place of what is needed: medians, or the same figures under names of other units.
  void require_means() {
    const domain::Latencies& row = stage_.row.latencies;
    if (row[Metric::ttft_mean] || row[Metric::e2e_mean] || find_any(root_, {"ttfts"}) != nullptr) return;
    std::vector<std::string> others;
    for (const text::Member& member : root_.members) {
      const bool is_latency = member.key.find("ttft") != std::string::npos || member.key.find("e2e") != std::string::npos;
      if (is_latency && others.size() < 4) others.push_back(member.key);
    }
    problems_.error(root_.place,
                    fmt::format("the result lacks 'mean_ttft_ms', and 'mean_e2el_ms' or 'mean_tpot_ms'{}",
                                others.empty() ? "" : fmt::format("; it has {}", fmt::join(others, ", "))),
                    "means in ms are what is compared: medians and percentiles cannot stand in for them");
  }

  void read_requests() {
    const auto inputs = numbers_at(root_, "input_lens", problems_);
    const auto outputs = numbers_at(root_, "output_lens", problems_);
    const auto ttfts = numbers_at(root_, "ttfts", problems_);
    const auto starts = numbers_at(root_, "start_times", problems_);
    const text::Node* itls = find_any(root_, {"itls"});
    const text::Node* errors = find_any(root_, {"errors"});
    if (inputs.empty() || outputs.empty() || ttfts.empty() || itls == nullptr) return;
    if (outputs.size() != inputs.size() || ttfts.size() != inputs.size() || itls->items.size() != inputs.size() ||
        (!starts.empty() && starts.size() != inputs.size())) {
      problems_.error(
          itls->place,
          fmt::format("the lists by request differ in length: {} input_lens, {} output_lens, {} ttfts, {} itls, {} start_times",
                      inputs.size(), outputs.size(), ttfts.size(), itls->items.size(), starts.size()),
          "the file is damaged: run the benchmark again");
      return;
    }
    has_starts_ = !starts.empty();
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const bool failed = errors != nullptr && i < errors->items.size() && !errors->items[i].text.empty();
      std::vector<double> gaps_s;
      if (failed || outputs[i] < 1.0 || !text::convert(itls->items[i], "'itls'", gaps_s, problems_)) continue;
      const double decode_s = std::accumulate(gaps_s.begin(), gaps_s.end(), 0.0);
      stage_.requests.push_back({.start_s = has_starts_ ? starts[i] : static_cast<double>(i),
                                 .ttft_ms = ttfts[i] * kMillisecondsPerSecond,
                                 .e2e_ms = (ttfts[i] + decode_s) * kMillisecondsPerSecond,
                                 .input_tokens = static_cast<int>(inputs[i]),
                                 .output_tokens = static_cast<int>(outputs[i])});
    }
    if (stage_.requests.empty()) {
      problems_.error(itls->place, fmt::format("none of the {} listed requests can be replayed", inputs.size()),
                      "each needs an output_len, a ttft and its itls, and no error");
    }
  }

  void read_arrivals() {
    domain::Arrival& arrival = run_.workload.arrival;
    const auto clients = count_at(root_, {"max_concurrency"}, problems_);
    const auto duration = number_at(root_, {"duration"}, problems_, text::above(0));
    if (const text::Node* ramp = find_any(root_, {"ramp_up_strategy"})) return read_ramp(*ramp);
    const text::Node* rate = find_any(root_, {"request_rate"});
    if (rate == nullptr || is_infinite(*rate)) {
      if (duration) stage_.duration_s = duration;
      if (!clients && are_spread(duration)) return replay_starts();
      arrival.process = ArrivalProcess::closed_loop;
      arrival.concurrency = clients.value_or(*stage_.num_requests);
      if (!clients) run_.assumptions.emplace_back("request_rate inf without max_concurrency: all requests are sent at once");
      return;
    }
    stage_.rate_per_s = number_at(root_, {"request_rate"}, problems_, text::above(0));
    if (duration) stage_.achieved_per_s = completed_ / *duration;
    // The last requests finish after the last was sent: a short run seems slower than it was sent.
    if (stage_.rate_per_s && duration) {
      const double sending_s = *stage_.num_requests / *stage_.rate_per_s;
      const double tail_s = stage_.row.latencies[Metric::e2e_mean].value_or(0.0) / kMillisecondsPerSecond;
      if (*duration <= sending_s + 2.0 * tail_s) stage_.achieved_per_s.reset();
    }
    if (has_starts_) {
      arrival.process = ArrivalProcess::trace;
      return;
    }
    if (clients && are_busy(*clients, duration)) return replay_clients(*clients, duration);
    if (clients) {
      run_.assumptions.push_back(fmt::format("max_concurrency {} beside a rate is left aside: the rate alone is replayed", *clients));
    }
    draw_gaps();
    if (arrival.process == ArrivalProcess::conditioned_poisson) {
      run_.assumptions.emplace_back("gaps are exponential, rescaled to the requested rate, as vllm bench serve draws them");
    }
    if (stage_.requests.empty()) assume_mean_lengths();
  }

  /// The rate rises while the run lasts: from request to request, unless the starts themselves say when what was sent.
  void read_ramp(const text::Node& strategy) {
    if (has_starts_) return replay_starts();
    const auto from = number_at(root_, {"ramp_up_start_rps"}, problems_);
    const auto to = number_at(root_, {"ramp_up_end_rps"}, problems_);
    const bool is_known = strategy.text == "linear" || strategy.text == "exponential";
    if (!is_known || from.value_or(0.0) <= 0.0 || to.value_or(0.0) <= 0.0) {
      problems_.error(
          strategy.place,
          fmt::format("ramp_up_strategy '{}' from {:g} to {:g} requests a second, without the requests' start_times", strategy.text,
                      from.value_or(0.0), to.value_or(0.0)),
          "linear and exponential ramps between two rates above 0 can be replayed from a summary; else run with --save-detailed (of "
          "a version that writes start_times)");
      return;
    }
    draw_gaps();
    domain::Arrival& arrival = run_.workload.arrival;
    if (arrival.process == ArrivalProcess::conditioned_poisson) arrival.process = ArrivalProcess::poisson;
    arrival.rate_ramp = strategy.text == "linear" ? domain::RateRamp::linear : domain::RateRamp::exponential;
    arrival.first_rate = {*from};
    arrival.last_rate = {*to};
    run_.assumptions.push_back(fmt::format("the rate rises from {:g} to {:g} requests a second, from request to request ({} ramp)",
                                           *from, *to, strategy.text));
    if (stage_.requests.empty()) assume_mean_lengths();
  }

  void draw_gaps() {
    domain::Arrival& arrival = run_.workload.arrival;
    const double burstiness = number_at(root_, {"burstiness"}, problems_, text::above(0)).value_or(1.0);
    if (burstiness == 1.0) {
      arrival.process = ArrivalProcess::conditioned_poisson;
    } else {
      arrival.process = ArrivalProcess::gamma;
      arrival.gamma_coefficient_of_variation = rounded(1.0 / std::sqrt(burstiness));
    }
  }

  void assume_mean_lengths() {
    if (run_.workload.prompt.shape == domain::LengthShape::uniform) return;
    run_.assumptions.emplace_back("every prompt and every output has the mean length (else --save-detailed)");
  }

  /// Copies of the first prompt, sent before the run by as many clients.
  void read_warm_up() {
    const auto requests = count_at(root_, {"num_warmups", "warmup_requests"}, problems_);
    if (requests.value_or(0) < 1) return;
    const int clients = count_at(root_, {"max_concurrency"}, problems_).value_or(0);
    run_.workload.warm_up = domain::WarmUp{
        .requests = *requests, .concurrency = clients > 0 ? clients : *requests, .prompt = domain::WarmUp::Prompt::first};
  }

  /// Prompts that begin alike, as far as the file or the command beside it says so.
  void read_data() {
    domain::Workload& workload = run_.workload;
    const auto tokens = count_at(root_, {"random_prefix_len", "prefix_repetition_prefix_len", "gsp_system_prompt_len"}, problems_);
    const auto groups = count_at(root_, {"prefix_repetition_num_prefixes", "gsp_num_groups"}, problems_);
    const text::Node* name = find_any(root_, {"dataset_name"});
    const std::string_view dataset = name == nullptr ? std::string_view() : std::string_view(name->text);
    const bool has_groups = dataset == "prefix_repetition" || dataset == "generated-shared-prefix";
    // Namespaces list the options of all data sets.
    if (tokens.value_or(0) > 0 && (has_groups || dataset.empty() || dataset == "random")) {
      workload.system_prompt_tokens = *tokens;
      if (has_groups && groups.value_or(0) > 1) {
        workload.prompt_groups = *groups;
        share_prefixes({{.count = *groups, .tokens = *tokens}}, run_);
      }
    } else if (has_groups) {
      warn(*name,
           fmt::format("the data are {}: prompts begin alike, but the file does not say how long and in how many ways", dataset),
           "prompts are simulated without a shared beginning, unless --shared-prefix-tokens gives one");
    }
  }

  void replay_starts() {
    run_.workload.arrival.process = ArrivalProcess::trace;
    stage_.duration_s = sending_s(stage_.requests);
    run_.assumptions.emplace_back("requests are replayed at their start_times");
  }

  /// Starts that a rate of infinity does not explain: another program limited them.
  [[nodiscard]] bool are_spread(std::optional<double> duration_s) const {
    if (!has_starts_ || !duration_s || stage_.requests.size() < 2) return false;
    const auto [first, last] = std::ranges::minmax(stage_.requests, {}, &RecordedRequest::start_s);
    return last.start_s - first.start_s > kAtOnce * *duration_s;
  }

  /// By Little's law as many requests were under way as the clients allow.
  [[nodiscard]] bool are_busy(int clients, std::optional<double> duration_s) const {
    const auto e2e_ms = stage_.row.latencies[Metric::e2e_mean];
    return duration_s && e2e_ms && completed_ / *duration_s * *e2e_ms / kMillisecondsPerSecond >= kClientsBusy * clients;
  }

  void replay_clients(int clients, std::optional<double> duration_s) {
    warn(*find_any(root_, {"max_concurrency"}),
         fmt::format("the {} clients were busy all the time: max_concurrency, not the rate of {:g} a second, made the load", clients,
                     stage_.rate_per_s.value_or(0.0)),
         fmt::format("it is replayed as a closed loop of {} clients", clients));
    run_.workload.arrival = {.process = ArrivalProcess::closed_loop, .concurrency = clients};
    stage_.rate_per_s.reset();
    stage_.achieved_per_s.reset();
    stage_.duration_s = duration_s;
  }

  void warn(const text::Node& node, std::string problem, std::string remedy) {
    run_.warnings.push_back(warning_at(run_.file, node.place, std::move(problem), std::move(remedy)));
  }

  const text::Node& root_;
  RecordedRun& run_;
  text::Problems& problems_;
  RecordedStage stage_;
  int completed_ = 0;
  bool has_starts_ = false;
  bool is_sglang_ = false;
};

}  // namespace

void read_serving_result(const text::Node& result, RecordedRun& run, text::Problems& problems) {
  ResultReader(result, run, problems).read();
}

core::Result<std::vector<RecordedRun>> read_vllm_bench(const std::filesystem::path& file) {
  const auto documents = read_json_lines(file);
  if (!documents) return tl::unexpected(documents.error());
  text::Problems problems(file.string());
  std::vector<RecordedRun> runs;
  for (const text::Document& document : *documents) {
    if (document.root.kind != text::Node::Kind::object) {
      problems.error(document.root.place, fmt::format("a result must be an object, not {}", text::describe(document.root)),
                     "name a file that vllm bench serve --save-result wrote");
      continue;
    }
    RecordedRun& run = runs.emplace_back();
    run.file = file.string();
    run.id = documents->size() == 1 ? id_of(file) : fmt::format("{}-{}", id_of(file), runs.size());
    const std::size_t before = problems.error_count();
    read_serving_result(document.root, run, problems);
    if (problems.error_count() > before) runs.pop_back();
  }
  if (problems.has_errors()) return tl::unexpected(problems.take_errors());
  return runs;
}

}  // namespace rooftune::importers
