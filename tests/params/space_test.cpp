#include "rooftune/params/space.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "support/example_targets.hpp"

namespace rooftune::params {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// Every registered parameter under every transform that its bounds allow.
std::vector<FreeParameter> all_transforms() {
  std::vector<FreeParameter> free;
  for (std::size_t i = 0; i < parameter_registry().size(); ++i) {
    for (const Transform transform : {Transform::linear, Transform::log, Transform::logit}) {
      FreeParameter parameter = make_free({i});
      parameter.transform = transform;
      if (transform != Transform::log || parameter.lower > 0.0) free.push_back(parameter);
    }
  }
  return free;
}

TEST(Transforms, RoundTrip) {
  for (const FreeParameter& parameter : all_transforms()) {
    for (const double fraction : {0.001, 0.1, 0.5, 0.9, 0.999}) {
      const double value = parameter.lower + fraction * (parameter.upper - parameter.lower);
      EXPECT_NEAR(from_transformed(parameter, to_transformed(parameter, value)), value, 1e-10 * parameter.upper) << parameter.label();
    }
  }
}

TEST(Transforms, GiveTheDerivativeOfTheirInverse) {
  for (const FreeParameter& parameter : all_transforms()) {
    const double value = parameter.lower + 0.3 * (parameter.upper - parameter.lower);
    const double at = to_transformed(parameter, value);
    const double step = 1e-5 * std::max(1.0, std::abs(at));
    const double difference = (from_transformed(parameter, at + step) - from_transformed(parameter, at - step)) / (2.0 * step);
    EXPECT_NEAR(derivative_of_inverse(parameter, at), difference, 1e-6 * std::abs(difference)) << parameter.label();
  }
}

TEST(Transforms, KeepLogAndLogitInsideTheirDomain) {
  FreeParameter parameter = make_free(params::parameter("physics.gemm_fraction"));
  for (const double transformed : {-500.0, -1.0, 0.0, 1.0, 500.0}) {
    parameter.transform = Transform::log;
    EXPECT_GT(from_transformed(parameter, transformed), 0.0);
    parameter.transform = Transform::logit;
    EXPECT_GE(from_transformed(parameter, transformed), parameter.lower);
    EXPECT_LE(from_transformed(parameter, transformed), parameter.upper);
  }
}

TEST(FreeParameter, StartsWithWhatTheRegistrySays) {
  const ParameterId id = parameter("physics.pnorm");
  const FreeParameter free = make_free(id);
  EXPECT_EQ(free.lower, id.spec().lower);
  EXPECT_EQ(free.initial, id.spec().initial);
  EXPECT_EQ(free.upper, id.spec().upper);
  EXPECT_EQ(free.transform, id.spec().transform);
}

TEST(FreeParameter, NamesItsScope) {
  FreeParameter free = make_free(parameter("blackbox.step_us"));
  EXPECT_EQ(free.label(), "blackbox.step_us");
  free.where = {.model = "Llama-2-7b-hf", .gpu = "H100", .tp = 4};
  EXPECT_EQ(free.label(), "blackbox.step_us[model=Llama-2-7b-hf,gpu=H100,tp=4]");
}

class WithValues : public testing::Test {
 protected:
  [[nodiscard]] Config set(const Config& base, double value) const {
    return with_values(base, std::array{free}, std::array{value}, ValueSource::fitted);
  }
  [[nodiscard]] double resolved(const Config& config) const {
    return resolve(config, examples::deployment(examples::llama_2_7b(), examples::h100(), 2), examples::h100())[free.id];
  }
  [[nodiscard]] Config with_h100_value(double value) const {
    Config config;
    config.hardware.resize(1);
    config.hardware[0].gpu = examples::h100();
    config.hardware[0].parameters[free.id].value = value;
    return config;
  }
  FreeParameter free = make_free(parameter("roofline_v1.mfuPrefill"));
};

TEST_F(WithValues, SetsASharedParameterForEveryDeployment) {
  const Config config = set({}, 0.42);
  EXPECT_EQ(resolved(config), 0.42);
  EXPECT_EQ(current_value(config, free), 0.42);
  EXPECT_EQ(config.parameters.at(free.id).source, ValueSource::fitted);
}

TEST_F(WithValues, SetsAScopedParameterWhereItMatches) {
  free.where.tp = 2;
  const Config matching = set({}, 0.42);
  EXPECT_EQ(resolved(matching), 0.42);
  EXPECT_EQ(current_value(matching, free), 0.42);
  free.where.tp = 4;
  EXPECT_EQ(resolved(set({}, 0.42)), free.initial);
}

TEST_F(WithValues, ReplacesAnEarlierValueOfTheSameScope) {
  free.where.tp = 2;
  const Config config = set(set({}, 0.42), 0.43);
  EXPECT_EQ(config.scoped.size(), 1U);
  EXPECT_EQ(resolved(config), 0.43);
}

TEST_F(WithValues, MovesAParameterThatTheConfigGivesPerGpu) {
  const Config config = with_h100_value(0.5);
  EXPECT_EQ(current_value(config, free), 0.5);
  EXPECT_EQ(resolved(set(config, 0.42)), 0.42);
}

TEST_F(WithValues, LeavesTheGpusOwnValueAloneWhereTheScopeDoesNotReach) {
  const Config config = with_h100_value(0.5);
  free.where.gpu = "A100";
  EXPECT_EQ(resolved(set(config, 0.42)), 0.5);
}

std::vector<std::string> problems(const FreeParameter& parameter) {
  std::vector<std::string> texts;
  for (const core::Diagnostic& diagnostic : check(std::array{parameter})) texts.push_back(diagnostic.problem);
  return texts;
}

TEST(Check, AcceptsEveryRegisteredParameterAsItIs) {
  std::vector<FreeParameter> free;
  for (std::size_t i = 0; i < parameter_registry().size(); ++i) free.push_back(make_free({i}));
  EXPECT_TRUE(check(free).empty());
}

TEST(Check, RefusesCrossedBoundsAStartOutsideAndALogOfZero) {
  FreeParameter parameter = make_free(params::parameter("physics.gemm_fraction"));
  parameter.lower = 0.9;
  parameter.upper = 0.5;
  EXPECT_THAT(problems(parameter), ElementsAre(HasSubstr("lower bound 0.9 is not below upper bound 0.5")));
  parameter = make_free(params::parameter("physics.gemm_fraction"));
  parameter.initial = 2.0;
  EXPECT_THAT(problems(parameter), ElementsAre(HasSubstr("initial value 2 is outside")));
  parameter = make_free(params::parameter("physics.gemm_fraction"));
  parameter.lower = 0.0;
  EXPECT_THAT(problems(parameter), ElementsAre(HasSubstr("positive lower bound")));
}

TEST(Check, RefusesTheSameParameterTwiceButNotInTwoScopes) {
  std::vector<FreeParameter> free(2, make_free(params::parameter("physics.gemm_fraction")));
  EXPECT_EQ(check(free).size(), 1U);
  free[1].where.gpu = "A100";
  EXPECT_TRUE(check(free).empty());
}

}  // namespace
}  // namespace rooftune::params
