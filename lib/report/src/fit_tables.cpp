#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "numbers.hpp"
#include "rooftune/report/tables.hpp"

namespace rooftune::report {
namespace {

std::string interval_text(const calibrate::Estimate& estimate) {
  if (!estimate.interval) return "-";
  return fmt::format("{} to {}", significant(estimate.interval->lower), significant(estimate.interval->upper));
}

/// "8 of 22 are determined by the data; 14 mostly its prior": the sentence that the report has as well.
std::string verdict_line(const calibrate::FitResult& result) {
  std::vector<std::pair<std::string_view, int>> counts;
  for (const calibrate::Estimate& estimate : result.estimates) {
    const std::string_view verdict = calibrate::verdict(estimate);
    auto known = std::ranges::find(counts, verdict, &std::pair<std::string_view, int>::first);
    if (known == counts.end()) known = counts.insert(known, {verdict, 0});
    ++known->second;
  }
  const auto determined = std::ranges::find(counts, std::string_view(), &std::pair<std::string_view, int>::first);
  std::string text =
      fmt::format("{} of {} fitted parameter{} are determined by the data", determined == counts.end() ? 0 : determined->second,
                  result.estimates.size(), result.estimates.size() == 1 ? "" : "s");
  for (const auto& [verdict, count] : counts) {
    if (!verdict.empty()) text += fmt::format("; {} {}", count, verdict);
  }
  return text + "\n";
}

std::string correlation_lines(const calibrate::FitResult& result, Colour colour) {
  // Many pairs hang together a little; the strongest say most.
  constexpr std::size_t kShown = 8;
  std::string text;
  for (std::size_t i = 0; i < std::min(kShown, result.correlations.size()); ++i) {
    const calibrate::Correlation& one = result.correlations[i];
    text += fmt::format("  {:+.2f}  {}, {}\n", one.value, result.estimates[one.first].parameter.label(),
                        result.estimates[one.second].parameter.label());
  }
  if (text.empty()) return text;
  if (result.correlations.size() > kShown) {
    text +=
        toned(fmt::format("  and {} more above 0.1 in result.json", result.correlations.size() - kShown), Tone::faint, colour) + "\n";
  }
  return "\nCorrelations\n" + text;
}

/// First, a few in between, last.
std::vector<std::size_t> shown_iterations(std::size_t count) {
  constexpr std::size_t kShown = 8;
  std::vector<std::size_t> shown;
  for (std::size_t k = 0; k < kShown; ++k) {
    const std::size_t i = k * (count - 1) / (kShown - 1);
    if (shown.empty() || shown.back() != i) shown.push_back(i);
  }
  return shown;
}

}  // namespace

std::string parameter_table(const calibrate::FitResult& result, Colour colour) {
  TextTable table({{"parameter", Align::left},
                   {"unit", Align::left},
                   {"start"},
                   {"value"},
                   {"standard\nerror"},
                   {"%"},
                   {"95 % interval"},
                   {"lower"},
                   {"upper"},
                   {"", Align::left}});
  for (const calibrate::Estimate& estimate : result.estimates) {
    const params::FreeParameter& parameter = estimate.parameter;
    const std::string relative = estimate.relative_standard_error ? percent(100.0 * *estimate.relative_standard_error) : "-";
    table.add({parameter.label(), std::string(parameter.id.spec().unit), significant(estimate.start), significant(estimate.value),
               estimate.standard_error ? significant(*estimate.standard_error) : "-", relative, interval_text(estimate),
               significant(parameter.lower), significant(parameter.upper),
               Cell(std::string(calibrate::verdict(estimate)), Tone::bad)});
  }
  std::string text = titled("Parameters", table.text(colour)) + verdict_line(result) + correlation_lines(result, colour);
  if (!result.unidentified.empty()) text += "\nWhat the data do not tell\n";
  for (const std::string& sentence : result.unidentified) text += toned("  " + sentence, Tone::faint, colour) + "\n";
  return text;
}

std::string pull_table(const calibrate::FitResult& result, Colour colour) {
  // Below, nobody would miss what the other metric takes.
  constexpr double kWorthSaying = 1e-3;
  constexpr std::size_t kShown = 8;
  std::set<domain::Metric> metrics;
  for (const calibrate::ParameterPulls& pulls : result.pulls) {
    for (const auto& [metric, unused] : pulls.by_metric) metrics.insert(metric);
  }
  std::vector<Column> columns{{"parameter", Align::left}};
  for (const domain::Metric metric : metrics) columns.push_back({metric_title(metric) + "\n%"});
  columns.push_back({"prior\n%"});
  // Kept whole or left out: of a number with a name, what is cut says nothing.
  columns.push_back({"hardest up"});
  columns.push_back({"hardest down"});
  TextTable table(std::move(columns));
  const auto hardest = [](const calibrate::ParameterPulls& pulls, bool up) -> std::string {
    const auto found = std::ranges::find_if(pulls.strongest, [up](const calibrate::RowPull& row) { return (row.pull > 0.0) == up; });
    if (found == pulls.strongest.end()) return "-";
    return fmt::format("{:+.2f} {}, {}", 100.0 * found->pull, metric_title(found->metric), found->experiment);
  };
  for (const calibrate::ParameterPulls& pulls : std::span(result.pulls).first(std::min(kShown, result.pulls.size()))) {
    if (pulls.disagreement() < kWorthSaying) break;
    std::vector<Cell> row{result.estimates[pulls.parameter].parameter.label()};
    for (const domain::Metric metric : metrics) {
      const auto found = pulls.by_metric.find(metric);
      row.emplace_back(found == pulls.by_metric.end() ? "-" : fmt::format("{:+.2f}", 100.0 * found->second));
    }
    row.emplace_back(fmt::format("{:+.2f}", 100.0 * pulls.prior));
    row.emplace_back(hardest(pulls, true));
    row.emplace_back(hardest(pulls, false));
    table.add(std::move(row));
  }
  if (table.empty()) return {};
  return titled("Where metrics pull a parameter apart", table.text(colour)) +
         toned("so much higher or lower would it be, the others held, if those rows counted twice; all pulls and the prior cancel",
               Tone::faint, colour) +
         "\n";
}

std::string uncertainty_tables(const calibrate::FitResult& result, Colour colour) {
  std::string text;
  if (!result.profiles.empty()) {
    TextTable table({{"parameter", Align::left}, {"value"}, {"profile\nlower 95 %"}, {"\nupper 95 %"}, {"refits"}});
    for (const calibrate::Profile& profile : result.profiles) {
      const calibrate::Estimate& estimate = result.estimates[profile.parameter];
      table.add({estimate.parameter.label(), significant(estimate.value), profile.lower_95 ? significant(*profile.lower_95) : "open",
                 profile.upper_95 ? significant(*profile.upper_95) : "open", fmt::format("{}", profile.points.size() - 1)});
    }
    text += titled("Profile likelihood", table.text(colour));
  }
  if (result.bootstrap) {
    TextTable table({{"parameter", Align::left}, {"value"}, {"standard\ndeviation"}, {"lower 95 %"}, {"upper 95 %"}});
    for (std::size_t i = 0; i < result.bootstrap->parameters.size(); ++i) {
      const calibrate::BootstrapSpread& spread = result.bootstrap->parameters[i];
      const calibrate::Estimate& estimate = result.estimates[i];
      table.add({estimate.parameter.label(), significant(estimate.value), significant(spread.standard_deviation),
                 significant(spread.lower_95), significant(spread.upper_95)});
    }
    text += titled(fmt::format("Bootstrap over experiments: {} refits, {} failed", result.bootstrap->refits, result.bootstrap->failed),
                   table.text(colour));
  }
  return text;
}

std::string interval_table(const calibrate::FitResult& result, Colour colour) {
  if (result.intervals.empty()) return {};
  constexpr std::array kShown{std::pair{domain::Metric::ttft_mean, "TTFT"}, std::pair{domain::Metric::e2e_mean, "E2E"},
                              std::pair{domain::Metric::tpot_mean, "TPOT"}};
  std::vector<Column> columns{{"experiment", Align::left}};
  for (const auto& [metric, title] : kShown) {
    columns.push_back({fmt::format("{} ms\nmeasured", title)});
    columns.push_back({"\nfrom"});
    columns.push_back({"\nto"});
  }
  TextTable table(std::move(columns));
  int inside = 0;
  int measurements = 0;
  for (const eval::CaseReport& item : result.after.cases) {
    std::vector<Cell> row{item.experiment};
    for (const auto& [metric, title] : kShown) {
      const eval::Row* compared = result.after.find(item.experiment, domain::kSummaryStage, metric);
      const auto found = std::ranges::find_if(result.intervals, [&, metric = metric](const calibrate::PredictionInterval& interval) {
        return interval.experiment == item.experiment && interval.stage == domain::kSummaryStage && interval.metric == metric;
      });
      if (compared == nullptr || found == result.intervals.end()) {
        row.insert(row.end(), 3, "-");
        continue;
      }
      const bool is_inside = compared->measured_ms >= found->lower_ms && compared->measured_ms <= found->upper_ms;
      inside += is_inside;
      ++measurements;
      row.emplace_back(significant(compared->measured_ms), is_inside ? Tone::plain : Tone::bad);
      row.emplace_back(significant(found->lower_ms));
      row.emplace_back(significant(found->upper_ms));
    }
    table.add(std::move(row));
  }
  const bool is_complete = result.intervals.front().structural_deviation.has_value();
  return titled(
             fmt::format("{:.0f} % intervals of the means: where measurements like these should fall", 100.0 * result.interval_level),
             table.text(colour)) +
         toned(
             fmt::format(
                 "{} of {} lie inside{}", inside, measurements,
                 is_complete ? "" : "; the model's own error is not in it, which --held-out learns: expect more outside on new runs"),
             Tone::faint, colour) +
         "\n";
}

/// A name as a heading: broken at its hyphens.
static std::string in_lines(std::string_view name) {
  constexpr std::size_t kLongestLine = 14;
  std::string lines;
  std::size_t length = 0;
  while (!name.empty()) {
    const std::string_view part = name.substr(0, std::min(name.find('-'), name.size() - 1) + 1);
    if (length > 0 && length + part.size() > kLongestLine) {
      lines += '\n';
      length = 0;
    }
    lines += part;
    length += part.size();
    name.remove_prefix(part.size());
  }
  return lines;
}

std::string trace_table(const calibrate::FitResult& result, Colour colour) {
  if (result.trace.empty()) return {};
  std::vector<Column> columns{{"iteration"}, {"objective"}, {"all\n%"}};
  const bool has_held_out = result.trace.front().held_out.has_value();
  if (has_held_out) columns.push_back({"held out\n%"});
  const auto& models = result.trace.front().training.by.at("model");
  for (const auto& [model, unused] : models) columns.push_back({in_lines(model)});
  TextTable table(std::move(columns));
  for (const std::size_t i : shown_iterations(result.trace.size())) {
    const calibrate::TracePoint& point = result.trace[i];
    std::vector<Cell> row{fmt::format("{}", point.iteration), significant(point.objective), percent(point.training.all_percent)};
    if (has_held_out) row.emplace_back(point.held_out ? percent(point.held_out->all_percent) : "-");
    for (const auto& [model, error] : point.training.by.at("model")) row.emplace_back(percent(error));
    table.add(std::move(row));
  }
  return titled("Mean |error| by model over the iterations", table.text(colour));
}

std::string waterfall_table(const calibrate::FitResult& result, Colour colour) {
  if (result.search.starts.size() < 2) return {};
  TextTable table({{"start"}, {"objective\nat start"}, {"reached"}, {"above best\n%"}, {"evaluations"}, {"ended", Align::left}});
  double best = 0.0;
  for (const std::size_t index : result.search.waterfall()) {
    const opt::StartOutcome& start = result.search.starts[index];
    if (table.empty()) best = start.solution.value;
    table.add({fmt::format("{}", start.index), significant(start.solution.initial_value), significant(start.solution.value),
               percent(100.0 * (start.solution.value / best - 1.0)), fmt::format("{}", start.counts.total()),
               start.fate == opt::StartFate::pruned ? "pruned" : std::string(opt::name(start.solution.termination.reason))});
  }
  return titled("Starts, best first", table.text(colour));
}

std::string search_summary(const calibrate::FitResult& result, Colour colour) {
  std::string text =
      fmt::format("\nObjective {} -> {} after {} evaluations of {} start{} in {:.1f} s; {}\n", significant(result.objective_before),
                  significant(result.objective_after), result.counts.total(), result.search.starts.size(),
                  result.search.starts.size() == 1 ? "" : "s", result.seconds, opt::format(result.termination));
  if (result.failures > 0) {
    const std::string times = result.failures == 1 ? "once" : fmt::format("{} times", result.failures);
    text += toned(fmt::format("The simulator failed {}; first: {}", times, result.first_failure), Tone::bad, colour) + "\n";
  }
  if (result.machine_dependent) {
    text += toned("A limit in seconds ended the search: another machine or run may end elsewhere.", Tone::bad, colour) + "\n";
  }
  return text;
}

}  // namespace rooftune::report
