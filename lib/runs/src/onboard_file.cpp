#include "rooftune/runs/onboard_file.hpp"

#include "metric_errors_json.hpp"
#include "next_run_json.hpp"
#include "rooftune/text/json_pieces.hpp"
#include "rooftune/text/json_text.hpp"

namespace rooftune::runs {
namespace {

using Json = nlohmann::ordered_json;

Json rows_json(const eval::Evaluation& evaluation) {
  Json rows = Json::array();
  for (const eval::Row& row : evaluation.rows) {
    if (row.stage != domain::kSummaryStage) continue;
    rows.push_back({{"experiment", row.experiment},
                    {"metric", domain::metric_name(row.metric)},
                    {"predicted", row.predicted_ms},
                    {"measured", row.measured_ms},
                    {"error_percent", row.error_percent()}});
  }
  return rows;
}

Json parameter_json(const plan::OnboardParameter& parameter) {
  return {{"parameter", parameter.prior.parameter.id.spec().id},
          {"expected", parameter.prior.parameter.prior->centre},
          {"expected_deviation", parameter.prior_deviation},
          {"expectation", parameter.prior.basis},
          {"value", parameter.value},
          {"deviation", parameter.posterior_deviation},
          {"source", params::source_name(parameter.source)},
          {"identified", parameter.is_identified()}};
}

}  // namespace

Json next_run_json(const plan::NextRun& run) {
  return {{"model", run.model},
          {"tp", run.tp},
          {"rate_per_s", run.rate_per_s},
          {"prompt_tokens", run.prompt_tokens},
          {"output_tokens", run.output_tokens},
          {"gpu_minutes", run.gpu_minutes},
          {"deviation_before", run.value.deviation_before},
          {"deviation_after", run.value.deviation_after},
          {"bits", run.value.bits}};
}

std::string onboard_json(const plan::Onboarding& onboarding) {
  Json steps = Json::array();
  for (const plan::OnboardStep& step : onboarding.steps) {
    steps.push_back({{"step", step.name},
                     {"fitted_runs", step.fitted_runs},
                     {"fitted", rows_json(step.fitted)},
                     {"unseen", rows_json(step.held_out)},
                     {"unseen_in_interval", {{"inside", step.coverage.inside}, {"measurements", step.coverage.measurements}}},
                     {"parameters", text::list_of(step.parameters, parameter_json)},
                     {"intervals", text::list_of(step.intervals, interval_json)},
                     {"next_runs", text::list_of(step.next_runs, next_run_json)},
                     {"warnings", step.held_out.warnings.empty() ? step.fitted.warnings : step.held_out.warnings}});
  }
  const auto blocks = text::list_of(onboarding.kv_blocks, [](const plan::KvBlocksRow& row) {
    return Json{{"experiment", row.experiment},
                {"total_kv_blocks", row.total_kv_blocks},
                {"recorded", row.is_recorded},
                {"ttft_error_percent", row.ttft_error_percent},
                {"e2e_error_percent", row.e2e_error_percent}};
  });
  return text::json_text({{"schema", "rooftune/onboard/1"},
                          {"gpu", onboarding.gpu},
                          {"reference", onboarding.reference},
                          {"steps", std::move(steps)},
                          {"kv_blocks", blocks}});
}

std::string trial_json(const plan::NextRunTrial& trial) {
  return text::json_text({{"schema", "rooftune/next-run-trial/1"},
                          {"start_runs", trial.start_runs},
                          {"draws", text::list_of(trial.draws, [](const plan::TrialDraw& draw) {
                             return Json{{"start", draw.start},
                                         {"recommended", draw.recommended},
                                         {"random", draw.random},
                                         {"before_percent", draw.before_percent},
                                         {"recommended_percent", draw.recommended_percent},
                                         {"random_percent", draw.random_percent}};
                           })}});
}

}  // namespace rooftune::runs
