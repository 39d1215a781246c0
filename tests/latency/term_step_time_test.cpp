#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "batches.hpp"
#include "rooftune/core/derivative.hpp"
#include "rooftune/latency/catalogue.hpp"
#include "rooftune/latency/step_time.hpp"
#include "rooftune/params/term.hpp"
#include "support/example_targets.hpp"

namespace rooftune::latency {
namespace {

using testing::Contains;
using testing::DoubleNear;
using testing::Field;

class Terms : public testing::Test {
 protected:
  static params::ParameterId declared(const std::string& name, const std::string& expression) {
    return params::declare_term({.name = name, .expression = expression, .lower = 0.0, .upper = 100.0}).value();
  }

  [[nodiscard]] std::unique_ptr<StepTime<double>> with(params::ParameterId id, double coefficient) const {
    params::Resolved<double> parameters;
    parameters[id] = coefficient;
    return make_step_time<double>("physics", target, parameters);
  }

  domain::ModelSpec model = examples::llama_2_7b();
  domain::GpuSpec gpu = examples::h100();
  domain::Deployment deployment = examples::deployment(model, gpu, 1);
  Target target{.model = model, .gpu = gpu, .deployment = deployment};
  params::ParameterId linear = declared("test_linear_us", "layers * (decodes + prefill_tokens) + 0.01 * context_tokens");
  params::ParameterId idle = declared("test_idle_us", "layers");
};

TEST_F(Terms, AddTheirCoefficientTimesTheirExpression) {
  const auto batch = decodes(8, 600);
  const double without = with(linear, 0.0)->piece(batch.view()).duration_us;
  const StepPiece<double> piece = with(linear, 0.5)->piece(batch.view());
  EXPECT_THAT(piece.duration_us, DoubleNear(without + 0.5 * (32.0 * 8.0 + 0.01 * 8.0 * 600.0), 1e-9));
  EXPECT_THAT(piece.slope_us_per_token - with(linear, 0.0)->piece(batch.view()).slope_us_per_token, DoubleNear(0.005, 1e-12));
}

TEST_F(Terms, LeaveAPieceAPiece) {
  const auto model_with = with(linear, 0.5);
  const auto first = decodes(8, 600);
  const StepPiece<double> piece = model_with->piece(first.view());
  ASSERT_GT(piece.valid_steps, 50);
  for (const int step : {1, 10, 50}) {
    const auto later = decodes(8, 600 + step);
    EXPECT_THAT(model_with->piece(later.view()).duration_us,
                DoubleNear(piece.duration_us + step * 8 * piece.slope_us_per_token, 1e-6));
  }
}

TEST_F(Terms, AreTheSameWhateverWasAskedBefore) {
  const params::ParameterId steady = declared("test_steady_us", "layers * decodes * decodes + 3 * prefill_tokens");
  const auto without = with(steady, 0.0);
  const auto model_with = with(steady, 0.5);
  auto mixed = decodes(8, 600);
  mixed.prefills = {{.context_tokens = 0, .new_tokens = 100}};
  for (const auto& batch : {decodes(8, 600), mixed, decodes(8, 900), decodes(7, 600), decodes(2000, 10), mixed, decodes(8, 600)}) {
    const latency::Batch view = batch.view();
    const double tokens = view.prefills.empty() ? 0.0 : 100.0;
    const auto n = static_cast<double>(view.decode_requests);
    EXPECT_THAT(model_with->piece(view).duration_us - without->piece(view).duration_us,
                DoubleNear(0.5 * (32.0 * n * n + 3.0 * tokens), 1e-6));
  }
}

TEST_F(Terms, AddUpWhetherTheyBendOrNot) {
  deployment.settings.cudagraph_mode = "FULL_AND_PIECEWISE";
  deployment.settings.cudagraph_capture_sizes = {1, 2, 4, 8, 112};
  params::Resolved<double> parameters;
  parameters[linear] = 0.5;
  parameters[declared("test_padding_us", "graph_tokens - decodes - prefill_tokens")] = 2.0;
  parameters[declared("test_bent_us", "max(decodes, 4) * layers")] = 0.25;
  parameters[declared("test_share_us", "context_tokens / max(decodes, 1)")] = 0.125;
  const auto model_with = make_step_time<double>("physics", target, parameters);
  const auto without = with(linear, 0.0);
  auto mixed = decodes(5, 600);
  mixed.prefills = {{.context_tokens = 32, .new_tokens = 100}, {.context_tokens = 0, .new_tokens = 7}};
  for (const auto& batch : {decodes(3, 600), mixed, decodes(3, 601)}) {
    const Batch view = batch.view();
    const StepPiece<double> piece = model_with->piece(view);
    const double prefill_tokens = view.prefills.empty() ? 0.0 : 107.0;
    const auto n = static_cast<double>(view.decode_requests);
    const auto context = static_cast<double>(view.decode_context_tokens);
    const double padded = view.prefills.empty() ? 4.0 : 112.0;
    const double added = 0.5 * (32.0 * (n + prefill_tokens) + 0.01 * context) + 2.0 * (padded - n - prefill_tokens) +
                         0.25 * std::max(n, 4.0) * 32.0 + 0.125 * context / n;
    EXPECT_THAT(piece.duration_us - without->piece(view).duration_us, DoubleNear(added, 1e-6));
    EXPECT_THAT(piece.slope_us_per_token - without->piece(view).slope_us_per_token, DoubleNear(0.005 + 0.125 / n, 1e-9));
    EXPECT_THAT(model_with->duration_us(view), DoubleNear(piece.duration_us, 1e-6));
  }
}

TEST_F(Terms, CarryTheExactDerivativeOfTheirCoefficient) {
  using Dual = core::Dual<core::kNarrowWidth>;
  params::Resolved<double> parameters;
  params::Resolved<Dual> with_derivative = parameters.as<Dual>();
  with_derivative[linear].v[2] = 1.0;  // at nothing, where a fit begins
  const auto model_with = make_step_time<Dual>("physics", target, with_derivative);
  const auto batch = decodes(4, 100);
  EXPECT_THAT(model_with->piece(batch.view()).duration_us.v[2], DoubleNear(32.0 * 4.0 + 0.01 * 400.0, 1e-9));
}

TEST_F(Terms, StandInTheBreakdownByTheirIds) {
  const auto batch = decodes(8, 600);
  const auto model_with = with(linear, 0.5);
  const StepBreakdown breakdown = model_with->breakdown(batch.view());
  EXPECT_THAT(breakdown.terms, Contains(Field(&StepTerm::name, "user.test_linear_us")));
  EXPECT_THAT(breakdown.total_us, DoubleNear(model_with->piece(batch.view()).duration_us, 1e-6));
  EXPECT_THAT(model_with->duration_us(batch.view()), DoubleNear(breakdown.total_us, 1e-6));
  const StepBreakdown without = with(linear, 0.0)->breakdown(batch.view());
  EXPECT_THAT(without.terms, testing::Not(Contains(Field(&StepTerm::name, "user.test_linear_us")))) << "a coefficient of 0 is no term";
}

TEST_F(Terms, KnowTheSizesOfOneGpu) {
  const params::ParameterId weights = declared("test_weights_factor", "weight_bytes / bandwidth_bytes_per_us");
  const auto batch = decodes(1, 1);
  const double added = with(weights, 1.0)->piece(batch.view()).duration_us - with(weights, 0.0)->piece(batch.view()).duration_us;
  // 6.74e9 weights of two bytes at 3.35 TB/s.
  EXPECT_THAT(added, DoubleNear(6.74e9 * 2.0 / 3.35e6, 60.0));
}

}  // namespace
}  // namespace rooftune::latency
