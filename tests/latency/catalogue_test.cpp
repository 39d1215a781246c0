#include "rooftune/latency/catalogue.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "batches.hpp"
#include "support/example_targets.hpp"
#include "synthetic_tables.hpp"

namespace rooftune::latency {
namespace {

using testing::HasSubstr;

std::optional<std::string> reason_for(const domain::ModelSpec& model, const domain::Deployment& deployment) {
  const domain::GpuSpec gpu = examples::h100();
  return unsupported_reason("roofline_v1", {.model = model, .gpu = gpu, .deployment = deployment});
}

TEST(Catalogue, ListsModelsThatItCanMake) {
  const domain::ModelSpec model = examples::llama_2_7b();
  const domain::GpuSpec gpu = examples::h100();
  domain::Deployment deployment = examples::deployment(model, gpu, 1);
  deployment.settings.cudagraph_mode = "FULL_AND_PIECEWISE";  // settled, as a simulation has it
  const kernels::KernelTables tables(examples::synthetic_kernels(model));
  for (const ModelEntry& entry : step_time_models()) {
    EXPECT_TRUE(is_step_time_model(entry.name));
    EXPECT_FALSE(entry.summary.empty());
    const auto step_time = make_step_time<double>(
        entry.name, {.model = model, .gpu = gpu, .deployment = deployment, .tables = &tables}, params::Resolved<double>());
    EXPECT_GT(step_time->piece(decodes(8, 600).view()).duration_us, 0.0) << entry.name;
  }
  EXPECT_FALSE(is_step_time_model("roofline_v0"));
}

TEST(Catalogue, OwnsTheParametersOfEveryModel) {
  for (const ModelEntry& entry : step_time_models()) {
    const auto has_group = [&](const params::ParameterSpec& spec) { return spec.group() == entry.name; };
    EXPECT_TRUE(std::ranges::any_of(params::parameter_registry(), has_group)) << entry.name;
  }
}

TEST(Catalogue, RefusesMultiHeadLatentAttention) {
  domain::DecoderShape shape = examples::llama_2_7b_shape();
  shape.latent = domain::LatentAttentionSpec{.kv_rank = 512, .nope_head_dim = 128, .rope_head_dim = 64, .value_head_dim = 128};
  const domain::ModelSpec model = examples::decoder("latent", 32000, shape);
  EXPECT_THAT(reason_for(model, examples::deployment(model, examples::h100(), 1)).value(), HasSubstr("multi-head latent attention"));
}

TEST(Catalogue, RefusesATensorParallelDegreeThatSplitsAHeadAndNamesThoseThatDoNot) {
  const domain::ModelSpec model = examples::llama_2_7b();
  EXPECT_EQ(reason_for(model, examples::deployment(model, examples::h100(), 4)), std::nullopt);
  EXPECT_THAT(reason_for(model, examples::deployment(model, examples::h100(), 3)).value(),
              HasSubstr("tp 3 does not divide its 32 heads and 32 KV heads (use tp 1, 2, 4, 8, 16, 32)"));
}

TEST(Catalogue, AllowsMoreGpusThanKvHeadsBecauseTheEngineReplicatesThem) {
  const domain::ModelSpec model = examples::llama_3_1_70b();
  EXPECT_EQ(reason_for(model, examples::deployment(model, examples::h100(), 16)), std::nullopt);
}

TEST(Catalogue, RefusesMorePipelineStagesThanLayers) {
  const domain::ModelSpec model = examples::llama_2_7b();
  domain::Deployment deployment = examples::deployment(model, examples::h100(), 1);
  deployment.pp = 32;
  EXPECT_EQ(reason_for(model, deployment), std::nullopt);
  deployment.pp = 33;
  EXPECT_THAT(reason_for(model, deployment).value(), HasSubstr("pp: 32"));
}

TEST(Pipeline, TakesABatchThroughAllLayersAndHops) {
  const domain::ModelSpec model = examples::llama_2_7b();
  domain::Deployment deployment = examples::deployment(model, examples::h100(), 1);
  params::Resolved<double> parameters;
  const domain::GpuSpec gpu = examples::h100();
  const auto one = make_step_time<double>("physics", {.model = model, .gpu = gpu, .deployment = deployment}, parameters);
  domain::Deployment staged = deployment;
  staged.pp = 3;
  const auto three = make_step_time<double>("physics", {.model = model, .gpu = gpu, .deployment = staged}, parameters);
  const Batch batch{.prefills = {}, .decode_requests = 10, .decode_context_tokens = 5000, .decode_contexts = {}};
  // Two hops: the latency of an all-reduce, and ten tokens of activations over the link.
  const double hop_us = parameters["physics.allreduce_us"] + 10.0 * 4096.0 * 2.0 / (parameters["hardware.link_GBs"] * 1e3);
  EXPECT_NEAR(three->piece(batch).duration_us - one->piece(batch).duration_us, 2.0 * hop_us, 1e-6);
  EXPECT_EQ(three->piece(batch).slope_us_per_token, one->piece(batch).slope_us_per_token);
  EXPECT_NEAR(three->breakdown(batch).total_us, three->piece(batch).duration_us, 1e-9);
}

}  // namespace
}  // namespace rooftune::latency
