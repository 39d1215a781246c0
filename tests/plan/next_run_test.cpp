#include "rooftune/plan/next_run.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "support/simulated_runs.hpp"

namespace rooftune::plan {
namespace {

using domain::Metric;
using testing::HasSubstr;
using testing::SizeIs;

const std::map<Metric, double> kNoise{{Metric::ttft_mean, 0.03}, {Metric::e2e_mean, 0.03}};

calibrate::Sensitivity e2e(std::size_t case_index, std::vector<double> row) {
  return {.case_index = case_index,
          .stage = domain::kSummaryStage,
          .metric = Metric::e2e_mean,
          .predicted_ms = 1.0,
          .row = std::move(row)};
}

TEST(RankRuns, PrefersTheRunThatTellsWhatTargetsDependOn) {
  const opt::GaussianBelief belief(std::array{0.5, 0.5, 0.01});
  // Run 0 sees a parameter that no target needs, run 1 one that both need, run 2 one that is known already.
  const std::vector<calibrate::Sensitivity> runs{e2e(0, {1.0, 0.0, 0.0}), e2e(1, {0.0, 1.0, 0.0}), e2e(2, {0.0, 0.0, 1.0})};
  const std::vector<calibrate::Sensitivity> targets{e2e(0, {0.0, 1.0, 0.5}), e2e(1, {0.0, 0.8, 1.0})};
  const std::vector<RunValue> ranked = rank_runs(belief, runs, targets, kNoise);
  ASSERT_THAT(ranked, SizeIs(3));
  EXPECT_EQ(ranked[0].case_index, 1u);
  EXPECT_LT(ranked[0].deviation_after, 0.1 * ranked[0].deviation_before);
  EXPECT_GT(ranked[0].bits, 3.0);
  EXPECT_LT(ranked[2].deviation_after, ranked[2].deviation_before + 1e-12) << "no run makes anything worse";
}

TEST(RankRuns, GainsLittleFromARunThatRepeatsWhatIsKnown) {
  opt::GaussianBelief belief(std::array{0.5});
  const std::vector<calibrate::Sensitivity> run{e2e(0, {1.0})};
  const double first = rank_runs(belief, run, run, kNoise).front().bits;
  belief.observe(run.front().row, 0.03 * 0.03);
  EXPECT_LT(rank_runs(belief, run, run, kNoise).front().bits, 0.25 * first);
}

TEST(Candidates, AreEveryCombinationOnTheNewGpu) {
  calibrate::CandidateSpec spec;
  spec.models = {"Llama-2-7b-hf", "Mistral-Nemo-Instruct-2407"};
  spec.tp = {1, 2};
  spec.rates_per_s = {1.0};
  spec.prompt_tokens = {500, 1000};
  spec.output_tokens = {60};
  const auto experiments = candidate_experiments(spec, "A100-SXM", {});
  EXPECT_THAT(experiments, SizeIs(8));
  for (const domain::Experiment& experiment : experiments) EXPECT_EQ(experiment.deployment.hardware, "A100-SXM");
}

TEST(RecommendRuns, LeavesOutWhatOverloads) {
  const params::Config config = examples::config_with("physics", {});
  calibrate::CandidateSpec spec;
  spec.models = {examples::llama_2_7b().name};
  spec.tp = {1};
  spec.rates_per_s = {0.5, 500.0};  // 500 per second: no
  spec.prompt_tokens = {500};
  spec.output_tokens = {60};
  spec.duration_s = 30.0;
  const eval::Dataset candidates = examples::dataset_of(candidate_experiments(spec, examples::h100().name, {}), config);
  const std::vector<params::FreeParameter> free{params::make_free(params::parameter("physics.weight_bandwidth_fraction"))};
  const auto runs = recommend_runs(spec, candidates, config, free, calibrate::prior_belief(free), 0.03, {1});
  ASSERT_THAT(runs, SizeIs(1));
  EXPECT_EQ(runs.front().rate_per_s, 0.5);
  EXPECT_DOUBLE_EQ(runs.front().gpu_minutes, (30.0 + 180.0) / 60.0);
}

calibrate::PreparedStudy small_study() {
  const params::Config truth = examples::config_with("physics", {{"physics.t_step_us", 1200.0}, {"physics.gemm_fraction", 0.6}});
  calibrate::StudySpec spec;
  spec.name = "small";
  spec.step_time_model = "physics";
  spec.free = {params::make_free(params::parameter("physics.t_step_us")),
               params::make_free(params::parameter("physics.gemm_fraction"))};
  spec.solver = {{.algorithm = "ceres_lm", .starts = 1, .max_evaluations = 30, .max_seconds = {}, .tolerance = 1e-6}};
  spec.threads = 1;
  return calibrate::prepare(spec, {.experiments = examples::measured(examples::four_runs(), truth),
                                   .models = examples::models(),
                                   .gpus = examples::gpus(),
                                   .start = {}})
      .value();
}

std::vector<std::string> models_of(const eval::Dataset& candidates) {
  std::vector<std::string> models;
  for (const eval::Case& item : candidates.cases) models.push_back(item.model.name);
  return models;
}

TEST(CandidateDataset, LeavesOutWhatCannotRunDownToNothing) {
  const calibrate::PreparedStudy study = small_study();
  const std::vector<domain::ModelSpec> models = examples::models();
  const std::vector<domain::GpuSpec> gpus = examples::gpus();
  const calibrate::StudyInputs inputs{.experiments = {}, .models = models, .gpus = gpus, .start = {}};
  calibrate::CandidateSpec spec;
  spec.models = {examples::llama_2_7b().name, examples::llama_3_1_70b().name};  // the second does not fit one GPU
  spec.tp = {1};
  spec.rates_per_s = {0.5};
  spec.prompt_tokens = {500};
  spec.output_tokens = {60};
  const auto both = candidate_dataset(study, inputs, spec, examples::h100().name);
  ASSERT_TRUE(both);
  EXPECT_THAT(models_of(*both), testing::ElementsAre(examples::llama_2_7b().name));
  spec.models = {examples::llama_3_1_70b().name};
  const auto none = candidate_dataset(study, inputs, spec, examples::h100().name);
  ASSERT_TRUE(none);
  EXPECT_THAT(none->cases, testing::IsEmpty());
  const std::vector<params::FreeParameter> free{params::make_free(params::parameter("physics.gemm_fraction"))};
  EXPECT_THAT(recommend_runs(spec, *none, study.start, free, calibrate::prior_belief(free), 0.03, {1}), testing::IsEmpty());
}

TEST(NextRunTrial, ScoresBothChoicesOnRunsThatNeitherHasSeen) {
  calibrate::PreparedStudy study = small_study();
  const auto trial = try_recommendation(study, {.start_runs = 1, .draws = 6});
  ASSERT_TRUE(trial);
  ASSERT_THAT(trial->draws, SizeIs(6));
  for (const TrialDraw& draw : trial->draws) {
    EXPECT_THAT(draw.start, SizeIs(1));
    EXPECT_NE(draw.recommended, draw.start.front());
    EXPECT_NE(draw.random, draw.start.front());
    EXPECT_LT(draw.recommended_percent, 5.0) << "the truth is in reach of two runs";
  }
  study.spec.threads = 2;
  const auto again = try_recommendation(study, {.start_runs = 1, .draws = 6});
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(trial->draws[i].random_percent, again->draws[i].random_percent);
}

TEST(NextRunTrial, KeepsTheDrawsThatAreFinishedWhenItIsCancelled) {
  const calibrate::PreparedStudy study = small_study();
  const auto whole = try_recommendation(study, {.start_runs = 1, .draws = 6});
  std::stop_source stop;
  const TrialHooks hooks{.progress =
                             [&](std::size_t finished, std::size_t) {
                               if (finished == 2) stop.request_stop();
                             },
                         .store = {},
                         .cancel = stop.get_token()};
  const auto trial = try_recommendation(study, {.start_runs = 1, .draws = 6}, hooks);
  ASSERT_TRUE(trial);
  EXPECT_TRUE(trial->interrupted());
  ASSERT_GE(trial->draws.size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ(trial->draws[i].random_percent, whole->draws[i].random_percent);
  EXPECT_FALSE(whole->interrupted());
}

TEST(NextRunTrial, RefusesToStartFromNearlyEverything) {
  const auto trial = try_recommendation(small_study(), {.start_runs = 2, .draws = 1});
  ASSERT_FALSE(trial);
  EXPECT_THAT(core::format(trial.error()), HasSubstr("a trial that starts from 2 runs needs 5 or more, and 4 are selected"));
}

}  // namespace
}  // namespace rooftune::plan
