#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "numbers.hpp"
#include "rooftune/report/tables.hpp"

namespace rooftune::report {
namespace {

using domain::Metric;

constexpr std::string_view kNotAggregated = "* overloaded: shown, but in no average";

std::string experiment_title(const eval::CaseReport& report) { return report.experiment + (report.aggregated ? "" : " *"); }

bool has_footnote(const eval::Evaluation& evaluation) {
  return std::ranges::any_of(evaluation.cases, [](const eval::CaseReport& report) { return !report.aggregated; });
}

std::string footnote(const eval::Evaluation& evaluation) {
  return has_footnote(evaluation) ? std::string(kNotAggregated) + "\n" : std::string();
}

/// Stages of an experiment that have rows, the summary first. A single stage equals the summary and is left out.
std::vector<int> stages_of(const eval::Evaluation& evaluation, const std::string& experiment) {
  std::vector<int> stages;
  for (const eval::Row& row : evaluation.rows) {
    if (row.experiment == experiment && std::ranges::find(stages, row.stage) == stages.end()) stages.push_back(row.stage);
  }
  if (stages.size() == 2 && stages.front() == domain::kSummaryStage) stages.pop_back();
  return stages;
}

std::vector<Cell> deployment_cells(const eval::CaseReport& report) {
  return {experiment_title(report), report.model, report.hardware, fmt::format("{}", report.tp), report.workload};
}

std::vector<Column> deployment_columns() {
  return {{"experiment", Align::left}, {"model", Align::left}, {"GPU", Align::left}, {"TP"}, {"workload", Align::left}};
}

Cell error_cell(const eval::Row* row) { return row == nullptr ? Cell("-", Tone::faint) : signed_percent(row->error_percent()); }

std::vector<Metric> metrics_of(const eval::MetricErrors& errors) {
  std::vector<Metric> metrics;
  for (const auto& [metric, statistics] : errors) metrics.push_back(metric);
  return metrics;
}

/// The change of an error: better, worse, or about the same.
Tone change_tone(double before, double after) {
  if (after < 0.95 * before) return Tone::good;
  return after > 1.05 * before ? Tone::bad : Tone::plain;
}

}  // namespace

std::string row_table(const eval::Evaluation& evaluation, Colour colour) {
  std::vector<Column> columns = deployment_columns();
  columns.push_back({"stage"});
  // A narrow terminal shows the first numbers: the errors.
  for (const Metric metric : domain::kMeanMetrics) {
    columns.push_back({(metric == domain::kMeanMetrics.front() ? "error %\n" : "\n") + short_title(metric)});
  }
  for (const Metric metric : domain::kMeanMetrics) {
    columns.push_back({short_title(metric) + " ms\npredicted"});
    columns.push_back({"\nmeasured"});
  }
  TextTable table(std::move(columns));
  for (const eval::CaseReport& report : evaluation.cases) {
    for (const int stage : stages_of(evaluation, report.experiment)) {
      const bool is_first = stage == domain::kSummaryStage;
      std::vector<Cell> cells = is_first ? deployment_cells(report) : std::vector<Cell>(5, "");
      cells.emplace_back(stage_title(stage));
      for (const Metric metric : domain::kMeanMetrics) {
        cells.push_back(error_cell(evaluation.find(report.experiment, stage, metric)));
      }
      for (const Metric metric : domain::kMeanMetrics) {
        const eval::Row* row = evaluation.find(report.experiment, stage, metric);
        cells.emplace_back(row == nullptr ? "-" : milliseconds(row->predicted_ms));
        cells.emplace_back(row == nullptr ? "-" : milliseconds(row->measured_ms));
      }
      table.add(std::move(cells));
    }
  }
  return titled(fmt::format("Mean latencies, predicted (mean of {} replicate{}) and measured", evaluation.replicates,
                            evaluation.replicates == 1 ? "" : "s"),
                table.text(colour)) +
         footnote(evaluation);
}

std::string overall_table(const eval::Evaluation& evaluation, Colour colour) {
  TextTable table({{"metric", Align::left}, {"mean\n%"}, {"median\n%"}, {"RMSE\n%"}, {"experiments"}});
  for (const auto& [metric, errors] : evaluation.overall) {
    table.add({metric_title(metric), percent(errors.mean_ape_percent), percent(errors.median_ape_percent),
               percent(errors.rmse_ape_percent), fmt::format("{}", errors.experiments)});
  }
  return titled("Absolute errors over experiments (summaries)", table.text(colour)) +
         fmt::format("loss {:.2f} % (RMSE of TTFT mean + RMSE of E2E mean)\n", evaluation.loss_percent);
}

std::string group_table(const eval::Evaluation& evaluation, Colour colour) {
  std::vector<Column> columns{{"by", Align::left}, {"value", Align::left}, {"runs"}};
  for (const Metric metric : domain::kMeanMetrics) {
    columns.push_back({short_title(metric) + " %\nmean"});
    columns.push_back({"\nmedian"});
    columns.push_back({"\nRMSE"});
  }
  TextTable table(std::move(columns));
  for (const auto& [field, groups] : evaluation.by) {
    if (!table.empty()) table.add_rule();
    for (const auto& [value, errors] : groups) {
      int experiments = 0;
      for (const auto& [metric, statistics] : errors) experiments = std::max(experiments, statistics.experiments);
      std::vector<Cell> cells{field, value, fmt::format("{}", experiments)};
      for (const Metric metric : domain::kMeanMetrics) {
        const auto found = errors.find(metric);
        const bool is_known = found != errors.end();
        cells.emplace_back(is_known ? percent(found->second.mean_ape_percent) : "-");
        cells.emplace_back(is_known ? percent(found->second.median_ape_percent) : "-");
        cells.emplace_back(is_known ? percent(found->second.rmse_ape_percent) : "-");
      }
      table.add(std::move(cells));
    }
  }
  return titled("Absolute errors by group (summaries)", table.text(colour));
}

namespace {

std::optional<double> change_percent(const eval::Row* first, const eval::Row* second) {
  if (first == nullptr || second == nullptr) return std::nullopt;
  return second->change_percent_from(*first);
}

/// Mean of the absolute changes over the experiments that count in averages.
std::string mean_change(const eval::Evaluation& first, const eval::Evaluation& second, Metric metric) {
  double sum = 0.0;
  int count = 0;
  for (const eval::CaseReport& report : first.cases) {
    const auto change = change_percent(first.find(report.experiment, domain::kSummaryStage, metric),
                                       second.find(report.experiment, domain::kSummaryStage, metric));
    if (!change || !report.aggregated) continue;
    sum += std::abs(*change);
    ++count;
  }
  return count == 0 ? "-" : percent(sum / count);
}

}  // namespace

std::string prediction_difference_tables(const eval::Evaluation& first, const eval::Evaluation& second, Colour colour) {
  std::vector<Column> columns = deployment_columns();
  for (const Metric metric : domain::kMeanMetrics) {
    columns.push_back({(metric == domain::kMeanMetrics.front() ? "change %\n" : "\n") + short_title(metric)});
  }
  for (const Metric metric : domain::kMeanMetrics) {
    columns.push_back({short_title(metric) + " ms\nfirst"});
    columns.push_back({"\nsecond"});
  }
  TextTable table(std::move(columns));
  for (const eval::CaseReport& report : first.cases) {
    std::vector<Cell> cells = deployment_cells(report);
    std::vector<Cell> values;
    for (const Metric metric : domain::kMeanMetrics) {
      const eval::Row* a = first.find(report.experiment, domain::kSummaryStage, metric);
      const eval::Row* b = second.find(report.experiment, domain::kSummaryStage, metric);
      const auto change = change_percent(a, b);
      cells.emplace_back(change ? fmt::format("{:+.1f}", *change) : "-");
      values.emplace_back(a == nullptr ? "-" : milliseconds(a->predicted_ms));
      values.emplace_back(b == nullptr ? "-" : milliseconds(b->predicted_ms));
    }
    cells.insert(cells.end(), values.begin(), values.end());
    table.add(std::move(cells));
  }
  TextTable averages({{"metric", Align::left}, {"change\n%"}, {"error %\nfirst"}, {"\nsecond"}});
  for (const auto& [metric, errors] : first.overall) {
    const auto other = second.overall.find(metric);
    if (other == second.overall.end()) continue;
    averages.add({metric_title(metric),
                  mean_change(first, second, metric),
                  percent(errors.mean_ape_percent),
                  {percent(other->second.mean_ape_percent), change_tone(errors.mean_ape_percent, other->second.mean_ape_percent)}});
  }
  return titled("Mean latencies that the two predict (summaries), and the change from the first to the second", table.text(colour)) +
         footnote(first) +
         titled("Means over experiments: absolute change, and absolute error against what was measured", averages.text(colour));
}

namespace {

/// A warning without what differs from one experiment to the next: names in quotes and numbers.
std::string without_particulars(std::string_view warning) {
  std::string shape;
  bool quoted = false;
  for (const char c : warning) {
    if (c == '\'') quoted = !quoted;
    const bool is_number = (c >= '0' && c <= '9') || c == '.';
    if (!quoted && !is_number) shape += c;
  }
  return shape;
}

}  // namespace

std::string warning_list(const eval::Evaluation& evaluation, Colour colour) {
  if (evaluation.warnings.empty()) return "";
  // The first of each kind stands for all of them; --json has every one.
  constexpr std::size_t kShown = 2;
  std::vector<std::pair<std::string, std::size_t>> kinds;
  std::vector<std::vector<std::string>> shown;
  for (const std::string& warning : evaluation.warnings) {
    const std::string shape = without_particulars(warning);
    const auto found = std::ranges::find(kinds, shape, [](const auto& kind) { return kind.first; });
    const auto index = static_cast<std::size_t>(found - kinds.begin());
    if (found == kinds.end()) {
      kinds.emplace_back(shape, 0);
      shown.emplace_back();
    }
    if (++kinds[index].second <= kShown) shown[index].push_back(warning);
  }
  std::string text = "\nWarnings\n";
  for (std::size_t index = 0; index < kinds.size(); ++index) {
    for (const std::string& warning : shown[index]) text += "- " + toned(warning, Tone::faint, colour) + "\n";
    const std::size_t more = kinds[index].second - shown[index].size();
    if (more > 0)
      text += "  " +
              toned(fmt::format("and {} more like {} (--json lists all)", more, more > 1 ? "these" : "this"), Tone::faint, colour) +
              "\n";
  }
  return text;
}

std::string domain_list(const std::vector<eval::DomainExit>& exits, Colour colour) {
  if (exits.empty()) return "";
  std::string text = "\n";
  for (const eval::DomainExit& exit : exits) text += "- " + toned(eval::format(exit), Tone::faint, colour) + "\n";
  return text;
}

std::string before_after_table(const eval::Evaluation& before, const eval::Evaluation& after, Colour colour) {
  std::vector<Column> columns = deployment_columns();
  for (const Metric metric : domain::kMeanMetrics) {
    columns.push_back({short_title(metric) + " %\nbefore"});
    columns.push_back({"\nafter"});
  }
  TextTable table(std::move(columns));
  for (const eval::CaseReport& report : after.cases) {
    std::vector<Cell> cells = deployment_cells(report);
    for (const Metric metric : domain::kMeanMetrics) {
      cells.push_back(error_cell(before.find(report.experiment, domain::kSummaryStage, metric)));
      cells.push_back(error_cell(after.find(report.experiment, domain::kSummaryStage, metric)));
    }
    table.add(std::move(cells));
  }
  table.add_rule();
  std::vector<Cell> means{Cell::title("mean |error|"), "", "", "", ""};
  for (const Metric metric : domain::kMeanMetrics) {
    for (const eval::Evaluation* evaluation : {&before, &after}) {
      const auto found = evaluation->overall.find(metric);
      means.emplace_back(found == evaluation->overall.end() ? "-" : percent(found->second.mean_ape_percent));
    }
  }
  table.add(std::move(means));
  return titled("Error of the predicted means (predicted - measured, summaries)", table.text(colour)) + footnote(after);
}

std::string improvement_table(const eval::Evaluation& before, const eval::Evaluation& after, Colour colour) {
  TextTable table({{"metric", Align::left},
                   {"mean %\nbefore"},
                   {"\nafter"},
                   {"median %\nbefore"},
                   {"\nafter"},
                   {"RMSE %\nbefore"},
                   {"\nafter"},
                   {"experiments"}});
  for (const Metric metric : metrics_of(after.overall)) {
    const eval::ErrorStatistics& now = after.overall.at(metric);
    const auto found = before.overall.find(metric);
    const eval::ErrorStatistics then = found == before.overall.end() ? eval::ErrorStatistics{} : found->second;
    const auto changed = [](double old_percent, double new_percent) {
      return Cell(percent(new_percent), change_tone(old_percent, new_percent));
    };
    table.add({metric_title(metric), percent(then.mean_ape_percent), changed(then.mean_ape_percent, now.mean_ape_percent),
               percent(then.median_ape_percent), changed(then.median_ape_percent, now.median_ape_percent),
               percent(then.rmse_ape_percent), changed(then.rmse_ape_percent, now.rmse_ape_percent),
               fmt::format("{}", now.experiments)});
  }
  return titled("Absolute errors over experiments (summaries)", table.text(colour)) +
         fmt::format("loss {:.2f} % -> {:.2f} % (RMSE of TTFT mean + RMSE of E2E mean)\n", before.loss_percent, after.loss_percent);
}

}  // namespace rooftune::report
