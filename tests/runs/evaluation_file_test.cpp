#include "rooftune/runs/evaluation_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace rooftune::runs {
namespace {

using testing::HasSubstr;

eval::Evaluation small_evaluation() {
  eval::Evaluation evaluation;
  evaluation.rows = {{"17", domain::kSummaryStage, domain::Metric::ttft_mean, 30.0, 40.0},
                     {"17", 0, domain::Metric::e2e_p90, 1.5, 1.0}};
  eval::CaseReport report;
  report.experiment = "17";
  report.model = "Llama-2-7b-hf";
  report.hardware = "H100";
  report.tp = 2;
  report.workload = "chat, \"lite\"";
  evaluation.cases = {report};
  const eval::MetricErrors errors{{domain::Metric::ttft_mean, {25.0, 25.0, 25.0, 1}}};
  evaluation.overall = errors;
  evaluation.loss_percent = 25.0;
  evaluation.by["tp"]["2"] = errors;
  evaluation.warnings = {"something"};
  return evaluation;
}

TEST(EvaluationFile, HoldsRowsAggregatesAndWarnings) {
  const auto json = nlohmann::json::parse(evaluation_json(small_evaluation()));
  EXPECT_EQ(json["schema"], "rooftune/evaluation/1");
  EXPECT_EQ(json["rows"][0],
            nlohmann::json::parse(R"({"experiment": "17", "stage": "summary", "metric": "ttft_mean_ms", "predicted": 30,
    "measured": 40, "error_percent": -25, "ape_percent": 25})"));
  EXPECT_EQ(json["rows"][1]["stage"], 0);
  EXPECT_EQ(json["rows"][1]["metric"], "e2e_p90_ms");
  EXPECT_EQ(json["overall"]["ttft_mean_ms"]["experiments"], 1);
  EXPECT_EQ(json["overall"]["loss_percent"], 25);
  EXPECT_EQ(json["by"]["tp"]["2"]["ttft_mean_ms"]["rmse_ape_percent"], 25);
  EXPECT_EQ(json["warnings"], nlohmann::json::array({"something"}));
}

TEST(EvaluationFile, PutsOneRowOnALine) {
  EXPECT_THAT(
      evaluation_json(small_evaluation()),
      HasSubstr("\n    {\"experiment\": \"17\", \"stage\": 0, \"metric\": \"e2e_p90_ms\", \"predicted\": 1.5, \"measured\": 1, "
                "\"error_percent\": 50, \"ape_percent\": 50}\n"));
}

TEST(EvaluationFile, QuotesCsvFieldsThatNeedIt) {
  EXPECT_EQ(evaluation_csv(small_evaluation()),
            "experiment,model,hardware,tp,workload,stage,metric,predicted_ms,measured_ms,error_percent,ape_percent\n"
            "17,Llama-2-7b-hf,H100,2,\"chat, \"\"lite\"\"\",summary,ttft_mean_ms,30,40,-25,25\n"
            "17,Llama-2-7b-hf,H100,2,\"chat, \"\"lite\"\"\",0,e2e_p90_ms,1.5,1,50,50\n");
}

}  // namespace
}  // namespace rooftune::runs
