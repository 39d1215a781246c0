#include <fmt/format.h>

#include "numbers.hpp"
#include "rooftune/report/tables.hpp"

namespace rooftune::report {
namespace {

using domain::Metric;

std::string shown(std::optional<double> error_percent) { return error_percent ? percent(*error_percent) : "-"; }

/// "+1.2": how much worse without the correction.
Cell change(std::optional<double> without, std::optional<double> with) {
  if (!without || !with) return "-";
  const double worse_percent = *without - *with;
  return {fmt::format("{:+.2f}", worse_percent), worse_percent > 0.0 ? Tone::good : Tone::bad};
}

std::string variant_table(const calibrate::Comparison& comparison, Colour colour) {
  std::vector<Column> columns{{"variant", Align::left}};
  for (const Metric metric : domain::kMeanMetrics) {
    columns.push_back({short_title(metric) + " %\ntraining"});
    columns.push_back({"\nheld out"});
  }
  for (const char* heading :
       {"loss %\ntraining", "\nheld out", "parameters\nfree", "\nunused", "fit\nevaluations", "\ns", "with folds\ns"}) {
    columns.push_back({heading});
  }
  TextTable table(std::move(columns));
  for (const calibrate::VariantResult& variant : comparison.variants) {
    std::vector<Cell> cells{variant.name};
    for (const Metric metric : domain::kMeanMetrics) {
      cells.emplace_back(variant.failure ? "failed" : shown(mean_ape(variant.training, metric)));
      cells.emplace_back(variant.held_out ? shown(mean_ape(*variant.held_out, metric)) : "n/a");
    }
    cells.emplace_back(variant.failure ? "failed" : percent(variant.training.loss_percent));
    cells.emplace_back(variant.held_out ? percent(variant.held_out->loss_percent) : "n/a");
    cells.emplace_back(fmt::format("{}", variant.free_parameters));
    cells.emplace_back(fmt::format("{}", variant.without_effect));
    cells.emplace_back(fmt::format("{}", variant.counts.total()));
    cells.emplace_back(fmt::format("{:.1f}", variant.fit_seconds));
    cells.emplace_back(fmt::format("{:.1f}", variant.total_seconds));
    table.add(std::move(cells));
  }
  std::string text =
      titled("Step-time models under one budget: mean absolute errors (summaries), fitted to all data and to all but what is held out",
             table.text(colour));
  for (const calibrate::VariantResult& variant : comparison.variants) {
    if (variant.failure) text += toned(fmt::format("{}: {}\n", variant.name, *variant.failure), Tone::bad, colour);
    if (!variant.no_held_out.empty()) text += fmt::format("n/a {}: {}\n", variant.name, variant.no_held_out);
  }
  return text;
}

std::string revert_table(const calibrate::Comparison& comparison, Colour colour) {
  const calibrate::VariantResult* from = comparison.find(comparison.one_by_one->from);
  if (from == nullptr || comparison.reverted.empty()) return "";
  std::vector<Column> columns{{"taken back", Align::left}};
  for (const Metric metric : domain::kMeanMetrics) {
    columns.push_back({short_title(metric) + " %\ntraining"});
    columns.push_back({"\nheld out"});
  }
  columns.push_back({"loss %\ntraining"});
  columns.push_back({"\nheld out"});
  TextTable table(std::move(columns));
  for (const calibrate::VariantResult& variant : comparison.reverted) {
    std::vector<Cell> cells{variant.name};
    const auto add = [&](const auto& value_of) {
      cells.push_back(variant.failure ? Cell("failed") : change(value_of(variant.training), value_of(from->training)));
      cells.push_back(variant.held_out && from->held_out ? change(value_of(*variant.held_out), value_of(*from->held_out))
                                                         : Cell("n/a"));
    };
    for (const Metric metric : domain::kMeanMetrics) {
      add([metric](const eval::Evaluation& evaluation) { return mean_ape(evaluation, metric); });
    }
    add([](const eval::Evaluation& evaluation) { return std::optional(evaluation.loss_percent); });
    table.add(std::move(cells));
  }
  return titled(
      fmt::format("What each correction is worth: errors of '{}', fitted again without it, less those with it (points)", from->name),
      table.text(colour));
}

}  // namespace

std::string comparison_tables(const calibrate::Comparison& comparison, Colour colour) {
  std::string text = variant_table(comparison, colour);
  if (comparison.one_by_one) text += revert_table(comparison, colour);
  return text;
}

}  // namespace rooftune::report
