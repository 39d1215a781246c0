#include "rooftune/eval/calibrated_domain.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rooftune/eval/evaluate.hpp"
#include "support/simulated_runs.hpp"

namespace rooftune::eval {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const params::Config& truth() {
  static const params::Config config = examples::config_with("physics", {});
  return config;
}

Dataset measured(const std::vector<domain::Experiment>& runs) {
  return examples::dataset_of(examples::measured(runs, truth()), truth());
}

params::Config calibrated_on(const Dataset& dataset) {
  params::Config config = truth();
  config.domain = calibrated_domain(dataset);
  return config;
}

Evaluation evaluated(const Dataset& dataset, const params::Config& config) {
  return evaluate(dataset, config, {.threads = {1}, .stepping = sim::Stepping::closed_form});
}

TEST(CalibratedDomain, HoldsTheRangesOfTheData) {
  const params::CalibratedDomain domain = calibrated_domain(measured(examples::four_runs()));
  EXPECT_EQ(domain.ranges.at("tp"), (params::CalibratedDomain::Range{1.0, 4.0}));
  EXPECT_EQ(domain.ranges.at("rate_per_s"), (params::CalibratedDomain::Range{2.0, 8.0}));
  EXPECT_EQ(domain.ranges.at("context_tokens"), (params::CalibratedDomain::Range{560.0, 560.0}));
  EXPECT_THAT(domain.sets.at("gpu"), ElementsAre("H100-SXM"));
}

TEST(CalibratedDomain, IsNotLeftByTheDataThatMadeIt) {
  const Dataset dataset = measured(examples::four_runs());
  const Evaluation evaluation = evaluated(dataset, calibrated_on(dataset));
  EXPECT_THAT(evaluation.domain_exits, IsEmpty());
}

TEST(CalibratedDomain, IsUnknownForAConfigThatWasNeverFitted) {
  EXPECT_THAT(evaluated(measured(examples::four_runs()), truth()).domain_exits, IsEmpty());
}

TEST(CalibratedDomain, SaysHowFarARangeIsLeftAndNamesEveryExperimentOnce) {
  params::Config config = truth();
  config.domain.ranges["tp"] = {.lowest = 1.0, .highest = 1.0};
  const Evaluation evaluation = evaluated(measured({examples::unmeasured_run("b", examples::llama_2_7b(), 2, {2.0}),
                                                    examples::unmeasured_run("c", examples::llama_2_7b(), 4, {2.0})}),
                                          config);
  ASSERT_THAT(evaluation.domain_exits, SizeIs(1));
  const DomainExit& exit = evaluation.domain_exits.front();
  EXPECT_EQ(exit.field, "tp");
  EXPECT_EQ(exit.value, "4");
  EXPECT_DOUBLE_EQ(exit.factor, 4.0);
  EXPECT_THAT(exit.experiments, ElementsAre("b", "c"));
  EXPECT_THAT(evaluation.warnings, Contains(HasSubstr("tp is 4, 4 times above the calibrated 1 (experiments b, c)")));
}

TEST(CalibratedDomain, IsLeftOnBothSidesOfARange) {
  params::Config config = truth();
  config.domain.ranges["tp"] = {.lowest = 2.0, .highest = 2.0};
  const Evaluation evaluation = evaluated(measured({examples::unmeasured_run("b", examples::llama_2_7b(), 1, {2.0}),
                                                    examples::unmeasured_run("c", examples::llama_2_7b(), 4, {2.0})}),
                                          config);
  EXPECT_THAT(evaluation.warnings, Contains(HasSubstr("tp is 1, 2 times below the calibrated 2 (experiment b)")));
  EXPECT_THAT(evaluation.warnings, Contains(HasSubstr("tp is 4, 2 times above the calibrated 2 (experiment c)")));
}

TEST(CalibratedDomain, IsLeftByAnotherGpu) {
  const params::Config config = calibrated_on(measured({examples::unmeasured_run("a", examples::llama_2_7b(), 1, {2.0})}));
  domain::Experiment elsewhere = examples::unmeasured_run("b", examples::llama_2_7b(), 1, {2.0});
  elsewhere.deployment.hardware = examples::a100().name;
  const Evaluation evaluation = evaluated(measured({elsewhere}), config);
  EXPECT_THAT(evaluation.warnings, Contains(HasSubstr("gpu is A100-SXM, calibrated was H100-SXM (experiment b)")));
}

TEST(CalibratedDomain, KnowsAVersionAndAPrecisionHoweverTheyAreWritten) {
  domain::Experiment run = examples::unmeasured_run("a", examples::llama_2_7b(), 1, {2.0});
  run.deployment.precision = "FP16";
  run.deployment.settings.version = "0.15.1";
  const params::Config config = calibrated_on(measured({run}));
  run.deployment.precision = "fp16";
  run.deployment.settings.version = "vllm/vllm-openai:v0.15.1";
  EXPECT_THAT(evaluated(measured({run}), config).domain_exits, IsEmpty());
}

TEST(CalibratedDomain, CountsPredictedConcurrency) {
  const params::Config config = calibrated_on(measured({examples::unmeasured_run("a", examples::llama_2_7b(), 1, {2.0})}));
  const Evaluation evaluation = evaluated(measured({examples::unmeasured_run("b", examples::llama_2_7b(), 1, {8.0})}), config);
  std::vector<std::string> fields;
  for (const DomainExit& exit : evaluation.domain_exits) fields.push_back(exit.field);
  EXPECT_THAT(fields, ElementsAre("concurrency", "rate_per_s"));
}

}  // namespace
}  // namespace rooftune::eval
