#include "rooftune/latency/kernel_plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <utility>

#include "rooftune/domain/layers.hpp"
#include "support/example_targets.hpp"

namespace rooftune::latency {
namespace {

using kernels::KernelPlan;
using kernels::NumberFormat;

KernelPlan plan_of(const domain::ModelSpec& model, std::int64_t tp) {
  const auto plan = plan_measurements(std::array{model}, std::array{tp});
  EXPECT_TRUE(plan) << core::format(plan.error());
  return plan ? *plan : KernelPlan{};
}

bool has_product(const KernelPlan& plan, NumberFormat format, std::int64_t n, std::int64_t k) {
  return std::ranges::any_of(plan.gemms,
                             [&](const kernels::GemmRow& row) { return row.format == format && row.n == n && row.k == k; });
}

TEST(KernelPlan, ListsTheProductsOfOneGpuInTheirFormats) {
  domain::ModelSpec model = examples::llama_3_1_70b();
  domain::store(model.groups[0].layer.ffn, {.format = domain::WeightFormat::nvfp4, .bytes = 0.5625});
  const KernelPlan plan = plan_of(model, 8);
  EXPECT_TRUE(has_product(plan, NumberFormat::bf16, 1280, 8192)) << "8 query heads, a key and a value head";
  EXPECT_TRUE(has_product(plan, NumberFormat::nvfp4, 7168, 8192)) << "gate and up";
  EXPECT_TRUE(has_product(plan, NumberFormat::bf16, 7168, 8192)) << "so that the table serves the model in 16 bits, too";
  EXPECT_FALSE(has_product(plan, NumberFormat::nvfp4, 1280, 8192));
  EXPECT_EQ(plan.all_reduces.size(), 19U);
  EXPECT_EQ(plan.collectives.size(), 3U * 19U);
  EXPECT_TRUE(plan.left_out.empty());
}

TEST(KernelPlan, ListsWindowsBesideFullAttention) {
  domain::ModelSpec model = examples::llama_3_1_70b();
  model.max_positions = 131072;
  const domain::AttentionShape heads{.heads = 64, .kv_heads = 8, .head_dim = 64};
  model.groups = {{.count = 1, .layer = {.mixer = domain::attention(model.hidden, heads, domain::MixerKind::sliding_window, 128)}},
                  {.count = 1, .layer = {.mixer = domain::attention(model.hidden, heads)}}};
  const KernelPlan plan = plan_of(model, 1);
  const auto with_window = std::ranges::count(plan.generation_attention, 128, &kernels::AttentionRow::window);
  EXPECT_EQ(with_window * 2, std::ssize(plan.generation_attention));
}

TEST(KernelPlan, ListsExpertsSlicedAndDealtWhole) {
  const KernelPlan plan = plan_of(examples::mixtral_8x7b(), 8);
  const auto with = [&](std::int64_t tp, std::int64_t ep) {
    return std::ranges::count_if(plan.moes, [&](const kernels::MoeRow& row) { return row.tp == tp && row.ep == ep; });
  };
  EXPECT_EQ(with(8, 1), 14);
  EXPECT_EQ(with(1, 8), 14);
  EXPECT_EQ(plan.moes[0].ffn_width, 14336) << "of a whole expert";
}

TEST(KernelPlan, ListsConvolutionsAndRecurrencesOfLinearAttention) {
  domain::ModelSpec model = examples::llama_3_1_70b();
  model.groups = {{.count = 1, .layer = {.mixer = domain::gated_delta_net(2048, 16, 32, 128, 128, 4)}},
                  {.count = 1, .layer = {.mixer = domain::kimi_delta_attention(2304, 32, 128, 4, false)}},
                  {.count = 1, .layer = {.mixer = domain::mamba2(2048, 64, 64, 8, 128, 4, 4.0)}}};
  const KernelPlan plan = plan_of(model, 2);
  EXPECT_TRUE(plan.left_out.empty());
  std::set<std::string> kinds;
  for (const kernels::LinearAttentionRow& row : plan.linear_attention) kinds.insert(row.op + " " + row.phase + " " + row.part);
  EXPECT_THAT(kinds, testing::ElementsAre("gdn context convolution", "gdn context recurrence", "gdn generation convolution",
                                          "gdn generation recurrence", "kda context convolution", "kda context recurrence",
                                          "kda generation whole", "mamba2 context convolution", "mamba2 context recurrence",
                                          "mamba2 generation convolution", "mamba2 generation recurrence"));
  for (const kernels::LinearAttentionRow& row : plan.linear_attention) {
    EXPECT_EQ(row.value_heads, row.op == "mamba2" ? 32 : 16) << row.op << ": of one of two GPUs";
    EXPECT_EQ(row.key_heads, row.op == "gdn" ? 8 : (row.op == "kda" ? 16 : 4)) << row.op;
    EXPECT_EQ(row.new_tokens == 1, row.phase == "generation");
  }
}

/// Two layers of a model's latent attention in FP8 blocks; with its indexer, where it has one.
domain::ModelSpec latent_model(int hidden, int heads, const domain::LatentAttentionSpec& latent, int index_heads) {
  domain::ModelSpec model = examples::llama_3_1_70b();
  model.hidden = hidden;
  domain::Mixer mixer = domain::latent_attention(hidden, heads, latent);
  if (index_heads > 0) {
    domain::add_indexer(mixer, hidden, latent.query_rank,
                        {.attended_entries = 2048, .index_heads = index_heads, .index_head_dim = 128, .index_bytes_per_entry = 132});
  }
  domain::store(mixer, {.format = domain::WeightFormat::fp8_block, .bytes = 1.0});
  model.groups = {{.count = 2, .layer = {.mixer = mixer}}};
  return model;
}
constexpr domain::LatentAttentionSpec kDeepSeekHeads{
    .query_rank = 1536, .kv_rank = 512, .nope_head_dim = 128, .rope_head_dim = 64, .value_head_dim = 128};
constexpr domain::LatentAttentionSpec kGlmHeads{
    .query_rank = 2048, .kv_rank = 512, .nope_head_dim = 192, .rope_head_dim = 64, .value_head_dim = 256};

TEST(KernelPlan, ListsLatentAttentionAsWholeModules) {
  const KernelPlan plan = plan_of(latent_model(7168, 128, kDeepSeekHeads, 0), 8);
  EXPECT_TRUE(plan.left_out.empty());
  ASSERT_FALSE(plan.latent_context.empty());
  ASSERT_FALSE(plan.latent_generation.empty());
  EXPECT_TRUE(plan.sparse_attention.empty());
  for (const NumberFormat format : {NumberFormat::bf16, NumberFormat::fp8_block}) {
    EXPECT_TRUE(std::ranges::any_of(plan.latent_generation, [&](const kernels::LatentAttentionRow& row) {
      return row.format == format && row.heads == 16 && row.batch == 64 && row.kv_tokens == 8192;
    }));
  }
  EXPECT_TRUE(std::ranges::all_of(plan.latent_context,
                                  [](const kernels::LatentAttentionRow& row) { return row.new_tokens == row.kv_tokens; }));
}

TEST(KernelPlan, ListsDecodesOfSparseModulesAndTheLatentOnesPrompts) {
  for (const auto& [model, name] : {std::pair{latent_model(7168, 128, kDeepSeekHeads, 64), "DeepSeek-V3.2"},
                                    std::pair{latent_model(6144, 64, kGlmHeads, 32), "GLM-5"}}) {
    const KernelPlan plan = plan_of(model, 8);
    EXPECT_TRUE(plan.left_out.empty());
    ASSERT_FALSE(plan.sparse_attention.empty());
    EXPECT_EQ(plan.sparse_attention[0].model, name);
    EXPECT_EQ(plan.sparse_attention[0].op, "dsa");
    EXPECT_FALSE(plan.latent_context.empty());
    EXPECT_TRUE(plan.latent_generation.empty());
  }
}

TEST(KernelPlan, NamesWhatItLeavesOut) {
  domain::ModelSpec model = examples::llama_3_1_70b();
  model.name = "mixed";
  model.groups = {{.count = 1, .layer = {.mixer = domain::gated_delta_net(2048, 16, 32, 128, 128, 4)}},
                  {.count = 1, .layer = {.mixer = domain::mamba2(2048, 32, 128, 8, 64, 4, 4.0)}},
                  {.count = 1,
                   .layer = {.mixer = domain::latent_attention(
                                 2048, 16, {.kv_rank = 512, .nope_head_dim = 128, .rope_head_dim = 64, .value_head_dim = 128})}}};
  const KernelPlan plan = plan_of(model, 2);
  ASSERT_FALSE(plan.linear_attention.empty());
  EXPECT_EQ(plan.linear_attention[0].key_heads, 8);
  EXPECT_EQ(plan.linear_attention[0].value_heads, 16);
  EXPECT_THAT(plan.left_out,
              testing::UnorderedElementsAre("mixed: Mamba-2 with heads of other dimensions", "mixed: latent attention"));
  EXPECT_TRUE(plan.generation_attention.empty());
}

}  // namespace
}  // namespace rooftune::latency
