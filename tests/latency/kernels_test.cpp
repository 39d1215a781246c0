#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <string>

#include "batches.hpp"
#include "rooftune/core/derivative.hpp"
#include "rooftune/domain/layers.hpp"
#include "rooftune/kernels/gpu_curves.hpp"
#include "rooftune/latency/catalogue.hpp"
#include "rooftune/latency/operators.hpp"
#include "support/example_targets.hpp"
#include "synthetic_tables.hpp"

namespace rooftune::latency {
namespace {

/// Round figures, and factors of one.
params::Resolved<double> round_parameters() {
  params::Resolved<double> parameters;
  const std::map<std::string, double> values{{"kernels.t_step_us", 100},
                                             {"kernels.t_layer_us", 10},
                                             {"kernels.t_seq_us", 5},
                                             {"kernels.piecewise_layer_us", 7},
                                             {"kernels.launch_layer_us", 0.1},
                                             {"kernels.launch_moe_layer_us", 0.001},
                                             {"kernels.moe_layer_us", 20},
                                             {"kernels.gemm_computing_factor", 1},
                                             {"kernels.all_reduce_skew_us", 6},
                                             {"kernels.expert_load_factor", 1},
                                             {"kernels.mixed_attention_factor", 2},
                                             {"kernels.routing_correlation", 1}};
  for (const auto& [id, value] : values) parameters[params::parameter(id)] = value;
  return parameters;
}

/// With nothing left to the version, as a simulation has it.
domain::EngineSettings settled(domain::EngineSettings settings, std::string mode) {
  settings.version = "0.15.1";
  settings.cudagraph_mode = std::move(mode);
  settings.cudagraph_capture_sizes = {1, 2, 4};
  for (int size = 8; size <= 512; size += size < 256 ? 8 : 16) settings.cudagraph_capture_sizes.push_back(size);
  return settings;
}

/// The model over synthetic tables (synthetic_tables.hpp: every latency is a formula).
class Kernels {
 public:
  explicit Kernels(domain::ModelSpec model, int tp = 1, std::string mode = "FULL_AND_PIECEWISE",
                   const params::Resolved<double>& parameters = round_parameters())
      : model_(std::move(model)), tables_(examples::synthetic_kernels(model_)), deployment_(examples::deployment(model_, gpu_, tp)) {
    deployment_.settings = settled(deployment_.settings, std::move(mode));
    step_time_ = make_step_time<double>("kernels", target(), parameters);
  }

  [[nodiscard]] Target target() const { return {.model = model_, .gpu = gpu_, .deployment = deployment_, .tables = &tables_}; }
  [[nodiscard]] double us(const OwnedBatch& batch) const { return step_time_->piece(batch.view()).duration_us; }
  [[nodiscard]] StepTime<double>& step_time() const { return *step_time_; }
  /// Bytes that pass beside matrix products and attention, at the rate at which the tables' weights stream.
  [[nodiscard]] double element_wise_us(double tokens) const {
    const double rate = tables_.curves(gpu_, domain::Release{0, 15, 1}).form(kernels::NumberFormat::bf16).bytes_per_us;
    return tokens * operators_of(model_, deployment_).element_wise_bytes_per_token / rate;
  }

 private:
  domain::GpuSpec gpu_ = examples::h100();
  domain::ModelSpec model_;
  kernels::KernelTables tables_;
  domain::Deployment deployment_;
  std::unique_ptr<StepTime<double>> step_time_;
};

// 3 us and n k (1e-6 + 3e-9 m) for a product. With m = 8: 1.024e-6 per weight.
TEST(KernelsModel, AddsUpADecodeStepAsWorkedOutByHand) {
  const Kernels one(examples::llama_2_7b());
  // 32 x (12288 x 4096 + 4096 x 4096 + 22016 x 4096 + 4096 x 11008 = 202375168 weights, 4 calls)
  const double products = 32 * (202375168 * 1.024e-6 + 4 * 3.0);
  const double lm_head = 32000 * 4096 * 1.024e-6 + 3.0;
  // 32 KV heads, 8 sequences of 1024 tokens.
  const double attention = 32 * (8.0 + 2e-4 * 8 * 1024 * 32);
  const double host = 100 + 32 * 10 + 8 * 5;
  EXPECT_NEAR(one.us(decodes(8, 1024)), products + lm_head + attention + host + one.element_wise_us(8), 1e-6);

  const Kernels four(examples::llama_2_7b(), 4);
  const double quarter_products = 32 * (202375168 / 4 * 1.024e-6 + 4 * 3.0);
  const double quarter_head = 8000 * 4096 * 1.024e-6 + 3.0;
  const double quarter_attention = 32 * (8.0 + 2e-4 * 8 * 1024 * 8);
  // Two per layer: 4 us and 1e-5 per byte of 8 x 4096 x 2 B, and the wait for the last of four ranks: 1/2 + 1/3 + 1/4.
  const double all_reduce = 64 * (4.0 + 1e-5 * 65536 + 6 * (1.0 / 2 + 1.0 / 3 + 1.0 / 4));
  EXPECT_NEAR(four.us(decodes(8, 1024)),
              quarter_products + quarter_head + quarter_attention + all_reduce + host + four.element_wise_us(8), 1e-6);
}

TEST(KernelsModel, ReadsTablesByItsSwitches) {
  const auto us = [](std::string_view products, std::string_view attention, std::int64_t context) {
    params::Resolved<double> parameters = round_parameters();
    const auto choose = [&](std::string_view id, std::string_view word) {
      const params::SwitchId found = params::switch_id(id);
      const auto place = std::ranges::find(found.spec().choices, word);
      parameters.choose(found, static_cast<std::size_t>(place - found.spec().choices.begin()));
    };
    choose("kernels.products", products);
    choose("kernels.decode_attention", attention);
    return Kernels(examples::llama_2_7b(), 1, "FULL_AND_PIECEWISE", parameters).us(decodes(8, context));
  };
  // The synthetic table's attention is a straight line: read as one it stays, but for the 16 tokens of its smallest call.
  const double measured_us = us("measured", "measured", 1024);
  EXPECT_NEAR(us("measured", "streaming", 1024), measured_us, 1e-3 * measured_us);
  // Products of all shapes weigh the same where only what is typical counts; attention has no part in it.
  const double typical_us = us("typical_16bit", "measured", 1024);
  EXPECT_GT(std::abs(typical_us - measured_us), 1.0);
  EXPECT_NEAR(typical_us, measured_us, 0.15 * measured_us);
  EXPECT_NEAR(us("typical_16bit", "measured", 4096) - us("measured", "measured", 4096), typical_us - measured_us, 1e-6);
}

TEST(KernelsModel, PricesAPromptByItsOwnTables) {
  const Kernels one(examples::llama_2_7b());
  OwnedBatch prompt;
  prompt.prefills = {{.context_tokens = 0, .new_tokens = 1024}};
  const double products = 32 * (202375168 * (1e-6 + 3e-9 * 1024) + 4 * 3.0);
  // The smallest call of the table (16 tokens) is paid once, the rest of the prompt's time beyond it.
  const double attention = 32 * (10.0 + 1e-6 * 32 * 1024 * 1024);
  const double lm_head = 32000 * 4096 * (1e-6 + 3e-9) + 3.0;
  EXPECT_NEAR(one.us(prompt), products + attention + lm_head + 100 + 320 + 5 + one.element_wise_us(1024), 1e-6);
}

TEST(KernelsModel, TakesAChunkForAPromptOfAsManyPairs) {
  const Kernels one(examples::llama_2_7b());
  OwnedBatch prompt;
  prompt.prefills = {{.context_tokens = 0, .new_tokens = 2048}};
  OwnedBatch halves;
  halves.prefills = {{.context_tokens = 0, .new_tokens = 1024}};
  OwnedBatch second;
  second.prefills = {{.context_tokens = 1024, .new_tokens = 1024}};
  const auto attention = [&](const OwnedBatch& batch) {
    for (const StepTerm& term : one.step_time().breakdown(batch.view()).terms) {
      if (term.name == "prefill_attention") return term.duration_us;
    }
    return 0.0;
  };
  // The second half has three times the pairs of the first; a call's constant counts once more.
  EXPECT_NEAR(attention(halves) + attention(second), attention(prompt) + 32 * 10.0, 0.02 * attention(prompt));
}

TEST(KernelsModel, KnowsWhichStepsRunInAGraph) {
  const Kernels whole(examples::llama_2_7b(), 1, "FULL_AND_PIECEWISE");
  const Kernels piecewise(examples::llama_2_7b(), 1, "PIECEWISE");
  // 7 us for each of 32 layers. Mixed steps always do.
  EXPECT_NEAR(piecewise.us(decodes(8, 1024)) - whole.us(decodes(8, 1024)), 7.0 * 32, 1e-9);
  OwnedBatch mixed = decodes(8, 1024);
  mixed.prefills = {{.context_tokens = 600, .new_tokens = 16}};
  EXPECT_NEAR(piecewise.us(mixed), whole.us(mixed), 1e-9);
  const Kernels decode_only(examples::llama_2_7b(), 1, "FULL_DECODE_ONLY");
  EXPECT_NEAR(decode_only.us(decodes(8, 1024)), whole.us(decodes(8, 1024)), 1e-9);
}

TEST(KernelsModel, PadsToTheCapturedSizes) {
  const Kernels model(examples::llama_2_7b());
  const auto products = [&](std::int64_t requests) {
    for (const StepTerm& term : model.step_time().breakdown(decodes(requests, 100).view()).terms) {
      if (term.name == "linear") return term.duration_us;
    }
    return 0.0;
  };
  // 9 and 16 requests run the same products: 3e-9 us a token and weight more than 8.
  EXPECT_DOUBLE_EQ(products(9), products(16));
  EXPECT_NEAR(products(16) - products(8), 32 * (202375168 * 3e-9) * 8, 1e-6);
}

TEST(KernelsModel, WaitsForTheHostWhereNoGraphHoldsTheStep) {
  params::Resolved<double> parameters = round_parameters();
  parameters[params::parameter("kernels.launch_layer_us")] = 5000;
  const Kernels model(examples::llama_2_7b(), 1, "FULL_AND_PIECEWISE", parameters);
  OwnedBatch large;
  large.prefills = {{.context_tokens = 0, .new_tokens = 1024}};
  OwnedBatch small = large;
  small.prefills[0].new_tokens = 256;
  EXPECT_GT(model.us(large), 32 * 5000.0);
  EXPECT_LT(model.us(small), 32 * 5000.0);
}

TEST(KernelsModel, LaunchesExpertsBesideTheirLayers) {
  params::Resolved<double> parameters = round_parameters();
  parameters[params::parameter("kernels.launch_moe_layer_us")] = 50000;
  OwnedBatch large;
  large.prefills = {{.context_tokens = 0, .new_tokens = 1024}};
  EXPECT_GT(Kernels(examples::mixtral_8x7b(), 1, "FULL_AND_PIECEWISE", parameters).us(large), 32 * 50000.0);
  const Kernels dense(examples::llama_2_7b(), 1, "FULL_AND_PIECEWISE", parameters);
  EXPECT_EQ(dense.us(large), Kernels(examples::llama_2_7b()).us(large));
}

class EveryBatch : public testing::TestWithParam<const char*> {
 protected:
  [[nodiscard]] static domain::ModelSpec model() {
    return std::string(GetParam()) == "experts" ? examples::mixtral_8x7b() : examples::llama_3_1_70b();
  }
};

TEST_P(EveryBatch, IsAPieceThatEqualsPlainStepping) {
  const Kernels kernels(model(), 4);
  RandomBatches random(11);
  for (int i = 0; i < 50; ++i) {
    const OwnedBatch batch = random.decode_only();
    const StepPiece<double> piece = kernels.step_time().piece(batch.view());
    ASSERT_GE(piece.valid_steps, 1);
    for (const std::int64_t step : {std::int64_t{1}, piece.valid_steps / 2, piece.valid_steps - 1}) {
      if (step < 0 || step >= piece.valid_steps || step > 5000) continue;
      const double expected = piece.duration_us + static_cast<double>(step * batch.decode_requests) * piece.slope_us_per_token;
      EXPECT_NEAR(kernels.us(batch.after(step)), expected, 1e-6 * expected) << batch.decode_requests << " " << step;
    }
  }
}

TEST_P(EveryBatch, NeverTakesLessForMoreContext) {
  const Kernels kernels(model(), 4);
  RandomBatches random(12);
  for (int i = 0; i < 50; ++i) {
    const OwnedBatch batch = i % 2 == 0 ? random.decode_only() : random.mixed();
    EXPECT_GE(kernels.us(batch.after(100)), kernels.us(batch)) << i;
  }
}

TEST_P(EveryBatch, HasDerivativesThatEqualDifferences) {
  using Dual = core::Dual<core::kNarrowWidth>;
  const Kernels kernels(model(), 4);
  const std::vector<std::string> ids{"kernels.t_step_us",
                                     "kernels.t_layer_us",
                                     "kernels.t_seq_us",
                                     "kernels.gemm_streaming_factor",
                                     "kernels.gemm_computing_factor",
                                     "kernels.decode_attention_factor",
                                     "kernels.mixed_attention_factor",
                                     "kernels.prefill_attention_factor",
                                     "kernels.all_reduce_factor",
                                     "kernels.all_reduce_skew_us",
                                     "kernels.expert_reading_factor",
                                     "kernels.expert_load_factor",
                                     "kernels.routing_correlation",
                                     "kernels.launch_layer_us",
                                     "kernels.moe_layer_us",
                                     "kernels.piecewise_layer_us"};
  RandomBatches random(13);
  for (int i = 0; i < 6; ++i) {
    OwnedBatch batch = i % 2 == 0 ? random.decode_only() : random.mixed();
    for (const std::string& id : ids) {
      params::Resolved<double> parameters = round_parameters();
      parameters[params::parameter("kernels.launch_layer_us")] = 100;
      params::Resolved<Dual> with_derivative = parameters.as<Dual>();
      with_derivative[params::parameter(id)].v[0] = 1.0;
      const double derivative =
          make_step_time<Dual>("kernels", kernels.target(), with_derivative)->piece(batch.view()).duration_us.v[0];
      const auto at = [&](double factor) {
        params::Resolved<double> moved = parameters;
        moved[params::parameter(id)] *= factor;
        return make_step_time<double>("kernels", kernels.target(), moved)->piece(batch.view()).duration_us;
      };
      const double step = 1e-5;
      const double difference = (at(1.0 + step) - at(1.0 - step)) / (2.0 * step * parameters[params::parameter(id)]);
      EXPECT_NEAR(derivative, difference, 1e-4 * std::abs(difference) + 1e-5) << id << " " << i;
    }
  }
}

TEST_P(EveryBatch, HasABreakdownThatAddsUp) {
  const Kernels kernels(model(), 4);
  RandomBatches random(14);
  for (int i = 0; i < 20; ++i) {
    const OwnedBatch batch = i % 2 == 0 ? random.decode_only() : random.mixed();
    const StepBreakdown breakdown = kernels.step_time().breakdown(batch.view());
    double sum = 0.0;
    for (const StepTerm& term : breakdown.terms) sum += term.name == "prefill_launch" ? 0.0 : term.duration_us;
    EXPECT_NEAR(breakdown.total_us, sum, 1e-3 * sum) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, EveryBatch, testing::Values("dense", "experts"));

/// Two layers of DeepSeek-V3.2's attention, eight of its heads, over tables of whole modules whose times are formulas.
class SparseModules : public testing::Test {
 protected:
  SparseModules() {
    model_ = examples::llama_2_7b();
    model_.hidden = 7168;
    model_.max_positions = 65536;
    const domain::LatentAttentionSpec latent{
        .query_rank = 1536, .kv_rank = 512, .nope_head_dim = 128, .rope_head_dim = 64, .value_head_dim = 128};
    domain::Layer layer{.mixer = domain::latent_attention(7168, 8, latent), .ffn = domain::dense_ffn(7168, 1024)};
    domain::add_indexer(layer.mixer, 7168, 1536,
                        {.attended_entries = 2048, .index_heads = 64, .index_head_dim = 128, .index_bytes_per_entry = 132});
    domain::store(layer.mixer, {.format = domain::WeightFormat::fp8_block, .bytes = 1.0});
    model_.groups = {{.count = 2, .layer = layer}};
    measured_ = examples::synthetic_kernels(examples::llama_2_7b());
    for (std::int64_t tokens = 16; tokens <= 65536; tokens *= 2) {
      kernels::LatentAttentionRow prompt{.format = kernels::NumberFormat::fp8_block, .heads = 8, .batch = 1};
      prompt.new_tokens = prompt.kv_tokens = tokens;
      prompt.latency_us = 50.0 + 0.1 * static_cast<double>(tokens);
      measured_.latent_context.push_back(prompt);
    }
    for (std::int64_t batch = 1; batch <= 64; batch *= 8) {
      for (std::int64_t tokens = 128; tokens <= 65536; tokens *= 2) {
        kernels::SparseAttentionRow row{.op = "dsa", .model = "DeepSeek-V3.2", .phase = "generation", .batch = batch, .new_tokens = 1};
        row.kv_tokens = tokens;
        row.heads = 8;
        row.latency_us = module_us(batch, tokens);
        measured_.sparse_attention.push_back(row);
      }
    }
  }

  static double module_us(std::int64_t batch, std::int64_t tokens) {
    return 100.0 + static_cast<double>(batch) + 1e-4 * static_cast<double>(batch * tokens);
  }

  [[nodiscard]] double us(const OwnedBatch& batch) {
    const domain::GpuSpec gpu = examples::h100();
    domain::Deployment deployment = examples::deployment(model_, gpu, 1);
    deployment.settings = settled(deployment.settings, "FULL_AND_PIECEWISE");
    deployment.settings.max_model_len = 65536;
    const kernels::KernelTables tables(measured_);
    const auto step_time = make_step_time<double>(
        "kernels", {.model = model_, .gpu = gpu, .deployment = deployment, .tables = &tables}, round_parameters());
    return step_time->piece(batch.view()).duration_us;
  }

  domain::ModelSpec model_;
  kernels::MeasuredKernels measured_;
};

TEST_F(SparseModules, GoByTheWholeContextThoughLittleOfItIsRead) {
  const double growth = us(decodes(8, 32768)) - us(decodes(8, 16384));
  EXPECT_NEAR(growth, 2 * (module_us(8, 32768) - module_us(8, 16384)), 1e-6) << "both are far beyond the 2048 entries that are read";
}

TEST_F(SparseModules, HoldTheProductsOfTheirLayers) {
  // Without rows of sparse modules the same products and reads are priced one by one.
  const double whole = us(decodes(8, 16384));
  for (kernels::SparseAttentionRow& row : measured_.sparse_attention) row.latency_us += 1000.0;
  EXPECT_NEAR(us(decodes(8, 16384)), whole + 2 * 1000.0, 1e-6);
  measured_.sparse_attention.clear();
  const double apart = us(decodes(8, 16384));
  EXPECT_GT(apart, 0.0);
  EXPECT_NE(apart, whole);
}

TEST_F(SparseModules, PricePromptsByLatentModulesAndTheirOwnReads) {
  OwnedBatch prompt;
  prompt.prefills = {{.context_tokens = 0, .new_tokens = 4096}};
  OwnedBatch after_context = prompt;
  after_context.prefills = {{.context_tokens = 16384, .new_tokens = 4096}};
  // Of a long context a token reads 2048 entries, and scores all: less than reading all would take.
  const double more = us(after_context) - us(prompt);
  EXPECT_GT(more, 0.0);
  for (domain::LayerGroup& group : model_.groups) group.layer.mixer.sparse->attended_entries = 32768;
  EXPECT_GT(us(after_context) - us(prompt), 1.5 * more);
}

/// A layer of full attention and two of MiniMax-M3's sparse attention, eight heads of one GPU, over tables whose times are formulas.
class BlockSparseModules : public testing::Test {
 protected:
  BlockSparseModules() {
    model_ = examples::llama_2_7b();
    model_.hidden = 6144;
    model_.max_positions = 131072;
    const domain::AttentionShape heads{.heads = 8, .kv_heads = 1, .head_dim = 128};
    const domain::Layer full{.mixer = domain::attention(6144, heads), .ffn = domain::dense_ffn(6144, 1024)};
    domain::Layer sparse = full;
    domain::add_indexer(sparse.mixer, 6144, 6144,
                        {.attended_entries = 2048, .index_heads = 4, .index_head_dim = 128, .index_bytes_per_entry = 256});
    domain::store(sparse.mixer, {.format = domain::WeightFormat::fp8_block, .bytes = 1.0});
    model_.groups = {{.count = 1, .layer = full}, {.count = 2, .layer = sparse}};
    measured_ = examples::synthetic_kernels(examples::llama_2_7b());
    for (const std::int64_t batch : {1, 8}) {
      for (const std::int64_t tokens : {1024, 32768}) add("generation", batch, 1, tokens, decode_us(batch, tokens));
    }
    for (const std::int64_t fresh : {1024, 4096}) {
      for (const std::int64_t cached : {0, 128}) add("context", 1, fresh, fresh + cached, chunk_us(fresh, cached));
    }
  }

  static double decode_us(std::int64_t batch, std::int64_t tokens) {
    return 100.0 + static_cast<double>(batch) + 1e-4 * static_cast<double>(batch * tokens);
  }
  static double chunk_us(std::int64_t fresh, std::int64_t cached) {
    return static_cast<double>(fresh) + 0.5 * static_cast<double>(cached);
  }

  void add(const char* phase, std::int64_t batch, std::int64_t fresh, std::int64_t all, double us) {
    kernels::SparseAttentionRow row{.op = "msa", .model = "MiniMax-M3", .phase = phase, .batch = batch, .new_tokens = fresh};
    row.kv_tokens = all;
    row.heads = 8;
    row.latency_us = us;
    measured_.sparse_attention.push_back(row);
  }

  [[nodiscard]] double us(const OwnedBatch& batch) {
    const domain::GpuSpec gpu = examples::h100();
    domain::Deployment deployment = examples::deployment(model_, gpu, 1);
    deployment.settings = settled(deployment.settings, "FULL_AND_PIECEWISE");
    deployment.settings.max_model_len = 131072;
    const kernels::KernelTables tables(measured_);
    const auto step_time = make_step_time<double>(
        "kernels", {.model = model_, .gpu = gpu, .deployment = deployment, .tables = &tables}, round_parameters());
    return step_time->piece(batch.view()).duration_us;
  }
  /// At which long contexts are scored: FLOPs per us of large products.
  [[nodiscard]] double compute_rate() {
    const kernels::KernelTables tables(measured_);
    return tables.curves(examples::h100(), domain::Release{0, 15, 1}).form(kernels::NumberFormat::bf16).flops_per_us;
  }
  [[nodiscard]] double prompt_us(std::int64_t cached, std::int64_t fresh) {
    OwnedBatch prompt;
    prompt.prefills = {{.context_tokens = cached, .new_tokens = fresh}};
    return us(prompt);
  }

  domain::ModelSpec model_;
  kernels::MeasuredKernels measured_;
};

TEST_F(BlockSparseModules, StandBesideLayersOfOtherKinds) {
  // The two sparse layers are modules; products and attention of the full one are priced as ever.
  const double whole = us(decodes(8, 1024));
  for (kernels::SparseAttentionRow& row : measured_.sparse_attention) row.latency_us += 1000.0;
  EXPECT_NEAR(us(decodes(8, 1024)), whole + 2 * 1000.0, 1e-6);
  // One more full layer adds its products and attention, and nothing of the sparse ones.
  const auto grown_by = [&](std::size_t group) {
    const double before = us(decodes(8, 1024));
    ++model_.groups[group].count;
    const double after = us(decodes(8, 1024));
    --model_.groups[group].count;
    return after - before;
  };
  const double full = grown_by(0);
  measured_.sparse_attention.clear();
  EXPECT_NEAR(grown_by(0), full, 1e-6) << "with or without modules";
}

TEST_F(BlockSparseModules, GrowBehindTheLastRowByWhatIsReadAndScored) {
  // From 32768 to 65536 tokens of context the 2048 attended tokens stay as they are; the indexer scores twice as many keys of 256
  // bytes. In proportion to the last row the step would grow by two layers' 109.2 us.
  for (kernels::SparseAttentionRow& row : measured_.sparse_attention) {
    if (row.phase == "generation") row.latency_us = row.kv_tokens > 1024 ? 120.0 : 110.0;
  }
  model_.groups.erase(model_.groups.begin());
  const double growth = us(decodes(8, 65536)) - us(decodes(8, 32768));
  const kernels::KernelTables tables(measured_);
  const double rate = tables.curves(examples::h100(), domain::Release{0, 15, 1}).form(kernels::NumberFormat::bf16).bytes_per_us;
  EXPECT_NEAR(growth, 2 * 8 * 32768 * 256.0 / (0.9 * rate), 1e-6 * growth);
  EXPECT_LT(growth, 109.2);
}

TEST_F(BlockSparseModules, PriceChunksByTheirOwnRows) {
  const double small = prompt_us(0, 1024);
  const double large = prompt_us(0, 4096);
  const double large_behind = prompt_us(128, 4096);
  for (kernels::SparseAttentionRow& row : measured_.sparse_attention) {
    if (row.new_tokens == 4096) row.latency_us += row.kv_tokens == 4096 ? 1000.0 : 3000.0;
  }
  EXPECT_NEAR(prompt_us(0, 1024), small, 1e-9);
  EXPECT_NEAR(prompt_us(0, 4096), large + 2 * 1000.0, 1e-6);
  EXPECT_NEAR(prompt_us(128, 4096), large_behind + 2 * 3000.0, 1e-6);
}

TEST_F(BlockSparseModules, ReadNoMoreThanTheyChooseBehindLongContexts) {
  model_.groups.erase(model_.groups.begin());
  const double behind_128 = prompt_us(128, 4096);
  EXPECT_NEAR(behind_128 - prompt_us(0, 4096), 2 * 64.0, 1e-6);
  const double behind_16k = prompt_us(16384, 4096);
  const double behind_32k = prompt_us(32768, 4096);
  // What is attended to stays 2048 tokens: scores grow alone, 4096 x 16384 pairs of 2 x 4 x 128 FLOPs in each of two layers.
  EXPECT_GT(behind_16k, behind_128);
  const double flops = 2.0 * 4096 * 16384 * 2 * 4 * 128;
  EXPECT_NEAR(behind_32k - behind_16k, flops / (0.65 * compute_rate()), 1e-6 * flops);
}

TEST_F(BlockSparseModules, TakeNoOthersRows) {
  // The same layer in bf16, and one that attends to half as many tokens: no row is theirs.
  const double whole = us(decodes(8, 1024));
  const auto moves = [&] {
    const double before = us(decodes(8, 1024));
    auto kept = measured_.sparse_attention;
    measured_.sparse_attention.clear();
    const double after = us(decodes(8, 1024));
    measured_.sparse_attention = std::move(kept);
    return before != after;
  };
  EXPECT_TRUE(moves());
  domain::Mixer& mixer = model_.groups.back().layer.mixer;
  mixer.sparse->attended_entries = 1024;
  EXPECT_FALSE(moves());
  mixer.sparse->attended_entries = 2048;
  EXPECT_DOUBLE_EQ(us(decodes(8, 1024)), whole);
  domain::store(mixer, {.format = domain::WeightFormat::bf16, .bytes = 2.0});
  EXPECT_FALSE(moves());
}

TEST(KernelsModel, NeedsTables) {
  const domain::ModelSpec model = examples::llama_2_7b();
  const domain::GpuSpec gpu = examples::h100();
  const domain::Deployment deployment = examples::deployment(model, gpu, 1);
  EXPECT_THAT(unsupported_reason("kernels", {.model = model, .gpu = gpu, .deployment = deployment}).value_or(""),
              testing::HasSubstr("no kernel tables were given"));
}

TEST(KernelsModel, SaysWhereNothingWasMeasured) {
  // Tables of a dense bf16 model know no FP8 products.
  domain::ModelSpec model = examples::llama_2_7b();
  for (domain::LayerGroup& group : model.groups) {
    domain::store(group.layer.mixer, {.format = domain::WeightFormat::fp8, .bytes = 1.0});
    domain::store(group.layer.ffn, {.format = domain::WeightFormat::fp8, .bytes = 1.0});
  }
  const Kernels eight_bits(model);
  const Kernels sixteen_bits(examples::llama_2_7b());
  const double us = eight_bits.us(decodes(8, 1024));
  EXPECT_GT(eight_bits.step_time().lookup_report()->count(kernels::LookupEvent::no_table), 0U);
  EXPECT_LT(us, sixteen_bits.us(decodes(8, 1024)));
  EXPECT_GT(us, 0.4 * sixteen_bits.us(decodes(8, 1024)));
  EXPECT_EQ(sixteen_bits.step_time().lookup_report()->count(kernels::LookupEvent::no_table), 0U);
}

}  // namespace
}  // namespace rooftune::latency
