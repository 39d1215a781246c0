#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "numbers.hpp"
#include "rooftune/report/tables.hpp"

namespace rooftune::report {
namespace {

using plan::LatencyKind;
using plan::LatencyStatistic;
using plan::LoadPoint;

std::vector<Column> point_columns(std::vector<Column> first) {
  for (const char* kind : {"TTFT ms", "TPOT ms", "E2E ms"}) {
    first.push_back({std::string(kind) + "\nmean"});
    first.push_back({"\n90 % of runs"});
    first.push_back({"\np90"});
  }
  first.push_back({"\ntokens/s"});
  first.push_back({"\nbatch"});
  first.push_back({"KV\n%"});
  return first;
}

void add_point(std::vector<Cell>& cells, const LoadPoint& point) {
  for (const LatencyKind kind : plan::kLatencyKinds) {
    const auto& interval = point.mean_interval[static_cast<std::size_t>(kind)];
    cells.emplace_back(milliseconds(plan::at(point.latency_ms, kind, LatencyStatistic::mean)));
    cells.emplace_back(interval ? fmt::format("{}-{}", milliseconds(interval->lower_ms), milliseconds(interval->upper_ms)) : "-");
    cells.emplace_back(milliseconds(plan::at(point.latency_ms, kind, LatencyStatistic::p90)));
  }
  cells.emplace_back(fmt::format("{:.0f}", point.output_tokens_per_s));
  cells.emplace_back(fmt::format("{:.1f}", point.mean_batch));
  cells.emplace_back(fmt::format("{:.0f}", 100.0 * point.kv_use_fraction));
}

Cell verdict(const LoadPoint& point) {
  return point.is_good() ? Cell("kept", Tone::good) : Cell(fmt::format("{}", fmt::join(point.missed, ", ")), Tone::bad);
}

std::string limits_of(const plan::CapacityReport& report) {
  if (report.objectives.empty()) return "no objective but that the engine keeps up";
  std::vector<std::string> texts;
  for (const plan::LatencyObjective& objective : report.objectives) {
    texts.push_back(fmt::format("{} <= {:g} ms", plan::latency_name(objective.kind, objective.statistic), objective.limit.value));
  }
  return fmt::format("{}", fmt::join(texts, ", "));
}

std::string capacity_table(const plan::CapacityReport& report, Colour colour) {
  TextTable table(point_columns({{"TP"}, {"requests/s\nof one engine"}, {"per\nGPU"}, {"\nthen missed", Align::left}}));
  std::string refusals;
  for (const plan::CapacityAnswer& answer : report.answers) {
    if (!answer.refusal.empty()) {
      refusals += fmt::format("TP {}: {}\n", answer.tp, answer.refusal);
    } else if (!answer.capacity.best) {
      refusals += fmt::format("TP {}: not even an idle engine keeps {}\n", answer.tp, fmt::join(answer.capacity.beyond->missed, ", "));
    } else {
      const LoadPoint& best = *answer.capacity.best;
      std::vector<Cell> cells{fmt::format("{}", answer.tp), significant(best.rate_per_s), significant(best.rate_per_s / answer.tp)};
      cells.push_back(answer.capacity.beyond ? Cell(fmt::format("{}", fmt::join(answer.capacity.beyond->missed, ", ")))
                                             : Cell("nothing was", Tone::faint));
      add_point(cells, best);
      table.add(std::move(cells));
    }
  }
  return (table.empty() ? "\n" : titled(fmt::format("Highest rate of one engine ({})", limits_of(report)), table.text(colour))) +
         refusals;
}

std::string fleet_table(const plan::CapacityReport& report, Colour colour) {
  TextTable table(point_columns({{"TP"}, {"engines"}, {"GPUs"}}));
  const plan::CapacityAnswer* cheapest = nullptr;
  for (const plan::CapacityAnswer& answer : report.answers) {
    if (!answer.fleet) continue;
    std::vector<Cell> cells{fmt::format("{}", answer.tp), fmt::format("{}", answer.fleet->replicas),
                            fmt::format("{}", answer.fleet->gpus)};
    add_point(cells, answer.fleet->point);
    table.add(std::move(cells));
    if (cheapest == nullptr || answer.fleet->gpus < cheapest->fleet->gpus) cheapest = &answer;
  }
  if (cheapest == nullptr) return fmt::format("\nNo fleet keeps the objectives at {:g} requests/s.\n", *report.load_per_s);
  return titled(fmt::format("Fleets for {:g} requests/s", *report.load_per_s), table.text(colour)) +
         fmt::format("fewest GPUs: {} ({} of TP {})\n", cheapest->fleet->gpus, cheapest->fleet->replicas, cheapest->tp);
}

/// The throughput at an interactivity: tokens/s of a GPU where every user gets so many.
std::string interactivity_table(const plan::CapacityReport& report, Colour colour) {
  TextTable table(point_columns({{"TP"}, {"clients"}, {"tokens/s\nper GPU"}, {"\nper user"}}));
  const plan::CapacityAnswer* best = nullptr;
  const auto per_gpu = [](const plan::CapacityAnswer& answer) { return answer.most_clients->output_tokens_per_s / answer.tp; };
  std::string refusals;
  for (const plan::CapacityAnswer& answer : report.answers) {
    if (!answer.refusal.empty()) continue;
    if (!answer.most_clients) {
      refusals += fmt::format("TP {}: not even one user gets so many\n", answer.tp);
      continue;
    }
    const LoadPoint& point = *answer.most_clients;
    std::vector<Cell> cells{fmt::format("{}", answer.tp), fmt::format("{}", point.concurrency), significant(per_gpu(answer)),
                            significant(plan::tokens_per_user(point))};
    add_point(cells, point);
    table.add(std::move(cells));
    if (best == nullptr || per_gpu(answer) > per_gpu(*best)) best = &answer;
  }
  if (best == nullptr) return "\nNo degree gives a user " + fmt::format("{:g} tokens/s.\n", *report.tokens_per_user);
  return titled(fmt::format("Most clients of a closed loop with {:g} tokens/s for each user", *report.tokens_per_user),
                table.text(colour)) +
         refusals +
         fmt::format("most tokens/s per GPU: {:.0f} (TP {}, {} clients)\n", per_gpu(*best), best->tp, best->most_clients->concurrency);
}

std::string sweep_table(const plan::CapacityReport& report, std::vector<LoadPoint> plan::CapacityAnswer::*points, const char* title,
                        Colour colour) {
  TextTable table(point_columns({{"TP"}, {"clients"}, {"\nrequests/s"}, {"\nobjectives", Align::left}}));
  for (const plan::CapacityAnswer& answer : report.answers) {
    if (!table.empty() && !(answer.*points).empty()) table.add_rule();
    for (const LoadPoint& point : answer.*points) {
      std::vector<Cell> cells{fmt::format("{}", answer.tp), point.concurrency > 0 ? fmt::format("{}", point.concurrency) : "-",
                              significant(point.rate_per_s), verdict(point)};
      add_point(cells, point);
      table.add(std::move(cells));
    }
  }
  return table.empty() ? "" : titled(title, table.text(colour));
}

std::vector<eval::DomainExit> all_exits(const plan::CapacityReport& report) {
  std::vector<eval::DomainExit> exits;
  const auto add = [&](const LoadPoint& point) { eval::merge(exits, point.domain_exits); };
  for (const plan::CapacityAnswer& answer : report.answers) {
    if (answer.capacity.best) add(*answer.capacity.best);
    if (answer.fleet) add(answer.fleet->point);
    if (answer.most_clients) add(*answer.most_clients);
    std::ranges::for_each(answer.rates, add);
    std::ranges::for_each(answer.concurrencies, add);
  }
  return exits;
}

bool has_intervals(const plan::CapacityReport& report) {
  return std::ranges::any_of(report.answers, [](const plan::CapacityAnswer& answer) {
    return answer.capacity.best && answer.capacity.best->mean_interval.front().has_value();
  });
}

}  // namespace

std::string capacity_tables(const plan::CapacityReport& report, Colour colour) {
  std::string text = fmt::format("{} on {}, {:g} prompt and {:g} output tokens, {}\n", report.model, report.gpu, report.prompt_tokens,
                                 report.output_tokens, report.step_time_model);
  text += capacity_table(report, colour);
  if (report.load_per_s) text += fleet_table(report, colour);
  if (report.tokens_per_user) text += interactivity_table(report, colour);
  text += sweep_table(report, &plan::CapacityAnswer::rates, "Rates", colour);
  text += sweep_table(report, &plan::CapacityAnswer::concurrencies, "Closed loops", colour);
  text += fmt::format("\nsteady state, mean of {} replicate{}; ", report.replicates, report.replicates == 1 ? "" : "s");
  text += has_intervals(report) ? "90 % of runs: where the mean of a measured run should fall\n"
                                : "no intervals: the config does not know its uncertainty\n";
  return text + domain_list(all_exits(report), colour);
}

}  // namespace rooftune::report
