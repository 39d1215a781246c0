#include "rooftune/data/models.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>

#include "rooftune/data/gpus.hpp"
#include "rooftune/text/document.hpp"
#include "support/places.hpp"
#include "support/temporary_folder.hpp"

namespace rooftune::data {
namespace {

namespace fs = std::filesystem;
using domain::AttentionKind;
using domain::ModelSpec;
using domain::WeightFormat;
using testing_support::TemporaryFolder;

const fs::path kShippedModels = testing_support::source_folder() / "configs" / "models";

template <class T>
T value_or_fail(core::Result<T> result) {
  if (result) return *std::move(result);
  ADD_FAILURE() << core::format(result.error());
  return {};
}

/// The smallest dense config; `more` are further members.
std::string dense_config(const std::string& more = "") {
  return R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_hidden_layers": 4, "hidden_size": 64,
             "num_attention_heads": 8, "intermediate_size": 128, "vocab_size": 100, "tie_word_embeddings": true)" +
         more + "}";
}

/// How the matrix `name` (or "experts") is kept in the layers that have it; the first where they differ.
domain::Stored stored_of(const ModelSpec& model, std::string_view name) {
  for (const auto& [count, layer] : model.groups) {
    if (name == "experts" && layer.ffn.experts) return layer.ffn.experts->stored;
    for (const std::vector<domain::Linear>* linears : {&layer.mixer.linears, &layer.ffn.linears}) {
      for (const domain::Linear& linear : *linears) {
        if (linear.name == name) return linear.stored;
      }
    }
  }
  ADD_FAILURE() << model.name << " has no " << name;
  return {};
}

ModelSpec read_text_config(const std::string& text) {
  const TemporaryFolder folder;
  return value_or_fail(read_model(folder.write("m/config.json", text)));
}

TEST(HuggingFaceModel, IsCalledAfterItsFolderAndDerivesTheHeadDimension) {
  const TemporaryFolder folder;
  folder.write("Tiny-Model/config.json", dense_config());
  const ModelSpec model = value_or_fail(read_model(folder.path() / "Tiny-Model"));
  EXPECT_EQ(model.name, "Tiny-Model");
  EXPECT_EQ(model.attention()->head_dim, 8);
  EXPECT_EQ(model.attention()->kv_heads, 8);
  EXPECT_EQ(model.attention_kind(), AttentionKind::multi_head);
  EXPECT_TRUE(model.tied_embeddings);
  EXPECT_EQ(model.experts(), nullptr);
  EXPECT_FALSE(model.sampling) << "without a generation_config.json the default sampling is unknown";
  EXPECT_EQ(stored_of(model, "qkv"), domain::Stored{});
}

TEST(HuggingFaceModel, TakesDefaultSamplingFromTheFileBesideIt) {
  const TemporaryFolder folder;
  folder.write("m/generation_config.json", R"({"do_sample": true, "temperature": 0.6, "top_p": 0.9, "top_k": 20})");
  const ModelSpec model = value_or_fail(read_model(folder.write("m/config.json", dense_config())));
  ASSERT_TRUE(model.sampling);
  EXPECT_EQ(model.sampling->top_p, 0.9);
  EXPECT_EQ(model.sampling->top_k, 20);
  EXPECT_TRUE(model.sampling->truncates());
}

TEST(HuggingFaceModel, ReadsFp8WithAndWithoutIgnoredModules) {
  const ModelSpec all = read_text_config(dense_config(R"(, "quantization_config": {"quant_method": "fp8"})"));
  EXPECT_EQ(stored_of(all, "qkv"), (domain::Stored{WeightFormat::fp8, 1.0}));
  EXPECT_EQ(all.embedding.bytes, 2.0) << "embeddings and LM head stay in 16 bits";
  EXPECT_EQ(all.lm_head.bytes, 2.0);
  const ModelSpec some = read_text_config(dense_config(
      R"(, "quantization_config": {"quant_method": "fp8", "modules_to_not_convert": ["lm_head", "model.layers.0", "model.layers.1"]})"));
  EXPECT_EQ(domain::resident_weight_bytes(some) - domain::resident_weight_bytes(all),
            2 * (domain::weight_elements(*all.attention()) + 3.0 * 64 * 128))
      << "two of four layers in twice the width";
}

TEST(HuggingFaceModel, ReadsCompressedTensorsAndTheirIgnorePatterns) {
  const std::string groups = R"("config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "float"},
      "input_activations": {"num_bits": 8, "type": "float"}}})";
  const ModelSpec model =
      read_text_config(dense_config(R"(, "quantization_config": {"quant_method": "compressed-tensors", )" + groups +
                                    R"(, "ignore": ["re:.*self_attn.*", "vision_model.model.layers.0.mlp.gate_proj", "lm_head"]})"));
  EXPECT_EQ(stored_of(model, "qkv"), domain::Stored{});
  EXPECT_EQ(stored_of(model, "gate_up"), (domain::Stored{WeightFormat::fp8, 1.0})) << "a vision tower's modules do not count";
}

TEST(HuggingFaceModel, ReadsFourBitWeightsThatComputeIn16Bits) {
  const ModelSpec model = read_text_config(dense_config(R"(, "quantization_config": {"quant_method": "awq", "bits": 4})"));
  EXPECT_EQ(stored_of(model, "down").format, WeightFormat::int4_weight_only);
}

/// Every method of quantisation, its key facts, and how a linear layer is kept then.
TEST(HuggingFaceModel, ReadsEveryMethodOfQuantisation) {
  struct Case {
    const char* config;
    domain::Stored stored;
  };
  const std::array cases{
      Case{R"("quant_method": "fp8", "weight_block_size": [128, 128])", {WeightFormat::fp8_block, 1.0 + 4.0 / 16384}},
      Case{R"("quant_method": "compressed-tensors", "config_groups": {"g": {"weights": {"num_bits": 8, "type": "int"},
              "input_activations": {"num_bits": 8, "type": "int"}}})",
           {WeightFormat::int8, 1.0}},
      Case{R"("quant_method": "compressed-tensors", "config_groups": {"g": {"targets": ["Linear"], "weights": {"num_bits": 4,
              "type": "float", "group_size": 16}, "input_activations": {"num_bits": 4, "type": "float"}}})",
           {WeightFormat::nvfp4, 0.5625}},
      Case{R"("quant_method": "compressed-tensors", "config_groups": {"g": {"weights": {"num_bits": 8, "type": "float",
              "strategy": "block", "block_structure": "128x128"}, "input_activations": {"num_bits": 8, "type": "float"}}})",
           {WeightFormat::fp8_block, 1.0 + 4.0 / 16384}},
      Case{R"("quant_method": "compressed-tensors", "config_groups": {"g": {"weights": {"num_bits": 8, "type": "float",
              "strategy": "block", "block_structure": "64x32"}, "input_activations": {"num_bits": 8, "type": "float"}}})",
           {WeightFormat::fp8_block, 1.0 + 4.0 / 2048}},
      Case{R"("quant_method": "awq", "bits": 4, "group_size": 64)", {WeightFormat::int4_weight_only, 0.53125}},
      Case{R"("quant_method": "awq", "w_bit": 4, "q_group_size": 128)", {WeightFormat::int4_weight_only, 0.515625}},
      Case{R"("quant_method": "gptq", "bits": 8, "group_size": -1)", {WeightFormat::int8_weight_only, 1.0}},
      Case{R"("quant_method": "gptq", "bits": 4, "dynamic": {"+:.*q_proj.*": {"bits": 8, "group_size": 64}})",
           {WeightFormat::int8_weight_only, 1.03125}},
      Case{R"("quant_method": "gptq", "bits": 4, "dynamic": {"-:.*q_proj.*": {}})", {}},
      Case{R"("quant_method": "auto-round", "bits": 4, "extra_config": {"model.layers.0.self_attn.q_proj": {"bits": 16}})", {}},
      Case{R"("quant_method": "awq", "bits": 4, "modules_to_not_convert": ["self_attn"])", {}},
      Case{R"("quant_method": "bitsandbytes", "load_in_4bit": true)", {WeightFormat::int4_weight_only, 0.5625}},
      Case{R"("quant_method": "bitsandbytes", "load_in_4bit": true, "bnb_4bit_use_double_quant": true)",
           {WeightFormat::int4_weight_only, 0.515625}},
      Case{R"("quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head"])", {WeightFormat::nvfp4, 0.5625}},
      Case{
          R"("quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp8_e4m3"}, "input_tensors": {"dtype": "fp8_e4m3"}},
              "exclude": ["lm_head"])",
          {WeightFormat::fp8, 1.0}},
      Case{R"("quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp4", "group_size": 32}},
              "exclude": ["re:model.layers.*self_attn.*"])",
           {}},
      Case{R"("quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp4", "group_size": 32}},
              "layer_quant_config": {"*self_attn*": {"weight": {"dtype": "int8"}, "input_tensors": {"dtype": "int8"}}})",
           {WeightFormat::int8, 1.0}},
      Case{R"("quant_method": "torchao", "quant_type": {"default": {"_type": "Int4WeightOnlyConfig", "_data": {"group_size": 64}}})",
           {WeightFormat::int4_weight_only, 0.53125}},
      Case{R"("quant_method": "torchao", "quant_type": "float8_dynamic_activation_float8_weight")", {WeightFormat::fp8, 1.0}},
  };
  for (const Case& one : cases) {
    const ModelSpec model = read_text_config(dense_config(fmt::format(R"(, "quantization_config": {{{}}})", one.config)));
    EXPECT_EQ(stored_of(model, "qkv"), one.stored)
        << one.config << " gave " << domain::weight_format_name(stored_of(model, "qkv").format) << " of "
        << stored_of(model, "qkv").bytes << " B";
  }
}

TEST(HuggingFaceModel, SaysThatSparseWeightsCountAsDense) {
  const ModelSpec model = read_text_config(dense_config(
      R"(, "quantization_config": {"quant_method": "compressed-tensors", "config_groups": {}, "sparsity_config": {"format": "sparse-24-bitmask"}})"));
  EXPECT_THAT(model.notes, testing::Contains("weights are sparse ('sparse-24-bitmask'): counted as dense"));
}

TEST(HuggingFaceModel, CountsTheMoeLayersOfEveryFamily) {
  const auto moe_layers = [](const std::string& more) {
    return read_text_config(dense_config(", \"num_experts_per_tok\": 2" + more)).moe_layers();
  };
  EXPECT_EQ(moe_layers(R"(, "num_local_experts": 8)"), 4);
  EXPECT_EQ(moe_layers(R"(, "num_experts": 8, "decoder_sparse_step": 2)"), 2);
  EXPECT_EQ(moe_layers(R"(, "num_experts": 8, "mlp_only_layers": [0])"), 3);
  EXPECT_EQ(moe_layers(R"(, "n_routed_experts": 8, "first_k_dense_replace": 1)"), 3);
  EXPECT_EQ(moe_layers(R"(, "num_local_experts": 8, "interleave_moe_layer_step": 4)"), 1);
}

TEST(HuggingFaceModel, ReadsSharedExperts) {
  const ModelSpec qwen2 = read_text_config(dense_config(
      R"(, "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 96)"));
  EXPECT_EQ(qwen2.shared_width(), 96);
  EXPECT_EQ(qwen2.experts()->width, 32);
}

TEST(ShippedModels, AreAllThere) { EXPECT_EQ(value_or_fail(read_models(std::array{kShippedModels})).size(), 28U); }

TEST(ShippedModels, AreFoundByTheIdsOfTheGroundTruth) {
  const auto models = value_or_fail(read_models(std::array{kShippedModels}));
  for (const char* id :
       {"RedHatAI/Llama-4-Scout-17B-16E-Instruct-FP8-dynamic", "meta-llama/Llama-2-7b-hf", "meta-llama/Llama-3.1-70B-Instruct",
        "mistralai/Mistral-Nemo-Instruct-2407", "Qwen/Qwen2.5-7B-Instruct", "01-ai/Yi-34B", "Qwen/Qwen3-14B",
        "meta-llama/Llama-3.1-8B-Instruct", "codellama/CodeLlama-34b-Instruct-hf"}) {
    EXPECT_NE(domain::find_model(models, id), nullptr) << id;
  }
}

TEST(ShippedModels, HoldScoutWithExpertsInAllLayersAndAttentionIn16Bits) {
  const auto models = value_or_fail(read_models(std::array{kShippedModels}));
  const ModelSpec* scout = domain::find_model(models, "RedHatAI/Llama-4-Scout-17B-16E-Instruct-FP8-dynamic");
  ASSERT_NE(scout, nullptr);
  ASSERT_NE(scout->experts(), nullptr);
  EXPECT_EQ(scout->moe_layers(), 48);
  EXPECT_EQ(scout->shared_width(), 8192);
  EXPECT_EQ(stored_of(*scout, "qkv"), domain::Stored{});
  EXPECT_EQ(stored_of(*scout, "experts"), (domain::Stored{WeightFormat::fp8, 1.0}));
  // 109 billion parameters, of which the experts take one byte each.
  EXPECT_NEAR(domain::resident_weight_bytes(*scout), 112e9, 3e9);
}

TEST(ShippedModels, HoldTheFactsOfLatentAttention) {
  const auto models = value_or_fail(read_models(std::array{kShippedModels}));
  const ModelSpec* deepseek = domain::find_model(models, "deepseek-ai/DeepSeek-V2-Lite");
  ASSERT_NE(deepseek, nullptr);
  EXPECT_EQ(deepseek->attention_kind(), AttentionKind::multi_head_latent);
  EXPECT_EQ(domain::kv_bytes_per_token(*deepseek), 27 * (512 + 64) * 2.0);
  EXPECT_NEAR(domain::resident_weight_bytes(*deepseek) / 2.0, 15.7e9, 0.1e9) << "published: 15.7 billion parameters";
}

TEST(ShippedModels, KeepTheFormatsOfTheirWeights) {
  const auto models = value_or_fail(read_models(std::array{kShippedModels}));
  const auto experts = [&](std::string_view name) {
    const auto model = std::ranges::find(models, name, &domain::ModelSpec::name);
    EXPECT_NE(model, models.end()) << name;
    return model->groups.back().layer.ffn.experts->stored;
  };
  using enum domain::WeightFormat;
  EXPECT_EQ(experts("gpt-oss-120b"), (domain::Stored{.format = mxfp4, .bytes = 0.53125}));
  EXPECT_EQ(experts("MiniMax-M2.5").format, fp8_block);
  EXPECT_EQ(experts("MiniMax-M2.5-NVFP4"), (domain::Stored{.format = nvfp4, .bytes = 0.5625}));
  EXPECT_EQ(experts("Kimi-K2.5").format, int4_weight_only);
  const auto kimi = std::ranges::find(models, "Kimi-K2.5", &domain::ModelSpec::name);
  for (const domain::Linear& linear : kimi->groups.back().layer.ffn.linears) EXPECT_EQ(linear.stored.format, bf16) << linear.name;
  const auto llama = std::ranges::find(models, "Llama-3.3-70B-Instruct-FP4", &domain::ModelSpec::name);
  EXPECT_EQ(llama->groups.front().layer.mixer.linears.front().stored.format, nvfp4);
  EXPECT_EQ(llama->lm_head.format, bf16);
  EXPECT_EQ(llama->kv_cache_bytes, 1.0);
}

TEST(ShippedModels, SayWhichSamplingIsKnown) {
  const auto models = value_or_fail(read_models(std::array{kShippedModels}));
  EXPECT_TRUE(domain::find_model(models, "Llama-2-7b-hf")->sampling->truncates());
  EXPECT_FALSE(domain::find_model(models, "Yi-34B")->sampling->truncates());
  EXPECT_FALSE(domain::find_model(models, "qwen3-30b-a3b")->sampling.has_value());
}

TEST(ShippedModels, EqualTheOriginalsWhereThoseAreAtHand) {
  const char* upstream = std::getenv("ROOFTUNE_UPSTREAM_DATA");
  if (upstream == nullptr) GTEST_SKIP() << "ROOFTUNE_UPSTREAM_DATA does not name a folder with model_configs";
  const auto shipped = value_or_fail(read_models(std::array{kShippedModels}));
  for (const fs::directory_entry& entry : fs::directory_iterator(fs::path(upstream) / "model_configs")) {
    if (!fs::exists(entry.path() / "config.json")) continue;
    ModelSpec original = value_or_fail(read_model(entry.path()));
    const ModelSpec* facts = domain::find_model(shipped, original.name);
    ASSERT_NE(facts, nullptr) << original.name;
    // What files say in other words (scales of blocks, prediction layers) and towers are left out.
    const double tower_bytes = 2.0 * original.vision_elements;
    EXPECT_NEAR((domain::resident_weight_bytes(original) - tower_bytes) / domain::resident_weight_bytes(*facts), 1.0, 1e-3)
        << original.name;
    EXPECT_EQ(domain::count_parameters(original).total, domain::count_parameters(*facts).total) << original.name;
    EXPECT_EQ(domain::kv_bytes_per_token(original), domain::kv_bytes_per_token(*facts)) << original.name;
    ASSERT_EQ(original.groups.size(), facts->groups.size()) << original.name;
    for (std::size_t group = 0; group < original.groups.size(); ++group) {
      const domain::LayerGroup& from_config = original.groups[group];
      EXPECT_EQ(from_config.count, facts->groups[group].count) << original.name;
      EXPECT_EQ(from_config.layer.mixer.kind, facts->groups[group].layer.mixer.kind) << original.name;
      EXPECT_EQ(from_config.layer.mixer.window, facts->groups[group].layer.mixer.window) << original.name;
      EXPECT_EQ(from_config.layer.mixer.sparse, facts->groups[group].layer.mixer.sparse) << original.name;
      EXPECT_EQ(from_config.layer.mixer.norm_spans_heads, facts->groups[group].layer.mixer.norm_spans_heads) << original.name;
      const auto formats = [](const domain::Layer& layer) {
        std::vector<domain::WeightFormat> all;
        for (const domain::Linear& linear : layer.mixer.linears) all.push_back(linear.stored.format);
        if (layer.ffn.experts) all.push_back(layer.ffn.experts->stored.format);
        return all;
      };
      EXPECT_EQ(formats(from_config.layer), formats(facts->groups[group].layer)) << original.name;
    }
  }
}

TEST(ReadModels, LetsALaterModelReplaceAnEarlierOne) {
  const TemporaryFolder folder;
  folder.write("Yi-34B/config.json", dense_config());
  const auto models = value_or_fail(read_models(std::array{kShippedModels, folder.path()}));
  EXPECT_EQ(models.size(), 28U);
  EXPECT_EQ(domain::find_model(models, "yi-34b")->layers(), 4);
}

TEST(ReadModels, RefusesAFolderWithoutModels) {
  const TemporaryFolder folder;
  const auto models = read_models(std::array{folder.path()});
  ASSERT_FALSE(models);
  EXPECT_THAT(core::format(models.error()), testing::HasSubstr("the folder holds no model"));
}

TEST(ReadModels, SetsAsideWhatCannotBeReadOfAFolderOfSeveral) {
  const TemporaryFolder folder;
  folder.write("good/config.json", dense_config());
  folder.write("bad/config.json", dense_config(R"(, "quantization_config": {"quant_method": "hqq"})"));
  std::vector<UnreadableModel> set_aside;
  const auto models = value_or_fail(read_models(std::array{folder.path()}, &set_aside));
  ASSERT_EQ(models.size(), 1U);
  EXPECT_EQ(models[0].name, "good");
  ASSERT_EQ(set_aside.size(), 1U);
  EXPECT_EQ(set_aside[0].name, "bad");
  EXPECT_FALSE(set_aside[0].problems.empty());
  EXPECT_FALSE(read_models(std::array{folder.path()})) << "nobody has asked to set anything aside";
}

TEST(ReadModels, TakesAHuggingFaceCacheForAFolderOfModels) {
  const TemporaryFolder folder;
  folder.write("models--org--Tiny-Model/refs/main", "abc\n");
  folder.write("models--org--Tiny-Model/snapshots/abc/config.json", dense_config());
  folder.write("models--org--Tiny-Model/snapshots/old/config.json", dense_config(R"(, "head_dim": 16)"));
  const auto models = value_or_fail(read_models(std::array{folder.path()}));
  ASSERT_EQ(models.size(), 1U);
  EXPECT_EQ(models[0].name, "Tiny-Model");
  EXPECT_EQ(models[0].attention()->head_dim, 8) << "the revision that main is at";
  EXPECT_EQ(value_or_fail(read_model(folder.path() / "models--org--Tiny-Model")).name, "Tiny-Model");
}

TEST(HuggingFaceModel, TakesModelOptsFileBesideIt) {
  const TemporaryFolder folder;
  folder.write(
      "m/hf_quant_config.json",
      R"({"quantization": {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8", "exclude_modules": ["lm_head", "model.layers.1*"]}})");
  const ModelSpec model = value_or_fail(read_model(folder.write("m/config.json", dense_config())));
  EXPECT_EQ(stored_of(model, "qkv").format, WeightFormat::nvfp4);
  EXPECT_EQ(model.kv_cache_bytes, 1.0);
  ASSERT_EQ(model.groups.size(), 2U);
  EXPECT_EQ(model.groups[1].count, 1) << "layer 1 is in 16 bits";
}

TEST(HuggingFaceModel, MatchesPatternsWithTheModulesOwnNames) {
  const ModelSpec model = read_text_config(dense_config(
      R"(, "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "mlp_only_layers": [0],
         "quantization_config": {"quant_method": "compressed-tensors",
           "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "int", "group_size": 32}}},
           "ignore": ["lm_head", "re:.*self_attn.*", "re:.*mlp\\.(gate|up|gate_up|down)_proj.*"]})"));
  EXPECT_EQ(stored_of(model, "gate_up"), domain::Stored{}) << "the dense FFN is named";
  EXPECT_EQ(stored_of(model, "experts"), (domain::Stored{WeightFormat::int4_weight_only, 0.5625})) << "the experts are not";
}

TEST(HuggingFaceModel, ToleratesPythonsNumbers) {
  const ModelSpec model =
      read_text_config(dense_config(R"(, "time_step_limit": [0.0, Infinity], "a": -Infinity, "b": NaN, "c": "Infinity")"));
  EXPECT_EQ(model.layers(), 4);
}

/// docs/adding_an_architecture.md quotes a test that compiles.
TEST(AddingAnArchitecture, QuotesItsTestWordForWord) {
  const fs::path root = testing_support::source_folder();
  const auto page = text::read_text(root / "docs" / "adding_an_architecture.md");
  const auto test = text::read_text(root / "tests" / "domain" / "example_architecture_test.cpp");
  ASSERT_TRUE(page && test);
  int blocks = 0;
  constexpr std::string_view kOpening = "```cpp\n";
  for (std::size_t at = page->find(kOpening); at != std::string::npos; at = page->find(kOpening, at)) {
    at += kOpening.size();
    const std::size_t end = page->find("```", at);
    ASSERT_NE(end, std::string::npos);
    EXPECT_NE(test->find(page->substr(at, end - at)), std::string::npos) << page->substr(at, end - at);
    at = end;
    ++blocks;
  }
  EXPECT_EQ(blocks, 2);
}

TEST(ShippedGpus, AnswerToTheNamesOfTheContracts) {
  const auto gpus = value_or_fail(read_gpus(testing_support::source_folder() / "configs" / "gpus.yaml"));
  ASSERT_EQ(gpus.size(), 6U);
  const std::array<std::array<const char*, 2>, 13> names{{{"H100", "H100-SXM"},
                                                          {"h100_sxm", "H100-SXM"},
                                                          {"A100-80GB", "A100-SXM"},
                                                          {"A100-80", "A100-SXM"},
                                                          {"a100", "A100-SXM"},
                                                          {"l40s", "L40S"},
                                                          {"H200", "H200-SXM"},
                                                          {"h200_sxm", "H200-SXM"},
                                                          {"B200", "B200-SXM"},
                                                          {"b200_sxm", "B200-SXM"},
                                                          {"B300", "B300-SXM"},
                                                          {"NVIDIA-H100-80GB-HBM3", "H100-SXM"},
                                                          {"NVIDIA H100 80GB HBM3", "H100-SXM"}}};
  for (const auto& [alias, name] : names) {
    const domain::GpuSpec* gpu = domain::find_gpu(gpus, alias);
    ASSERT_NE(gpu, nullptr) << alias;
    EXPECT_EQ(gpu->name, name);
  }
  EXPECT_FALSE(domain::find_gpu(gpus, "A100-SXM")->peak_fp8);
  EXPECT_EQ(domain::find_gpu(gpus, "L40S")->interconnect, domain::Interconnect::pcie);
}

TEST(DataDirectory, FollowsTheEnvironmentAndRefusesAFolderWithoutConfigs) {
  const TemporaryFolder folder;
  ::setenv("ROOFTUNE_DATA_DIR", folder.path().c_str(), 1);
  const auto wrong = default_gpus();
  ::setenv("ROOFTUNE_DATA_DIR", testing_support::source_folder().c_str(), 1);
  const auto right = default_gpus();
  ::unsetenv("ROOFTUNE_DATA_DIR");
  ASSERT_FALSE(wrong);
  EXPECT_THAT(core::format(wrong.error()),
              testing::HasSubstr("ROOFTUNE_DATA_DIR names this folder, but it has no folder 'configs' (correct or unset it)"));
  EXPECT_TRUE(right);
  EXPECT_EQ(value_or_fail(default_models()).size(), 28U) << "without the variable, the source tree's";
}

}  // namespace
}  // namespace rooftune::data
