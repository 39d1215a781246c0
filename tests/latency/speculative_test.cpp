#include "rooftune/latency/speculative.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "batches.hpp"
#include "rooftune/core/derivative.hpp"
#include "rooftune/latency/catalogue.hpp"
#include "support/example_targets.hpp"

/// Steps that verify drafts, and what drafting takes.
namespace rooftune::latency {
namespace {

using testing::HasSubstr;

/// Overheads alone, so that everything else can be told from them.
params::Resolved<double> plain_parameters() {
  params::Resolved<double> parameters;
  for (const auto& [id, value] :
       {std::pair{"hardware.TFlopsPeak", 1000.0}, std::pair{"hardware.BwPeakTBs", 4.0}, std::pair{"physics.t_step_us", 100.0},
        std::pair{"physics.t_layer_us", 10.0}, std::pair{"physics.t_seq_us", 5.0}, std::pair{"physics.gemm_fraction", 0.5},
        std::pair{"physics.weight_bandwidth_fraction", 0.5}, std::pair{"physics.kv_bandwidth_fraction", 0.8},
        std::pair{"physics.pnorm", 1.0}}) {
    parameters[params::parameter(id)] = value;
  }
  return parameters;
}

class Speculative : public testing::Test {
 protected:
  [[nodiscard]] Target target() const { return {.model = model_, .gpu = gpu_, .deployment = deployment_}; }
  [[nodiscard]] std::unique_ptr<StepTime<double>> drafting(const Drafter& drafter, const params::Resolved<double>& parameters) const {
    return make_drafting_step_time<double>("physics", target(), parameters, drafter);
  }
  [[nodiscard]] std::unique_ptr<StepTime<double>> plain(const domain::ModelSpec& model,
                                                        const params::Resolved<double>& parameters) const {
    return make_step_time<double>("physics", {.model = model, .gpu = gpu_, .deployment = deployment_}, parameters);
  }

  domain::GpuSpec gpu_ = examples::h100();
  domain::ModelSpec model_ = examples::llama_2_7b();
  domain::Deployment deployment_ = examples::deployment(model_, gpu_, 1);
};

// Llama-2-7B as in physics_test.cpp: 8 decodes with 1000 tokens of context, two drafted tokens each: 24 positions.
//   compute 24 x 2 x 6476005376 FLOPs / 5e8 = 621.696516096, weights 6476.005376, LM head 131.072, activations 24 x 2.629632 =
//   63.111168, KV reads of 8000 tokens 1310.72, overheads 100 + 32 x 10 + 24 x 5 = 540.
TEST_F(Speculative, AVerifyingStepAddsUpAsWorkedOutByHand) {
  const auto step = drafting({.tokens = 2}, plain_parameters());
  const StepPiece<double> piece = step->piece(decodes(8, 1000).view());
  EXPECT_NEAR(piece.duration_us, 621.696516096 + 6476.005376 + 131.072 + 63.111168 + 1310.72 + 540.0, 1e-6);
  EXPECT_NEAR(piece.slope_us_per_token, 1310.72 / 8000.0, 1e-12);  // every token of the cache is read once
}

// One layer drafts, 1/32 of the weights and of the cache: first pass at 24 positions, second at 8. Neither pays the host's 100 us a
// step and 5 us a sequence.
//   first:  compute 621.696516096 / 32 = 19.428016128, weights 202.375168, LM head 131.072, activations 63.111168 / 32 = 1.972224,
//           KV 40.96, layer 10
//   second: compute 6.476005376, weights 202.375168, LM head 131.072, activations 0.657408, KV 40.96, layer 10
TEST_F(Speculative, DraftingByOneLayerAddsUpAsWorkedOutByHand) {
  const params::Resolved<double> parameters = plain_parameters();
  const domain::ModelSpec layer = draft_layers_of(model_, 1);
  const double verifying_us = drafting({.tokens = 2}, parameters)->duration_us(decodes(8, 1000).view());
  const double with_us = drafting({.tokens = 2, .model = &layer}, parameters)->duration_us(decodes(8, 1000).view());
  const double first_us = 19.428016128 + 202.375168 + 131.072 + 1.972224 + 40.96 + 10.0;
  const double second_us = 6.476005376 + 202.375168 + 131.072 + 0.657408 + 40.96 + 10.0;
  EXPECT_NEAR(with_us - verifying_us, first_us + second_us, 1e-6);
}

TEST_F(Speculative, EveryPassOfTheDrafterTakesItsOwnTimeBeside) {
  params::Resolved<double> parameters = plain_parameters();
  const double free_us = drafting({.tokens = 3}, parameters)->duration_us(decodes(8, 1000).view());
  parameters[params::parameter("engine.draft_pass_us")] = 70.0;
  EXPECT_NEAR(drafting({.tokens = 3}, parameters)->duration_us(decodes(8, 1000).view()), free_us + 210.0, 1e-9);
}

TEST_F(Speculative, AStepThatPrefillsHasAllPositionsBesideItsPrompts) {
  const params::Resolved<double> parameters = plain_parameters();
  OwnedBatch batch = decodes(8, 1000);
  batch.prefills.push_back({.context_tokens = 0, .new_tokens = 500});
  OwnedBatch wide = batch;
  wide.decode_requests = 32;
  EXPECT_NEAR(drafting({.tokens = 3}, parameters)->duration_us(batch.view()), plain(model_, parameters)->duration_us(wide.view()),
              1e-9);
  OwnedBatch prompts = batch;  // nobody decodes: nothing to verify
  prompts.decode_requests = prompts.decode_context_tokens = 0;
  EXPECT_DOUBLE_EQ(drafting({.tokens = 3}, parameters)->duration_us(prompts.view()),
                   plain(model_, parameters)->duration_us(prompts.view()));
}

/// The slope is what more context costs, with windows too: whatever the positions beyond the first, they read nothing again.
TEST_F(Speculative, ThePieceIsALineInContext) {
  const domain::ModelSpec layer = draft_layers_of(model_, 2);
  const auto step = drafting({.tokens = 4, .model = &layer}, plain_parameters());
  const StepPiece<double> piece = step->piece(decodes(16, 500).view());
  const double later_us = step->duration_us(decodes(16, 500).after(100).view());
  EXPECT_NEAR(later_us, piece.duration_us + 100 * 16 * piece.slope_us_per_token, 1e-6);
  EXPECT_GT(step->decode_marginal_us(decodes(16, 500).view()), 0.0);
}

TEST_F(Speculative, WhatCannotBePricedIsRefusedByName) {
  EXPECT_THAT(unsupported_drafting("roofline_v1", target(), {.tokens = 2}).value_or(""), HasSubstr("use physics or kernels"));
  deployment_.pp = 2;
  EXPECT_THAT(unsupported_drafting("physics", target(), {.tokens = 2}).value_or(""), HasSubstr("pp > 1"));
  deployment_.pp = 1;
  deployment_.settings.data_parallel_size = 4;
  EXPECT_THAT(unsupported_drafting("physics", target(), {.tokens = 2}).value_or(""), HasSubstr("on 4 data-parallel ranks"));
  deployment_.settings.data_parallel_size = 1;
  EXPECT_EQ(unsupported_drafting("physics", target(), {.tokens = 2}), std::nullopt);
  deployment_.tp = 8;
  const domain::ModelSpec odd = examples::decoder(
      "odd", 1000, {.layers = 2, .hidden = 512, .attention = {.heads = 6, .kv_heads = 6, .head_dim = 64}, .ffn_width = 1024});
  EXPECT_THAT(unsupported_drafting("physics", target(), {.tokens = 2, .model = &odd}).value_or(""), HasSubstr("the draft model: odd"));
}

TEST_F(Speculative, CarriesDerivatives) {
  using Dual = core::Dual<core::kNarrowWidth>;
  const domain::ModelSpec layer = draft_layers_of(model_, 1);
  const Drafter drafter{.tokens = 2, .model = &layer};
  params::Resolved<double> parameters = plain_parameters();
  params::Resolved<Dual> dual = parameters.as<Dual>();
  const params::ParameterId fraction = params::parameter("physics.gemm_fraction");
  dual[fraction].v[0] = 1.0;
  const auto step = make_drafting_step_time<Dual>("physics", target(), dual, drafter);
  const OwnedBatch batch = decodes(40, 700);
  const Dual us = step->piece(batch.view()).duration_us;
  const double value = parameters[fraction];
  parameters[fraction] = value * 1.0001;
  const double above = drafting(drafter, parameters)->duration_us(batch.view());
  parameters[fraction] = value * 0.9999;
  const double below = drafting(drafter, parameters)->duration_us(batch.view());
  EXPECT_NEAR(us.v[0], (above - below) / (2e-4 * value), 1e-4 * std::abs(us.v[0]));
}

}  // namespace
}  // namespace rooftune::latency
