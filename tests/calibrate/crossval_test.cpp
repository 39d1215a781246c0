#include "rooftune/calibrate/crossval.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "support/simulated_runs.hpp"

namespace rooftune::calibrate {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

/// Runs of one truth, but for model d, whose runs are slower: what is fitted depends on which runs are seen.
PreparedStudy uneven_study() {
  const params::Config truth = examples::config_with("physics", {{"physics.t_step_us", 1200.0}});
  std::vector<domain::Experiment> runs = examples::measured(examples::four_runs(), truth);
  for (std::size_t run = 0; run < runs.size(); ++run) {
    for (domain::Latencies& stage : runs[run].measured.stages) {
      for (auto& value : stage.value_ms) {
        if (value) *value *= 1.0 + 0.02 * static_cast<double>(run);
      }
    }
  }
  StudySpec spec;
  spec.name = "uneven";
  spec.step_time_model = "physics";
  spec.free = {params::make_free(params::parameter("physics.t_step_us"))};
  spec.solver = {{.algorithm = "ceres_lm", .starts = 1, .max_evaluations = 60, .max_seconds = {}, .tolerance = 1e-8}};
  spec.threads = 1;
  return prepare(spec, {.experiments = runs, .models = examples::models(), .gpus = examples::gpus(), .start = {}}).value();
}

const eval::SplitSpec kByModel{.kind = "LeaveOneGroupOut", .group = "model"};

TEST(Crossval, RefitsEveryFoldOnItsTrainingRunsAlone) {
  const auto result = crossval(uneven_study(), kByModel);
  ASSERT_TRUE(result);
  EXPECT_TRUE(result->usable());
  ASSERT_THAT(result->folds, SizeIs(3));
  EXPECT_THAT(result->folds[0].held_out_experiments, ElementsAre("a", "b"));
  EXPECT_THAT(result->folds[0].training_experiments, ElementsAre("c", "d"));
  std::set<double> values;
  for (const FoldResult& fold : result->folds) values.insert(fold.values.at(0));
  EXPECT_THAT(values, SizeIs(3)) << "every fold has parameters of its own";
  EXPECT_EQ(result->folds[0].held_out.cases.size(), 2u);
  EXPECT_EQ(result->pooled.overall.at(domain::Metric::e2e_mean).experiments, 4);
}

TEST(Crossval, GivesTheSameBitsForOneTwoAndFourThreads) {
  PreparedStudy study = uneven_study();
  const auto one = crossval(study, kByModel);
  for (const int threads : {2, 4}) {
    study.spec.threads = threads;
    const auto more = crossval(study, kByModel);
    for (std::size_t fold = 0; fold < one->folds.size(); ++fold) EXPECT_EQ(one->folds[fold].values, more->folds[fold].values);
    EXPECT_EQ(one->pooled.loss_percent, more->pooled.loss_percent);
  }
}

TEST(Crossval, DoesNotBelieveFoldsThatWereNotRefitted) {
  PreparedStudy study = uneven_study();
  study.spec.free = {params::make_free(params::parameter("physics.moe_layer_us"))};  // nothing depends on it
  const auto result = crossval(study, kByModel);
  ASSERT_TRUE(result);
  EXPECT_FALSE(result->usable());
  EXPECT_THAT(result->failures, Not(IsEmpty()));
}

TEST(Crossval, ShowsTheNoiseOfOtherSeeds) {
  const auto result = crossval(uneven_study(), kByModel, {.repeats = 2, .progress = {}});
  ASSERT_TRUE(result);
  const auto e2e =
      std::ranges::find_if(result->noise, [](const SeedNoise& noise) { return noise.metric == domain::Metric::e2e_mean; });
  ASSERT_NE(e2e, result->noise.end());
  EXPECT_GT(e2e->held_out_deviation_percent, 0.0);
}

TEST(Crossval, RefusesASplitThatTheDataCannotServe) {
  const auto result = crossval(uneven_study(), {.kind = "LeaveOneGroupOut", .group = "gpu"});
  ASSERT_FALSE(result);
  EXPECT_THAT(core::format(result.error()), HasSubstr("gpu"));
}

}  // namespace
}  // namespace rooftune::calibrate
