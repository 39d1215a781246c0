#include "rooftune/eval/evaluate.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "rooftune/eval/noise.hpp"
#include "support/simulated_runs.hpp"

namespace rooftune::eval {
namespace {

using domain::kSummaryStage;
using domain::Metric;
using testing::Contains;
using testing::DoubleNear;
using testing::HasSubstr;
using testing::SizeIs;

constexpr EvaluationOptions kOneThread{.threads = {1}, .stepping = sim::Stepping::closed_form};

const params::Config& truth() {
  static const params::Config config = examples::config_with("physics", {{"physics.t_step_us", 900.0}});
  return config;
}

TEST(Row, SignsItsErrorByThePrediction) {
  const Row low{"a", kSummaryStage, Metric::ttft_mean, 30.0, 40.0};
  EXPECT_DOUBLE_EQ(low.error_percent(), -25.0);
  EXPECT_DOUBLE_EQ(low.ape_percent(), 25.0);
}

TEST(Evaluate, FindsNoErrorInWhatTheSimulatorMeasuredItself) {
  const Dataset dataset = examples::dataset_of(examples::measured(examples::four_runs(), truth()), truth());
  const Evaluation evaluation = evaluate(dataset, truth(), kOneThread);
  for (const Row& row : evaluation.rows) EXPECT_DOUBLE_EQ(row.error_percent(), 0.0) << row.experiment;
  // Every metric in each of the four summaries and the five stages.
  EXPECT_THAT(evaluation.rows, SizeIs(domain::kMetricCount * (4 + 5)));
  EXPECT_EQ(evaluation.loss_percent, 0.0);
}

TEST(Evaluate, ListsTheSummaryFirstThenStages) {
  const Dataset dataset = examples::dataset_of(examples::measured(examples::four_runs(), truth()), truth());
  const Evaluation evaluation = evaluate(dataset, truth(), kOneThread);
  EXPECT_EQ(evaluation.rows[0].stage, kSummaryStage);
  EXPECT_EQ(evaluation.rows[domain::kMetricCount].stage, 0);
  EXPECT_EQ(evaluation.rows[2 * domain::kMetricCount].stage, 1);
  EXPECT_EQ(evaluation.rows[0].metric, Metric::ttft_mean);
  EXPECT_NE(evaluation.find("a", 1, Metric::e2e_p99), nullptr);
  EXPECT_EQ(evaluation.find("a", 2, Metric::e2e_p99), nullptr);
}

TEST(Evaluate, GivesTheSameBitsForAnyNumberOfThreads) {
  const Dataset dataset = examples::dataset_of(examples::measured(examples::four_runs(), truth()), truth());
  const params::Config other = examples::config_with("physics", {});
  const Evaluation one = evaluate(dataset, other, kOneThread);
  const Evaluation three = evaluate(dataset, other, {.threads = {3}, .stepping = sim::Stepping::closed_form});
  for (std::size_t row = 0; row < one.rows.size(); ++row) EXPECT_EQ(one.rows[row].predicted_ms, three.rows[row].predicted_ms);
}

TEST(Evaluate, DoesNotChangeARunThatOthersAreLeftOutOf) {
  const Dataset dataset = examples::dataset_of(examples::measured(examples::four_runs(), truth()), truth());
  const Evaluation all = evaluate(dataset, truth(), kOneThread);
  const Evaluation one = evaluate(dataset.subset({2}), truth(), kOneThread);
  EXPECT_EQ(one.rows[0].predicted_ms, all.find("c", kSummaryStage, Metric::ttft_mean)->predicted_ms);
}

/// Two runs of one model and one of another, with errors that are easy to add up by head.
Evaluation by_hand() {
  Evaluation evaluation;
  const auto add = [&](const std::string& id, const std::string& model, double ttft_percent, double e2e_percent) {
    CaseReport report;
    report.experiment = id;
    report.model = model;
    report.hardware = "H100-SXM";
    report.workload = "chat";
    evaluation.cases.push_back(report);
    evaluation.rows.push_back({id, kSummaryStage, Metric::ttft_mean, 100.0 + ttft_percent, 100.0});
    evaluation.rows.push_back({id, kSummaryStage, Metric::e2e_mean, 100.0 + e2e_percent, 100.0});
    evaluation.rows.push_back({id, 0, Metric::e2e_mean, 500.0, 100.0});  // stages are in no aggregate
  };
  add("a", "Yi-34B", 30.0, 10.0);
  add("b", "Yi-34B", -40.0, -20.0);
  add("c", "Qwen3-14B", 0.0, 60.0);
  return evaluation;
}

TEST(Summarise, TakesMeanMedianAndRootMeanSquareOverExperiments) {
  Evaluation evaluation = by_hand();
  summarise(evaluation);
  const ErrorStatistics& e2e = evaluation.overall.at(Metric::e2e_mean);
  EXPECT_THAT(e2e.mean_ape_percent, DoubleNear(30.0, 1e-9));
  EXPECT_THAT(e2e.median_ape_percent, DoubleNear(20.0, 1e-9));
  EXPECT_THAT(e2e.rmse_ape_percent, DoubleNear(std::sqrt((100.0 + 400.0 + 3600.0) / 3.0), 1e-9));
  EXPECT_EQ(e2e.experiments, 3);
  EXPECT_THAT(evaluation.by.at("model").at("Yi-34B").at(Metric::ttft_mean).mean_ape_percent, DoubleNear(35.0, 1e-9));
}

TEST(Summarise, AddsTheTwoRootMeanSquaresToTheLoss) {
  Evaluation evaluation = by_hand();
  summarise(evaluation);
  EXPECT_THAT(evaluation.loss_percent,
              DoubleNear(std::sqrt((900.0 + 1600.0) / 3.0) + std::sqrt((100.0 + 400.0 + 3600.0) / 3.0), 1e-9));
}

TEST(Summarise, LeavesOverloadedRunsOut) {
  Evaluation evaluation = by_hand();
  evaluation.cases[2].aggregated = false;
  summarise(evaluation);
  EXPECT_THAT(evaluation.overall.at(Metric::e2e_mean).mean_ape_percent, DoubleNear(15.0, 1e-9));
  EXPECT_FALSE(evaluation.by.at("model").contains("Qwen3-14B"));
}

TEST(Dataset, SaysWhatOfARunsWeightsAndGraphsIsNotSimulated) {
  domain::Experiment run = examples::unmeasured_run("a", examples::llama_2_7b(), 1, {2.0});
  const auto warnings_of = [&] { return core::format(examples::dataset_of({run}, truth()).warnings); };
  EXPECT_EQ(warnings_of().find("simulated"), std::string::npos);
  run.deployment.precision = "FP8";
  run.deployment.settings.cudagraph_mode = "NONE";
  EXPECT_THAT(warnings_of(), HasSubstr("precision is 'FP8', but the config of Llama-2-7b-hf has 16-bit weights: its 13 GB"));
  EXPECT_THAT(warnings_of(), HasSubstr("cudagraph_mode NONE is not priced by physics"));
  run.deployment.settings.quantization = "fp8";
  EXPECT_EQ(warnings_of().find("precision"), std::string::npos) << "quantised at load";
  run.deployment.settings.quantization = "awq";
  EXPECT_THAT(warnings_of(), HasSubstr("quantization is 'awq', but the config"));
}

TEST(Evaluate, WarnsOfASaturatedRun) {
  domain::Experiment run = examples::unmeasured_run("hot", examples::llama_2_7b(), 1, {40.0});
  run.deployment.settings.max_num_seqs = 4;
  run.deployment.settings.total_kv_blocks = 200;
  const Dataset dataset = examples::dataset_of({run}, truth());
  EXPECT_THAT(evaluate(dataset, truth(), kOneThread).warnings, Contains(HasSubstr("queue grows")));
}

/// Plans of many experiments are drawn by each use: the same requests as those that are kept.
TEST(Evaluate, PlansThatFindNoRoomAreDrawnAgain) {
  const params::Config config = truth();
  const auto experiments = examples::measured(examples::four_runs(), config);
  const Dataset all_kept = examples::dataset_of(experiments, config);
  const auto models = examples::models();
  const auto gpus = examples::gpus();
  const auto some_kept = make_dataset({.experiments = experiments,
                                       .models = models,
                                       .gpus = gpus,
                                       .config = config,
                                       .kept_plan_bytes = 3 * examples::kRequestsPerStage * sizeof(sim::PlannedRequest) + 1});
  ASSERT_TRUE(some_kept);
  std::vector<bool> kept;
  for (const Case& item : some_kept->cases) kept.push_back(item.plans[0].kept != nullptr);
  EXPECT_THAT(kept, testing::ElementsAre(true, true, false, false));
  const Evaluation one = evaluate(all_kept, config, kOneThread);
  const Evaluation other = evaluate(*some_kept, config, kOneThread);
  ASSERT_EQ(one.rows.size(), other.rows.size());
  for (std::size_t i = 0; i < one.rows.size(); ++i) EXPECT_EQ(one.rows[i].predicted_ms, other.rows[i].predicted_ms) << i;
  EXPECT_EQ(noise_of(all_kept, config, {1}).arrival_percent, noise_of(*some_kept, config, {1}).arrival_percent);
}

/// Two replicas, every other request ten times as long: in turn, one replica gets all the long ones.
TEST(Evaluate, RoutingByLoadBeatsTakingTurnsWhenRequestsDiffer) {
  domain::Experiment run = examples::unmeasured_run("routed", examples::llama_2_7b(), 1, {30.0});
  run.deployment.dp = 2;
  run.deployment.settings.max_num_seqs = 16;
  run.workload.arrival.process = domain::ArrivalProcess::trace;
  for (int i = 0; i < 200; ++i) {
    run.workload.trace.push_back({.arrival_s = i / 30.0, .input_tokens = 100, .output_tokens = i % 2 == 0 ? 400 : 40});
  }
  const auto mean_e2e_us = [&](std::string_view router) {
    params::Config config = truth();
    const params::SwitchId id = params::switch_id("engine.router");
    config.switches[id] = *params::find_choice(id, router);
    const Dataset dataset = examples::dataset_of({run}, config);
    const Case& item = dataset.cases.front();
    const auto prediction = sim::simulate<double>("physics", item.scenario(*item.plan(0)),
                                                  params::resolve(config, item.experiment.deployment, item.gpu), {});
    EXPECT_EQ(prediction.summary.finished, 200);
    return prediction.summary.e2e_mean_us;
  };
  EXPECT_LT(mean_e2e_us("least_loaded"), 0.9 * mean_e2e_us("round_robin"));
}

/// Five clients of two replicas are three and two of them; of three replicas, two clients leave one without work.
TEST(Evaluate, AClosedLoopKeepsAllItsClientsOverReplicas) {
  domain::Experiment run = examples::unmeasured_run("closed", examples::llama_2_7b(), 1, {1.0});
  run.workload.arrival.process = domain::ArrivalProcess::closed_loop;
  run.workload.stages[0].num_requests = 60;
  const auto largest_batch = [&](int clients, int replicas) {
    run.workload.arrival.concurrency = clients;
    run.deployment.dp = replicas;
    const Dataset dataset = examples::dataset_of({run}, truth());
    const Case& item = dataset.cases.front();
    const auto prediction = sim::simulate<double>("physics", item.scenario(*item.plan(0)),
                                                  params::resolve(truth(), item.experiment.deployment, item.gpu), {});
    EXPECT_EQ(prediction.summary.finished, 60);
    return prediction.counters.largest_batch;
  };
  EXPECT_EQ(largest_batch(5, 2), 3);
  EXPECT_EQ(largest_batch(2, 3), 1);
}

std::vector<QualityIssue> issues(const std::vector<QualityFinding>& findings) {
  std::vector<QualityIssue> result;
  for (const QualityFinding& finding : findings) result.push_back(finding.issue);
  return result;
}

domain::Experiment sound_run() {
  return examples::measured({examples::unmeasured_run("sound", examples::llama_2_7b(), 1, {2.0})}, truth())[0];
}

TEST(DataQuality, FindsNothingInASoundRun) {
  EXPECT_THAT(measured_quality(sound_run()), testing::IsEmpty());
  const Dataset dataset = examples::dataset_of({sound_run()}, truth());
  EXPECT_THAT(evaluate(dataset, truth(), kOneThread).findings, testing::IsEmpty());
}

TEST(DataQuality, SeesFailuresAndMissingRequests) {
  domain::Experiment run = sound_run();
  run.measured.summary.failed = 3;
  EXPECT_THAT(issues(measured_quality(run)), testing::ElementsAre(QualityIssue::failures));
  run.measured.summary.failed = 0;
  run.measured.summary.succeeded = 150;
  EXPECT_THAT(format(measured_quality(run).at(0)), HasSubstr("experiment 'sound': measured: 150 of 200 requests were recorded"));
}

TEST(DataQuality, SeesLatenciesThatContradictEachOther) {
  domain::Experiment run = sound_run();
  *run.measured.stages[0][Metric::tpot_mean] *= 1.25;  // per re-tokenised token, say
  EXPECT_THAT(issues(measured_quality(run)), testing::ElementsAre(QualityIssue::identity));
  run = sound_run();
  run.measured.summary[Metric::ttft_p90] = *run.measured.summary[Metric::ttft_p99] + 1.0;
  EXPECT_THAT(issues(measured_quality(run)), testing::ElementsAre(QualityIssue::identity));
}

TEST(DataQuality, SeesMeasuredQueuesAndFullPoolsByLittlesLaw) {
  domain::Experiment run = sound_run();
  run.measured.stages[0] = {};
  run.measured.stages[0][Metric::e2e_mean] = 70000.0;  // 140 requests in flight at 2 per second, 128 seats
  EXPECT_THAT(issues(measured_quality(run)), testing::ElementsAre(QualityIssue::saturation));
  run.deployment.settings.total_kv_blocks = 1000;
  EXPECT_THAT(issues(measured_quality(run)), testing::ElementsAre(QualityIssue::saturation, QualityIssue::kv_limit));
}

TEST(DataQuality, SaysWhySimulatedRequestsWereRefused) {
  domain::Experiment run = examples::unmeasured_run("refused", examples::llama_2_7b(), 1, {2.0});
  run.deployment.settings.max_model_len = 400;
  const Dataset dataset = examples::dataset_of({run}, truth());
  const Evaluation evaluation = evaluate(dataset, truth(), kOneThread);
  EXPECT_THAT(evaluation.warnings,
              Contains(HasSubstr("simulated: 200 requests were rejected: 200 longer than max_model_len (400 tokens)")));
}

TEST(Evaluate, LeavesAWarmUpOut) {
  const Dataset dataset = examples::dataset_of({sound_run()}, truth());
  EvaluationOptions options = kOneThread;
  options.warm_up_requests = 100;
  const Evaluation all = evaluate(dataset, truth(), kOneThread);
  const Evaluation later = evaluate(dataset, truth(), options);
  EXPECT_NE(all.rows[0].predicted_ms, later.rows[0].predicted_ms);
}

}  // namespace
}  // namespace rooftune::eval
