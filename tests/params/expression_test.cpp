#include "rooftune/params/expression.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "rooftune/params/space.hpp"

namespace rooftune::params {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;
using testing::HasSubstr;

Expression formula(const std::string& text) { return Expression::parse(text).value(); }

core::Diagnostic first_problem(const std::string& text) {
  return Expression::parse(text, {.file = "s.yaml", .line = 3, .column = 10}).error().front();
}

TEST(Expression, ReadsTheParametersThatItNames) {
  const Expression sum = formula("2 * physics.t_step_us + sqrt(physics.t_layer_us) - 1.5e1");
  std::vector<double> values;
  for (const ParameterId id : sum.variables()) values.push_back(id == parameter("physics.t_step_us") ? 100.0 : 9.0);
  EXPECT_EQ(values.size(), 2U);
  EXPECT_DOUBLE_EQ(sum.value(values), 200.0 + 3.0 - 15.0);
}

TEST(Expression, DifferentiatesToTenDigits) {
  const Expression square = formula("physics.t_step_us ^ 3 + exp(physics.t_step_us / 50)");
  const double x = 70.0;
  const double exact = 3.0 * x * x + std::exp(x / 50.0) / 50.0;
  EXPECT_THAT(square.derivative(std::array{x}, 0), DoubleNear(exact, 1e-9 * exact));
}

TEST(Expression, PointsAtWhatItDoesNotUnderstand) {
  EXPECT_THAT(first_problem("2 * physics.t_stepp_us").problem, HasSubstr("unknown parameter 'physics.t_stepp_us'"));
  EXPECT_THAT(first_problem("2 * physics.t_stepp_us").remedy, HasSubstr("physics.t_step_us"));
  EXPECT_EQ(first_problem("2 * physics.t_stepp_us").position.column, 14);
  EXPECT_THAT(first_problem("2 * (physics.t_step_us").problem, HasSubstr("is no formula"));
  EXPECT_THAT(first_problem("physics.t_step_us = 3").problem, HasSubstr("assigns"));
}

TEST(Ties, FollowTheParametersThatAFitMoves) {
  Config config;
  const ParameterId step = parameter("physics.t_step_us");
  const ParameterId layer = parameter("physics.t_layer_us");
  const ParameterId sequence = parameter("physics.t_seq_us");
  config.ties = in_order({{.id = sequence, .where = {}, .expression = formula("physics.t_layer_us ^ 2")},
                          {.id = layer, .where = {}, .expression = formula("0.1 * physics.t_step_us")}})
                    .value();
  const std::array free{make_free(step)};
  const Config moved = with_values(config, free, std::array{200.0}, ValueSource::fitted);
  EXPECT_DOUBLE_EQ(moved.parameters.at(layer).value, 20.0);
  EXPECT_DOUBLE_EQ(moved.parameters.at(sequence).value, 400.0);
  const auto slopes = tie_slopes(moved, free);
  EXPECT_THAT(slopes, ElementsAre(ElementsAre(DoubleNear(0.1, 1e-10)), ElementsAre(DoubleNear(2.0 * 20.0 * 0.1, 1e-8))));
}

TEST(Ties, InACircleAreRefused) {
  const auto ordered = in_order({{.id = parameter("physics.t_seq_us"), .where = {}, .expression = formula("physics.t_layer_us")},
                                 {.id = parameter("physics.t_layer_us"), .where = {}, .expression = formula("physics.t_seq_us")}});
  ASSERT_FALSE(ordered);
  EXPECT_THAT(ordered.error().front().problem, HasSubstr("depends on itself"));
}

}  // namespace
}  // namespace rooftune::params
