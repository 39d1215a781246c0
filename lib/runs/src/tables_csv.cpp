#include "rooftune/runs/tables_csv.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <optional>
#include <string_view>

#include "rooftune/calibrate/prepare.hpp"
#include "rooftune/data/metric_columns.hpp"
#include "rooftune/text/csv_text.hpp"

namespace rooftune::runs {
namespace {

void add_errors(std::string& text, const calibrate::VariantResult& variant, std::string_view scope,
                const eval::Evaluation& evaluation) {
  for (const auto& [metric, errors] : evaluation.overall) {
    text += fmt::format("{},{},{},{},{},{},{},{},{}\n", text::csv_cell(variant.name), variant.step_time_model, variant.free_parameters,
                        variant.fit_seconds, scope, domain::metric_name(metric), errors.mean_ape_percent, errors.median_ape_percent,
                        errors.rmse_ape_percent);
  }
}

void add_step_rows(std::string& text, const plan::Onboarding& onboarding, const plan::OnboardStep& step, std::string_view run_was,
                   const eval::Evaluation& evaluation) {
  for (const eval::Row& row : evaluation.rows) {
    std::optional<double> lower;
    std::optional<double> upper;
    for (const calibrate::PredictionInterval& interval : step.intervals) {
      if (interval.experiment != row.experiment || interval.stage != row.stage || interval.metric != row.metric) continue;
      lower = interval.lower_ms;
      upper = interval.upper_ms;
    }
    text += fmt::format("{},{},{},{},{},{},{},{},{},{},{}\n", text::csv_cell(onboarding.gpu), text::csv_cell(step.name),
                        text::csv_cell(row.experiment), data::stage_cell(row.stage), domain::metric_name(row.metric), run_was,
                        row.predicted_ms, row.measured_ms, row.error_percent(), text::csv_cell(lower), text::csv_cell(upper));
  }
}

std::string prediction_header() { return "rate_per_s,stage,finished,rejected,output_tokens_per_s" + data::metric_columns() + "\n"; }

void add_prediction(std::string& text, std::optional<double> rate_per_s, int stage, const sim::StagePrediction<double>& prediction) {
  text += fmt::format("{},{},{},{},{}", text::csv_cell(rate_per_s), data::stage_cell(stage), prediction.finished, prediction.rejected,
                      prediction.output_tokens_per_s);
  for (const domain::Metric metric : domain::kMetrics) text += "," + text::csv_cell(prediction.latencies[metric]);
  text += "\n";
}

}  // namespace

std::string comparison_csv(const calibrate::Comparison& comparison) {
  std::string text =
      "variant,step_time_model,free_parameters,fit_seconds,scope,metric,mean_ape_percent,median_ape_percent,rmse_ape_percent\n";
  for (const auto* variants : {&comparison.variants, &comparison.reverted}) {
    for (const calibrate::VariantResult& variant : *variants) {
      add_errors(text, variant, "training", variant.training);
      if (variant.held_out) add_errors(text, variant, "held_out", *variant.held_out);
    }
  }
  return text;
}

std::string solver_table_csv(const std::vector<calibrate::SolverRow>& rows) {
  std::string text = "solver,passes,with_derivatives,seconds,objective,loss_percent,ended\n";
  for (const calibrate::SolverRow& row : rows) {
    text +=
        fmt::format("{},{},{},{},{},{},{}\n", text::csv_cell(calibrate::title(row)), row.counts.total(), row.counts.derivatives,
                    row.seconds, text::csv_cell(row.objective), text::csv_cell(row.loss_percent), opt::name(row.termination.reason));
  }
  return text;
}

std::string recovery_csv(const calibrate::Recovery& recovery) {
  std::string text = "parameter,truth,identified,covered,bias,spread,mean_standard_error\n";
  for (const calibrate::ParameterRecovery& one : recovery.parameters) {
    text += fmt::format("{},{},{},{},{},{},{}\n", text::csv_cell(one.parameter.label()), one.truth, one.identified, one.covered,
                        one.bias, one.spread, one.mean_standard_error);
  }
  return text;
}

std::string onboard_csv(std::span<const plan::Onboarding> onboardings) {
  std::string text = "gpu,step,experiment,stage,metric,run_was,predicted_ms,measured_ms,error_percent,lower_ms,upper_ms\n";
  for (const plan::Onboarding& onboarding : onboardings) {
    for (const plan::OnboardStep& step : onboarding.steps) {
      add_step_rows(text, onboarding, step, "fitted", step.fitted);
      add_step_rows(text, onboarding, step, "unseen", step.held_out);
    }
  }
  return text;
}

std::string inspection_csv(const calibrate::Inspection& inspection) {
  std::string text = prediction_header();
  add_prediction(text, std::nullopt, domain::kSummaryStage, inspection.prediction.summary);
  for (std::size_t stage = 0; stage < inspection.prediction.stages.size(); ++stage) {
    add_prediction(text, std::nullopt, static_cast<int>(stage), inspection.prediction.stages[stage]);
  }
  return text;
}

std::string sweep_csv(const std::vector<calibrate::SweepPoint>& points) {
  std::string text = prediction_header();
  text.pop_back();
  text += ",concurrency,gpus,output_tokens_per_s_per_gpu,output_tokens_per_s_per_user\n";
  for (const calibrate::SweepPoint& point : points) {
    const bool closed = point.concurrency > 0;
    add_prediction(text, closed ? std::nullopt : std::optional(point.rate_per_s), domain::kSummaryStage, point.prediction.summary);
    text.pop_back();
    text += fmt::format(",{},{},{},{}\n", closed ? fmt::format("{}", point.concurrency) : "", point.gpus,
                        point.output_tokens_per_s_per_gpu(), text::csv_cell(point.output_tokens_per_s_per_user()));
  }
  return text;
}

std::string experiments_csv(const eval::Dataset& dataset) {
  std::string text = "id,role,model,gpu,tp,dp,workload,rates_per_s,requests,kv_blocks,engine,engine_version\n";
  for (const eval::Case& item : dataset.cases) {
    const domain::Experiment& experiment = item.experiment;
    const domain::Deployment& deployment = experiment.deployment;
    const std::optional<int>& kv_blocks = deployment.settings.total_kv_blocks;
    std::vector<double> rates_per_s;
    for (const domain::Stage& stage : experiment.workload.stages) rates_per_s.push_back(stage.rate.value);
    text += fmt::format("{},{},{},{},{},{},{},{},{},{},{},{}\n", text::csv_cell(experiment.id), domain::role_name(experiment.role),
                        text::csv_cell(item.model.name), text::csv_cell(item.gpu.name), deployment.tp, deployment.dp,
                        text::csv_cell(experiment.workload.name), fmt::join(rates_per_s, " "), calibrate::planned_requests(item),
                        kv_blocks ? fmt::format("{}", *kv_blocks) : "", text::csv_cell(deployment.engine),
                        text::csv_cell(deployment.settings.version));
  }
  return text;
}

std::string difference_csv(const RunDifference& difference) {
  std::string text = "what,name,stage,metric,first,second,change_percent\n";
  for (const ParameterDifference& one : difference.parameters) {
    text += fmt::format("parameter,{},,,{},{},{}\n", text::csv_cell(one.parameter), text::csv_cell(one.first),
                        text::csv_cell(one.second), text::csv_cell(one.change_percent()));
  }
  for (const PredictionDifference& one : difference.predictions) {
    const auto& [first, second] = one;
    text += fmt::format("prediction,{},{},{},{},{},{}\n", text::csv_cell(first.experiment), data::stage_cell(first.stage),
                        domain::metric_name(first.metric), first.predicted_ms, second.predicted_ms, one.change_percent());
  }
  return text;
}

}  // namespace rooftune::runs
