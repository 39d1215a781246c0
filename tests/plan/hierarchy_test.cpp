#include "rooftune/plan/hierarchy.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "rooftune/core/random.hpp"
#include "support/simulated_runs.hpp"
// Not public: what the fit stands on.
#include "../../lib/plan/src/mixed_model.hpp"

namespace rooftune::plan {
namespace {

using testing::HasSubstr;

/// Groups that each show two values: one of which moves from group to group by 0.3 (spread 0), one by 0.02 (spread 1).
MixedModel planted_groups(int groups) {
  core::RandomEngine random =
      core::make_stream({.seed = 1, .experiment_id = "planted", .purpose = core::StreamPurpose::noise, .replicate = 0});
  MixedModel model;
  model.noise = 0.01;
  model.spreads = {{.centre = 0.1, .log_deviation = 0.7}, {.centre = 0.1, .log_deviation = 0.7}};
  model.rows = Eigen::MatrixXd::Identity(2 * groups, 2 * groups);
  model.observed.resize(2 * groups);
  for (int g = 0; g < groups; ++g) {
    for (std::size_t k = 0; k < 2; ++k) {
      model.effects.push_back({.spread = k, .variance = 0.0});
      model.observed[2 * g + static_cast<int>(k)] =
          (k == 0 ? 0.3 : 0.02) * core::standard_normal(random) + model.noise * core::standard_normal(random);
    }
  }
  return model;
}

TEST(MixedModel, FindsThePlantedSpreadsWithinTheirUncertainty) {
  const MixedModel model = planted_groups(40);
  const std::vector<double> spreads = most_probable_spreads(model, {0.1, 0.1});
  const std::vector<double> deviations = spread_deviations(model, spreads);
  EXPECT_LT(std::abs(std::log(spreads[0] / 0.3)), 2.0 * deviations[0]) << spreads[0];
  EXPECT_LT(std::abs(std::log(spreads[1] / 0.02)), 2.0 * deviations[1]) << spreads[1];
  // As well as so many draws tell a standard deviation.
  EXPECT_NEAR(deviations[0], 1.0 / std::sqrt(80.0), 0.03);
}

TEST(MixedModel, LeavesASpreadThatNothingSeesAtItsPrior) {
  MixedModel model = planted_groups(4);
  model.spreads.push_back({.centre = 0.25, .log_deviation = 0.7});
  model.effects.push_back({.spread = 2, .variance = 0.0});
  model.rows.conservativeResizeLike(Eigen::MatrixXd::Zero(model.rows.rows(), model.rows.cols() + 1));
  const std::vector<double> spreads = most_probable_spreads(model, {0.1, 0.1, 0.1});
  EXPECT_NEAR(spreads[2], 0.25, 1e-9);
  EXPECT_NEAR(spread_deviations(model, spreads)[2], 0.7, 0.01);
}

TEST(MixedModel, ShrinksAnEffectByWhatNoiseLeavesOpen) {
  MixedModel model;
  model.noise = 0.1;
  model.spreads = {{.centre = 0.2, .log_deviation = 0.7}};
  model.effects = {{.spread = 0, .variance = 0.0}};
  model.rows = Eigen::MatrixXd::Ones(1, 1);
  model.observed = Eigen::VectorXd::Constant(1, 0.5);
  const EffectPosterior effect = posterior_of(model, {0.2});
  EXPECT_NEAR(effect.mean[0], 0.5 * 0.04 / 0.05, 1e-12);
  EXPECT_NEAR(effect.variance[0], 0.04 * 0.01 / 0.05, 1e-12);
}

/// Runs of two GPUs that the simulator measured: the A100's layers take longer by 40 % than the H100's.
constexpr double kLayer = 25.0;
constexpr double kPlanted = 0.336;

calibrate::StudyInputs inputs() {
  const auto truth = [](double layer_us) {
    return examples::config_with("physics", {{"physics.weight_bandwidth_fraction", 0.85}, {"physics.t_layer_us", layer_us}});
  };
  std::vector<domain::Experiment> all = examples::measured({examples::unmeasured_run("a", examples::llama_2_7b(), 1, {2.0}),
                                                            examples::unmeasured_run("b", examples::mistral_nemo_12b(), 1, {4.0})},
                                                           truth(kLayer));
  std::vector<domain::Experiment> others{examples::unmeasured_run("c", examples::llama_2_7b(), 1, {2.0}),
                                         examples::unmeasured_run("d", examples::mistral_nemo_12b(), 1, {4.0})};
  for (domain::Experiment& run : others) run.deployment.hardware = "A100-SXM";
  for (domain::Experiment& run : examples::measured(others, truth(kLayer * std::exp(kPlanted)))) all.push_back(std::move(run));

  params::Config start = truth(kLayer);
  params::FitUncertainty uncertainty;
  for (const char* id : {"physics.weight_bandwidth_fraction", "physics.t_layer_us"}) {
    uncertainty.correlation.emplace_back(uncertainty.parameters.size(), 0.0);
    uncertainty.parameters.push_back(
        {.id = params::parameter(id), .where = {}, .transform = params::Transform::log, .standard_deviation = 0.03});
  }
  start.uncertainty = uncertainty;
  return {.experiments = all, .models = examples::models(), .gpus = examples::gpus(), .start = start};
}

std::vector<kernels::KernelSummary> summaries() {
  std::vector<kernels::KernelSummary> result(2);
  result[0].gpu = "H100-SXM";
  result[1].gpu = "A100-SXM";
  for (kernels::KernelSummary& summary : result) summary.values["physics.weight_bandwidth_fraction"] = 0.85;
  return result;
}

calibrate::PreparedStudy study() {
  calibrate::StudySpec spec;
  spec.name = "all at once";
  spec.objective.noise = 0.003;  // the simulator measured itself
  spec.threads = 1;
  spec.onboard.emplace();
  spec.onboard->gpu = "H100-SXM";
  for (const auto& [id, centre] : {std::pair{"physics.weight_bandwidth_fraction", 0.85}, std::pair{"physics.t_layer_us", kLayer}}) {
    spec.free.push_back(params::make_free(params::parameter(id)));
    spec.free.back().prior = params::Prior{.centre = centre, .standard_deviation = 0.1};
  }
  return calibrate::prepare(spec, inputs()).value();
}

const Spread& spread_of(const Hierarchy& hierarchy, std::string_view parameter, Level level) {
  return *std::ranges::find_if(hierarchy.spreads, [&](const Spread& one) { return one.parameter == parameter && one.level == level; });
}

TEST(Hierarchy, GivesAPlantedDifferenceToTheGpuThatHasIt) {
  const auto hierarchy = fit_hierarchy(study(), inputs(), summaries());
  ASSERT_TRUE(hierarchy) << core::format(hierarchy.error());
  EXPECT_TRUE(hierarchy->converged);
  const Spread& layers = spread_of(*hierarchy, "physics.t_layer_us", Level::gpu);
  ASSERT_EQ(layers.groups.size(), 1U) << "the reference's are the shared values";
  EXPECT_EQ(layers.groups[0].group, "A100-SXM");
  EXPECT_NEAR(layers.groups[0].moved, kPlanted, 2.0 * layers.groups[0].deviation);
  EXPECT_GT(layers.groups[0].moved, 0.5 * kPlanted);
  EXPECT_LT(std::abs(spread_of(*hierarchy, "physics.weight_bandwidth_fraction", Level::gpu).groups[0].moved), 0.05);
  for (const GroupDeviation& model : spread_of(*hierarchy, "physics.t_layer_us", Level::model).groups)
    EXPECT_LT(std::abs(model.moved), 0.5 * kPlanted) << model.group;
  for (const GroupFit& group : hierarchy->groups) {
    EXPECT_LT(group.own_percent, 3.0) << group.gpu << ' ' << group.model;
    if (group.gpu != "A100-SXM") continue;
    EXPECT_GT(group.shared_percent, 2.0 * group.own_percent) << group.model;
  }
}

TEST(Hierarchy, RefusesWhatItCannotCompare) {
  calibrate::PreparedStudy unsure = study();
  unsure.start.uncertainty.reset();
  unsure.spec.free.clear();
  const auto refused = fit_hierarchy(unsure, inputs(), {});
  ASSERT_FALSE(refused);
  const std::string text = core::format(refused.error());
  EXPECT_THAT(text, HasSubstr("does not say how sure it is"));
  EXPECT_THAT(text, HasSubstr("no free parameter has a prior"));
  EXPECT_THAT(text, HasSubstr("no kernel summary knows A100-SXM, on which experiment 'c' ran"));
}

}  // namespace
}  // namespace rooftune::plan
