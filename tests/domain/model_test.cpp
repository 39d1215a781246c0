#include "rooftune/domain/model.hpp"

#include <gtest/gtest.h>

#include "support/example_targets.hpp"

namespace rooftune::domain {
namespace {

// Published parameter counts, norms (2 d per layer and d at the end) left out.
TEST(ModelSpec, CountsTheWeightsOfLlama2) {
  const ModelSpec model = examples::llama_2_7b();
  const double parameters = 6738415616.0 - (2.0 * 32 + 1) * 4096;
  EXPECT_EQ(resident_weight_bytes(model), 2.0 * parameters);
}

TEST(ModelSpec, CountsTheWeightsOfMixtralAndThoseThatOneTokenMeets) {
  const ModelSpec model = examples::mixtral_8x7b();
  const double parameters = 46702792704.0 - (2.0 * 32 + 1) * 4096;
  EXPECT_EQ(resident_weight_bytes(model), 2.0 * parameters);
  EXPECT_EQ(count_parameters(model).total, parameters);
  // Six of eight experts and the input embedding are not multiplied.
  EXPECT_EQ(count_parameters(model).active, parameters - 32.0 * 6 * 3 * 4096 * 14336 - 32000.0 * 4096);
}

TEST(ModelSpec, CountsHeadsThatDoNotFillTheHiddenWidth) {
  EXPECT_EQ(weight_elements(*examples::mistral_nemo_12b().attention()), 2.0 * 5120 * 4096 + 2.0 * 5120 * 1024);
}

TEST(ModelSpec, CountsKvBytesOfOneToken) {
  EXPECT_EQ(kv_bytes_per_token(examples::llama_2_7b()), 524288.0);
  EXPECT_EQ(kv_bytes_per_token(examples::llama_3_1_70b()), 327680.0);
}

TEST(ModelSpec, SharesOneTableWhenEmbeddingsAreTied) {
  ModelSpec model = examples::llama_2_7b();
  const double untied = resident_weight_bytes(model);
  model.tied_embeddings = true;
  EXPECT_EQ(untied - resident_weight_bytes(model), 2.0 * 32000 * 4096);
}

TEST(ModelSpec, HasNoDenseLayersWhereAllHaveExperts) {
  EXPECT_EQ(examples::mixtral_8x7b().dense_layers(), 0);
  EXPECT_EQ(examples::llama_2_7b().dense_layers(), 32);
}

TEST(DefaultSampling, TruncatesWithTopPOrTopK) {
  const auto truncates = [](std::optional<double> top_p, std::optional<int> top_k) {
    return DefaultSampling{.temperature = 0.6, .top_p = top_p, .top_k = top_k, .source = "test"}.truncates();
  };
  EXPECT_FALSE(truncates({}, {}));
  EXPECT_FALSE(truncates(1.0, 0));
  EXPECT_FALSE(truncates({}, -1));
  EXPECT_TRUE(truncates(0.9, {}));
  EXPECT_TRUE(truncates({}, 20));
}

TEST(FindModel, TakesTheFullIdOrItsLastComponentInAnyCase) {
  const std::vector<ModelSpec> models{examples::llama_2_7b(), examples::mixtral_8x7b()};
  EXPECT_EQ(find_model(models, "meta-llama/Llama-2-7b-hf"), &models[0]);
  EXPECT_EQ(find_model(models, "llama-2-7B-HF"), &models[0]);
  EXPECT_EQ(find_model(models, "Mixtral-8x7B-v0.1"), &models[1]);
  EXPECT_EQ(find_model(models, "Mixtral-8x7B"), nullptr);
}

TEST(ShortModelName, IsTheLastComponentOfTheId) {
  EXPECT_EQ(short_model_name("meta-llama/Llama-2-7b-hf"), "Llama-2-7b-hf");
  EXPECT_EQ(short_model_name("Llama-2-7b-hf"), "Llama-2-7b-hf");
}

}  // namespace
}  // namespace rooftune::domain
