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

/// What tells the answers apart, in their tables and sentences: the TP degree, and models and expert parallelism where those differ.
class Deployments {
 public:
  explicit Deployments(const plan::CapacityReport& report) {
    for (const plan::CapacityAnswer& answer : report.answers) {
      several_models_ = several_models_ || answer.model != report.answers.front().model;
      several_ranks_ = several_ranks_ || answer.data_parallel > 1;
      several_modes_ = several_modes_ || answer.expert_parallel != report.answers.front().expert_parallel;
    }
  }

  [[nodiscard]] bool several_models() const { return several_models_; }

  [[nodiscard]] std::vector<Column> columns(std::vector<Column> others) const {
    std::vector<Column> columns;
    if (several_models_) columns = {{"model", Align::left}, {"weights", Align::left}};
    columns.push_back({"TP"});
    if (several_ranks_) columns.push_back({"DP"});
    if (several_modes_) columns.push_back({"EP", Align::left});
    columns.insert(columns.end(), others.begin(), others.end());
    return columns;
  }

  [[nodiscard]] std::vector<Cell> cells(const plan::CapacityAnswer& answer) const {
    std::vector<Cell> cells;
    if (several_models_) cells = {answer.model, answer.weights};
    cells.emplace_back(fmt::format("{}", answer.tp));
    if (several_ranks_) cells.emplace_back(fmt::format("{}", answer.data_parallel));
    if (several_modes_) cells.emplace_back(answer.expert_parallel ? "on" : "off");
    return cells;
  }

  /// "Mixtral-8x7B-v0.1, TP 4 with expert parallelism"
  [[nodiscard]] std::string name(const plan::CapacityAnswer& answer) const {
    return fmt::format("{}TP {}{}{}", several_models_ ? answer.model + ", " : "", answer.tp,
                       answer.data_parallel > 1 ? fmt::format(", DP {}", answer.data_parallel) : "",
                       several_modes_ && answer.expert_parallel ? " with expert parallelism" : "");
  }

 private:
  bool several_models_ = false;
  bool several_modes_ = false;
  bool several_ranks_ = false;
};

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
    cells.emplace_back(!interval ? std::string("-")
                       : !interval->is_determined
                           ? std::string("not determined")
                           : fmt::format("{}-{}", milliseconds(interval->lower_ms), milliseconds(interval->upper_ms)));
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

std::string capacity_table(const plan::CapacityReport& report, const Deployments& deployments, Colour colour) {
  TextTable table(point_columns(deployments.columns({{"requests/s\nof one engine"}, {"per\nGPU"}, {"\nthen missed", Align::left}})));
  std::string refusals;
  for (const plan::CapacityAnswer& answer : report.answers) {
    if (!answer.refusal.empty()) {
      refusals += fmt::format("{}: {}\n", deployments.name(answer), answer.refusal);
    } else if (!answer.capacity.best) {
      refusals += fmt::format("{}: not even an idle engine keeps {}\n", deployments.name(answer),
                              fmt::join(answer.capacity.beyond->missed, ", "));
    } else {
      const LoadPoint& best = *answer.capacity.best;
      std::vector<Cell> cells = deployments.cells(answer);
      cells.emplace_back(significant(best.rate_per_s));
      cells.emplace_back(significant(best.rate_per_s / answer.gpus_of_engine));
      cells.push_back(answer.capacity.beyond ? Cell(fmt::format("{}", fmt::join(answer.capacity.beyond->missed, ", ")))
                                             : Cell("nothing was", Tone::faint));
      add_point(cells, best);
      table.add(std::move(cells));
    }
  }
  return (table.empty() ? "\n" : titled(fmt::format("Highest rate of one engine ({})", limits_of(report)), table.text(colour))) +
         refusals;
}

std::string fleet_table(const plan::CapacityReport& report, const Deployments& deployments, Colour colour) {
  TextTable table(point_columns(deployments.columns({{"engines"}, {"GPUs"}})));
  for (const plan::CapacityAnswer& answer : report.answers) {
    if (!answer.fleet) continue;
    std::vector<Cell> cells = deployments.cells(answer);
    cells.emplace_back(fmt::format("{}", answer.fleet->replicas));
    cells.emplace_back(fmt::format("{}", answer.fleet->gpus));
    add_point(cells, answer.fleet->point);
    table.add(std::move(cells));
  }
  const plan::CapacityAnswer* smallest = plan::smallest_fleet(report);
  if (smallest == nullptr) return fmt::format("\nNo fleet keeps the objectives at {:g} requests/s.\n", *report.load_per_s);
  return titled(fmt::format("Fleets for {:g} requests/s", *report.load_per_s), table.text(colour)) +
         fmt::format("fewest GPUs: {} ({} of {})\n", smallest->fleet->gpus, smallest->fleet->replicas, deployments.name(*smallest));
}

/// The throughput at an interactivity: tokens/s of a GPU where every user gets so many.
std::string interactivity_table(const plan::CapacityReport& report, const Deployments& deployments, Colour colour) {
  TextTable table(point_columns(deployments.columns({{"clients"}, {"tokens/s\nper GPU"}, {"\nper user"}})));
  std::string refusals;
  for (const plan::CapacityAnswer& answer : report.answers) {
    if (!answer.refusal.empty()) continue;
    if (!answer.most_clients) {
      refusals += fmt::format("{}: not even one user gets so many\n", deployments.name(answer));
      continue;
    }
    const LoadPoint& point = *answer.most_clients;
    std::vector<Cell> cells = deployments.cells(answer);
    cells.emplace_back(fmt::format("{}", point.concurrency));
    cells.emplace_back(significant(plan::interactive_tokens_per_gpu(answer)));
    cells.emplace_back(significant(plan::tokens_per_user(point)));
    add_point(cells, point);
    table.add(std::move(cells));
  }
  const plan::CapacityAnswer* best = plan::best_interactive(report);
  if (best == nullptr) return "\nNo deployment gives a user " + fmt::format("{:g} tokens/s.\n", *report.tokens_per_user);
  return titled(fmt::format("Most clients of a closed loop with {:g} tokens/s for each user", *report.tokens_per_user),
                table.text(colour)) +
         refusals +
         fmt::format("most tokens/s per GPU: {:.0f} ({}, {} clients)\n", plan::interactive_tokens_per_gpu(*best),
                     deployments.name(*best), best->most_clients->concurrency);
}

std::string sweep_table(const plan::CapacityReport& report, const Deployments& deployments,
                        std::vector<LoadPoint> plan::CapacityAnswer::*points, const char* title, Colour colour) {
  TextTable table(point_columns(deployments.columns({{"clients"}, {"\nrequests/s"}, {"\nobjectives", Align::left}})));
  for (const plan::CapacityAnswer& answer : report.answers) {
    if (!table.empty() && !(answer.*points).empty()) table.add_rule();
    for (const LoadPoint& point : answer.*points) {
      std::vector<Cell> cells = deployments.cells(answer);
      cells.emplace_back(point.concurrency > 0 ? fmt::format("{}", point.concurrency) : "-");
      cells.emplace_back(significant(point.rate_per_s));
      cells.push_back(verdict(point));
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

std::string apart_lines(const plan::ApartAnswer& answer, std::string_view deployment, int tp) {
  const auto rate = [](const plan::Capacity& capacity) {
    return capacity.best ? fmt::format("{:.3g} requests/s", capacity.best->rate_per_s) : std::string("none");
  };
  const auto& [prefill, decode] = answer.pools;
  std::string text =
      fmt::format("\n{}: prefill and decode apart on {} GPUs, highest rates that keep the objectives\n", deployment, answer.gpus);
  text += fmt::format("  {} prefill x TP {} and {} decode x TP {}: {}\n", prefill.engines, prefill.tp, decode.engines, decode.tp,
                      rate(answer.apart));
  text += fmt::format("  {} x TP {} together: {}\n", answer.replicas_together, tp, rate(answer.together));
  if (!answer.gain) return text;
  const std::string_view verdict =
      answer.pays() ? "pays" : (answer.costs() ? "does not pay" : "may pay or not: the draws do not tell");
  return text + fmt::format("  apart {}: {:.3f} times the rate (90 % over draws of arrivals: {:.3f} to {:.3f})\n", verdict,
                            *answer.gain, answer.gain_lower, answer.gain_upper);
}

}  // namespace

std::string speculation_line(const plan::SpeculationGain& gain) {
  std::string pays = fmt::format("pays up to {} requests in flight, the most that run", gain.most_requests);
  if (gain.break_even_requests) {
    pays = *gain.break_even_requests == 1 ? "never pays" : fmt::format("pays below {} requests in flight", *gain.break_even_requests);
  }
  return fmt::format(
      "speculation {}: {:.2f} tokens a step; decode steps at {:.0f} tokens of context are {:.2f} times as fast for one request and "
      "{:.2f} times for {}\n",
      pays, gain.tokens_per_step, gain.context_tokens, gain.gain_alone, gain.gain_crowded, gain.most_requests);
}

std::string capacity_tables(const plan::CapacityReport& report, Colour colour) {
  const Deployments deployments(report);
  std::string text = fmt::format("{} on {}, {:g} prompt and {:g} output tokens, {}\n",
                                 deployments.several_models() ? "Several models" : report.answers.front().model, report.gpu,
                                 report.prompt_tokens, report.output_tokens, report.step_time_model);
  text += report.prompts;
  if (!report.like.empty()) text += fmt::format("; requests, engine settings and clients as in the measured run '{}'", report.like);
  text += "\n";
  text += capacity_table(report, deployments, colour);
  if (report.load_per_s) text += fleet_table(report, deployments, colour);
  if (report.tokens_per_user) text += interactivity_table(report, deployments, colour);
  text += sweep_table(report, deployments, &plan::CapacityAnswer::rates, "Rates", colour);
  text += sweep_table(report, deployments, &plan::CapacityAnswer::concurrencies, "Closed loops", colour);
  for (const plan::CapacityAnswer& answer : report.answers) {
    if (answer.apart) text += apart_lines(*answer.apart, deployments.name(answer), answer.tp);
    if (answer.speculation) text += fmt::format("\n{}: {}", deployments.name(answer), speculation_line(*answer.speculation));
  }
  text += fmt::format("\nsteady state, mean of {} replicate{}; ", report.replicates, report.replicates == 1 ? "" : "s");
  text += has_intervals(report) ? "90 % of runs: where the mean of a measured run should fall\n"
                                : "no intervals: the config does not know its uncertainty\n";
  return text + domain_list(all_exits(report), colour);
}

}  // namespace rooftune::report
