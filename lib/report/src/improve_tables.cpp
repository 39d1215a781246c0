#include "rooftune/report/improve_tables.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "next_runs.hpp"
#include "numbers.hpp"
#include "rooftune/core/word.hpp"

namespace rooftune::report {
namespace {

using domain::Metric;

constexpr std::size_t kShownFindings = 5;
constexpr std::size_t kShownMeasurements = 3;

std::string parameters_text(long extra) {
  if (extra == 0) return "";
  return fmt::format(", {:+d} {}", extra, extra == 1 || extra == -1 ? "parameter" : "parameters");
}

const improve::GroupChange* change_of(const improve::RoundRecord& round, const improve::GroupKey& key, Metric metric) {
  const auto found = std::ranges::find_if(
      round.groups, [&](const improve::GroupChange& change) { return change.group == key && change.metric == metric; });
  return found == round.groups.end() ? nullptr : &*found;
}

/// Held-out errors by group: those of the start, and those of the result.
std::string group_comparison(const improve::Improvement& improvement, Colour colour) {
  const improve::RoundRecord& first = improvement.journal.rounds.front();
  const improve::RoundRecord& last = improvement.kept_last();
  std::vector<Metric> metrics;
  for (const auto& [metric, weight] : improvement.start.objective.metrics) metrics.push_back(metric);
  std::vector<Column> columns{{"held out", Align::left}, {"runs"}};
  for (const Metric metric : metrics) {
    columns.push_back({short_title(metric) + " APE %\nstart"});
    columns.push_back({"\nresult"});
  }
  TextTable table(std::move(columns));
  for (const improve::GroupChange& change : first.groups) {
    if (change.metric != metrics.front() || change.group.first == improve::kOneRun) continue;
    const bool is_all = change.group.first == "all";
    std::vector<Cell> cells{is_all ? "all" : fmt::format("{} {}", change.group.first, change.group.second),
                            fmt::format("{}", change.runs)};
    for (const Metric metric : metrics) {
      const improve::GroupChange* before = change_of(first, change.group, metric);
      const improve::GroupChange* after = change_of(last, change.group, metric);
      cells.emplace_back(before != nullptr ? percent(before->ape_after_percent) : "-");
      if (before == nullptr || after == nullptr) {
        cells.emplace_back("-");
        continue;
      }
      const bool is_better = after->ape_after_percent < before->ape_after_percent;
      cells.emplace_back(percent(after->ape_after_percent), is_better ? Tone::good : Tone::plain);
    }
    table.add(std::move(cells));
    if (is_all) table.add_rule();
  }
  return titled("Errors on runs that the refitted folds had not seen (mean over seeds)", table.text(colour));
}

/// How every run's held-out error went from one kept round to the next; all of them in the last line.
std::string rounds_by_run(const improve::Improvement& improvement, Metric metric, Colour colour) {
  std::vector<const improve::RoundRecord*> kept;
  std::set<std::string> runs;
  for (const improve::RoundRecord& round : improvement.journal.rounds) {
    if (round.fate == improve::RoundFate::reverted) continue;
    kept.push_back(&round);
    for (const improve::GroupChange& change : round.groups) {
      if (change.group.first == improve::kOneRun) runs.insert(change.group.second);
    }
  }
  if (runs.empty() || kept.size() < 2) return "";
  std::vector<Column> columns{{"held out", Align::left}, {short_title(metric) + " APE %\nstart"}};
  for (std::size_t i = 1; i < kept.size(); ++i) columns.push_back({fmt::format("round\n{}", kept[i]->round)});
  TextTable table(std::move(columns));
  const auto add = [&](const std::string& name, const improve::GroupKey& key) {
    std::vector<Cell> cells{name};
    for (const improve::RoundRecord* round : kept) {
      const improve::GroupChange* change = change_of(*round, key, metric);
      cells.emplace_back(change != nullptr ? percent(change->ape_after_percent) : "-");
    }
    table.add(std::move(cells));
  };
  std::map<std::string, std::string> what_it_is;
  for (const eval::CaseReport& item : improvement.held_out.cases) {
    what_it_is[item.experiment] = fmt::format("{} ({}, TP {}, {})", item.experiment, item.model, item.tp, item.workload);
  }
  for (const std::string& run : runs) {
    const auto known = what_it_is.find(run);
    add(known == what_it_is.end() ? run : known->second, {std::string(improve::kOneRun), run});
  }
  table.add_rule();
  add("all", {"all", "all"});
  return titled(fmt::format("Round by round: {} by run after every kept change", short_title(metric)), table.text(colour));
}

std::string test_comparison(const improve::Improvement& improvement, Colour colour) {
  if (!improvement.test_before || !improvement.test_after) return "";
  TextTable table(
      {{"test", Align::left}, {"TTFT %\nstart"}, {"\nresult"}, {"E2E %\nstart"}, {"\nresult"}, {"TPOT %\nstart"}, {"\nresult"}});
  const auto add = [&](const std::string& name, const auto& value_of) {
    std::vector<Cell> cells{name};
    for (const Metric metric : domain::kMeanMetrics) {
      for (const eval::Evaluation* evaluation : {&*improvement.test_before, &*improvement.test_after}) {
        const std::optional<double> value = value_of(*evaluation, metric);
        cells.emplace_back(value ? fmt::format("{:+.1f}", *value) : "-");
      }
    }
    table.add(std::move(cells));
  };
  for (const eval::CaseReport& item : improvement.test_before->cases) {
    add(fmt::format("{} ({}, TP {}, {})", item.experiment, item.model, item.tp, item.workload),
        [&](const eval::Evaluation& evaluation, Metric metric) -> std::optional<double> {
          const eval::Row* row = evaluation.find(item.experiment, domain::kSummaryStage, metric);
          if (row == nullptr) return std::nullopt;
          return row->error_percent();
        });
  }
  table.add_rule();
  add("mean absolute", [](const eval::Evaluation& evaluation, Metric metric) { return mean_ape(evaluation, metric); });
  return titled("Runs that no decision saw: signed errors, fitted without them", table.text(colour));
}

/// The best candidate of each deployment.
std::string next_measurements(const improve::Improvement& improvement, Colour colour) {
  if (improvement.next.empty()) return "";
  return titled(fmt::format("Worth measuring next: predictions of {} candidate runs are now known to +- {:.1f} % (parameters' part)",
                            improvement.next.size(), 100.0 * improvement.next.front().value.deviation_before),
                table_of(improvement.next, kShownMeasurements, 1).text(colour)) +
         fmt::format("they would tell about {}\n", fmt::join(improvement.next_is_about, ", "));
}

}  // namespace

std::string round_line(const improve::RoundRecord& round, Colour colour) {
  if (round.fate == improve::RoundFate::start) {
    return fmt::format("round  0  start     {:<28} held out {:.2f} %: {}\n", "", round.after_percent, round.change);
  }
  const bool is_kept = round.fate == improve::RoundFate::kept;
  const std::string verdict =
      toned(fmt::format("{:<8}", core::word_of(improve::kRoundFates, round.fate)), is_kept ? Tone::good : Tone::faint, colour);
  return fmt::format("round {:>2}  {}  {:<28} {:.2f} -> {:.2f} %{}: {}\n", round.round, verdict, round.move, round.before_percent,
                     round.after_percent, parameters_text(round.extra_parameters), round.why);
}

std::string screening_lines(const improve::ScreeningRecord& screening, Colour colour) {
  std::string text = fmt::format("diagnosis {}\n", screening.screening);
  for (std::size_t i = 0; i < std::min(kShownFindings, screening.findings.size()); ++i) {
    text += fmt::format("  t {:>5.1f}  {}\n", screening.findings[i].strength, screening.findings[i].text);
  }
  const auto scored = [](const improve::CandidateRecord& item) {
    if (!item.score_percent) return fmt::format("{} (failed: {})", item.move, item.why);
    return fmt::format("{} ({:.2f} -> {:.2f})", item.move, *item.before_percent, *item.score_percent);
  };
  std::vector<std::string> out;
  std::map<std::string, std::vector<std::string>> refused;  // by what speaks against them
  for (const improve::CandidateRecord& item : screening.candidates) {
    if (item.fate == improve::CandidateFate::refused) refused[item.why].push_back(item.move);
    if (item.fate == improve::CandidateFate::screened_out) out.push_back(scored(item));
  }
  for (const auto& [why, moves] : refused) {
    text += fmt::format("  {}  {}: {}\n", toned("refused", Tone::bad, colour), fmt::join(moves, ", "), why);
  }
  for (const improve::OutsideRecord& item : screening.outside) {
    const std::string name = item.move.empty() ? std::string("the proposer") : item.move;
    text += fmt::format("  {}  {}: {}\n", core::word_of(improve::kOutsideFates, item.fate), name, item.text);
  }
  std::vector<std::string> queue;
  for (const std::size_t index : screening.queue) queue.push_back(scored(screening.candidates[index]));
  if (!queue.empty()) text += fmt::format("  to judge: {}\n", fmt::join(queue, ", "));
  if (!out.empty()) text += fmt::format("  no help: {}\n", fmt::join(out, ", "));
  return text;
}

std::string improvement_story(const improve::Improvement& improvement, Colour colour) {
  const improve::JournalEntries& journal = improvement.journal;
  std::string text = fmt::format("\nEnded: {}.\n", journal.outcome ? journal.outcome->reason : "interrupted");
  int kept = 0;
  for (const improve::RoundRecord& round : journal.rounds) {
    if (round.fate != improve::RoundFate::kept) continue;
    ++kept;
    text += fmt::format("  {:>2}. {}\n      because {}\n", kept, round.change, round.reason);
  }
  long evaluations = 0;
  std::size_t screened = 0;
  for (const improve::ScreeningRecord& screening : journal.screenings) {
    evaluations += screening.evaluations;
    screened += screening.candidates.size();
  }
  for (const improve::RoundRecord& round : journal.rounds) evaluations += round.evaluations;
  text += fmt::format("{} of {} judged changes kept, {} moves screened, {} evaluations; held-out score {:.2f} -> {:.2f} %\n", kept,
                      journal.rounds.size() - 1, screened, evaluations, journal.rounds.front().after_percent,
                      improvement.kept_last().after_percent);
  if (improvement.result.improve && !improvement.result.improve->quarantine.empty()) {
    text +=
        toned(fmt::format("in quarantine, neither fitted nor scored: {}\n", fmt::join(improvement.result.improve->quarantine, ", ")),
              Tone::bad, colour);
  }
  text += group_comparison(improvement, colour);
  for (const auto& [metric, weight] : improvement.start.objective.metrics) text += rounds_by_run(improvement, metric, colour);
  text += test_comparison(improvement, colour);
  if (!improvement.left.empty()) {
    text += "\nStill wrong with the result\n";
    for (std::size_t i = 0; i < std::min(kShownFindings, improvement.left.size()); ++i) {
      text += fmt::format("  t {:>5.1f}  {}\n", improvement.left[i].strength, improvement.left[i].text);
    }
  }
  text += next_measurements(improvement, colour);
  return text;
}

}  // namespace rooftune::report
