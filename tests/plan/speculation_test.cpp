#include "rooftune/plan/speculation.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "support/example_targets.hpp"

namespace rooftune::plan {
namespace {

/// Llama-3.1-70B on four H100 by the physics defaults, n-grams that cost nothing to draft.
eval::Case drafting(const std::vector<double>& acceptance) {
  eval::Case item;
  item.model = examples::llama_3_1_70b();
  item.gpu = examples::h100();
  item.experiment.id = "drafts";
  domain::Deployment& deployment = item.experiment.deployment;
  deployment = examples::deployment(item.model, item.gpu, 4);
  deployment.settings.max_num_seqs = 256;
  deployment.settings.max_num_batched_tokens = 8192;
  deployment.settings.total_kv_blocks = 20000;
  deployment.settings.speculative = domain::Speculation{
      .method = "ngram", .num_speculative_tokens = static_cast<int>(acceptance.size()), .acceptance_per_position = acceptance};
  domain::Workload& workload = item.experiment.workload;
  workload.prompt = {.mean_tokens = 600};
  workload.output = {.mean_tokens = 200};
  workload.stages = {{.rate = {1.0}, .duration = {20.0}, .num_requests = 20}};
  item.keep_plans(1, 1);
  return item;
}

params::Config physics() {
  params::Config config;
  config.step_time_model = "physics";
  return config;
}

TEST(SpeculationGain, NothingAcceptedNeverPays) {
  const auto gain = speculation_gain(drafting({0.0, 0.0}), physics());
  ASSERT_TRUE(gain);
  EXPECT_DOUBLE_EQ(gain->tokens_per_step, 1.0);
  EXPECT_DOUBLE_EQ(gain->context_tokens, 700.0);
  EXPECT_LT(gain->gain_alone, 1.0);
  EXPECT_EQ(gain->break_even_requests, 1);
}

/// Weights are streamed once for all positions, so drafts pay alone; compute grows with them, so they pay less in a crowd.
TEST(SpeculationGain, PaysAloneAndLessInACrowd) {
  const auto gain = speculation_gain(drafting({0.7, 0.4, 0.2}), physics());
  ASSERT_TRUE(gain);
  EXPECT_NEAR(gain->tokens_per_step, 2.3, 1e-12);
  EXPECT_GT(gain->gain_alone, 1.5);
  EXPECT_LT(gain->gain_crowded, gain->gain_alone);
}

TEST(SpeculationGain, EndsWhereABatchIsLargeEnough) {
  // Hardly anything is accepted: the wider step is nothing beside the weights of one request, and much beside those of 256.
  const auto gain = speculation_gain(drafting({0.3, 0.1, 0.05}), physics());
  ASSERT_TRUE(gain);
  EXPECT_GT(gain->gain_alone, 1.0);
  EXPECT_LT(gain->gain_crowded, 1.0);
  ASSERT_TRUE(gain->break_even_requests);
  EXPECT_GT(*gain->break_even_requests, 1);
  EXPECT_LE(*gain->break_even_requests, gain->most_requests);
}

TEST(SpeculationGain, IsOfWhatDraftsAlone) {
  eval::Case item = drafting({0.5});
  params::Config config = physics();
  config.switches[params::switch_id("engine.speculation")] = *params::find_choice(params::switch_id("engine.speculation"), "off");
  EXPECT_FALSE(speculation_gain(item, config));
  item.experiment.deployment.settings.speculative.reset();
  EXPECT_FALSE(speculation_gain(item, physics()));
}

}  // namespace
}  // namespace rooftune::plan
