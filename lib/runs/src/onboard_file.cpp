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
          {"identified", parameter.is_identified()},
          {"bound", parameter.bound == opt::BoundState::at_lower   ? Json("lower")
                    : parameter.bound == opt::BoundState::at_upper ? Json("upper")
                                                                   : Json(nullptr)}};
}

Json left_out_json(const plan::LeftOutRow& row) {
  return {{"experiment", row.experiment},
          {"stage", row.stage == domain::kSummaryStage ? Json("summary") : Json(row.stage)},
          {"metric", domain::metric_name(row.metric)},
          {"amplification", row.amplification}};
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
    steps.push_back(
        {{"step", step.name},
         {"fitted_runs", step.fitted_runs},
         {"fitted", rows_json(step.fitted)},
         {"unseen", rows_json(step.held_out)},
         {"unseen_in_interval",
          {{"inside", step.coverage.inside}, {"measurements", step.coverage.measurements}, {"undetermined", step.undetermined}}},
         {"parameters", text::list_of(step.parameters, parameter_json)},
         {"left_out", text::list_of(step.left_out, left_out_json)},
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
                          {"interrupted", onboarding.interrupted()},
                          {"steps", std::move(steps)},
                          {"kv_blocks", blocks}});
}

std::string simulated_transfers_json(const plan::SimulatedTransfers& transfers) {
  Json steps = Json::array();
  for (const plan::SimulatedStep& step : transfers.steps) {
    Json metrics = Json::object();
    for (const auto& [metric, counts] : step.inside) {
      metrics[std::string(domain::metric_name(metric))] = {{"inside", counts.inside},
                                                           {"measurements", counts.measurements},
                                                           {"median_upper_reach_percent", step.width_percent.at(metric)},
                                                           {"mean_error_percent", step.error_percent.at(metric)}};
    }
    steps.push_back({{"step", step.name}, {"undetermined", step.undetermined}, {"metrics", std::move(metrics)}});
  }
  Json choices = Json::array();
  for (const plan::ChoiceTrial& trial : transfers.choices) {
    Json outcomes = Json::array();
    for (const auto& [choice, outcome] : trial.outcomes) {
      outcomes.push_back({{"chosen", core::word_of(plan::kChoices, choice)},
                          {"error_percent", outcome.error_percent},
                          {"against_random_percent", outcome.against_random},
                          {"standard_error", outcome.against_random_error}});
    }
    choices.push_back({{"after", trial.name},
                       {"draws", trial.draws},
                       {"before_percent", trial.before_percent},
                       {"one_more_run", std::move(outcomes)}});
  }
  return text::json_text({{"schema", "rooftune/simulated-transfers/1"},
                          {"draws", transfers.draws},
                          {"interrupted", transfers.interrupted()},
                          {"steps", std::move(steps)},
                          {"choices", std::move(choices)}});
}

std::string hierarchy_json(const plan::Hierarchy& hierarchy) {
  return text::json_text(
      {{"schema", "rooftune/hierarchy/1"},
       {"settled", hierarchy.converged},
       {"interrupted", hierarchy.interrupted},
       {"iterations", hierarchy.iterations},
       {"rows_left_out", hierarchy.left_out},
       {"spreads", text::list_of(hierarchy.spreads,
                                 [](const plan::Spread& spread) {
                                   return Json{
                                       {"parameter", spread.parameter},
                                       {"between", core::word_of(plan::kLevels, spread.level)},
                                       {"expected", spread.expected},
                                       {"spread", spread.value},
                                       {"log_deviation", spread.log_deviation},
                                       {"narrowed", spread.is_told},
                                       {"groups", text::list_of(spread.groups, [](const plan::GroupDeviation& group) {
                                          return Json{{"group", group.group}, {"moved", group.moved}, {"deviation", group.deviation}};
                                        })}};
                                 })},
       {"shared",
        text::list_of(hierarchy.shared,
                      [](const plan::SharedValue& shared) {
                        return Json{{"parameter", shared.parameter}, {"value", shared.value}, {"deviation", shared.deviation}};
                      })},
       {"groups", text::list_of(hierarchy.groups, [](const plan::GroupFit& group) {
          return Json{{"gpu", group.gpu},
                      {"version", group.version},
                      {"model", group.model},
                      {"runs", group.runs},
                      {"rows", group.rows},
                      {"shared_error_percent", group.shared_percent},
                      {"error_percent", group.own_percent}};
        })}});
}

std::string trial_json(const plan::NextRunTrial& trial) {
  return text::json_text({{"schema", "rooftune/next-run-trial/1"},
                          {"start_runs", trial.start_runs},
                          {"interrupted", trial.interrupted()},
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
