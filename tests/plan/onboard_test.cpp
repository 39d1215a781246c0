#include "rooftune/plan/onboard.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "rooftune/plan/transfer_widths.hpp"
#include "support/simulated_runs.hpp"

namespace rooftune::plan {
namespace {

using domain::Metric;
using params::ValueSource;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

constexpr double kReferenceShare = 0.85;
constexpr double kShare = 0.60;

/// The reference's fit: three parameters, each known to 3 %.
params::Config reference_config() {
  params::Config config = examples::config_with(
      "physics",
      {{"physics.weight_bandwidth_fraction", kReferenceShare}, {"physics.t_layer_us", 25.0}, {"physics.moe_layer_us", 20.0}});
  params::FitUncertainty uncertainty;
  for (const char* id : {"physics.weight_bandwidth_fraction", "physics.t_layer_us", "physics.moe_layer_us"}) {
    uncertainty.correlation.emplace_back(uncertainty.parameters.size(), 0.0);
    uncertainty.parameters.push_back(
        {.id = params::parameter(id), .where = {}, .transform = params::Transform::log, .standard_deviation = 0.03});
  }
  uncertainty.held_out_deviation = {{Metric::ttft_mean, 0.03}, {Metric::e2e_mean, 0.02}};
  config.uncertainty = uncertainty;
  return config;
}

kernels::KernelSummary summary(std::string gpu, double weight_share, double layer_calls_us) {
  kernels::KernelSummary result;
  result.gpu = std::move(gpu);
  result.values["physics.weight_bandwidth_fraction"] = weight_share;
  result.layer_calls_us = layer_calls_us;
  return result;
}

std::vector<kernels::KernelSummary> summaries() {
  return {summary("H100-SXM", kReferenceShare, 30.0), summary("A100-SXM", kShare, 30.0), summary("X", 0.7, 30.0)};
}

calibrate::StudyInputs inputs() {
  const params::Config truth = examples::config_with(
      "physics", {{"physics.weight_bandwidth_fraction", kShare}, {"physics.t_layer_us", 32.0}, {"physics.moe_layer_us", 20.0}});
  std::vector<domain::Experiment> runs{examples::unmeasured_run("a", examples::llama_2_7b(), 1, {2.0}),
                                       examples::unmeasured_run("b", examples::mistral_nemo_12b(), 1, {4.0})};
  for (domain::Experiment& run : runs) run.deployment.hardware = "A100-SXM";
  return {.experiments = examples::measured(runs, truth),
          .models = examples::models(),
          .gpus = examples::gpus(),
          .start = reference_config()};
}

calibrate::PreparedStudy new_gpu_study() {
  calibrate::StudySpec spec;
  spec.name = "new";
  spec.solver = {{.algorithm = "ceres_lm", .starts = 1, .max_evaluations = 30, .max_seconds = {}, .tolerance = 1e-6}};
  spec.threads = 1;
  spec.onboard.emplace();
  spec.onboard->gpu = "A100-SXM";
  spec.onboard->candidates = {.models = {examples::llama_2_7b().name, examples::llama_3_1_70b().name},  // 70 B do not fit one GPU
                              .tp = {1},
                              .rates_per_s = {1.0},
                              .prompt_tokens = {500},
                              .output_tokens = {60, 120},
                              .duration_s = 60.0};
  return calibrate::prepare(spec, inputs()).value();
}

double e2e_error(const OnboardStep& step) { return step.held_out.overall.at(Metric::e2e_mean).mean_ape_percent; }

const OnboardParameter& parameter_of(const OnboardStep& step, std::string_view id) {
  return *std::ranges::find_if(step.parameters, [&](const OnboardParameter& one) { return one.prior.parameter.id.spec().id == id; });
}

TEST(Onboard, ComesCloserWithKernelTablesAndCloserStillWithARun) {
  const auto result = onboard(new_gpu_study(), inputs(), summaries());
  ASSERT_TRUE(result) << core::format(result.error());
  std::vector<std::string> names;
  for (const OnboardStep& step : result->steps) names.push_back(step.name);
  ASSERT_THAT(names, ElementsAre("data sheet", "kernel tables", "run a", "run b", "2 runs"));
  EXPECT_GT(e2e_error(result->steps[0]), 10.0);
  EXPECT_LT(e2e_error(result->steps[1]), 6.0);
  EXPECT_LT(e2e_error(result->steps[2]), e2e_error(result->steps[1]));
  EXPECT_LT(e2e_error(result->steps[3]), e2e_error(result->steps[1]));
}

TEST(Onboard, EndsWithTheStepsThatAreFinishedWhenItIsCancelled) {
  for (std::size_t begun = 0; begun < 4; ++begun) {
    std::stop_source stop;
    if (begun == 0) stop.request_stop();
    std::size_t seen = 0;
    const OnboardHooks hooks{.progress =
                                 [&](const std::string&) {
                                   if (++seen == begun) stop.request_stop();
                                 },
                             .store = {},
                             .cancel = stop.get_token()};
    const auto result = onboard(new_gpu_study(), inputs(), summaries(), hooks);
    ASSERT_TRUE(result) << core::format(result.error());
    EXPECT_TRUE(result->interrupted());
    EXPECT_EQ(result->asked, 5U);
    EXPECT_THAT(result->steps, SizeIs(begun == 0 ? 0 : begun - 1)) << "what was going on is not finished";
  }
  EXPECT_FALSE(onboard(new_gpu_study(), inputs(), summaries())->interrupted());
}

TEST(Onboard, SaysWhereEveryValueComesFrom) {
  const auto result = onboard(new_gpu_study(), inputs(), summaries());
  const OnboardStep& kernels = result->steps[1];
  const OnboardStep& last = result->last();
  EXPECT_EQ(parameter_of(kernels, "physics.weight_bandwidth_fraction").source, ValueSource::kernel_table);
  EXPECT_EQ(parameter_of(last, "physics.weight_bandwidth_fraction").source, ValueSource::fitted);
  EXPECT_EQ(parameter_of(last, "physics.moe_layer_us").source, ValueSource::inherited) << "no run has experts";
  EXPECT_FALSE(parameter_of(last, "physics.moe_layer_us").is_identified());
  ASSERT_THAT(last.config.hardware, SizeIs(1));
  EXPECT_EQ(last.config.hardware.front().gpu.name, "A100-SXM");
  EXPECT_EQ(last.config.hardware.front().parameters.at(params::parameter("physics.moe_layer_us")).source, ValueSource::inherited);
  EXPECT_EQ(last.config.parameters, reference_config().parameters) << "the reference keeps its values";
}

TEST(Onboard, NarrowsItsIntervalsStepByStep) {
  const auto result = onboard(new_gpu_study(), inputs(), summaries());
  std::vector<double> widths;
  for (const OnboardStep& step : result->steps) {
    for (const calibrate::PredictionInterval& interval : step.intervals) {
      if (interval.experiment == "b" && interval.metric == Metric::e2e_mean) widths.push_back(interval.parameter_deviation);
    }
  }
  ASSERT_THAT(widths, SizeIs(5));
  EXPECT_LT(widths[1], widths[0]);
  EXPECT_LT(widths[2], widths[1]);
  EXPECT_LT(widths[4], widths[2]);
  EXPECT_LT(result->last().next_runs.front().value.deviation_before, result->steps[1].next_runs.front().value.deviation_before);
}

TEST(Onboard, ExpectsOfADataSheetWhatOtherGpusTablesComeTo) {
  calibrate::OnboardSpec spec;
  spec.gpu = "A100-SXM";
  // X alone reaches 0.7 where the reference reaches 0.85: so may the new one, and nobody knows how far GPUs differ.
  const auto one = datasheet_priors(reference_config(), spec, summaries());
  EXPECT_NEAR(one[0].parameter.prior->centre, 0.7, 1e-12);
  EXPECT_NEAR(one[0].parameter.prior->standard_deviation, std::log(0.85 / 0.7), 1e-12);
  EXPECT_EQ(one[1].parameter.prior->centre, 25.0) << "no kernel table knows it";
  EXPECT_EQ(one[1].parameter.prior->standard_deviation, transfer_width("physics.t_layer_us")->gpu);
  std::vector<kernels::KernelSummary> more = summaries();
  more.push_back(summary("Y", 0.5, 30.0));
  const auto two = datasheet_priors(reference_config(), spec, more);
  EXPECT_NEAR(two[0].parameter.prior->centre, std::sqrt(0.7 * 0.5), 1e-12);
  EXPECT_NEAR(two[0].parameter.prior->standard_deviation, std::log(0.7 / 0.5) / std::sqrt(2.0) * std::sqrt(1.5), 1e-12);
}

TEST(KernelPriors, LeaveTheExponentWithTheReference) {
  params::Config config = reference_config();
  config.parameters[params::parameter("physics.pnorm")] = {.value = 2.4, .standard_error = {}, .source = ValueSource::fitted};
  config.uncertainty->parameters.push_back(
      {.id = params::parameter("physics.pnorm"), .where = {}, .transform = params::Transform::log, .standard_deviation = 0.2});
  config.uncertainty->correlation.push_back({0.0, 0.0, 0.0});
  std::vector<kernels::KernelSummary> known = summaries();
  known[0].values["physics.pnorm"] = 2.5;
  known[1].values["physics.pnorm"] = 1.5;
  calibrate::OnboardSpec spec;
  spec.gpu = "A100-SXM";
  const auto priors = kernel_priors(config, spec, known, examples::a100(), examples::h100());
  EXPECT_NEAR(priors[0].parameter.prior->centre, kShare, 1e-12);
  EXPECT_NEAR(priors[3].parameter.prior->centre, 2.4, 1e-12);
  EXPECT_LE(priors[3].parameter.prior->standard_deviation, 0.05);
}

/// A new GPU whose GEMMs a smooth exponent describes badly: one run could be met by an exponent of 1.
TEST(Onboard, KeepsTheCurvesOfKernelsWhateverARunSays) {
  calibrate::StudyInputs own = inputs();
  params::Config truth = examples::config_with("physics", {{"physics.weight_bandwidth_fraction", kShare},
                                                           {"physics.t_layer_us", 32.0},
                                                           {"physics.moe_layer_us", 20.0},
                                                           {"physics.pnorm", 2.5},
                                                           {"physics.t_seq_us", 120.0}});
  for (domain::Experiment& run : own.experiments) run.measured = {};
  own.experiments = examples::measured(own.experiments, truth);
  params::FitUncertainty& uncertainty = *own.start->uncertainty;
  for (const auto& [id, value] : {std::pair{"physics.pnorm", 2.5}, std::pair{"physics.t_seq_us", 5.0}}) {
    own.start->parameters[params::parameter(id)] = {.value = value, .standard_error = {}, .source = ValueSource::fitted};
    uncertainty.correlation.emplace_back(uncertainty.parameters.size(), 0.0);
    uncertainty.parameters.push_back(
        {.id = params::parameter(id), .where = {}, .transform = params::Transform::log, .standard_deviation = 0.2});
  }
  const calibrate::PreparedStudy study = calibrate::prepare(new_gpu_study().spec, own).value();
  const auto result = onboard(study, own, summaries());
  ASSERT_TRUE(result) << core::format(result.error());
  for (const OnboardStep& step : result->steps) {
    EXPECT_NEAR(parameter_of(step, "physics.pnorm").value, 2.5, 0.25) << step.name;
    EXPECT_EQ(parameter_of(step, "physics.pnorm").bound, opt::BoundState::free);
  }
  EXPECT_LT(e2e_error(result->steps[3]), 4.0) << "the larger model from the smaller one's run";
}

TEST(Onboard, SaysWhichParameterEndedOnItsBound) {
  calibrate::StudyInputs own = inputs();
  own.start->parameters[params::parameter("physics.t_layer_us")].value = 500.0;  // its upper bound
  const calibrate::PreparedStudy study = calibrate::prepare(new_gpu_study().spec, own).value();
  const auto result = onboard(study, own, summaries());
  ASSERT_TRUE(result) << core::format(result.error());
  EXPECT_EQ(parameter_of(result->steps.front(), "physics.t_layer_us").bound, opt::BoundState::at_upper);
}

TEST(Onboard, AnotherVersionOnTheSameGpuMovesHostTermsAndLittleOfItsKernels) {
  calibrate::StudyInputs own = inputs();
  const params::Config truth = examples::config_with(
      "physics",
      {{"physics.weight_bandwidth_fraction", kReferenceShare}, {"physics.t_layer_us", 18.0}, {"physics.moe_layer_us", 20.0}});
  for (domain::Experiment& run : own.experiments) {
    run.deployment.hardware = "H100-SXM";
    run.deployment.settings.version = "0.23.0";
    run.measured = {};
  }
  own.experiments = examples::measured(own.experiments, truth);
  calibrate::StudySpec spec = new_gpu_study().spec;
  spec.onboard->gpu = "H100-SXM";
  const calibrate::PreparedStudy study = calibrate::prepare(spec, own).value();
  const auto result = onboard(study, own, summaries());
  ASSERT_TRUE(result) << core::format(result.error());
  ASSERT_EQ(result->steps.front().name, "as it is");
  ASSERT_EQ(result->steps[1].name, "run a") << "no kernel table compares a GPU with itself";
  EXPECT_LT(e2e_error(result->steps[1]), 0.5 * e2e_error(result->steps[0]));
  // Two short runs, against a prior of 20 %.
  EXPECT_LT(parameter_of(result->last(), "physics.t_layer_us").value, 22.5);
  EXPECT_NEAR(parameter_of(result->last(), "physics.weight_bandwidth_fraction").value, kReferenceShare, 0.02);
}

/// A study on one run of two stages whose second one is about as much as the server takes: its TTFT is the queue's.
std::vector<LeftOutRow> left_out_of(eval::StageRows rows) {
  constexpr double kSaturating = 1.375;  // requests a second
  constexpr int kRequests = 1000;
  calibrate::StudyInputs own = inputs();
  domain::Experiment run = examples::unmeasured_run("queue", examples::llama_2_7b(), 1, {1.0, kSaturating});
  run.workload.stages.back() = {.rate = {kSaturating}, .duration = {kRequests / kSaturating}, .num_requests = kRequests};
  run.deployment.hardware = "A100-SXM";
  run.deployment.settings.max_num_seqs = 1;
  own.experiments = examples::measured({run}, examples::config_with("physics", {{"physics.weight_bandwidth_fraction", kShare}}));
  calibrate::StudySpec spec = new_gpu_study().spec;
  spec.objective.rows = rows;
  const auto result = onboard(calibrate::prepare(spec, own).value(), own, summaries());
  return result ? result->last().left_out : std::vector<LeftOutRow>{};
}

bool names(const std::vector<LeftOutRow>& rows, int stage) {
  return std::ranges::any_of(rows, [&](const LeftOutRow& row) { return row.stage == stage && row.metric == Metric::ttft_mean; });
}

TEST(Onboard, NamesThePooledRowThatAQueueDecidesWhereTheFitWouldSeeIt) {
  const auto stages = left_out_of(eval::StageRows::stages);
  EXPECT_TRUE(names(stages, 1));
  EXPECT_FALSE(names(stages, domain::kSummaryStage)) << "it repeats what the stage says";
  EXPECT_TRUE(names(left_out_of(eval::StageRows::summary), domain::kSummaryStage));
  EXPECT_TRUE(names(left_out_of(eval::StageRows::both), domain::kSummaryStage));
}

TEST(Onboard, CountsStagesInPlaceOfTheSummaryThatPoolsThem) {
  constexpr double kNothing = 1e3;  // a deviation that leaves all open
  OnboardStep step;
  for (const int stage : {domain::kSummaryStage, 0, 1}) {
    step.held_out.rows.push_back({.experiment = "stages", .stage = stage, .metric = Metric::e2e_mean});
    step.intervals.push_back({.experiment = "stages", .stage = stage, .metric = Metric::e2e_mean});
  }
  step.intervals[2].parameter_deviation = kNothing;
  step.held_out.rows.push_back({.experiment = "one", .metric = Metric::e2e_mean});
  step.intervals.push_back({.experiment = "one", .metric = Metric::e2e_mean, .parameter_deviation = kNothing});
  step.intervals.push_back({.experiment = "fitted", .metric = Metric::e2e_mean});
  EXPECT_THAT(held_out_intervals(step), SizeIs(3));
  EXPECT_THAT(judged_intervals(step), SizeIs(1));
}

TEST(ReleasePriors, TakeWhatTablesOfTheNearestReleasesComeTo) {
  std::vector<kernels::KernelSummary> known = summaries();
  known[0].by_release = {{{0, 14, 0}, {{"physics.weight_bandwidth_fraction", 0.8}}},
                         {{0, 24, 0}, {{"physics.weight_bandwidth_fraction", 0.76}}}};
  calibrate::OnboardSpec spec;
  spec.gpu = spec.reference;
  const auto priors = release_priors(reference_config(), spec, known, {0, 15, 1}, {0, 23, 0});
  ASSERT_TRUE(priors);
  EXPECT_NEAR((*priors)[0].parameter.prior->centre, kReferenceShare * 0.95, 1e-12);
  EXPECT_EQ((*priors)[0].source, ValueSource::kernel_table);
  EXPECT_THAT((*priors)[0].basis, HasSubstr("kernel tables of 0.14.0 and 0.24.0"));
  EXPECT_EQ((*priors)[1].parameter.prior->centre, 25.0) << "no table knows it";
  EXPECT_FALSE(release_priors(reference_config(), spec, known, {0, 15, 1}, {0, 11, 0})) << "the same tables are nearest";
  EXPECT_FALSE(release_priors(reference_config(), spec, summaries(), {0, 15, 1}, {0, 23, 0})) << "no tables by release";
}

TEST(TransferWidths, AreOfParametersThatExist) {
  for (const TransferWidth& width : transfer_widths()) EXPECT_TRUE(params::find_parameter(width.id)) << width.id;
}

TEST(Onboard, RefusesAStartThatDoesNotKnowItsUncertainty) {
  calibrate::PreparedStudy study = new_gpu_study();
  study.start.uncertainty.reset();
  const auto result = onboard(study, inputs(), summaries());
  ASSERT_FALSE(result);
  EXPECT_THAT(core::format(result.error()), HasSubstr("the start config does not say how sure it is"));
}

}  // namespace
}  // namespace rooftune::plan
