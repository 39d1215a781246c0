#include "rooftune/sim/kv_estimate.hpp"

#include <gtest/gtest.h>

#include <array>
#include <filesystem>

#include "rooftune/core/limits.hpp"
#include "rooftune/data/gpus.hpp"
#include "rooftune/data/ground_truth.hpp"
#include "rooftune/data/models.hpp"
#include "rooftune/domain/layers.hpp"
#include "support/example_targets.hpp"
#include "support/places.hpp"

namespace rooftune::sim {
namespace {

TEST(KvEstimate, IsWithinThreePercentOfEveryRecordedPool) {
  const std::filesystem::path folder = testing_support::source_folder() / "ground_truth";
  const std::array files{folder / "h100.json", folder / "a100.json", folder / "l40s.json"};
  const auto truth = data::read_ground_truth(files);
  const auto models = data::default_models();
  const auto gpus = data::default_gpus();
  ASSERT_TRUE(truth && models && gpus);
  int compared = 0;
  for (const domain::Experiment& experiment : truth->experiments) {
    domain::Deployment deployment = experiment.deployment;
    const domain::ModelSpec* model = domain::find_model(*models, deployment.model);
    const domain::GpuSpec* gpu = domain::find_gpu(*gpus, deployment.hardware);
    ASSERT_TRUE(model != nullptr && gpu != nullptr) << experiment.id;
    ASSERT_TRUE(deployment.settings.total_kv_blocks.has_value()) << experiment.id;
    const double recorded = *deployment.settings.total_kv_blocks;
    const auto estimated = static_cast<double>(estimate_kv_blocks(*model, *gpu, deployment));
    EXPECT_NEAR(estimated / recorded, 1.0, 0.03) << experiment.id << " " << model->name << " " << gpu->name;
    ++compared;
  }
  EXPECT_EQ(compared, 18);
}

domain::GpuSpec gpu_of(double memory_gib, double bandwidth_tbs) {
  domain::GpuSpec gpu = examples::h100();
  gpu.name = "another";
  gpu.memory = {memory_gib};
  gpu.hbm_bandwidth = {bandwidth_tbs};
  return gpu;
}

/// Logged by vLLM for linear layers in NVFP4 and an FP8 cache: 780992 to 782176 tokens.
TEST(KvEstimate, FitsA70BModelInNvfp4OnB200) {
  domain::ModelSpec model = examples::llama_3_1_70b();
  const domain::Stored nvfp4{.format = domain::WeightFormat::nvfp4, .bytes = 0.5625};
  domain::store(model.groups[0].layer.mixer, nvfp4);
  domain::store(model.groups[0].layer.ffn, nvfp4);
  model.kv_cache_bytes = 1.0;
  const domain::GpuSpec gpu = gpu_of(180.0, 8.0);
  domain::Deployment deployment = examples::deployment(model, gpu, 1);
  for (const int step_tokens : {2048, 8192}) {
    deployment.settings.max_num_batched_tokens = step_tokens;
    EXPECT_NEAR(16.0 * static_cast<double>(estimate_kv_blocks(model, gpu, deployment)), 781500.0, 0.01 * 781500.0) << step_tokens;
  }
}

/// Two pools that users of 24 GiB cards reported for Llama-3.1-8B: 2588 blocks, and 1952 with steps of 20000 tokens.
TEST(KvEstimate, SaysHowFarOffItMayBeOnASmallCard) {
  domain::ModelSpec model = examples::decoder(
      "Llama-3.1-8B", 128256,
      {.layers = 32, .hidden = 4096, .attention = {.heads = 32, .kv_heads = 8, .head_dim = 128}, .ffn_width = 14336});
  const domain::GpuSpec gpu = gpu_of(24.0, 1.008);
  domain::Deployment deployment = examples::deployment(model, gpu, 1);
  const KvEstimate usual = estimate_kv(model, gpu, deployment);
  EXPECT_NEAR(static_cast<double>(usual.blocks), 2588.0, 0.03 * 2588.0);
  EXPECT_GT(usual.uncertainty(), 0.1) << "the board may keep error-correcting codes in its memory";
  deployment.settings.max_num_batched_tokens = 20000;
  const KvEstimate large = estimate_kv(model, gpu, deployment);
  EXPECT_LE(large.low, 1952);
  EXPECT_GE(large.high, 1952);
}

/// 24 layers with a window of 1024 and 8 without: three groups of 8 and one.
TEST(KvEstimate, LaysOutWindowsInGroupsOfLayers) {
  domain::ModelSpec model = examples::llama_3_1_70b();
  const domain::AttentionShape heads{.heads = 32, .kv_heads = 8, .head_dim = 128};
  model.groups = {{.count = 24, .layer = {.mixer = domain::attention(model.hidden, heads, domain::MixerKind::sliding_window, 1024)}},
                  {.count = 8, .layer = {.mixer = domain::attention(model.hidden, heads)}}};
  domain::Deployment deployment = examples::deployment(model, examples::h100(), 1);
  deployment.settings.max_model_len = 32768;
  const double layer_token = 2 * 8 * 128 * 2.0;
  EXPECT_EQ(kv_request_bytes(model, deployment, 160), 32 * layer_token * 160) << "no window has cut it yet";
  EXPECT_EQ(kv_request_bytes(model, deployment, 16000), layer_token * (8 * 16000 + 24 * 1040)) << "a window reaches into a 65th block";
  // Nine layers without a window: the 23 others fill three groups of nine.
  model.groups[0].count = 23;
  model.groups[1].count = 9;
  EXPECT_EQ(kv_request_bytes(model, deployment, 16000), layer_token * (9 * 16000 + 27 * 1040));
  deployment.settings.max_model_len = 1024;
  EXPECT_EQ(kv_block_bytes(model, deployment), 32 * layer_token * 16) << "no request outgrows the window";
}

TEST(KvEstimate, KeepsAStateOfConstantSizeForLinearAttention) {
  domain::ModelSpec model = examples::llama_3_1_70b();
  model.groups = {{.count = 3, .layer = {.mixer = domain::gated_delta_net(model.hidden, 16, 32, 128, 128, 4)}},
                  {.count = 1, .layer = {.mixer = domain::attention(model.hidden, {.heads = 32, .kv_heads = 8, .head_dim = 128})}}};
  const domain::Deployment deployment = examples::deployment(model, examples::h100(), 1);
  // 32 heads of 128 x 128 in 32 bits, and three tokens of 2 x 2048 + 4096 channels in 16.
  // It takes 524 tokens' worth of the layer with a cache, so blocks have 528; 1600 tokens fill four of them.
  const double layer_token = 2 * 8 * 128 * 2.0;
  ASSERT_LT(32 * 128 * 128 * 4.0 + 3 * 8192 * 2.0, 528 * layer_token);
  EXPECT_EQ(kv_request_bytes(model, deployment, 1600), (3 + 4) * 528 * layer_token);
}

/// gpt-oss: 12 layers with a window of 128 and 12 without are two groups of 12. vLLM logs half its blocks; a request of 1600 tokens
/// takes 100 blocks of one group and 9 of the other.
TEST(KvEstimate, CountsALoggedPoolOfAHybridModelInItsGroups) {
  domain::ModelSpec model = examples::llama_3_1_70b();
  const domain::AttentionShape heads{.heads = 64, .kv_heads = 8, .head_dim = 64};
  model.groups = {{.count = 12, .layer = {.mixer = domain::attention(model.hidden, heads, domain::MixerKind::sliding_window, 128)}},
                  {.count = 12, .layer = {.mixer = domain::attention(model.hidden, heads)}}};
  domain::Deployment deployment = examples::deployment(model, examples::h100(), 1);
  deployment.settings.max_model_len = 131072;
  EXPECT_EQ(logged_pool_blocks(model, deployment, 5450, 1600), 5450 * 2 * 100 / 109);
  EXPECT_EQ(logged_pool_blocks(model, deployment, 5450, 16), 5450) << "nothing is cut yet";
  const domain::ModelSpec plain = examples::llama_3_1_70b();
  EXPECT_EQ(logged_pool_blocks(plain, deployment, 5450, 1600), 5450);
}

/// 20 layers of one kind and 24 of another are two groups of 24, not one and two of 20.
TEST(KvEstimate, FillsUpTheFewerLayersWhereBothKindsAreNearlyAsMany) {
  domain::ModelSpec model = examples::llama_3_1_70b();
  const domain::AttentionShape heads{.heads = 32, .kv_heads = 8, .head_dim = 128};
  model.groups = {{.count = 20, .layer = {.mixer = domain::attention(model.hidden, heads, domain::MixerKind::sliding_window, 1024)}},
                  {.count = 24, .layer = {.mixer = domain::attention(model.hidden, heads)}}};
  domain::Deployment deployment = examples::deployment(model, examples::h100(), 1);
  deployment.settings.max_model_len = 32768;
  EXPECT_EQ(kv_request_bytes(model, deployment, 16000), 2 * 8 * 128 * 2.0 * 24 * (16000 + 1040));
}

TEST(KvEstimate, IsZeroWhenTheWeightsDoNotFit) {
  const domain::ModelSpec model = examples::llama_3_1_70b();
  const domain::GpuSpec gpu = examples::h100();
  EXPECT_EQ(estimate_kv_blocks(model, gpu, examples::deployment(model, gpu, 1)), 0);
  EXPECT_GT(estimate_kv_blocks(model, gpu, examples::deployment(model, gpu, 4)), 0);
}

TEST(KvEstimate, EndsAtTheLimitOfPools) {
  domain::GpuSpec gpu = examples::h100();
  gpu.memory = core::Gibibytes{1e300};
  gpu.reported_memory.reset();
  const domain::ModelSpec model = examples::llama_2_7b();
  EXPECT_EQ(estimate_kv_blocks(model, gpu, examples::deployment(model, gpu, 1), 0), core::limits::kKvBlocks);
}

TEST(KvEstimate, GrowsWithMemoryAndItsUse) {
  const domain::ModelSpec model = examples::llama_2_7b();
  const domain::GpuSpec gpu = examples::h100();
  domain::Deployment deployment = examples::deployment(model, gpu, 1);
  const auto blocks = estimate_kv_blocks(model, gpu, deployment);
  deployment.settings.gpu_mem_util = 0.95;
  EXPECT_GT(estimate_kv_blocks(model, gpu, deployment), blocks);
  deployment.settings.block_size = 32;
  EXPECT_LT(estimate_kv_blocks(model, gpu, deployment), blocks);
}

/// With more GPUs than KV heads each head is on several GPUs, so that tp 16 holds no more tokens than tp 8, weights aside.
TEST(KvEstimate, CountsReplicatedKvHeads) {
  const domain::ModelSpec model = examples::llama_3_1_70b();  // eight KV heads
  const domain::GpuSpec gpu = examples::h100();
  const double eight = static_cast<double>(estimate_kv_blocks(model, gpu, examples::deployment(model, gpu, 8)));
  const double sixteen = static_cast<double>(estimate_kv_blocks(model, gpu, examples::deployment(model, gpu, 16)));
  EXPECT_LT(sixteen / eight, 1.3);
}

}  // namespace
}  // namespace rooftune::sim
