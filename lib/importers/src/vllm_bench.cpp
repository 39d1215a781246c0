#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "recorded_run.hpp"

namespace rooftune::importers {
namespace {

// The result of `vllm bench serve --save-result`: one flat object; with --save-detailed also lists by request (input_lens,
// output_lens, ttfts, itls in seconds, errors; newer versions start_times). --append-result adds one object a line.

using domain::ArrivalProcess;
using domain::Metric;

constexpr double kMillisecondsPerSecond = 1e3;

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
    run_.model = text_at(root_, {"model_id"}, problems_);
    run_.workload.name = "vllm-bench";
    run_.workload.type = "vllm_bench";
    read_lengths();
    read_row();
    read_requests();
    read_arrivals();
    run_.stages.push_back(std::move(stage_));
  }

 private:
  void read_lengths() {
    const auto completed = count_at(root_, {"completed"}, problems_);
    const auto input = number_at(root_, {"total_input_tokens"}, problems_, text::at_least(0));
    const auto output = number_at(root_, {"total_output_tokens"}, problems_, text::at_least(0));
    if (!completed || !input || !output) {
      problems_.error(root_.place,
                      "this is no result of vllm bench serve: it lacks 'completed', 'total_input_tokens' or 'total_output_tokens'",
                      "name a file that --save-result wrote");
      return;
    }
    if (*completed == 0) {
      problems_.error(root_.place, "no request of this run succeeded", "there is nothing to import");
      return;
    }
    completed_ = *completed;
    run_.workload.prompt.mean_tokens = rounded(*input / completed_);
    run_.workload.output.mean_tokens = rounded(*output / completed_);
    stage_.row.output_tokens = run_.workload.output.mean_tokens;
  }

  void read_row() {
    domain::Latencies& row = stage_.row.latencies;
    const auto set = [&](Metric metric, std::string_view key) {
      if (const auto value = number_at(root_, {key}, problems_); value && *value > 0.0) row[metric] = *value;
    };
    set(Metric::ttft_mean, "mean_ttft_ms");
    set(Metric::ttft_p90, "p90_ttft_ms");
    set(Metric::ttft_p99, "p99_ttft_ms");
    set(Metric::e2e_mean, "mean_e2el_ms");
    set(Metric::e2e_p90, "p90_e2el_ms");
    set(Metric::e2e_p99, "p99_e2el_ms");
    if (const auto itl = number_at(root_, {"mean_itl_ms"}, problems_); itl && *itl > 0.0) row.itl_mean_ms = *itl;
    row.succeeded = completed_;
    const auto prompts = count_at(root_, {"num_prompts"}, problems_);
    row.failed = count_at(root_, {"failed"}, problems_);
    if (!row.failed && prompts) row.failed = std::max(0, *prompts - completed_);
    stage_.num_requests = prompts ? *prompts : completed_;
    if (!row[Metric::e2e_mean]) derive_e2e();
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
  }

  void read_arrivals() {
    domain::Arrival& arrival = run_.workload.arrival;
    const auto clients = count_at(root_, {"max_concurrency"}, problems_);
    const text::Node* rate = find_any(root_, {"request_rate"});
    const bool is_unlimited = rate == nullptr || rate->text == "inf";
    const auto duration = number_at(root_, {"duration"}, problems_, text::above(0));
    if (is_unlimited) {
      arrival.process = ArrivalProcess::closed_loop;
      arrival.concurrency = clients.value_or(*stage_.num_requests);
      if (!clients) run_.assumptions.emplace_back("request_rate inf without max_concurrency: all requests are sent at once");
      if (duration) stage_.duration_s = duration;
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
    if (clients) {
      run_.assumptions.push_back(fmt::format("max_concurrency {} beside a rate is left aside: the rate alone is replayed", *clients));
    }
    const double burstiness = number_at(root_, {"burstiness"}, problems_, text::above(0)).value_or(1.0);
    if (burstiness == 1.0) {
      arrival.process = ArrivalProcess::conditioned_poisson;
      run_.assumptions.emplace_back("gaps are exponential, rescaled to the requested rate, as vllm bench serve draws them");
    } else {
      arrival.process = ArrivalProcess::gamma;
      arrival.gamma_coefficient_of_variation = rounded(1.0 / std::sqrt(burstiness));
    }
    if (stage_.requests.empty())
      run_.assumptions.emplace_back("every prompt and every output has the mean length (else --save-detailed)");
  }

  const text::Node& root_;
  RecordedRun& run_;
  text::Problems& problems_;
  RecordedStage stage_;
  int completed_ = 0;
  bool has_starts_ = false;
};

}  // namespace

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
    ResultReader(document.root, run, problems).read();
    if (problems.error_count() > before) runs.pop_back();
  }
  if (problems.has_errors()) return tl::unexpected(problems.take_errors());
  return runs;
}

}  // namespace rooftune::importers
