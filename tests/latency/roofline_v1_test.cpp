#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <ostream>
#include <string>
#include <utility>

#include "batches.hpp"
#include "rooftune/core/derivative.hpp"
#include "rooftune/latency/catalogue.hpp"
#include "support/example_targets.hpp"

namespace rooftune::latency {
namespace {

/// The hand-tuned column of field notes 4 on H100-SXM (defaults for what it does not touch).
constexpr std::array<std::pair<std::string_view, double>, 8> kHandTuned{{
    {"roofline_v1.tpScalingExponent", 0.30},
    {"roofline_v1.decodeTpScalingExponent", 1.15},
    {"roofline_v1.mfuPrefillMultiplier", 2.32},
    {"roofline_v1.mfuDecodeMultiplier", 2.00},
    {"roofline_v1.prefillBwFactor", 0.75},
    {"roofline_v1.decodeBwFactor", 0.96},
    {"roofline_v1.prefillOverheadMicros", 500},
    {"roofline_v1.mixedPrefillOverheadMicros", 150},
}};

params::Resolved<double> hand_tuned(std::string_view extension = "on") {
  params::Resolved<double> parameters;
  for (const auto& [id, value] : kHandTuned) parameters[params::parameter(id)] = value;
  const params::SwitchId id = params::switch_id("roofline_v1.extension");
  parameters.choose(id, params::find_choice(id, extension).value());
  return parameters;
}

/// A step-time model with everything that it refers to.
template <class Scalar>
class Fixture {
 public:
  Fixture(domain::ModelSpec model, int tp, const params::Resolved<Scalar>& parameters)
      : model_(std::move(model)),
        deployment_(examples::deployment(model_, gpu_, tp)),
        step_time_(make_step_time<Scalar>("roofline_v1", {.model = model_, .gpu = gpu_, .deployment = deployment_}, parameters)) {}

  [[nodiscard]] StepPiece<Scalar> piece(const OwnedBatch& batch) const { return step_time_->piece(batch.view()); }
  [[nodiscard]] Scalar duration_us(const OwnedBatch& batch) const { return piece(batch).duration_us; }
  [[nodiscard]] StepBreakdown breakdown(const OwnedBatch& batch) const { return step_time_->breakdown(batch.view()); }

 private:
  domain::GpuSpec gpu_ = examples::h100();
  domain::ModelSpec model_;
  domain::Deployment deployment_;
  std::unique_ptr<StepTime<Scalar>> step_time_;
};

double duration_us(const domain::ModelSpec& model, int tp, const params::Resolved<double>& parameters, const OwnedBatch& batch) {
  return Fixture<double>(model, tp, parameters).duration_us(batch);
}

OwnedBatch prefill(std::int64_t new_tokens, std::int64_t context_tokens = 0) {
  return {.prefills = {{.context_tokens = context_tokens, .new_tokens = new_tokens}}};
}

OwnedBatch both(OwnedBatch prefills, const OwnedBatch& decodes) {
  prefills.decode_requests = decodes.decode_requests;
  prefills.decode_context_tokens = decodes.decode_context_tokens;
  return prefills;
}

// Half a unit of the last printed digit.
constexpr double kPrinted_us = 0.005;

struct Golden {
  std::string name;
  domain::ModelSpec model;
  int tp;
  std::string_view extension;
  double eight_decodes_us;  ///< 8 decodes at 600 tokens
  double one_prefill_us;    ///< one prefill of 575
  double together_us;
};
std::ostream& operator<<(std::ostream& out, const Golden& golden) { return out << golden.name << " tp " << golden.tp; }

class RooflineV1Golden : public testing::TestWithParam<Golden> {};

TEST_P(RooflineV1Golden, GivesTheWorkedValues) {
  const Golden& golden = GetParam();
  const params::Resolved<double> parameters = hand_tuned(golden.extension);
  EXPECT_NEAR(duration_us(golden.model, golden.tp, parameters, decodes(8, 600)), golden.eight_decodes_us, kPrinted_us);
  EXPECT_NEAR(duration_us(golden.model, golden.tp, parameters, prefill(575)), golden.one_prefill_us, kPrinted_us);
  EXPECT_NEAR(duration_us(golden.model, golden.tp, parameters, both(prefill(575), decodes(8, 600))), golden.together_us, kPrinted_us);
}

// Llama-2-7B: field notes, section 4. The others: an independent transcription of the same equations, 2026-11.
INSTANTIATE_TEST_SUITE_P(Models, RooflineV1Golden,
                         testing::Values(Golden{"dense", examples::llama_2_7b(), 1, "off", 7310.52, 8397.24, 8152.45},
                                         Golden{"dense", examples::llama_2_7b(), 4, "off", 3437.91, 6154.22, 5502.04},
                                         Golden{"dense", examples::llama_2_7b(), 1, "on", 7310.52, 8397.24, 8152.45},
                                         Golden{"grouped-query", examples::llama_3_1_70b(), 1, "on", 60516.63, 77136.60, 73008.51},
                                         Golden{"grouped-query", examples::llama_3_1_70b(), 4, "on", 16162.11, 41912.03, 35501.44},
                                         Golden{"narrow heads", examples::mistral_nemo_12b(), 1, "on", 10537.55, 13219.34, 12575.79},
                                         Golden{"narrow heads", examples::mistral_nemo_12b(), 4, "on", 4413.20, 8871.66, 7783.94},
                                         Golden{"experts", examples::mixtral_8x7b(), 1, "on", 37275.26, 52455.03, 48686.99},
                                         Golden{"experts", examples::mixtral_8x7b(), 4, "on", 9522.64, 15143.76, 13765.38},
                                         Golden{"FP8 experts", examples::llama_4_scout_fp8(), 1, "on", 23220.46, 61292.78, 51801.60},
                                         Golden{"FP8 experts", examples::llama_4_scout_fp8(), 4, "on", 7308.63, 17993.20, 15348.95}));

TEST(RooflineV1, WeighsPhasesOfAMixedStepByWhichOneDominates) {
  const params::Resolved<double> parameters = hand_tuned("off");
  const auto step_us = [&](int tp, const OwnedBatch& batch) { return duration_us(examples::llama_2_7b(), tp, parameters, batch); };
  // An independent transcription of the equations, 2026-11: decode-heavy; by tokens; a fully cached prompt (one new token).
  EXPECT_NEAR(step_us(1, both(prefill(60), decodes(130, 600))), 17044.306079, 1e-5);
  EXPECT_NEAR(step_us(4, both(prefill(60), decodes(130, 600))), 6201.024424, 1e-5);
  EXPECT_NEAR(step_us(1, both(prefill(64, 512), decodes(30, 600))), 9127.387424, 1e-5);
  EXPECT_NEAR(step_us(4, both(prefill(64, 512), decodes(30, 600))), 4413.798557, 1e-5);
  EXPECT_NEAR(step_us(1, both(prefill(1, 574), decodes(4, 600))), 7120.658612, 1e-5);
  EXPECT_NEAR(step_us(4, both(prefill(1, 574), decodes(4, 600))), 3462.539270, 1e-5);
}

TEST(RooflineV1, CombinesPhasesOfAMixedStepByTheRuleChosen) {
  const auto step_us = [](std::string_view rule, const OwnedBatch& batch) {
    params::Resolved<double> parameters = hand_tuned("off");
    for (const std::string_view overhead : {"roofline_v1.prefillOverheadMicros", "roofline_v1.mixedPrefillOverheadMicros"}) {
      parameters[params::parameter(overhead)] = 0.0;
    }
    const params::SwitchId id = params::switch_id("roofline_v1.mixed_rule");
    parameters.choose(id, params::find_choice(id, rule).value());
    return duration_us(examples::llama_2_7b(), 1, parameters, batch);
  };
  // One prefill and one decode: the overhead of every step is TOverheadMicros.
  const double prefill_us = step_us("weighted", prefill(575)) - 500.0;
  const double decode_us = step_us("weighted", decodes(1, 600)) - 500.0;
  const OwnedBatch mixed = both(prefill(575), decodes(1, 600));
  EXPECT_NEAR(step_us("weighted", mixed) - 500.0, 0.75 * prefill_us + 0.25 * decode_us, 1e-6);
  EXPECT_NEAR(step_us("additive", mixed) - 500.0, prefill_us + decode_us, 1e-6);
  EXPECT_NEAR(step_us("max", mixed) - 500.0, std::max(prefill_us, decode_us), 1e-6);
  EXPECT_NEAR(step_us("p_norm", mixed) - 500.0, std::pow(std::pow(prefill_us, 5) + std::pow(decode_us, 5), 0.2), 1e-6);
}

TEST(RooflineV1, ExtensionChangesNoBitOfADenseBf16Model) {
  RandomBatches random(1);
  for (const int tp : {1, 2, 4}) {
    const Fixture<double> original(examples::llama_2_7b(), tp, hand_tuned("off"));
    const Fixture<double> extended(examples::llama_2_7b(), tp, hand_tuned("on"));
    for (int i = 0; i < 100; ++i) {
      const OwnedBatch batch = i % 2 == 0 ? random.decode_only() : random.mixed();
      EXPECT_EQ(original.duration_us(batch), extended.duration_us(batch));
      EXPECT_EQ(original.piece(batch).slope_us_per_token, extended.piece(batch).slope_us_per_token);
    }
  }
}

TEST(RooflineV1, ComputesFp8InBf16WhereTheGpuHasNoFp8Units) {
  params::Resolved<double> without_fp8 = hand_tuned();
  without_fp8[params::parameter("hardware.TFlopsFP8")] = 0.0;
  domain::ModelSpec bf16_products = examples::llama_4_scout_fp8();
  examples::store_ffns(bf16_products, {.format = domain::WeightFormat::int8_weight_only, .bytes = 1.0});
  const OwnedBatch batch = prefill(4000);
  EXPECT_EQ(duration_us(examples::llama_4_scout_fp8(), 1, without_fp8, batch), duration_us(bf16_products, 1, hand_tuned(), batch));
  EXPECT_LT(duration_us(examples::llama_4_scout_fp8(), 1, hand_tuned(), batch),
            duration_us(examples::llama_4_scout_fp8(), 1, without_fp8, batch));
}

TEST(RooflineV1, ReadsAllExpertsOnceEnoughTokensChoose) {
  // One token touches 2 of 8 experts; thousands touch all: the resident bytes then bound the step.
  const params::Resolved<double> parameters = hand_tuned();
  const double one_us = duration_us(examples::mixtral_8x7b(), 1, parameters, decodes(1, 1));
  const double many_us = duration_us(examples::mixtral_8x7b(), 1, parameters, decodes(64, 1));
  EXPECT_GT(many_us / one_us, 2.5);
  EXPECT_LT(many_us / one_us, 4.0);
}

TEST(RooflineV1, RoundsToWholeMicrosecondsOnRequest) {
  params::Resolved<double> parameters = hand_tuned("off");
  parameters.choose(params::switch_id("roofline_v1.round_to_us"), 1);
  const Fixture<double> rounded(examples::llama_2_7b(), 1, parameters);
  EXPECT_EQ(rounded.duration_us(decodes(8, 600)), 7311.0);
  EXPECT_EQ(rounded.duration_us(prefill(575)), 8397.0);
  EXPECT_EQ(rounded.duration_us(both(prefill(575), decodes(8, 600))), 8152.0);
  EXPECT_EQ(rounded.piece(decodes(8, 600)).valid_steps, 1);
}

TEST(RooflineV1, PerLayerOverheadHasNoEffect) {
  params::Resolved<double> parameters = hand_tuned();
  const double before_us = duration_us(examples::llama_2_7b(), 1, parameters, decodes(8, 600));
  parameters[params::parameter("roofline_v1.perLayerOverhead")] = 999.0;
  EXPECT_EQ(duration_us(examples::llama_2_7b(), 1, parameters, decodes(8, 600)), before_us);
}

// Parameters for which more of the resource can only help, whatever the batch.
constexpr std::array kFasterWhenLarger{"hardware.BwPeakTBs",
                                       "hardware.TFlopsPeak",
                                       "roofline_v1.BwEffConstant",
                                       "roofline_v1.prefillBwFactor",
                                       "roofline_v1.decodeBwFactor",
                                       "roofline_v1.mfuPrefill",
                                       "roofline_v1.mfuDecode",
                                       "roofline_v1.vectorPeakFraction",
                                       "roofline_v1.mfuPrefillMultiplier",
                                       "roofline_v1.mfuDecodeMultiplier"};

TEST(RooflineV1, IsNeverSlowerWithMoreBandwidthOrMoreCompute) {
  RandomBatches random(2);
  for (int i = 0; i < 100; ++i) {
    const OwnedBatch batch = i % 2 == 0 ? random.decode_only() : random.mixed();
    const params::Resolved<double> base = hand_tuned();
    const double base_us = duration_us(examples::mixtral_8x7b(), 2, base, batch);
    for (const char* id : kFasterWhenLarger) {
      params::Resolved<double> better = base;
      better[params::parameter(id)] *= 1.3;
      EXPECT_LE(duration_us(examples::mixtral_8x7b(), 2, better, batch), base_us) << id;
    }
  }
}

TEST(RooflineV1, IsNeverFasterWithMoreTokensOfOnePhase) {
  // Mixed steps are left out: their weights jump with the token counts.
  RandomBatches random(3);
  const Fixture<double> step_time(examples::llama_4_scout_fp8(), 2, hand_tuned());
  for (int i = 0; i < 200; ++i) {
    const OwnedBatch decoding = random.decode_only();
    OwnedBatch more_context = decoding;
    ++more_context.decode_context_tokens;
    OwnedBatch more_requests = more_context;
    ++more_requests.decode_requests;
    EXPECT_LE(step_time.duration_us(decoding), step_time.duration_us(more_context));
    EXPECT_LE(step_time.duration_us(more_context), step_time.duration_us(more_requests));

    OwnedBatch prefilling = random.mixed();
    prefilling.decode_requests = prefilling.decode_context_tokens = 0;
    OwnedBatch longer = prefilling;
    ++longer.prefills.front().new_tokens;
    EXPECT_LE(step_time.duration_us(prefilling), step_time.duration_us(longer));
  }
}

TEST(RooflineV1, DoesNotCareAboutTheOrderOfPrefills) {
  RandomBatches random(4);
  const Fixture<double> step_time(examples::llama_2_7b(), 1, hand_tuned());
  for (int i = 0; i < 50; ++i) {
    OwnedBatch batch = random.mixed();
    const double forward_us = step_time.duration_us(batch);
    std::ranges::reverse(batch.prefills);
    EXPECT_NEAR(step_time.duration_us(batch), forward_us, 1e-12 * forward_us);
  }
}

/// Parameters at which decode steps of Llama-2-7B change sides as their context grows, in either direction.
params::Resolved<double> with_vector_peak(double fraction) {
  params::Resolved<double> parameters = hand_tuned();
  parameters[params::parameter("roofline_v1.vectorPeakFraction")] = fraction;
  return parameters;
}

TEST(RooflineV1, PieceEqualsPlainSteppingForAsLongAsItSaysAndNoLonger) {
  RandomBatches random(5);
  int pieces_that_end = 0;
  for (const double vector_peak_fraction : {0.002, 0.006, 0.02, 0.1}) {
    const Fixture<double> step_time(examples::llama_2_7b(), 1, with_vector_peak(vector_peak_fraction));
    for (int i = 0; i < 100; ++i) {
      const OwnedBatch batch = random.decode_only();
      const StepPiece<double> piece = step_time.piece(batch);
      const double per_step_us = static_cast<double>(batch.decode_requests) * piece.slope_us_per_token;
      const auto closed_form_us = [&](std::int64_t step) { return piece.duration_us + static_cast<double>(step) * per_step_us; };
      const std::int64_t last = std::min<std::int64_t>(piece.valid_steps, 5000) - 1;
      for (std::int64_t step = 0; step <= last; step += std::max<std::int64_t>(1, last / 40)) {
        const double plain_us = step_time.duration_us(batch.after(step));
        ASSERT_NEAR(closed_form_us(step), plain_us, 1e-9 * plain_us);
      }
      EXPECT_NEAR(closed_form_us(last), step_time.duration_us(batch.after(last)), 1e-9 * closed_form_us(last));
      if (piece.valid_steps == kEveryStep) continue;
      ++pieces_that_end;
      // Two steps on, so that a tie at the very crossing does not count.
      EXPECT_GT(step_time.duration_us(batch.after(piece.valid_steps + 1)), closed_form_us(piece.valid_steps + 1));
    }
  }
  EXPECT_GT(pieces_that_end, 20);
}

TEST(RooflineV1, AStepWithPrefillsIsAPieceOfItsOwn) {
  const Fixture<double> step_time(examples::llama_2_7b(), 1, hand_tuned());
  EXPECT_EQ(step_time.piece(both(prefill(575), decodes(8, 600))).valid_steps, 1);
}

TEST(RooflineV1, GivesTheSameForMoreDecodesThanTheEngineAdmits) {
  // Beyond max_num_seqs nothing is prepared; the values must join on.
  const Fixture<double> step_time(examples::mixtral_8x7b(), 1, hand_tuned());
  const double at_limit_us = step_time.duration_us(decodes(128, 600));
  const double beyond_us = step_time.duration_us(decodes(129, 600));
  EXPECT_GT(beyond_us, at_limit_us);
  EXPECT_LT(beyond_us, 1.01 * at_limit_us);
}

TEST(RooflineV1, BreakdownNamesTheRulingResourceAndTotalsToTheStep) {
  const Fixture<double> step_time(examples::llama_2_7b(), 1, hand_tuned());
  EXPECT_EQ(step_time.breakdown(decodes(8, 600)).bound, "memory");
  EXPECT_EQ(step_time.breakdown(prefill(2000)).bound, "compute");
  params::Resolved<double> slow_host = hand_tuned();
  slow_host[params::parameter("roofline_v1.TOverheadMicros")] = 40000.0;
  EXPECT_EQ(Fixture<double>(examples::llama_2_7b(), 1, slow_host).breakdown(decodes(8, 600)).bound, "overhead");
  RandomBatches random(6);
  for (int i = 0; i < 20; ++i) {
    const OwnedBatch batch = random.mixed();
    EXPECT_EQ(step_time.breakdown(batch).total_us, step_time.duration_us(batch));
  }
}

TEST(RooflineV1, DerivativesEqualSymmetricDifferences) {
  using Dual = core::Dual<core::kMediumWidth>;
  std::vector<params::ParameterId> inputs;
  for (std::size_t i = 0; i < params::parameter_registry().size(); ++i) {
    const std::string_view group = params::parameter_registry()[i].group();
    if (group == "roofline_v1" || group == "hardware") inputs.push_back({i});
  }
  for (const domain::ModelSpec& model : {examples::llama_2_7b(), examples::llama_4_scout_fp8()}) {
    for (std::size_t first = 0; first < inputs.size(); first += core::kMediumWidth) {
      const std::size_t count = std::min<std::size_t>(core::kMediumWidth, inputs.size() - first);
      params::Resolved<Dual> parameters = hand_tuned().as<Dual>();
      for (std::size_t i = 0; i < count; ++i) parameters[inputs[first + i]].v[static_cast<int>(i)] = 1.0;
      const Fixture<Dual> with_derivatives(model, 2, parameters);
      RandomBatches random(7);
      for (int repeat = 0; repeat < 20; ++repeat) {
        const OwnedBatch batch = repeat % 2 == 0 ? random.decode_only() : random.mixed();
        const Dual duration = with_derivatives.duration_us(batch);
        EXPECT_EQ(duration.a, duration_us(model, 2, hand_tuned(), batch));
        for (std::size_t i = 0; i < count; ++i) {
          const double step = 1e-5 * std::max(1e-3, hand_tuned()[inputs[first + i]]);
          const auto shifted_us = [&](double shift) {
            params::Resolved<double> shifted = hand_tuned();
            shifted[inputs[first + i]] += shift;
            return duration_us(model, 2, shifted, batch);
          };
          const double difference = (shifted_us(step) - shifted_us(-step)) / (2.0 * step);
          EXPECT_NEAR(duration.v[static_cast<int>(i)], difference, 1e-5 * std::abs(difference) + 1e-9 * duration.a / step)
              << inputs[first + i].spec().id;
        }
      }
    }
  }
}

}  // namespace
}  // namespace rooftune::latency
