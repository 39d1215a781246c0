#include "rooftune/sim/kv_estimate.hpp"

#include <gtest/gtest.h>

#include <array>
#include <filesystem>

#include "rooftune/data/gpus.hpp"
#include "rooftune/data/ground_truth.hpp"
#include "rooftune/data/models.hpp"
#include "support/example_targets.hpp"

namespace rooftune::sim {
namespace {

TEST(KvEstimate, IsWithinFourPercentOfEveryRecordedPool) {
  const std::filesystem::path folder = std::filesystem::path(ROOFTUNE_SOURCE_DIR) / "ground_truth";
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
    EXPECT_NEAR(estimated / recorded, 1.0, 0.04) << experiment.id << " " << model->name << " " << gpu->name;
    ++compared;
  }
  EXPECT_EQ(compared, 18);
}

TEST(KvEstimate, IsZeroWhenTheWeightsDoNotFit) {
  const domain::ModelSpec model = examples::llama_3_1_70b();
  const domain::GpuSpec gpu = examples::h100();
  EXPECT_EQ(estimate_kv_blocks(model, gpu, examples::deployment(model, gpu, 1)), 0);
  EXPECT_GT(estimate_kv_blocks(model, gpu, examples::deployment(model, gpu, 4)), 0);
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
