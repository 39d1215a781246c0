#include "rooftune/report/onboard_tables.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "next_runs.hpp"
#include "numbers.hpp"
#include "rooftune/core/distributions.hpp"
#include "rooftune/core/statistics.hpp"

namespace rooftune::report {
namespace {

using domain::Metric;

constexpr std::size_t kShownRuns = 8;
constexpr std::size_t kShownPerDeployment = 2;

const calibrate::PredictionInterval* interval_of(const plan::OnboardStep& step, const std::string& experiment, Metric metric) {
  for (const calibrate::PredictionInterval& interval : step.intervals) {
    if (interval.experiment == experiment && interval.stage == domain::kSummaryStage && interval.metric == metric) return &interval;
  }
  return nullptr;
}

/// "-12 to +30": where the measurement should lie, relative to the prediction.
std::string reach(const calibrate::PredictionInterval* interval) {
  if (interval == nullptr) return "-";
  if (!interval->is_determined()) return "not determined";
  return fmt::format("{:+.0f} to {:+.0f}", 100.0 * (interval->lower_ms / interval->predicted_ms - 1.0),
                     100.0 * (interval->upper_ms / interval->predicted_ms - 1.0));
}

void add_rows(TextTable& table, const plan::Onboarding& onboarding, const plan::OnboardStep& step, const eval::Evaluation& evaluation,
              std::string_view seen) {
  for (const eval::CaseReport& report : evaluation.cases) {
    std::vector<Cell> cells{onboarding.label(), step.name, report.experiment, report.model, std::string(seen)};
    for (const Metric metric : domain::kMeanMetrics) {
      const eval::Row* row = evaluation.find(report.experiment, domain::kSummaryStage, metric);
      cells.push_back(row == nullptr ? Cell("-") : signed_percent(row->error_percent()));
    }
    cells.emplace_back(reach(interval_of(step, report.experiment, Metric::ttft_mean)));
    cells.emplace_back(reach(interval_of(step, report.experiment, Metric::e2e_mean)));
    table.add(std::move(cells));
  }
}

std::string mean_line(const std::vector<plan::Onboarding>& onboardings, std::string_view what,
                      const std::function<bool(const plan::OnboardStep&)>& is_meant) {
  std::vector<double> ttft;
  std::vector<double> e2e;
  for (const plan::Onboarding& onboarding : onboardings) {
    for (const plan::OnboardStep& step : onboarding.steps) {
      if (!is_meant(step)) continue;
      for (const eval::Row& row : step.held_out.rows) {
        if (row.stage != domain::kSummaryStage) continue;
        if (row.metric == Metric::ttft_mean) ttft.push_back(row.ape_percent());
        if (row.metric == Metric::e2e_mean) e2e.push_back(row.ape_percent());
      }
    }
  }
  if (e2e.empty()) return "";
  return fmt::format("{:<34}E2E {:>5.1f} %  TTFT {:>5.1f} %  ({} predictions)\n", what, core::mean(e2e), core::mean(ttft), e2e.size());
}

/// A value that its bound stopped is not what was fitted: said wherever parameters are shown.
std::string bounds_line(const plan::OnboardStep& step) {
  std::string text;
  for (const plan::OnboardParameter& parameter : step.parameters) {
    if (parameter.bound == opt::BoundState::free) continue;
    text += fmt::format("on its {} bound, so its value is the bound's and not the runs': {} = {}\n",
                        parameter.bound == opt::BoundState::at_lower ? "lower" : "upper", parameter.prior.parameter.id.spec().id,
                        parameter.value);
  }
  return text;
}

std::string left_out_line(const plan::OnboardStep& step) {
  std::string text;
  for (const plan::LeftOutRow& row : step.left_out) {
    text += fmt::format("not fitted: {} of experiment {}{}: its queue makes {:.0f} % of 1 % of step time\n",
                        domain::metric_name(row.metric), row.experiment,
                        row.stage == domain::kSummaryStage ? "" : fmt::format(", stage {}", row.stage), row.amplification);
  }
  return text;
}

/// How many parameters the runs left as they were expected, naming whichever are fewer.
std::string kept_line(const plan::Onboarding& onboarding, const std::vector<std::string>& told,
                      const std::vector<std::string>& untold) {
  if (untold.empty()) return "";
  std::string line = fmt::format("kept from {}, not informed by your runs: {} of {} parameters", onboarding.reference, untold.size(),
                                 told.size() + untold.size());
  if (untold.size() <= told.size()) return line + fmt::format(" ({})\n", fmt::join(untold, ", "));
  return line + (told.empty() ? "\n" : fmt::format(" (all but {})\n", fmt::join(told, ", ")));
}

std::string source_of(const plan::OnboardParameter& parameter) { return std::string(params::source_name(parameter.source)); }

}  // namespace

std::string onboard_error_table(const std::vector<plan::Onboarding>& onboardings, Colour colour) {
  TextTable table({{"GPU", Align::left},
                   {"knows", Align::left},
                   {"experiment", Align::left},
                   {"model", Align::left},
                   {"run was", Align::left},
                   {"TTFT %"},
                   {"E2E %"},
                   {"TPOT %"},
                   {"90 % interval\nTTFT"},
                   {"\nE2E"}});
  for (const plan::Onboarding& onboarding : onboardings) {
    for (const plan::OnboardStep& step : onboarding.steps) {
      add_rows(table, onboarding, step, step.held_out, "unseen");
      add_rows(table, onboarding, step, step.fitted, "fitted");
    }
    table.add_rule();
  }
  std::string text =
      titled("Error of the predicted means (predicted - measured, summaries) on new GPUs and versions", table.text(colour));
  text += "\nMean |error| on unseen runs\n";
  text += mean_line(onboardings, "as it is", [](const auto& step) { return step.name == "as it is"; });
  text += mean_line(onboardings, "data sheet only", [](const auto& step) { return step.name == "data sheet"; });
  text += mean_line(onboardings, "with kernel tables", [](const auto& step) { return step.name == "kernel tables"; });
  text += mean_line(onboardings, "with one run", [](const auto& step) { return step.fitted_runs.size() == 1; });
  text += mean_line(onboardings, "with more runs", [](const auto& step) { return step.fitted_runs.size() > 1; });
  for (const plan::Onboarding& onboarding : onboardings) {
    for (const plan::OnboardStep& step : onboarding.steps) {
      if (step.coverage.measurements == 0) continue;
      text += fmt::format("{}, {}: {} of {} unseen measurements inside their 90 % interval", onboarding.label(), step.name,
                          step.coverage.inside, step.coverage.measurements);
      if (step.undetermined > 0) text += fmt::format(" ({} not determined)", step.undetermined);
      text += "\n";
    }
  }
  return text;
}

std::string onboard_parameter_table(const plan::Onboarding& onboarding, Colour colour) {
  const plan::OnboardStep& step = onboarding.last();
  TextTable table({{"parameter", Align::left},
                   {"unit", Align::left},
                   {"expected"},
                   {"+- %"},
                   {"value"},
                   {"+- %"},
                   {"moved %"},
                   {"source", Align::left},
                   {"expectation", Align::left}});
  std::vector<std::string> told;
  std::vector<std::string> untold;
  for (const plan::OnboardParameter& parameter : step.parameters) {
    const params::FreeParameter& free = parameter.prior.parameter;
    table.add({std::string(free.id.spec().id), std::string(free.id.spec().unit), significant(free.prior->centre),
               fmt::format("{:.0f}", 100.0 * parameter.prior_deviation), significant(parameter.value),
               fmt::format("{:.0f}", 100.0 * parameter.posterior_deviation),
               fmt::format("{:+.0f}", 100.0 * (parameter.value / free.prior->centre - 1.0)), source_of(parameter),
               parameter.prior.basis});
    (parameter.is_identified() ? told : untold).emplace_back(free.id.spec().id);
  }
  std::string text = titled(fmt::format("{} after '{}'", onboarding.label(), step.name), table.text(colour));
  if (!step.fitted_runs.empty()) text += kept_line(onboarding, told, untold);
  text += left_out_line(step) + bounds_line(step);
  return text;
}

std::string next_run_table(const plan::OnboardStep& step, const plan::OnboardStep* before, Colour colour) {
  if (step.next_runs.empty()) return "no candidate fits into memory without overloading: widen onboard.candidates\n";
  const double now = 100.0 * step.next_runs.front().value.deviation_before;
  std::string text =
      titled(fmt::format("Next run after '{}': predictions of {} candidates are now known to +- {:.1f} % (parameters' part, RMS of "
                         "TTFT and E2E, none counted above {:.0f})",
                         step.name, step.next_runs.size(), now, 100.0 * calibrate::kUndetermined),
             table_of(step.next_runs, kShownRuns, kShownPerDeployment).text(colour));
  if (before == nullptr || before->next_runs.empty()) return text;
  const double then = 100.0 * before->next_runs.front().value.deviation_before;
  constexpr double kSame = 1.02;
  if (now > kSame * then) {
    text += fmt::format(
        "less sure than after '{}' (+- {:.1f} %): no parameter is, but at the values that the runs ask for predictions react more to "
        "step times (candidates nearer to saturation)\n",
        before->name, then);
  }
  return text;
}

std::string kv_blocks_table(const plan::Onboarding& onboarding, Colour colour) {
  if (onboarding.kv_blocks.empty()) return "";
  TextTable table({{"experiment", Align::left}, {"KV blocks"}, {"TTFT %"}, {"E2E %"}, {"", Align::left}});
  for (const plan::KvBlocksRow& row : onboarding.kv_blocks) {
    table.add({row.experiment, fmt::format("{}", row.total_kv_blocks), signed_percent(row.ttft_error_percent),
               signed_percent(row.e2e_error_percent), row.is_recorded ? "as recorded" : ""});
  }
  return titled(fmt::format("{}: errors over the number of KV blocks, which was inferred, before any run", onboarding.gpu),
                table.text(colour));
}

std::string hierarchy_table(const plan::Hierarchy& hierarchy, Colour colour) {
  TextTable spreads({{"parameter", Align::left},
                     {"between", Align::left},
                     {"before"},
                     {"spread"},
                     {"90 %", Align::left},
                     {"moved by (log, +- one deviation)", Align::left}});
  for (const plan::Spread& spread : hierarchy.spreads) {
    if (!spread.is_told) continue;
    std::vector<std::string> groups;
    for (const plan::GroupDeviation& group : spread.groups) {
      groups.push_back(fmt::format("{} {:+.2f} +- {:.2f}", group.group, group.moved, group.deviation));
    }
    const double reach = std::exp(core::normal_quantile(0.95) * spread.log_deviation);
    spreads.add({spread.parameter, fmt::format("{}s", core::word_of(plan::kLevels, spread.level)),
                 fmt::format("{:.2f}", spread.expected), fmt::format("{:.3f}", spread.value),
                 fmt::format("{:.3f} to {:.3f}", spread.value / reach, spread.value * reach),
                 fmt::format("{}", fmt::join(groups, "; "))});
  }
  TextTable groups({{"GPU", Align::left},
                    {"version", Align::left},
                    {"model", Align::left},
                    {"runs"},
                    {"rows"},
                    {"shared terms\n%"},
                    {"all terms\n%"}});
  for (const plan::GroupFit& group : hierarchy.groups) {
    groups.add({group.gpu, group.version, group.model, fmt::format("{}", group.runs), fmt::format("{}", group.rows),
                percent(group.shared_percent), percent(group.own_percent)});
  }
  const auto told = std::ranges::count_if(hierarchy.spreads, &plan::Spread::is_told);
  std::string text = titled("How far parameters move between groups: standard deviations in the transformed space (mostly logarithms)",
                            spreads.text(colour));
  text += fmt::format("of {} spreads the runs narrow {}; the others stay what is expected before any run\n", hierarchy.spreads.size(),
                      told);
  text += titled("Mean |log error| of TTFT and E2E", groups.text(colour));
  text += fmt::format("{} rows that a queue decides are left out; {} after {} iterations\n", hierarchy.left_out,
                      hierarchy.converged ? "settled" : "NOT settled", hierarchy.iterations);
  return text;
}

std::string simulated_transfer_table(const plan::SimulatedTransfers& transfers, Colour colour) {
  TextTable intervals({{"knows", Align::left}, {"metric", Align::left}, {"error\n%"}, {"inside\n%"}, {"of"}, {"interval to\n+%"}});
  for (const plan::SimulatedStep& step : transfers.steps) {
    calibrate::Coverage all;
    for (const auto& [metric, counts] : step.inside) {
      intervals.add({step.name, metric_title(metric), percent(step.error_percent.at(metric)),
                     percent(100.0 * counts.inside / std::max(1, counts.measurements)), fmt::format("{}", counts.measurements),
                     percent(step.width_percent.at(metric))});
      all.inside += counts.inside;
      all.measurements += counts.measurements;
    }
    intervals.add({step.name, "all", "", percent(100.0 * all.inside / std::max(1, all.measurements)),
                   fmt::format("{}", all.measurements), fmt::format("{} not determined", step.undetermined)});
    intervals.add_rule();
  }
  std::string text =
      titled(fmt::format("Unseen measurements in their 90 % intervals, {} simulated GPUs", transfers.draws), intervals.text(colour));
  TextTable choices({{"after", Align::left}, {"one more run", Align::left}, {"error\n%"}, {"against random\n%"}, {"+-"}, {"draws"}});
  for (const plan::ChoiceTrial& trial : transfers.choices) {
    choices.add({trial.name, "none", percent(trial.before_percent), "", "", fmt::format("{}", trial.draws)});
    for (const auto& [choice, outcome] : trial.outcomes) {
      choices.add({trial.name, std::string(core::word_of(plan::kChoices, choice)), percent(outcome.error_percent),
                   fmt::format("{:+.2f}", outcome.against_random), fmt::format("{:.2f}", outcome.against_random_error), ""});
    }
    choices.add_rule();
  }
  return text + titled("Mean |log error| of TTFT and E2E over candidates, by how the next run was chosen", choices.text(colour));
}

std::string trial_table(const plan::NextRunTrial& trial, Colour colour) {
  std::vector<double> before;
  std::vector<double> recommended;
  std::vector<double> random;
  std::vector<double> difference;
  int better = 0;
  int worse = 0;
  for (const plan::TrialDraw& draw : trial.draws) {
    before.push_back(draw.before_percent);
    recommended.push_back(draw.recommended_percent);
    random.push_back(draw.random_percent);
    difference.push_back(draw.recommended_percent - draw.random_percent);
    if (difference.back() < 0.0) ++better;
    if (difference.back() > 0.0) ++worse;
  }
  TextTable table({{"after", Align::left}, {"mean |error| %"}, {"median %"}, {"worst draw %"}});
  const auto add = [&](std::string name, std::vector<double> errors) {
    const double worst = std::ranges::max(errors);
    const double middle = core::median(errors);
    table.add({std::move(name), percent(core::mean(errors)), percent(middle), percent(worst)});
  };
  add(fmt::format("{} runs drawn at random", trial.start_runs), before);
  add("one more, recommended", recommended);
  add("one more, at random", random);
  const double error = core::standard_deviation(difference) / std::sqrt(static_cast<double>(difference.size()));
  std::string text =
      titled(fmt::format("Mean of |TTFT| and |E2E| error on runs that neither choice had seen, {} draws", trial.draws.size()),
             table.text(colour));
  text += fmt::format("recommended - random: {:+.2f} +- {:.2f} % (standard error); better in {} draws, worse in {}, same run in {}\n",
                      core::mean(difference), error, better, worse, static_cast<int>(trial.draws.size()) - better - worse);
  return text;
}

}  // namespace rooftune::report
