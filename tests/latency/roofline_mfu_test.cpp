#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "batches.hpp"
#include "rooftune/core/derivative.hpp"
#include "rooftune/latency/catalogue.hpp"
#include "support/example_targets.hpp"
#include "synthetic_tables.hpp"

namespace rooftune::latency {
namespace {

using examples::all_reduce_us;
using examples::context_attention_us;
using examples::expert_us;
using examples::gemm_us;
using examples::generation_attention_us;
using testing::HasSubstr;

using Switches = std::map<std::string, std::string>;
using Values = std::map<std::string, double>;

/// 100 us per step, 2 per layer, 1 per request; no memory term unless a test turns it on.
params::Resolved<double> with(const Switches& switches = {}, const Values& values = {}) {
  params::Resolved<double> parameters;
  parameters[params::parameter("roofline_mfu.t_step_us")] = 100.0;
  parameters[params::parameter("roofline_mfu.t_layer_us")] = 2.0;
  parameters[params::parameter("roofline_mfu.t_seq_us")] = 1.0;
  parameters[params::parameter("roofline_mfu.all_reduce_skew_us")] = 1e-9;
  parameters.choose(params::switch_id("roofline_mfu.memory_term"), 0);
  for (const auto& [name, word] : switches) {
    const params::SwitchId id = params::switch_id("roofline_mfu." + name);
    parameters.choose(id, params::find_choice(id, word).value());
  }
  for (const auto& [name, value] : values) parameters[params::parameter("roofline_mfu." + name)] = value;
  return parameters;
}

/// A batch with each decode's context, as the engine fills it in for models that ask.
struct DetailedBatch {
  std::vector<PrefillChunk> prefills;
  std::vector<std::int64_t> contexts;

  [[nodiscard]] Batch view() const {
    return {.prefills = prefills,
            .decode_requests = static_cast<std::int64_t>(contexts.size()),
            .decode_context_tokens = std::accumulate(contexts.begin(), contexts.end(), std::int64_t{0}),
            .decode_max_context_tokens = contexts.empty() ? 0 : *std::ranges::max_element(contexts),
            .decode_contexts = contexts};
  }
  [[nodiscard]] DetailedBatch after(std::int64_t steps) const {
    DetailedBatch later = *this;
    for (std::int64_t& context : later.contexts) context += steps;
    return later;
  }
};

DetailedBatch decoding(std::size_t requests, std::int64_t context) {
  return {.prefills = {}, .contexts = std::vector(requests, context)};
}
DetailedBatch prefilling(std::int64_t new_tokens, std::int64_t context = 0) {
  return {.prefills = {{context, new_tokens}}, .contexts = {}};
}

/// roofline_mfu over synthetic tables of the model.
template <class Scalar = double>
class Mfu {
 public:
  Mfu(domain::ModelSpec model, int tp, const params::Resolved<Scalar>& parameters)
      : model_(std::move(model)),
        deployment_(examples::deployment(model_, gpu_, tp)),
        tables_(examples::synthetic_kernels(model_)),
        step_time_(make_step_time<Scalar>("roofline_mfu", target(), parameters)) {}

  [[nodiscard]] Target target() const { return {.model = model_, .gpu = gpu_, .deployment = deployment_, .tables = &tables_}; }
  [[nodiscard]] StepPiece<Scalar> piece(const DetailedBatch& batch) const { return step_time_->piece(batch.view()); }
  [[nodiscard]] Scalar duration_us(const DetailedBatch& batch) const { return piece(batch).duration_us; }
  [[nodiscard]] StepTime<Scalar>& step_time() const { return *step_time_; }

 private:
  domain::GpuSpec gpu_ = examples::h100();
  domain::ModelSpec model_;
  domain::Deployment deployment_;
  kernels::KernelTables tables_;
  std::unique_ptr<StepTime<Scalar>> step_time_;
};

double duration_us(const domain::ModelSpec& model, int tp, const params::Resolved<double>& parameters, const DetailedBatch& batch) {
  return Mfu<>(model, tp, parameters).duration_us(batch);
}

double overheads_us(const domain::ModelSpec& model, int requests) { return 100.0 + 2.0 * model.layers() + 1.0 * requests; }

// Golden values: sums written out from the tables' formulas. 8 decodes that attend to 1024 tokens; one prompt of 1024.
TEST(RooflineMfu, SumsTheKernelsOfADenseModel) {
  const domain::ModelSpec model = examples::llama_2_7b();
  const auto layer_us = [](std::int64_t m) {
    return gemm_us(m, 12288, 4096) + gemm_us(m, 4096, 4096) + gemm_us(m, 22016, 4096) + gemm_us(m, 4096, 11008);
  };
  const Mfu<> tp1(model, 1, with());
  EXPECT_NEAR(tp1.duration_us(decoding(8, 1023)),
              32 * (layer_us(8) + generation_attention_us(8, 1024, 32)) + gemm_us(8, 32000, 4096) + overheads_us(model, 8), 1e-6);
  EXPECT_NEAR(tp1.duration_us(prefilling(1024)),
              32 * (layer_us(1024) + context_attention_us(32, 1024)) + gemm_us(1, 32000, 4096) + overheads_us(model, 1), 1e-6);
}

TEST(RooflineMfu, SumsTheShardsAndAllReducesOfADenseModelAtTp4) {
  const domain::ModelSpec model = examples::llama_2_7b();
  const double layer_us = gemm_us(8, 3072, 4096) + gemm_us(8, 4096, 1024) + gemm_us(8, 5504, 4096) + gemm_us(8, 4096, 2752);
  EXPECT_NEAR(duration_us(model, 4, with(), decoding(8, 1023)),
              32 * (layer_us + generation_attention_us(8, 1024, 8) + 2 * all_reduce_us(8L * 4096 * 2)) + gemm_us(8, 8000, 4096) +
                  overheads_us(model, 8),
              1e-6);
}

TEST(RooflineMfu, SumsTheKernelsOfAGroupedQueryModel) {
  const domain::ModelSpec model = examples::llama_3_1_70b();
  const auto expected_us = [&](std::int64_t tp, double reduce_us) {
    const double layer_us = gemm_us(8, 10240 / tp, 8192) + gemm_us(8, 8192, 8192 / tp) + gemm_us(8, 57344 / tp, 8192) +
                            gemm_us(8, 8192, 28672 / tp) + generation_attention_us(8, 1024, 8 / tp) + 2 * reduce_us;
    return 80 * layer_us + gemm_us(8, 128256 / tp, 8192) + overheads_us(model, 8);
  };
  EXPECT_NEAR(duration_us(model, 1, with(), decoding(8, 1023)), expected_us(1, 0.0), 1e-6);
  EXPECT_NEAR(duration_us(model, 4, with(), decoding(8, 1023)), expected_us(4, all_reduce_us(8L * 8192 * 2)), 1e-6);
}

TEST(RooflineMfu, SumsTheKernelsOfAMixtureOfExperts) {
  const domain::ModelSpec model = examples::mixtral_8x7b();
  const auto expected_us = [&](std::int64_t tp, double reduce_us) {
    const double layer_us = gemm_us(8, 6144 / tp, 4096) + gemm_us(8, 4096, 4096 / tp) + expert_us(8, tp) +
                            generation_attention_us(8, 1024, 8 / tp) + 2 * reduce_us;
    return 32 * layer_us + gemm_us(8, 32000 / tp, 4096) + overheads_us(model, 8);
  };
  EXPECT_NEAR(duration_us(model, 1, with(), decoding(8, 1023)), expected_us(1, 0.0), 1e-6);
  EXPECT_NEAR(duration_us(model, 4, with(), decoding(8, 1023)), expected_us(4, all_reduce_us(8L * 4096 * 2)), 1e-6);
}

TEST(RooflineMfu, LooksUpMoreHeadsAsMoreSequencesSoThatTheCallIsPaidOnce) {
  // Measured on a quarter of the heads only; eight decodes with all of them are as much work as 32 with a quarter.
  const domain::ModelSpec model = examples::llama_2_7b();
  const domain::GpuSpec gpu = examples::h100();
  const domain::Deployment deployment = examples::deployment(model, gpu, 1);
  kernels::MeasuredKernels measured = examples::synthetic_kernels(model);
  const kernels::HeadShape quarter{.heads = 8, .kv_heads = 8, .head_dim = 128};
  const auto is_other = [&](const kernels::AttentionRow& row) { return row.shape != quarter; };
  std::erase_if(measured.generation_attention, is_other);
  std::erase_if(measured.context_attention, is_other);
  const kernels::KernelTables tables(measured);
  const auto few =
      make_step_time<double>("roofline_mfu", {.model = model, .gpu = gpu, .deployment = deployment, .tables = &tables}, with());
  const DetailedBatch batch = decoding(8, 1023);
  // 8 us + 2e-4 us x 8 x 1024 x 32 in each of 32 layers: as if the shape had been measured. Four calls would cost 24 us more.
  EXPECT_NEAR(few->piece(batch.view()).duration_us, duration_us(model, 1, with(), batch), 1e-6);
  EXPECT_GT(few->lookup_report()->count(kernels::LookupEvent::nearest_shape), 0U);
}

TEST(RooflineMfu, SamplesPerStepAndPerSequenceWhereTheModelTruncates) {
  domain::ModelSpec model = examples::llama_2_7b();
  const params::Resolved<double> parameters = with({}, {{"sampler_us_per_kilotoken", 10.0}, {"sampler_seq_us_per_kilotoken", 0.5}});
  const double greedy_us = duration_us(model, 1, parameters, decoding(8, 1023));
  model.sampling = domain::DefaultSampling{};
  model.sampling->top_p = 0.9;
  // 32 kilotokens: 10 us each, and 0.5 us each for every one of 8 sequences.
  EXPECT_NEAR(duration_us(model, 1, parameters, decoding(8, 1023)) - greedy_us, 32.0 * (10.0 + 8 * 0.5), 1e-6);
}

TEST(RooflineMfu, WaitsForTheSlowestRankInEveryAllReduce) {
  const domain::ModelSpec model = examples::llama_2_7b();
  const auto us = [&](int tp, double skew_us) {
    return duration_us(model, tp, with({}, {{"all_reduce_skew_us", skew_us}}), decoding(8, 1023));
  };
  // Two a layer; the slowest of four is 1/2 + 1/3 + 1/4 mean delays behind the average one.
  EXPECT_NEAR(us(4, 6.0) - us(4, 0.0), 2 * 32 * 6.0 * (1. / 2 + 1. / 3 + 1. / 4), 1e-6);
  EXPECT_NEAR(us(1, 6.0) - us(1, 0.0), 0.0, 1e-9);
}

TEST(RooflineMfu, ScalesBf16TimesByThePeaksWhereNoFp8TableExists) {
  domain::ModelSpec model = examples::llama_2_7b();
  examples::store_ffns(model, {.format = domain::WeightFormat::fp8, .bytes = 1.0});
  const double ffn_us = 32 * (gemm_us(8, 22016, 4096) + gemm_us(8, 4096, 11008));
  const double slow_us = duration_us(model, 1, with({{"fp8_source", "bf16_table"}}), decoding(8, 1023));
  EXPECT_NEAR(slow_us - duration_us(model, 1, with(), decoding(8, 1023)), ffn_us * (1.0 - 989.5 / 1979.0), 1e-6);
}

// One change at a time, against the same step with defaults.
class ReviewFinding : public testing::Test {
 protected:
  [[nodiscard]] double extra_us(const params::Resolved<double>& changed, const DetailedBatch& batch, int tp = 1) const {
    return duration_us(model, tp, changed, batch) - duration_us(model, tp, with(), batch);
  }
  domain::ModelSpec model = examples::llama_2_7b();
};

TEST_F(ReviewFinding, PrefillGemmsHaveAsManyRowsAsTokens) {
  const auto layer_us = [](std::int64_t m) {
    return gemm_us(m, 12288, 4096) + gemm_us(m, 4096, 4096) + gemm_us(m, 22016, 4096) + gemm_us(m, 4096, 11008);
  };
  EXPECT_NEAR(extra_us(with({{"gemm_rows", "requests"}}), prefilling(1024)), 32 * (layer_us(1) - layer_us(1024)), 1e-6);
  EXPECT_EQ(extra_us(with({{"gemm_rows", "requests"}}), decoding(8, 1023)), 0.0);
}

TEST_F(ReviewFinding, CausalAttentionComputesHalfTheSquare) {
  EXPECT_NEAR(extra_us(with({{"causal_mask", "full"}}), prefilling(1024)), 32 * context_attention_us(32, 1024), 1e-6);
}

TEST_F(ReviewFinding, PrefillAttentionIsDividedByItsDivisor) {
  EXPECT_NEAR(extra_us(with({}, {{"prefill_attention_divisor", 1.8}}), prefilling(1024)),
              32 * context_attention_us(32, 1024) * (1.0 / 1.8 - 1.0), 1e-6);
}

TEST_F(ReviewFinding, BucketsTakeTheRateOfTheNextPowerOfTwo) {
  // 128 tokens run at the rate of the smallest bucket, 512; 1024 are their own bucket.
  EXPECT_EQ(extra_us(with({{"prefill_bucket", "power_of_two"}}), prefilling(1024)), 0.0);
  const double share = 128.0 / 512.0;
  EXPECT_NEAR(extra_us(with({{"prefill_bucket", "power_of_two"}}), prefilling(128)),
              32 * (share * share * context_attention_us(32, 512) - context_attention_us(32, 128)), 1e-6);
}

TEST_F(ReviewFinding, EnginesFuseProjections) {
  // Seven calls pay the 3 us that every call of these tables costs three times more often than four.
  EXPECT_NEAR(extra_us(with({{"gemm_shapes", "seven"}}), decoding(8, 1023)), 32 * 3 * 3.0, 1e-6);
}

TEST_F(ReviewFinding, DecodeCostsTheSumOfContextsNotTheLongest) {
  const DetailedBatch uneven{.prefills = {}, .contexts = {255, 1023, 511, 4095}};
  const Mfu<> sum(model, 1, with());
  const Mfu<> max(model, 1, with({{"decode_context", "max"}}));
  EXPECT_FALSE(sum.step_time().wants_decode_contexts());
  EXPECT_TRUE(max.step_time().wants_decode_contexts());
  EXPECT_NEAR(max.duration_us(uneven), sum.duration_us(decoding(4, 4095)), 1e-6);
  const double in_buckets_us = duration_us(model, 1, with({{"decode_context", "bucketed"}}), uneven);
  double one_by_one_us = 0.0;
  for (const std::int64_t context : uneven.contexts) one_by_one_us += 32 * generation_attention_us(1, context + 1, 32);
  const double all_but_attention_us = sum.duration_us(decoding(4, 15)) - 32 * generation_attention_us(4, 16, 32);
  EXPECT_NEAR(in_buckets_us, all_but_attention_us + one_by_one_us, 1e-6);
}

TEST_F(ReviewFinding, LookupsMayTakeARowsRateInstead) {
  // m = 24 lies between 16 and 32.
  const auto linear_us = [](double m, std::int64_t row) {
    return m / static_cast<double>(row) *
           (32 * (gemm_us(row, 12288, 4096) + gemm_us(row, 4096, 4096) + gemm_us(row, 22016, 4096) + gemm_us(row, 4096, 11008)) +
            gemm_us(row, 32000, 4096));
  };
  const double floor_us =
      duration_us(model, 1, with({{"lookup", "floor"}}, {{"decode_attention_time_factor", 0.2}}), decoding(24, 1023));
  const double ceiling_us =
      duration_us(model, 1, with({{"lookup", "ceiling"}}, {{"decode_attention_time_factor", 0.2}}), decoding(24, 1023));
  const double attention_us =
      0.2 * 32 * 24.0 * (generation_attention_us(16, 1024, 32) / 16 - generation_attention_us(32, 1024, 32) / 32);
  EXPECT_NEAR(floor_us - ceiling_us, linear_us(24, 16) - linear_us(24, 32) + attention_us, 1e-6);
}

TEST_F(ReviewFinding, AStepTakesNoLessThanReadingItsBytes) {
  // At 1 % of the bandwidth, reading the weights and KV cache of one GPU rules.
  params::Resolved<double> parameters = with({{"memory_term", "on"}});
  parameters[params::parameter("hardware.BwPeakTBs")] = 0.0335;
  parameters[params::parameter("roofline_mfu.memory_bandwidth_fraction")] = 1.0;
  const double weights = 2.0 * 32 * (4.0 * 4096 * 4096 + 3.0 * 4096 * 11008);
  const double kv = 8.0 * 1024 * 2 * 32 * 4096 * 2;
  EXPECT_NEAR(duration_us(model, 1, parameters, decoding(8, 1023)), (weights + kv) / 0.0335e6 + overheads_us(model, 8), 1e-5);
}

TEST_F(ReviewFinding, TpMayDivideAWholeLayersTimeByAPower) {
  const Switches power{{"tp_split", "power"}};
  const double whole_us = duration_us(model, 1, with(), decoding(8, 1023)) - overheads_us(model, 8);
  const double reduce_us = 32 * 2 * all_reduce_us(8L * 4096 * 2);
  EXPECT_NEAR(duration_us(model, 4, with(power), decoding(8, 1023)), whole_us / 4 + reduce_us + overheads_us(model, 8), 1e-6);
  EXPECT_NEAR(duration_us(model, 4, with(power, {{"tp_exponent", 0.5}}), decoding(8, 1023)),
              whole_us / 2 + reduce_us + overheads_us(model, 8), 1e-6);
}

TEST_F(ReviewFinding, TheLmHeadRunsOncePerSequence) {
  EXPECT_NEAR(extra_us(with({{"lm_head", "off"}}), prefilling(1024)), -gemm_us(1, 32000, 4096), 1e-6);
}

TEST_F(ReviewFinding, MixedStepsAreOnePassOrACombinationOfTwo) {
  DetailedBatch mixed = decoding(8, 1023);
  mixed.prefills = {{0, 1024}};
  const double requests_us = overheads_us(model, 9);
  const double prefill_us = duration_us(model, 1, with(), prefilling(1024)) - overheads_us(model, 1);
  const double decode_us = duration_us(model, 1, with(), decoding(8, 1023)) - overheads_us(model, 8);
  const auto by_rule_us = [&](const std::string& rule) {
    return duration_us(model, 1, with({{"mixed_rule", rule}}), mixed) - requests_us;
  };
  EXPECT_NEAR(by_rule_us("additive"), prefill_us + decode_us, 1e-6);
  EXPECT_NEAR(by_rule_us("max"), std::max(prefill_us, decode_us), 1e-6);
  EXPECT_NEAR(by_rule_us("weighted"), 0.75 * prefill_us + 0.25 * decode_us, 1e-6);
  EXPECT_NEAR(by_rule_us("p_norm"), std::pow(std::pow(prefill_us, 5) + std::pow(decode_us, 5), 0.2), 1e-6);
  const double joint_us = by_rule_us("joint");
  EXPECT_LT(joint_us, prefill_us + decode_us) << "weights are read once";
  EXPECT_GT(joint_us, prefill_us);
}

TEST(RooflineMfu, TakesACachedPromptForTheSmallestOne) {
  // One new token over 575 cached ones computes as many pairs as a prompt of 34 tokens.
  const domain::ModelSpec model = examples::llama_2_7b();
  const double cached_us = duration_us(model, 1, with(), prefilling(1, 575));
  const double one_us = duration_us(model, 1, with(), prefilling(1, 0));
  EXPECT_GT(cached_us, one_us);
  EXPECT_LT(cached_us, one_us + 2.0);
}

TEST(RooflineMfu, PieceEqualsPlainSteppingForAsLongAsItSays) {
  RandomBatches random(8);
  for (const char* aggregation : {"sum", "max", "bucketed"}) {
    for (const char* memory_term : {"off", "on"}) {
      const Mfu<> step_time(examples::llama_2_7b(), 1, with({{"decode_context", aggregation}, {"memory_term", memory_term}}));
      for (int i = 0; i < 30; ++i) {
        DetailedBatch batch;
        for (std::int64_t request = random.between(1, 40); request > 0; --request) batch.contexts.push_back(random.between(1, 3000));
        const StepPiece<double> piece = step_time.piece(batch);
        ASSERT_GE(piece.valid_steps, 1);
        const double per_step_us = static_cast<double>(batch.contexts.size()) * piece.slope_us_per_token;
        for (std::int64_t step = 0; step < std::min<std::int64_t>(piece.valid_steps, 2000); step += 1 + piece.valid_steps / 20) {
          const double plain_us = step_time.duration_us(batch.after(step));
          ASSERT_NEAR(piece.duration_us + static_cast<double>(step) * per_step_us, plain_us, 1e-9 * plain_us) << aggregation;
        }
      }
    }
  }
}

TEST(RooflineMfu, DerivativesEqualSymmetricDifferences) {
  using Dual = core::Dual<core::kMediumWidth>;
  const params::Resolved<double> base = with({{"memory_term", "on"}, {"mixed_rule", "p_norm"}, {"tp_split", "power"}});
  params::Resolved<Dual> parameters = base.as<Dual>();
  std::vector<params::ParameterId> inputs{params::parameter("hardware.BwPeakTBs")};
  for (std::size_t i = 0; i < params::parameter_registry().size(); ++i) {
    if (params::parameter_registry()[i].group() == "roofline_mfu") inputs.push_back({i});
  }
  ASSERT_LE(inputs.size(), static_cast<std::size_t>(core::kMediumWidth));
  for (std::size_t i = 0; i < inputs.size(); ++i) parameters[inputs[i]].v[static_cast<int>(i)] = 1.0;
  const domain::ModelSpec model = examples::mixtral_8x7b();
  const Mfu<Dual> with_derivatives(model, 2, parameters);
  DetailedBatch mixed = decoding(20, 700);
  mixed.prefills = {{100, 300}};
  for (const DetailedBatch& batch : {mixed, decoding(20, 700), prefilling(300, 100)}) {
    const Dual duration = with_derivatives.duration_us(batch);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const double step = 1e-5 * base[inputs[i]];
      const auto shifted_us = [&](double shift) {
        params::Resolved<double> shifted = base;
        shifted[inputs[i]] += shift;
        return duration_us(model, 2, shifted, batch);
      };
      const double difference = (shifted_us(step) - shifted_us(-step)) / (2.0 * step);
      EXPECT_NEAR(duration.v[static_cast<int>(i)], difference, 1e-5 * std::abs(difference) + 1e-10 * duration.a / step)
          << inputs[i].spec().id;
    }
  }
}

TEST(RooflineMfu, ReportsWhatTheTablesDoNotCover) {
  const domain::ModelSpec model = examples::llama_2_7b();
  const Mfu<> covered(model, 1, with());
  (void)covered.piece(decoding(8, 1023));
  const kernels::LookupReport& report = *covered.step_time().lookup_report();
  EXPECT_GT(report.count(kernels::LookupEvent::exact), 0U);
  EXPECT_EQ(report.count(kernels::LookupEvent::nearest_shape), 0U);
  (void)covered.piece(decoding(300, 1023));
  EXPECT_GT(report.outside_table(), 0U) << "attention of more than 256 sequences";
}

TEST(RooflineMfu, IsUnsupportedWithoutTheTablesItNeeds) {
  const domain::ModelSpec model = examples::mixtral_8x7b();
  const domain::GpuSpec gpu = examples::h100();
  const domain::Deployment deployment = examples::deployment(model, gpu, 2);
  const auto reason = [&](const kernels::MeasuredKernels& measured) {
    const kernels::KernelTables tables(measured);
    return unsupported_reason("roofline_mfu", {.model = model, .gpu = gpu, .deployment = deployment, .tables = &tables}).value_or("");
  };
  EXPECT_THAT(unsupported_reason("roofline_mfu", {.model = model, .gpu = gpu, .deployment = deployment}).value(),
              HasSubstr("no kernel tables were given"));
  const kernels::MeasuredKernels complete = examples::synthetic_kernels(model);
  EXPECT_EQ(reason(complete), "");
  kernels::MeasuredKernels fp8_only = complete;
  for (kernels::GemmRow& row : fp8_only.gemms) row.format = kernels::NumberFormat::fp8;
  EXPECT_THAT(reason(fp8_only), HasSubstr("no bf16 GEMM table"));
  kernels::MeasuredKernels without_experts = complete;
  without_experts.moes.clear();
  EXPECT_THAT(reason(without_experts), HasSubstr("no bf16 table of expert layers"));
  kernels::MeasuredKernels without_all_reduce = complete;
  without_all_reduce.all_reduces.clear();
  EXPECT_THAT(reason(without_all_reduce), HasSubstr("no table of all-reduce"));
}

TEST(RooflineMfu, BreakdownTotalsToTheStep) {
  const Mfu<> step_time(examples::llama_2_7b(), 2, with());
  const DetailedBatch batch = decoding(8, 700);
  const StepBreakdown breakdown = step_time.step_time().breakdown(batch.view());
  EXPECT_EQ(breakdown.total_us, step_time.duration_us(batch));
  EXPECT_EQ(breakdown.bound, "kernels");
}

}  // namespace
}  // namespace rooftune::latency
