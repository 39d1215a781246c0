#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "numbers.hpp"
#include "rooftune/report/tables.hpp"

namespace rooftune::report {
namespace {

using domain::Metric;

/// Means and tails; medians are in the files.
constexpr std::array kTableMetrics{Metric::ttft_mean, Metric::ttft_p90, Metric::ttft_p99, Metric::e2e_mean,
                                   Metric::e2e_p90,   Metric::e2e_p99,  Metric::tpot_mean};

constexpr std::size_t kBarWidth = 40;

std::string bar(double share) {
  return std::string(static_cast<std::size_t>(std::lround(share * static_cast<double>(kBarWidth))), '#');
}

std::string value_of(const domain::Latencies& latencies, Metric metric) {
  const auto value = latencies[metric];
  return value ? milliseconds(*value) : "-";
}

std::string latency_table(const sim::Prediction<double>& prediction, Colour colour) {
  std::vector<Column> columns{{"stage", Align::left}, {"requests"}, {"rejected"}};
  for (const Metric metric : kTableMetrics) columns.push_back({metric_title(metric) + "\nms"});
  columns.push_back({"output\ntokens/s"});
  columns.push_back({"longest\nqueue"});
  TextTable table(std::move(columns));
  const auto add = [&](std::string name, const sim::StagePrediction<double>& stage) {
    std::vector<Cell> cells{std::move(name), fmt::format("{}", stage.finished), fmt::format("{}", stage.rejected)};
    for (const Metric metric : kTableMetrics) cells.emplace_back(value_of(stage.latencies, metric));
    cells.emplace_back(fmt::format("{:.0f}", stage.output_tokens_per_s));
    cells.emplace_back(fmt::format("{:.0f}", stage.longest_queue));
    table.add(std::move(cells));
  };
  add("summary", prediction.summary);
  for (std::size_t stage = 0; stage < prediction.stages.size() && prediction.stages.size() > 1; ++stage) {
    add(fmt::format("{}", stage), prediction.stages[stage]);
  }
  return titled("Latencies", table.text(colour));
}

std::string counter_lines(const calibrate::Inspection& inspection) {
  const sim::EngineCounters& counters = inspection.prediction.counters;
  const auto share = [](auto part, auto whole) {
    return whole > 0 ? 100.0 * static_cast<double>(part) / static_cast<double>(whole) : 0.0;
  };
  const double mean_batch = inspection.busy_us > 0.0 ? counters.batch_time_us / inspection.busy_us : 0.0;
  return fmt::format(
      "\nEngine\n"
      "steps           {:>12}   mean {:.0f} us\n"
      "busy            {:>12.1f} s\n"
      "preemptions     {:>12}\n"
      "rejected        {:>12}    {} longer than max_model_len ({} tokens), {} larger than the KV pool\n"
      "cache hits      {:>12.1f} %  of {} prompt tokens, {:.1f} % {}\n"
      "generated       {:>12} tokens\n"
      "batch           {:>12.1f}    requests on average, {} at most\n"
      "KV blocks       {:>12}\n",
      counters.steps, counters.steps > 0 ? inspection.busy_us / static_cast<double>(counters.steps) : 0.0, inspection.busy_us * 1e-6,
      counters.preemptions, counters.rejected, counters.rejected_by_length, inspection.setup.max_model_len,
      counters.rejected - counters.rejected_by_length, share(counters.cached_tokens, counters.prompt_tokens), counters.prompt_tokens,
      share(counters.loaded_tokens, counters.prompt_tokens),
      inspection.setup.fetches_prompts ? "fetched by decode engines" : "read back from the host", counters.generated_tokens,
      mean_batch, counters.largest_batch, inspection.setup.kv_blocks);
}

std::string time_table(const calibrate::Inspection& inspection, Colour colour) {
  TextTable table({{"term", Align::left}, {"s"}, {"% of busy"}, {"", Align::left}});
  const double busy_us = std::max(inspection.busy_us, 1e-9);
  for (const calibrate::TermTime& term : inspection.terms) {
    const double share = term.total_us / busy_us;
    table.add({term.name, fmt::format("{:.2f}", term.total_us * 1e-6), percent(100.0 * share), bar(std::clamp(share, 0.0, 1.0))});
  }
  if (!inspection.bound_us.empty()) table.add_rule();
  for (const auto& [bound, time_us] : inspection.bound_us) {
    table.add({fmt::format("bound by {}", bound), fmt::format("{:.2f}", time_us * 1e-6), percent(100.0 * time_us / busy_us),
               bar(time_us / busy_us)});
  }
  return titled("Where the time goes (terms overlap where a model takes maxima, and then exceed the whole)", table.text(colour));
}

std::string histogram(std::string_view title, std::string_view heading, const std::vector<calibrate::HistogramBin>& bins,
                      double busy_us, double factor, Colour colour) {
  TextTable table({{std::string(heading)}, {"% of busy"}, {"", Align::left}});
  const auto is_used = [](const calibrate::HistogramBin& bin) { return bin.time_us > 0.0; };
  const auto end = std::find_if(bins.rbegin(), bins.rend(), is_used).base();
  for (auto bin = bins.begin(); bin != end; ++bin) {
    const double share = bin->time_us / std::max(busy_us, 1e-9);
    table.add({fmt::format("<= {:.0f}", bin->upper * factor), percent(100.0 * share), bar(share)});
  }
  return titled(title, table.text(colour));
}

}  // namespace

std::string sweep_table(const std::vector<calibrate::SweepPoint>& points, Colour colour) {
  const bool closed = !points.empty() && points.front().concurrency > 0;
  std::vector<Column> columns{{closed ? "clients" : "rate\n1/s"}};
  for (const Metric metric : kTableMetrics) columns.push_back({metric_title(metric) + "\nms"});
  for (const char* heading : {"output\ntokens/s", "tokens/s\nper GPU", "tokens/s\nper user", "mean\nbatch", "KV use\n% at most",
                              "prefix\nhits %", "longest\nqueue", "preempted", "rejected"}) {
    columns.push_back({heading});
  }
  TextTable table(std::move(columns));
  std::string warnings;
  for (const calibrate::SweepPoint& point : points) {
    const sim::EngineCounters& counters = point.prediction.counters;
    std::vector<Cell> cells{closed ? fmt::format("{}", point.concurrency) : significant(point.rate_per_s)};
    for (const Metric metric : kTableMetrics) cells.emplace_back(value_of(point.prediction.summary.latencies, metric));
    cells.emplace_back(fmt::format("{:.0f}", point.prediction.summary.output_tokens_per_s));
    cells.emplace_back(fmt::format("{:.0f}", point.output_tokens_per_s_per_gpu()));
    const auto per_user = point.output_tokens_per_s_per_user();
    cells.emplace_back(per_user ? fmt::format("{:.1f}", *per_user) : "");
    cells.emplace_back(fmt::format("{:.1f}", counters.busy_us > 0.0 ? counters.batch_time_us / counters.busy_us : 0.0));
    cells.emplace_back(fmt::format(
        "{:.0f}", 100.0 * (1.0 - static_cast<double>(counters.least_free_blocks) / static_cast<double>(counters.kv_blocks))));
    cells.emplace_back(fmt::format("{:.1f}", 100.0 * point.prefix_hit_fraction()));
    cells.emplace_back(fmt::format("{:.0f}", point.prediction.summary.longest_queue));
    cells.emplace_back(fmt::format("{}", counters.preemptions));
    cells.emplace_back(fmt::format("{}", counters.rejected));
    table.add(std::move(cells));
    for (const eval::QualityFinding& finding : point.findings) warnings += "- " + eval::format(finding) + "\n";
  }
  return titled(closed ? "Latencies by number of clients" : "Latencies by rate", table.text(colour)) +
         (warnings.empty() ? "" : "\nWarnings\n" + warnings);
}

std::string engines_of(const domain::Deployment& deployment, std::string_view gpu) {
  const auto engines = [&](int number, int tp) { return fmt::format("{} x {}, TP {}", number, gpu, tp); };
  if (deployment.prefill_decode) {
    const auto& [prefill, decode] = *deployment.prefill_decode;
    const auto of_pool = [&](const domain::EnginePool& pool) { return engines(pool.engines, pool.tp > 0 ? pool.tp : deployment.tp); };
    return fmt::format("{} for prefill and {} for decode", of_pool(prefill), of_pool(decode));
  }
  const int ranks = deployment.settings.data_parallel_size;
  return engines(deployment.dp, deployment.tp) + (deployment.pp > 1 ? fmt::format(", {} pipeline stages", deployment.pp) : "") +
         (ranks > 1 ? fmt::format(", {} data-parallel ranks", ranks) : "");
}

std::string inspection_tables(const calibrate::Inspection& inspection, Colour colour) {
  return latency_table(inspection.prediction, colour) + counter_lines(inspection) + time_table(inspection, colour) +
         histogram("Batch size", "requests", inspection.batch_requests, inspection.busy_us, 1.0, colour) +
         histogram("KV cache in use", "% of blocks", inspection.kv_use_fraction, inspection.busy_us, 100.0, colour);
}

}  // namespace rooftune::report
