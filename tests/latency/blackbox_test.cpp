#include <gtest/gtest.h>

#include "batches.hpp"
#include "rooftune/latency/catalogue.hpp"
#include "support/example_targets.hpp"

namespace rooftune::latency {
namespace {

class Blackbox : public testing::Test {
 protected:
  Blackbox() {
    parameters[params::parameter("blackbox.step_us")] = 1000.0;
    parameters[params::parameter("blackbox.per_prefill_token_us")] = 10.0;
    parameters[params::parameter("blackbox.per_decode_us")] = 50.0;
    step_time = make_step_time<double>("blackbox", {.model = model, .gpu = gpu, .deployment = deployment}, parameters);
  }
  domain::ModelSpec model = examples::llama_2_7b();
  domain::GpuSpec gpu = examples::h100();
  domain::Deployment deployment = examples::deployment(model, gpu, 1);
  params::Resolved<double> parameters;
  std::unique_ptr<StepTime<double>> step_time;
};

TEST_F(Blackbox, CountsPrefillTokensAndDecodes) {
  OwnedBatch batch = decodes(8, 600);
  batch.prefills = {{.context_tokens = 100, .new_tokens = 20}, {.context_tokens = 0, .new_tokens = 5}};
  EXPECT_DOUBLE_EQ(step_time->piece(batch.view()).duration_us, 1000.0 + 10.0 * 25 + 50.0 * 8);
  EXPECT_EQ(step_time->piece(batch.view()).valid_steps, 1);
}

TEST_F(Blackbox, DecodesAtOneSpeedWhateverTheContext) {
  const StepPiece<double> piece = step_time->piece(decodes(8, 600).view());
  EXPECT_EQ(piece.slope_us_per_token, 0.0);
  EXPECT_EQ(piece.valid_steps, kEveryStep);
  EXPECT_EQ(piece.duration_us, step_time->piece(decodes(8, 6000).view()).duration_us);
}

TEST_F(Blackbox, BreaksDownIntoItsThreeTerms) {
  OwnedBatch batch = decodes(8, 600);
  batch.prefills = {{.context_tokens = 0, .new_tokens = 25}};
  const StepBreakdown breakdown = step_time->breakdown(batch.view());
  double sum_us = 0.0;
  for (const StepTerm& term : breakdown.terms) sum_us += term.duration_us;
  EXPECT_DOUBLE_EQ(sum_us, breakdown.total_us);
  EXPECT_DOUBLE_EQ(breakdown.total_us, step_time->piece(batch.view()).duration_us);
}

}  // namespace
}  // namespace rooftune::latency
