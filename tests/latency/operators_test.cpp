#include "rooftune/latency/operators.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "rooftune/domain/layers.hpp"
#include "support/example_targets.hpp"

// Golden values are worked out by hand from the models' published shapes; the arithmetic stands beside them.
namespace rooftune::latency {
namespace {

using domain::MixerKind;

Operators operators(const domain::ModelSpec& model, int tp, int max_model_len = 131072) {
  domain::Deployment deployment = examples::deployment(model, examples::h100(), tp);
  deployment.settings.max_model_len = max_model_len;
  return operators_of(model, deployment);
}

struct Shape {
  std::int64_t n;
  std::int64_t k;
  double count;
  friend bool operator==(const Shape&, const Shape&) = default;
  friend void PrintTo(const Shape& shape, std::ostream* out) { *out << shape.count << " x [" << shape.n << ", " << shape.k << "]"; }
};

Shape shape_of(const Operators& all, std::string_view name) {
  const auto found = std::ranges::find(all.gemms, name, &Gemm::name);
  if (found == all.gemms.end()) return {0, 0, 0.0};
  return {found->n, found->k, found->count};
}

TEST(Operators, OfADenseModelWithAHeadForEveryQuery) {
  // Llama-2-7B: 32 layers, 32 heads of 128, FFN 11008, vocabulary 32000.
  const Operators one = operators(examples::llama_2_7b(), 1);
  EXPECT_EQ(shape_of(one, "qkv"), (Shape{3 * 4096, 4096, 32}));
  EXPECT_EQ(shape_of(one, "o"), (Shape{4096, 4096, 32}));
  EXPECT_EQ(shape_of(one, "gate_up"), (Shape{2 * 11008, 4096, 32}));
  EXPECT_EQ(shape_of(one, "down"), (Shape{4096, 11008, 32}));
  EXPECT_EQ(shape_of(one, "lm_head"), (Shape{32000, 4096, 1}));
  ASSERT_EQ(one.attentions.size(), 1U);
  EXPECT_EQ(one.attentions[0].reads[0].bytes, 2 * 4096 * 2.0) << "a key and a value of 4096, 16 bits each";
  EXPECT_EQ(one.attentions[0].reads[0].prefill_flops, 4.0 * 4096);
  EXPECT_TRUE(one.collectives.empty());
  EXPECT_EQ(one.layers, 32.0);
  // 8 x 4096 for norms, 2 x 64 x 128 for positions, 3 x 11008 for the gate; 2 bytes each, 32 layers.
  EXPECT_EQ(one.element_wise_bytes_per_token, 2.0 * 32 * (8 * 4096 + 2 * 64 * 128 + 3 * 11008));

  const Operators eight = operators(examples::llama_2_7b(), 8);
  EXPECT_EQ(shape_of(eight, "qkv"), (Shape{1536, 4096, 32}));
  EXPECT_EQ(shape_of(eight, "o"), (Shape{4096, 512, 32}));
  EXPECT_EQ(shape_of(eight, "gate_up"), (Shape{2752, 4096, 32}));
  EXPECT_EQ(shape_of(eight, "down"), (Shape{4096, 1376, 32}));
  EXPECT_EQ(shape_of(eight, "lm_head"), (Shape{4000, 4096, 1}));
  EXPECT_EQ(eight.attentions[0].heads, 4);
  EXPECT_EQ(eight.attentions[0].kv_heads, 4);
  EXPECT_EQ(eight.attentions[0].reads[0].bytes, 2 * 512 * 2.0);
  ASSERT_EQ(eight.collectives.size(), 1U);
  EXPECT_EQ(eight.collectives[0].count, 64.0);
  EXPECT_EQ(eight.collectives[0].ranks, 8);
  EXPECT_EQ(eight.collectives[0].bytes_per_token, 8192.0);
}

TEST(Operators, SumSquaresOverGpusWhereANormSpansAllHeads) {
  domain::ModelSpec model = examples::llama_2_7b();
  for (domain::LayerGroup& group : model.groups) group.layer.mixer.norm_spans_heads = true;
  const Operators eight = operators(model, 8);
  ASSERT_EQ(eight.collectives.size(), 2U);
  EXPECT_EQ(eight.collectives[1].count, 32.0);
  EXPECT_EQ(eight.collectives[1].bytes_per_token, 8.0) << "one sum for queries and one for keys, 32 bits each";
  EXPECT_TRUE(operators(model, 1).collectives.empty());
}

TEST(Operators, OfGroupedQueriesAndOfMoreGpusThanKvHeads) {
  // Llama-3.1-70B: 80 layers of 64 heads and 8 KV heads of 128.
  const Operators one = operators(examples::llama_3_1_70b(), 1);
  EXPECT_EQ(shape_of(one, "qkv"), (Shape{8192 + 2 * 1024, 8192, 80}));
  EXPECT_EQ(one.attentions[0].reads[0].bytes, 2 * 1024 * 2.0);
  EXPECT_EQ(one.attentions[0].reads[0].decode_flops, 4.0 * 8192);
  const Operators eight = operators(examples::llama_3_1_70b(), 8);
  EXPECT_EQ(shape_of(eight, "qkv"), (Shape{1280, 8192, 80}));
  EXPECT_EQ(shape_of(eight, "down"), (Shape{8192, 3584, 80}));
  EXPECT_EQ(eight.attentions[0].kv_heads, 1);
  const Operators sixteen = operators(examples::llama_3_1_70b(), 16);
  EXPECT_EQ(shape_of(sixteen, "qkv"), (Shape{512 + 2 * 128, 8192, 80})) << "every KV head is on two GPUs";
  EXPECT_EQ(sixteen.attentions[0].reads[0].bytes, 2 * 128 * 2.0);
}

/// DeepSeek-V3: 3 dense layers of 18432, 58 of 256 experts of 2048 with a shared one; 128 heads.
domain::ModelSpec deepseek_v3() {
  domain::DecoderShape shape{
      .layers = 61,
      .hidden = 7168,
      .attention = {.heads = 128},
      .latent = domain::LatentAttentionSpec{
          .query_rank = 1536, .kv_rank = 512, .nope_head_dim = 128, .rope_head_dim = 64, .value_head_dim = 128}};
  shape.ffn_width = 18432;
  shape.moe_layers = 58;
  shape.moe = {.experts = 256, .experts_per_token = 8, .expert_width = 2048, .shared_width = 2048};
  shape.attention_stored = shape.ffn_stored = {.format = domain::WeightFormat::fp8_block, .bytes = 1.0};
  return examples::decoder("DeepSeek-V3", 129280, shape);
}

TEST(Operators, OfLatentAttentionAndItsExperts) {
  const Operators one = operators(deepseek_v3(), 1);
  EXPECT_EQ(shape_of(one, "q_a"), (Shape{1536, 7168, 3}));
  EXPECT_EQ(shape_of(one, "q_b"), (Shape{128 * 192, 1536, 3}));
  EXPECT_EQ(shape_of(one, "kv_a"), (Shape{576, 7168, 3}));
  EXPECT_EQ(shape_of(one, "kv_b"), (Shape{128 * 256, 512, 3}));
  EXPECT_EQ(shape_of(one, "o"), (Shape{7168, 128 * 128, 3}));
  ASSERT_EQ(one.attentions.size(), 2U) << "layers with and without experts";
  EXPECT_EQ(one.attentions[0].count + one.attentions[1].count, 61.0);
  const ContextRead& read = one.attentions[0].reads[0];
  EXPECT_EQ(read.bytes, 576 * 2.0) << "one latent for all heads";
  EXPECT_EQ(read.decode_flops, 2.0 * 128 * (576 + 512)) << "decoding multiplies with the latent";
  EXPECT_EQ(read.prefill_flops, 2.0 * 128 * (192 + 128)) << "prefill with keys and values made from it";
  ASSERT_EQ(one.experts.size(), 1U);
  EXPECT_EQ(one.experts[0].count, 58.0);
  EXPECT_EQ(one.experts[0].elements(), 3.0 * 7168 * 2048);
  EXPECT_EQ(shape_of(one, "router"), (Shape{256, 7168, 58}));
  EXPECT_EQ(shape_of(one, "shared_gate_up"), (Shape{4096, 7168, 58}));

  const Operators eight = operators(deepseek_v3(), 8);
  EXPECT_EQ(shape_of(eight, "q_a"), (Shape{1536, 7168, 3})) << "every GPU compresses for itself";
  EXPECT_EQ(shape_of(eight, "q_b"), (Shape{16 * 192, 1536, 3}));
  EXPECT_EQ(shape_of(eight, "o"), (Shape{7168, 16 * 128, 3}));
  EXPECT_EQ(eight.attentions[0].reads[0].bytes, 576 * 2.0) << "and keeps the whole latent";
  EXPECT_EQ(eight.attentions[0].reads[0].decode_flops, 2.0 * 16 * (576 + 512));
  EXPECT_EQ(eight.experts[0].width_on_gpu(), 256);
  EXPECT_EQ(eight.experts[0].experts_on_gpu(), 256);
  EXPECT_EQ(eight.collectives[0].count, 122.0);
}

/// gpt-oss-120b: 18 layers with a window of 128 and 18 without, 64 heads and 8 KV heads of 64, 128 experts of 2880 in MXFP4.
domain::ModelSpec gpt_oss() {
  domain::ModelSpec model = examples::decoder("gpt-oss-120b", 201088, {.layers = 0, .hidden = 2880});
  const domain::AttentionShape heads{.heads = 64, .kv_heads = 8, .head_dim = 64};
  domain::Ffn ffn = domain::moe_ffn(2880, {.experts = 128, .experts_per_token = 4, .expert_width = 2880});
  ffn.experts->stored = {.format = domain::WeightFormat::mxfp4, .bytes = 0.53125};
  model.groups = {{.count = 18, .layer = {.mixer = domain::attention(2880, heads, MixerKind::sliding_window, 128), .ffn = ffn}},
                  {.count = 18, .layer = {.mixer = domain::attention(2880, heads), .ffn = ffn}}};
  return model;
}

TEST(Operators, OfWindowsAndExpertsInFourBits) {
  for (const int tp : {1, 8}) {
    const Operators all = operators(gpt_oss(), tp);
    EXPECT_EQ(shape_of(all, "qkv"), (Shape{(64 + 2 * 8) * 64 / tp, 2880, 18}));
    EXPECT_EQ(shape_of(all, "o"), (Shape{2880, 4096 / tp, 18}));
    ASSERT_EQ(all.attentions.size(), 2U);
    EXPECT_EQ(all.attentions[0].window, 128);
    const ContextRead& windowed = all.attentions[0].reads[0];
    EXPECT_EQ(windowed.bytes, 2.0 * 8 * 64 * 2 / tp);
    EXPECT_EQ(windowed.entries(100.0), 100.0);
    EXPECT_EQ(windowed.entries(1000.0), 128.0);
    EXPECT_FALSE(all.attentions[1].reads[0].is_limited());
    ASSERT_EQ(all.experts.size(), 2U);
    EXPECT_EQ(all.experts[0].width_on_gpu(), 2880 / tp);
    EXPECT_EQ(all.experts[0].stored.bytes, 0.53125);
    EXPECT_EQ(compute_format(all.experts[0].stored.format, {.fp8 = true}), ComputeFormat::bf16) << "Hopper";
    EXPECT_EQ(compute_format(all.experts[0].stored.format, {.fp8 = true, .fp4 = true}), ComputeFormat::fp8) << "Blackwell";
  }
  EXPECT_FALSE(operators(gpt_oss(), 1, 128).attentions[0].reads[0].is_limited()) << "no request outgrows the window";
}

TEST(Operators, OfLinearAttention) {
  // Qwen3-Next: 16 heads of queries and keys and 32 of values, 128 each, behind a convolution over four tokens.
  domain::ModelSpec model = examples::decoder("linear", 151936, {.layers = 0, .hidden = 2048});
  model.groups = {
      {.count = 36, .layer = {.mixer = domain::gated_delta_net(2048, 16, 32, 128, 128, 4), .ffn = {}}},
      {.count = 12, .layer = {.mixer = domain::attention(2048, {.heads = 16, .kv_heads = 2, .head_dim = 256}), .ffn = {}}}};
  const Operators one = operators(model, 1);
  EXPECT_EQ(shape_of(one, "in"), (Shape{2 * 2048 + 2 * 4096, 2048, 36}));
  EXPECT_EQ(shape_of(one, "beta"), (Shape{64, 2048, 36}));
  EXPECT_EQ(shape_of(one, "out"), (Shape{2048, 4096, 36}));
  ASSERT_EQ(one.states.size(), 1U);
  // 32 states of 128 x 128 in 32 bits and three tokens of 8192 channels in 16, read and written.
  EXPECT_EQ(one.states[0].bytes_per_sequence, 2 * (32 * 128 * 128 * 4.0 + 3 * 8192 * 2.0));
  EXPECT_EQ(one.states[0].flops_per_token, 6.0 * 32 * 128 * 128);
  EXPECT_EQ(one.attentions.size(), 1U);
  EXPECT_EQ(one.layers, 24.0) << "48 mixers, no FFN";
  const Operators eight = operators(model, 8);
  EXPECT_EQ(shape_of(eight, "in"), (Shape{12288 / 8, 2048, 36}));
  EXPECT_EQ(eight.states[0].bytes_per_sequence, one.states[0].bytes_per_sequence / 8);
}

TEST(Operators, OfAMixtureOfExperts) {
  // Mixtral-8x7B: two of eight experts of 14336 in every layer.
  const Operators one = operators(examples::mixtral_8x7b(), 1);
  EXPECT_EQ(shape_of(one, "router"), (Shape{8, 4096, 32}));
  ASSERT_EQ(one.experts.size(), 1U);
  EXPECT_EQ(one.experts[0].per_token, 2);
  EXPECT_EQ(one.experts[0].elements(), 3.0 * 4096 * 14336);
  EXPECT_EQ(one.moe_layers, 32.0);
  const Operators eight = operators(examples::mixtral_8x7b(), 8);
  EXPECT_EQ(eight.experts[0].width_on_gpu(), 1792);
  EXPECT_EQ(shape_of(eight, "router"), (Shape{8, 4096, 32})) << "every GPU routes";
}

TEST(Operators, OfExpertsThatAreDealtToTheGpusWhole) {
  domain::Deployment deployment = examples::deployment(deepseek_v3(), examples::h100(), 8);
  deployment.settings.enable_expert_parallel = true;
  const Operators all = operators_of(deepseek_v3(), deployment);
  EXPECT_EQ(all.experts[0].experts_on_gpu(), 32);
  EXPECT_EQ(all.experts[0].width_on_gpu(), 2048);
  EXPECT_EQ(all.experts[0].tp * all.experts[0].ep, 8) << "the same weights in all";
  EXPECT_EQ(all.collectives[0].count, 122.0) << "and the same all-reduces: without data parallelism there is no all-to-all";
}

TEST(Operators, OfSparseAttentionReadTheBestEntriesAndScoreAll) {
  domain::Mixer mixer = domain::latent_attention(
      7168, 128, {.query_rank = 1536, .kv_rank = 512, .nope_head_dim = 128, .rope_head_dim = 64, .value_head_dim = 128});
  domain::add_indexer(mixer, 7168, 1536,
                      {.attended_entries = 2048, .index_heads = 64, .index_head_dim = 128, .index_bytes_per_entry = 132});
  domain::ModelSpec model = examples::decoder("sparse", 129280, {.layers = 0, .hidden = 7168});
  model.groups = {{.count = 61, .layer = {.mixer = mixer, .ffn = {}}}};
  const Operators all = operators(model, 8);
  ASSERT_EQ(all.attentions[0].reads.size(), 2U);
  EXPECT_EQ(all.attentions[0].reads[0].most, 2048);
  EXPECT_EQ(all.attentions[0].reads[1].bytes, 132.0);
  EXPECT_FALSE(all.attentions[0].reads[1].is_limited());
  EXPECT_EQ(shape_of(all, "index_q"), (Shape{64 * 128, 1536, 61}));
  EXPECT_EQ(operators(model, 8, 2048).attentions[0].reads.size(), 1U) << "with no more tokens than are chosen nothing is scored";
}

// A window of 100 tokens: the sum over tokens of what each attends to, by counting.
TEST(ContextRead, CountsThePairsOfAChunk) {
  ContextRead window{.most = 100};
  ContextRead chunks{.most = 100, .restarts = true};
  for (const double context : {0.0, 30.0, 99.0, 100.0, 250.0}) {
    for (const int tokens : {1, 50, 70, 200}) {
      double in_window = 0.0;
      double in_chunk = 0.0;
      for (int i = 0; i < tokens; ++i) {
        // A token attends to half of itself: the mean of before and after it.
        in_window += 0.5 * (std::min(context + i, 100.0) + std::min(context + i + 1, 100.0));
        in_chunk += static_cast<double>((static_cast<int>(context) + i) % 100) + 0.5;
      }
      EXPECT_NEAR(window.pairs(context, tokens), in_window, 1e-9) << context << " " << tokens;
      EXPECT_NEAR(chunks.pairs(context, tokens), in_chunk, 1e-9) << context << " " << tokens;
    }
  }
}

TEST(ContextRead, KnowsWhenItsGrowthEnds) {
  const ContextRead window{.most = 100};
  EXPECT_EQ(window.tokens_to_change(40), 60);
  EXPECT_EQ(window.growth(40), 1.0);
  EXPECT_EQ(window.tokens_to_change(100), 0);
  EXPECT_EQ(window.growth(100), 0.0);
  const ContextRead chunk{.most = 100, .restarts = true};
  EXPECT_EQ(chunk.tokens_to_change(340), 60);
  EXPECT_EQ(chunk.entries(340.0), 40.0);
  const ContextRead compressed{.tokens_per_entry = 4, .most = 100};
  EXPECT_EQ(compressed.entries(200.0), 50.0);
  EXPECT_EQ(compressed.tokens_to_change(200), 200);
  EXPECT_EQ(compressed.growth(200), 0.25);
}

}  // namespace
}  // namespace rooftune::latency
