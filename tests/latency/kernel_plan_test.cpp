#include "rooftune/latency/kernel_plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

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

TEST(KernelPlan, ListsTheRecurrenceOfGatedDeltaNetsAndNamesWhatItLeavesOut) {
  domain::ModelSpec model = examples::llama_3_1_70b();
  model.name = "mixed";
  model.groups = {{.count = 1, .layer = {.mixer = domain::gated_delta_net(2048, 16, 32, 128, 128, 4)}},
                  {.count = 1, .layer = {.mixer = domain::mamba2(2048, 64, 64, 8, 128, 4, 4.0)}},
                  {.count = 1,
                   .layer = {.mixer = domain::latent_attention(
                                 2048, 16, {.kv_rank = 512, .nope_head_dim = 128, .rope_head_dim = 64, .value_head_dim = 128})}}};
  const KernelPlan plan = plan_of(model, 2);
  ASSERT_FALSE(plan.linear_attention.empty());
  EXPECT_EQ(plan.linear_attention[0].key_heads, 8);
  EXPECT_EQ(plan.linear_attention[0].value_heads, 16);
  EXPECT_THAT(plan.left_out, testing::UnorderedElementsAre("mixed: Mamba-2", "mixed: latent attention"));
  EXPECT_TRUE(plan.generation_attention.empty());
}

}  // namespace
}  // namespace rooftune::latency
