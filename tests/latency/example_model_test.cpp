#include <gtest/gtest.h>

#include "batches.hpp"
#include "rooftune/core/derivative.hpp"
#include "rooftune/latency/step_time.hpp"
#include "support/example_targets.hpp"

// The worked example of docs/adding_a_step_time_model.md, which quotes this file. In the library the class would stand in
// lib/latency/src/constant.hpp with a parameter of its own in the registry; here an existing parameter stands in for that.
namespace rooftune::latency {
namespace {

// [model]
/// Every step takes as long as every other: step = t_step.
template <class Scalar>
class ConstantStepTime final : public StepTime<Scalar> {
 public:
  ConstantStepTime(const Target& /*target*/, const params::Resolved<Scalar>& parameters) : step_us_(parameters["physics.t_step_us"]) {}

  [[nodiscard]] StepPiece<Scalar> piece(const Batch& batch) override {
    return {.duration_us = step_us_, .slope_us_per_token = Scalar(0.0), .valid_steps = batch.prefills.empty() ? kEveryStep : 1};
  }

  [[nodiscard]] StepBreakdown breakdown(const Batch& /*batch*/) override {
    const double total_us = core::value_of(step_us_);
    return {.total_us = total_us, .terms = {{"step", total_us}}, .bound = "overhead"};
  }

 private:
  Scalar step_us_;
};
// [model]

class ConstantExample : public testing::Test {
 protected:
  ConstantExample() { parameters[params::parameter("physics.t_step_us")] = 1000.0; }

  domain::ModelSpec model = examples::llama_2_7b();
  domain::GpuSpec gpu = examples::h100();
  domain::Deployment deployment = examples::deployment(model, gpu, 1);
  Target target{.model = model, .gpu = gpu, .deployment = deployment};
  params::Resolved<double> parameters;
};

// [tests]
TEST_F(ConstantExample, TakesTheSameForEveryBatch) {
  ConstantStepTime<double> step_time(target, parameters);
  EXPECT_EQ(step_time.piece(decodes(1, 10).view()).duration_us, 1000.0);
  EXPECT_EQ(step_time.piece(decodes(256, 4000).view()).duration_us, 1000.0);
}

TEST_F(ConstantExample, HoldsForEveryStepOfADecodeOnlyBatchAndForOneWithPrefills) {
  ConstantStepTime<double> step_time(target, parameters);
  EXPECT_EQ(step_time.piece(decodes(8, 600).view()).valid_steps, kEveryStep);
  OwnedBatch mixed = decodes(8, 600);
  mixed.prefills = {{.context_tokens = 0, .new_tokens = 100}};
  EXPECT_EQ(step_time.piece(mixed.view()).valid_steps, 1);
}

TEST_F(ConstantExample, CarriesTheDerivativeOfItsParameter) {
  using Dual = core::Dual<core::kNarrowWidth>;
  params::Resolved<Dual> with_derivative = parameters.as<Dual>();
  with_derivative[params::parameter("physics.t_step_us")].v[0] = 1.0;
  ConstantStepTime<Dual> step_time(target, with_derivative);
  EXPECT_EQ(step_time.piece(decodes(8, 600).view()).duration_us.v[0], 1.0);
}

TEST_F(ConstantExample, BreaksDownToTheStep) {
  ConstantStepTime<double> step_time(target, parameters);
  const Batch batch{.prefills = {}, .decode_requests = 3, .decode_contexts = {}};
  EXPECT_EQ(step_time.breakdown(batch).total_us, step_time.piece(batch).duration_us);
}
// [tests]

}  // namespace
}  // namespace rooftune::latency
