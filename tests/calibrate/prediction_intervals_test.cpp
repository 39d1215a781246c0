#include "rooftune/calibrate/prediction_intervals.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "rooftune/calibrate/posterior.hpp"
#include "rooftune/core/random.hpp"
#include "support/simulated_runs.hpp"

namespace rooftune::calibrate {
namespace {

using domain::Metric;
using testing::IsEmpty;

params::Config uncertain_config(double deviation) {
  params::Config config = examples::config_with("physics", {{"physics.weight_bandwidth_fraction", 0.8}});
  params::FitUncertainty uncertainty;
  uncertainty.parameters.push_back({.id = params::parameter("physics.weight_bandwidth_fraction"),
                                    .where = {},
                                    .transform = params::Transform::log,
                                    .standard_deviation = deviation});
  uncertainty.correlation.emplace_back();
  config.uncertainty = uncertainty;
  return config;
}

eval::Dataset one_run(const params::Config& config) {
  return examples::dataset_of({examples::unmeasured_run("a", examples::llama_2_7b(), 1, {2.0})}, config);
}

const PredictionInterval& row_of(const std::vector<PredictionInterval>& intervals, Metric metric) {
  return *std::ranges::find(intervals, metric, &PredictionInterval::metric);
}

/// At a low rate a step is little else than the stream of its weights: TPOT moves with it one to one.
TEST(PredictionIntervals, CarryAParametersErrorThroughTheSimulation) {
  const params::Config config = uncertain_config(0.1);
  const auto intervals = prediction_intervals(one_run(config), config);
  params::Config slower = config;
  slower.parameters[params::parameter("physics.weight_bandwidth_fraction")].value = 0.8 / 1.02;
  const auto moved = prediction_intervals(one_run(slower), slower);
  const double slope =
      std::log(row_of(moved, Metric::tpot_mean).predicted_ms / row_of(intervals, Metric::tpot_mean).predicted_ms) / std::log(1.02);
  EXPECT_GT(slope, 0.5);
  EXPECT_NEAR(row_of(intervals, Metric::tpot_mean).parameter_deviation, 0.1 * slope, 0.01);
}

TEST(PredictionIntervals, SurroundThePredictionAndWidenWithTheLevel) {
  params::Config config = uncertain_config(0.1);
  config.uncertainty->held_out_deviation[Metric::e2e_mean] = 0.05;
  const auto narrow = row_of(prediction_intervals(one_run(config), config, {.level = 0.5}), Metric::e2e_mean);
  const auto wide = row_of(prediction_intervals(one_run(config), config, {.level = 0.9}), Metric::e2e_mean);
  EXPECT_LT(wide.lower_ms, narrow.lower_ms);
  EXPECT_LT(narrow.lower_ms, narrow.predicted_ms);
  EXPECT_GT(wide.upper_ms, narrow.upper_ms);
  EXPECT_EQ(wide.structural_deviation, 0.05);
  EXPECT_NEAR(std::log(wide.upper_ms / wide.predicted_ms), 1.644854 * wide.deviation(), 1e-6);
}

TEST(PredictionIntervals, SayThatTheStructuralErrorIsUnknown) {
  const params::Config config = uncertain_config(0.1);
  EXPECT_FALSE(row_of(prediction_intervals(one_run(config), config), Metric::e2e_mean).structural_deviation.has_value());
}

TEST(PredictionIntervals, AreNotInventedForAConfigWithoutUncertainty) {
  const params::Config config = examples::config_with("physics", {});
  EXPECT_THAT(prediction_intervals(one_run(config), config), IsEmpty());
}

std::vector<HeldOutError> errors_with(double structural, double known, std::uint64_t seed) {
  std::vector<HeldOutError> errors;
  auto engine =
      core::make_stream({.seed = seed, .experiment_id = "", .stage = 0, .purpose = core::StreamPurpose::splits, .replicate = 0});
  for (int group = 0; group < 10; ++group) {
    for (int row = 0; row < 40; ++row) {
      // Box and Muller.
      const double radius = std::sqrt(-2.0 * std::log(1.0 - core::uniform01(engine)));
      const double normal = radius * std::cos(2.0 * 3.141592653589793 * core::uniform01(engine));
      const double own = row % 2 == 0 ? known : 3.0 * known;
      HeldOutError& error = errors.emplace_back();
      error.group = std::to_string(group);
      error.log_error = normal * std::sqrt(structural * structural + own * own);
      error.parameter_deviation = own;
    }
  }
  return errors;
}

TEST(StructuralDeviation, IsWhatKnownVariancesLeaveUnexplained) {
  EXPECT_NEAR(structural_deviation(errors_with(0.08, 0.04, 1)).at(Metric::e2e_mean), 0.08, 0.012);
}

TEST(StructuralDeviation, IsZeroWhereParametersExplainEverything) {
  std::vector<HeldOutError> errors = errors_with(0.0, 0.1, 2);
  for (HeldOutError& error : errors) error.log_error *= 0.8;
  EXPECT_EQ(structural_deviation(errors).at(Metric::e2e_mean), 0.0);
}

TEST(IntervalCoverage, IsNearItsLevelWhenErrorsAreNormal) {
  const Coverage counts = interval_coverage(errors_with(0.08, 0.04, 3), 0.9).at(Metric::e2e_mean);
  EXPECT_EQ(counts.measurements, 400);
  EXPECT_NEAR(counts.inside / 400.0, 0.9, 0.04);
}

TEST(IntervalCoverage, LetsNoGroupJudgeItself) {
  // One group is far off: only an interval that had seen it would hold it.
  std::vector<HeldOutError> errors = errors_with(0.02, 0.01, 4);
  for (HeldOutError& error : errors) {
    if (error.group == "0") error.log_error = 1.0;
  }
  const Coverage counts = interval_coverage(errors, 0.9).at(Metric::e2e_mean);
  EXPECT_LE(counts.inside, 360);
}

TEST(Posterior, KnowsLessThanNothingNowhere) {
  const params::Config truth = examples::config_with("physics", {});
  const eval::Dataset dataset = examples::dataset_of(examples::measured(examples::four_runs(), truth), truth);
  std::vector<params::FreeParameter> free{params::make_free(params::parameter("physics.weight_bandwidth_fraction")),
                                          params::make_free(params::parameter("physics.moe_layer_us"))};
  for (params::FreeParameter& parameter : free) {
    parameter.prior = params::Prior{.centre = parameter.initial, .standard_deviation = 0.5};
  }
  const eval::ResidualFunction residuals(dataset, truth, free, {}, {1});
  std::vector<double> point;
  for (const params::FreeParameter& parameter : free) point.push_back(params::to_transformed(parameter, parameter.initial));
  const params::FitUncertainty known = posterior(residuals, point, 0.03);
  EXPECT_LT(known.parameters[0].standard_deviation, 0.05) << "four runs stream weights";
  EXPECT_NEAR(known.parameters[1].standard_deviation, 0.5, 1e-9) << "none of them has experts";
}

}  // namespace
}  // namespace rooftune::calibrate
