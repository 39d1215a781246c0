#include "rooftune/domain/served_model.hpp"

#include <gmock/gmock.h>

#include "support/example_targets.hpp"

namespace rooftune::domain {
namespace {

using testing::HasSubstr;

EngineSettings told(const std::string& kv_cache_dtype, const std::string& quantization = "") {
  EngineSettings settings;
  settings.kv_cache_dtype = kv_cache_dtype;
  settings.quantization = quantization;
  return settings;
}

TEST(AsServed, HasTheKvCacheThatTheServerWasTold) {
  ModelSpec model = examples::llama_2_7b();
  EXPECT_EQ(as_served(model, told("")).model, model);
  EXPECT_EQ(as_served(model, told("auto")).model, model);
  EXPECT_EQ(as_served(model, told("fp8")).model.kv_cache_bytes, 1.0);
  EXPECT_EQ(as_served(model, told("fp8_e5m2")).model.kv_cache_bytes, 1.0);
  model.kv_cache_bytes = 1.0;  // as a checkpoint may have it
  EXPECT_EQ(as_served(model, told("auto")).model.kv_cache_bytes, 1.0);
  EXPECT_EQ(as_served(model, told("bfloat16")).model.kv_cache_bytes, 2.0);
}

TEST(AsServed, HasWeightsInFp8WhereTheServerQuantisesThemAtLoad) {
  const ModelSpec model = examples::llama_2_7b();
  const ServedModel served = as_served(model, told("auto", "fp8"));
  EXPECT_EQ(served.notice, "");
  EXPECT_TRUE(is_quantised(served.model));
  // Llama-2-7B: 32 layers of 4 x 4096^2 + 3 x 4096 x 11008 weights; embeddings and lm_head stay.
  const double layers = 32.0 * (4.0 * 4096.0 * 4096.0 + 3.0 * 4096.0 * 11008.0);
  EXPECT_EQ(resident_weight_bytes(model) - resident_weight_bytes(served.model), layers);
  EXPECT_EQ(served.model.lm_head, model.lm_head);
}

TEST(AsServed, SaysWhichWeightsAreNotThere) {
  const ModelSpec model = examples::llama_2_7b();
  const ServedModel served = as_served(model, told("auto", "awq"));
  EXPECT_EQ(served.model, model);
  EXPECT_THAT(served.notice, HasSubstr("'awq', but the config of Llama-2-7b-hf has 16-bit weights: its 13 GB are simulated"));
}

TEST(AsServed, LeavesACheckpointsOwnFormats) {
  const ModelSpec model = as_served(examples::llama_2_7b(), told("auto", "fp8")).model;
  EXPECT_EQ(as_served(model, told("auto", "modelopt")).model, model);
  EXPECT_EQ(as_served(model, told("auto", "modelopt")).notice, "");
}

TEST(Precision, IsHeldAgainstTheWeights) {
  const ModelSpec half = examples::llama_2_7b();
  const ModelSpec fp8 = as_served(half, told("", "fp8")).model;
  for (const char* label : {"FP16", "bf16", "", "as served"}) EXPECT_EQ(contradiction(label, half), "") << label;
  EXPECT_EQ(contradiction("fp8", fp8), "");
  EXPECT_EQ(contradiction("FP8", half),
            "precision is 'FP8', but the config of Llama-2-7b-hf has 16-bit weights: its 13 GB are simulated");
  EXPECT_THAT(contradiction("BF16", fp8), HasSubstr("has 8-bit weights"));
  EXPECT_THAT(contradiction("NVFP4", fp8), HasSubstr("has 8-bit weights"));
}

}  // namespace
}  // namespace rooftune::domain
