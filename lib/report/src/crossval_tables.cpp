#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "numbers.hpp"
#include "rooftune/report/tables.hpp"

namespace rooftune::report {
namespace {

using domain::Metric;

std::string error_of(const eval::Evaluation& evaluation, Metric metric) {
  const auto error = mean_ape(evaluation, metric);
  return error ? percent(*error) : "-";
}

std::string gap(const calibrate::FoldResult& fold, Metric metric) {
  const auto training = fold.training.overall.find(metric);
  const auto held_out = fold.held_out.overall.find(metric);
  if (training == fold.training.overall.end() || held_out == fold.held_out.overall.end()) return "-";
  return fmt::format("{:+.1f}", held_out->second.mean_ape_percent - training->second.mean_ape_percent);
}

std::string noise_of(const calibrate::CrossValidation& result, const std::string& fold, Metric metric) {
  const auto found = std::ranges::find_if(
      result.noise, [&](const calibrate::SeedNoise& noise) { return noise.fold == fold && noise.metric == metric; });
  return found == result.noise.end() ? "-" : percent(found->held_out_deviation_percent);
}

std::string error_table(const calibrate::CrossValidation& result, Colour colour) {
  const bool has_noise = !result.noise.empty();
  std::vector<Column> columns{{"held out", Align::left}, {"runs"}};
  for (const Metric metric : domain::kMeanMetrics) {
    columns.push_back({short_title(metric) + " %\ntraining"});
    columns.push_back({"\nheld out"});
    columns.push_back({"\ngap"});
    if (has_noise) columns.push_back({"\nnoise"});
  }
  TextTable table(std::move(columns));
  for (const calibrate::FoldResult& fold : result.folds) {
    std::vector<Cell> cells{fold.name + (fold.lost_coverage.empty() ? "" : " *"), fmt::format("{}", fold.held_out_experiments.size())};
    for (const Metric metric : domain::kMeanMetrics) {
      cells.emplace_back(fold.failure ? "failed" : error_of(fold.training, metric));
      cells.emplace_back(fold.failure ? "failed" : error_of(fold.held_out, metric));
      cells.emplace_back(gap(fold, metric));
      if (has_noise) cells.emplace_back(noise_of(result, fold.name, metric));
    }
    table.add(std::move(cells));
  }
  std::string text = titled("Mean absolute errors (summaries); every fold was fitted on its training runs alone, from a cold start",
                            table.text(colour));
  if (has_noise) text += fmt::format("noise: standard deviation of the held-out error over {} seeds\n", result.repeats);
  for (const calibrate::FoldResult& fold : result.folds) {
    if (!fold.lost_coverage.empty()) text += fmt::format("* {}: training lacks {}\n", fold.name, fmt::join(fold.lost_coverage, "; "));
  }
  return text;
}

/// One column per fold: parameters that differ prove that the folds were fitted.
std::string parameter_columns(const calibrate::CrossValidation& result, Colour colour) {
  std::vector<Column> columns{{"parameter", Align::left}, {"unit", Align::left}};
  for (std::size_t fold = 0; fold < result.folds.size(); ++fold) columns.push_back({fmt::format("fold {}", fold + 1)});
  TextTable table(std::move(columns));
  for (std::size_t i = 0; i < result.free.size(); ++i) {
    std::vector<Cell> cells{result.free[i].label(), std::string(result.free[i].id.spec().unit)};
    for (const calibrate::FoldResult& fold : result.folds) cells.emplace_back(fold.failure ? "-" : significant(fold.values[i]));
    table.add(std::move(cells));
  }
  std::string text = titled("Parameters by fold", table.text(colour));
  for (std::size_t fold = 0; fold < result.folds.size(); ++fold) {
    text += fmt::format("fold {}: {}; {}\n", fold + 1, result.folds[fold].name, opt::format(result.folds[fold].termination));
  }
  return text;
}

/// Whether prediction intervals keep their word on runs that nobody fitted.
std::string coverage_table(const calibrate::CrossValidation& result, Colour colour) {
  if (result.coverage.empty()) return "";
  TextTable table(
      {{"metric", Align::left}, {"structural\nerror %"}, {"held-out\nmeasurements"}, {"inside their\ninterval"}, {"share %"}});
  const auto add = [&](std::string name, const std::string& structural, const calibrate::Coverage& counts) {
    table.add({std::move(name), structural, fmt::format("{}", counts.measurements), fmt::format("{}", counts.inside),
               percent(100.0 * counts.inside / counts.measurements)});
  };
  calibrate::Coverage all;
  for (const auto& [metric, counts] : result.coverage) {
    const auto structural = result.structural_deviation.find(metric);
    add(metric_title(metric), structural == result.structural_deviation.end() ? "-" : percent(100.0 * structural->second), counts);
    all.inside += counts.inside;
    all.measurements += counts.measurements;
  }
  table.add_rule();
  add("all", "", all);
  return titled(fmt::format("{:.0f} % prediction intervals on held-out stages", 100.0 * calibrate::kIntervalLevel),
                table.text(colour)) +
         "structural error: standard deviation beyond parameters and arrivals, over folds; each fold's intervals use the other "
         "folds'\n";
}

}  // namespace

std::string crossval_tables(const calibrate::CrossValidation& result, Colour colour) {
  std::string text = parameter_columns(result, colour) + error_table(result, colour);
  for (const std::string& failure : result.failures) text += toned(failure, Tone::bad, colour) + "\n";
  if (!result.usable()) return text;
  text += "\nHeld-out errors of all folds pooled:\n";
  return text + overall_table(result.pooled, colour) + coverage_table(result, colour) +
         domain_list(result.pooled.domain_exits, colour);
}

}  // namespace rooftune::report
