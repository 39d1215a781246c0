#include <gtest/gtest.h>

#include "rooftune/domain/layers.hpp"

// The example of docs/adding_an_architecture.md, which quotes it.
namespace rooftune::domain {
namespace {

/// Lightning attention (MiniMax-Text-01): no softmax, a state of head_dim x head_dim per head, and an output gate.
Mixer lightning_attention(int hidden, int heads, int head_dim) {
  const int width = heads * head_dim;
  Mixer mixer{.kind = MixerKind::linear, .heads = heads};
  mixer.linear = LinearAttentionSpec{
      .kind = LinearKind::mamba2, .heads = heads, .key_dim = head_dim, .value_dim = head_dim, .kernel = 1, .state_bytes = 4.0};
  mixer.linears = {
      {.name = "in", .inputs = hidden, .outputs = 3 * width, .split = Split::outputs},
      {.name = "gate", .inputs = hidden, .outputs = width, .split = Split::outputs},
      {.name = "out", .inputs = width, .outputs = hidden, .split = Split::inputs},
  };
  return mixer;
}

TEST(ExampleArchitecture, CountsWhatItsLayersAreMadeOf) {
  ModelSpec model;
  model.name = "lightning";
  model.hidden = 6144;
  model.vocabulary = 200064;
  const Ffn ffn = moe_ffn(6144, {.experts = 32, .experts_per_token = 2, .expert_width = 9216});
  const Mixer softmax = attention(6144, {.heads = 64, .kv_heads = 8, .head_dim = 128});
  model.groups = {{.count = 70, .layer = {.mixer = lightning_attention(6144, 64, 128), .ffn = ffn}},
                  {.count = 10, .layer = {.mixer = softmax, .ffn = ffn}}};
  // Published: 456 billion parameters, 45.9 active.
  EXPECT_NEAR(count_parameters(model).total * 1e-9, 456.0, 5.0);
  EXPECT_NEAR(count_parameters(model).active * 1e-9, 45.9, 2.0);
  EXPECT_EQ(kv_bytes_per_token(model), 10 * 2 * 8 * 128 * 2.0) << "one layer in eight has a KV cache";
  EXPECT_EQ(state_bytes_per_request(model), 70 * 64 * 128 * 128 * 4.0);
}

}  // namespace
}  // namespace rooftune::domain
