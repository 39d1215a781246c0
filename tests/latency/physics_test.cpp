#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "batches.hpp"
#include "rooftune/core/derivative.hpp"
#include "rooftune/domain/layers.hpp"
#include "rooftune/latency/catalogue.hpp"
#include "support/example_targets.hpp"

namespace rooftune::latency {
namespace {

using Terms = std::map<std::string, double>;

/// Round figures, so that every expected term can be worked out by hand: linear layers run at 5e8 FLOP/us and stream at 2e6 B/us,
/// the KV cache at 3.2e6 B/us, prefill attention runs at 2.5e8 FLOP/us, all-reduces move 2e5 B/us; p = 1 adds compute and memory.
params::Resolved<double> round_parameters() {
  params::Resolved<double> parameters;
  const Terms values{{"hardware.TFlopsPeak", 1000},
                     {"hardware.TFlopsFP8", 2000},
                     {"hardware.BwPeakTBs", 4},
                     {"hardware.link_GBs", 400},
                     {"physics.t_step_us", 100},
                     {"physics.t_layer_us", 10},
                     {"physics.t_seq_us", 5},
                     {"physics.prefill_layer_us", 0.1},
                     {"physics.sampler_us_per_kilotoken", 1},
                     {"physics.sampler_seq_us_per_kilotoken", 0.1},
                     {"physics.gemm_fraction", 0.5},
                     {"physics.fp8_call_us", 3},
                     {"physics.weight_bandwidth_fraction", 0.5},
                     {"physics.kv_bandwidth_fraction", 0.8},
                     {"physics.mixed_kv_factor", 2},
                     {"physics.prefill_attention_fraction", 0.25},
                     {"physics.pnorm", 1},
                     {"physics.allreduce_us", 4},
                     {"physics.allreduce_skew_us", 6},
                     {"physics.allreduce_fraction", 0.5},
                     {"physics.moe_weight_bandwidth_fraction", 0.5},
                     {"physics.moe_gemm_fraction", 0.5},
                     {"physics.moe_layer_us", 10},
                     {"physics.moe_routing_correlation", 1}};
  for (const auto& [id, value] : values) parameters[params::parameter(id)] = value;
  return parameters;
}

/// The physics model of a deployment on a GPU whose figures the parameters replace.
class Physics {
 public:
  Physics(domain::ModelSpec model, int tp, const params::Resolved<double>& parameters = round_parameters())
      : model_(std::move(model)),
        deployment_(examples::deployment(model_, gpu_, tp)),
        step_time_(make_step_time<double>("physics", {.model = model_, .gpu = gpu_, .deployment = deployment_}, parameters)) {}

  [[nodiscard]] double us(const OwnedBatch& batch) const { return step_time_->piece(batch.view()).duration_us; }
  [[nodiscard]] StepTime<double>& step_time() const { return *step_time_; }

 private:
  domain::GpuSpec gpu_ = examples::h100();
  domain::ModelSpec model_;
  domain::Deployment deployment_;
  std::unique_ptr<StepTime<double>> step_time_;
};

double sum(const Terms& terms) {
  return std::accumulate(terms.begin(), terms.end(), 0.0, [](double total, const auto& term) { return total + term.second; });
}

// Llama-2-7B: 32 layers of 4 x 4096^2 = 67108864 attention and 3 x 4096 x 11008 = 135266304 FFN weights: 6476005376 in all.
// Batch: 8 decodes with 1000 tokens of context each.
TEST(Physics, StepsOfADenseModelAddUpAsWorkedOutByHand) {
  const Terms tp1{
      {"compute", 207.232172032},  // 8 x 2 x 6476005376 FLOPs / 5e8
      {"weights", 6476.005376},    // 2 B x 6476005376 / 2e6
      {"LM head", 131.072},        // 2 B x 32000 x 4096 / 2e6
      {"activations", 21.037056},  // 8 x 2 B x [32 x (8 x 4096 + 2 x 64 x 128) + 3 x 32 x 11008 = 2629632] / 2e6
      {"KV reads", 1310.72},       // 8000 x [2 x 32 x 32 x 128 x 2 B = 524288 B] / 3.2e6
      {"overheads", 460.0},        // 100 + 32 x 10 + 8 x 5
  };
  EXPECT_NEAR(Physics(examples::llama_2_7b(), 1).us(decodes(8, 1000)), sum(tp1), 1e-6);

  const Terms tp4{
      {"compute", 51.808043008},       // a quarter
      {"weights", 1619.001344},        // a quarter
      {"LM head", 32.768},             // a quarter
      {"activations", 11.55072},       // 8 x 2 B x [32 x (8 x 4096 + 2 x 64 x 128 / 4) + 3 x 32 x 11008 / 4 = 1443840] / 2e6
      {"KV reads", 327.68},            // a quarter
      {"overheads", 460.0},            // host work does not shrink
      {"all-reduce calls", 672.0},     // 2 x 32 x (4 + 6 x (1/2 + 1/3 + 1/4))
      {"all-reduce bytes", 31.45728},  // 2 x 32 x 8 x [2 x 3/4 x 4096 x 2 B = 12288 B] / 2e5
  };
  EXPECT_NEAR(Physics(examples::llama_2_7b(), 4).us(decodes(8, 1000)), sum(tp4), 1e-6);
}

// The same with a prompt of 1000 tokens beside the 8 decodes: 1008 tokens, 9 sequences. Launching takes 32 x 0.1 us beside
// milliseconds of GPU work: the norm with exponent 8 does not see it.
TEST(Physics, MixedStepsOfADenseModelAddUpAsWorkedOutByHand) {
  OwnedBatch batch = decodes(8, 1000);
  batch.prefills.push_back({.context_tokens = 0, .new_tokens = 1000});
  const Terms tp1{
      {"compute", 26111.253676032},                                                      // 1008 x 2 x 6476005376 / 5e8
      {"weights", 6476.005376},     {"LM head", 131.072}, {"activations", 2650.669056},  // 1008 x 2.629632
      {"KV reads", 2621.44},    // 8000 tokens of the decodes, twice 0.16384 us each
      {"attention", 1048.576},  // 4 x 32 x 32 x 128 x [1000 x 1000 / 2] / 2.5e8
      {"overheads", 465.0},     // 100 + 32 x 10 + 9 x 5
  };
  EXPECT_NEAR(Physics(examples::llama_2_7b(), 1).us(batch), sum(tp1), 1e-5);
}

// Of the same step 38907.94 us are the GPU's (compute, weights, activations, KV reads, attention), 596.07 what no launch runs beside.
TEST(Physics, LaunchingRunsBesideTheGpu) {
  OwnedBatch batch = decodes(8, 1000);
  batch.prefills.push_back({.context_tokens = 0, .new_tokens = 1000});
  const double gpu_us = 26111.253676032 + 6476.005376 + 2650.669056 + 2621.44 + 1048.576;
  for (const double layer_us : {300.0, 1000.0, 1215.0, 1216.0, 1500.0, 2000.0}) {
    params::Resolved<double> parameters = round_parameters();
    parameters[params::parameter("physics.prefill_layer_us")] = layer_us;
    const double both_us = std::pow(std::pow(gpu_us, 8) + std::pow(32 * layer_us, 8), 0.125);
    EXPECT_NEAR(Physics(examples::llama_2_7b(), 1, parameters).us(batch), both_us + 131.072 + 465.0, 1e-4) << layer_us;
  }
}

TEST(Physics, HasDerivativesOfItsNormsThatEqualDifferences) {
  using Dual = core::Dual<core::kNarrowWidth>;
  OwnedBatch batch = decodes(8, 1000);
  batch.prefills.push_back({.context_tokens = 0, .new_tokens = 300});
  const domain::ModelSpec model = examples::llama_2_7b();
  const domain::GpuSpec gpu = examples::h100();
  const domain::Deployment deployment = examples::deployment(model, gpu, 1);
  const Target target{.model = model, .gpu = gpu, .deployment = deployment};
  params::Resolved<double> parameters = round_parameters();
  // Either side of either norm rules once.
  for (const auto& [layer_us, fraction] : {std::pair{300.0, 0.5}, {500.0, 0.9}}) {
    parameters[params::parameter("physics.prefill_layer_us")] = layer_us;
    parameters[params::parameter("physics.gemm_fraction")] = fraction;
    parameters[params::parameter("physics.pnorm")] = 2.5;
    for (const char* const name : {"physics.prefill_layer_us", "physics.gemm_fraction", "physics.weight_bandwidth_fraction",
                                   "physics.pnorm", "physics.kv_bandwidth_fraction"}) {
      const params::ParameterId id = params::parameter(name);
      const auto us = [&](double factor) {
        params::Resolved<double> moved = parameters;
        moved[id] *= factor;
        return make_step_time<double>("physics", target, moved)->piece(batch.view()).duration_us;
      };
      params::Resolved<Dual> with_derivative = parameters.as<Dual>();
      with_derivative[id].v[0] = 1.0;
      const Dual dual = make_step_time<Dual>("physics", target, with_derivative)->piece(batch.view()).duration_us;
      constexpr double kStep = 1e-5;
      const double difference = (us(1.0 + kStep) - us(1.0 - kStep)) / (2.0 * kStep * parameters[id]);
      EXPECT_EQ(dual.a, us(1.0)) << name;
      EXPECT_NEAR(dual.v[0], difference, 1e-6 * std::abs(difference) + 1e-6) << name << " " << layer_us;
    }
  }
}

// Llama-3.1-70B: 80 layers of 8192 x (8192 + 2 x 1024) + 8192^2 = 150994944 attention and 3 x 8192 x 28672 = 704643072 FFN
// weights: 68451041280 in all. It samples with top-p from 128256 entries.
TEST(Physics, StepsOfAGroupedQueryModelAddUpAsWorkedOutByHand) {
  domain::ModelSpec model = examples::llama_3_1_70b();
  model.sampling = domain::DefaultSampling{};
  model.sampling->top_p = 0.9;
  const Terms tp1{
      {"compute", 2190.43332096},       // 16 x 68451041280 / 5e8
      {"weights", 68451.04128},         // 2 x 68451041280 / 2e6
      {"LM head", 1050.673152},         // 2 x 128256 x 8192 / 2e6
      {"activations", 108.78976},       // 8 x 2 x [80 x (8 x 8192 + 2 x 72 x 128) + 3 x 80 x 28672 = 13598720] / 2e6
      {"KV reads", 819.2},              // 8000 x [2 x 80 x 8 x 128 x 2 = 327680] / 3.2e6
      {"overheads", 940.0},             // 100 + 80 x 10 + 8 x 5
      {"sampler", 128.256 + 102.6048},  // 1 x 128.256 + 8 x 0.1 x 128.256
  };
  EXPECT_NEAR(Physics(model, 1).us(decodes(8, 1000)), sum(tp1), 1e-5);

  const Terms tp4{
      {"compute", 547.60833024},
      {"weights", 17112.76032},
      {"LM head", 262.668288},
      {"activations", 58.65472},  // 8 x 2 x [80 x (8 x 8192 + 2 x 72 x 128 / 4) + 3 x 80 x 28672 / 4 = 7331840] / 2e6
      {"KV reads", 204.8},        // two KV heads on each GPU
      {"overheads", 940.0},
      {"sampler", 128.256 + 102.6048},  // every rank samples from all logits
      {"all-reduce calls", 1680.0},     // 2 x 80 x 10.5
      {"all-reduce bytes", 157.2864},   // 2 x 80 x 8 x [2 x 3/4 x 8192 x 2 = 24576] / 2e5
  };
  EXPECT_NEAR(Physics(model, 4).us(decodes(8, 1000)), sum(tp4), 1e-5);
}

// Mixtral-8x7B: 32 layers of 4096 x (4096 + 2 x 1024) + 4096^2 = 41943040 attention weights, 1342177280 in all; one expert of
// every layer 32 x 3 x 4096 x 14336 = 5637144576. 8 tokens reach 8 x (1 - (3/4)^8) = 7.1990966796875 of the 8 experts.
TEST(Physics, StepsOfAMixtureOfExpertsAddUpAsWorkedOutByHand) {
  const Terms tp1{
      {"attention compute", 42.94967296},  // 16 x 1342177280 / 5e8
      {"attention weights", 1342.17728},   // 2 x 1342177280 / 2e6
      {"expert compute", 360.777252864},   // 8 x 2 x 2 x 5637144576 / 5e8
      {"expert weights", 40582.3488},      // 7.1990966796875 x 2 x 5637144576 / 2e6
      {"routing", 320.0},                  // 32 x 10
      {"LM head", 131.072},                // 2 x 32000 x 4096 / 2e6
      {"activations", 33.030144},          // 8 x 2 x [32 x (8 x 4096 + 2 x 40 x 128) + 3 x 32 x 2 x 14336 = 4128768] / 2e6
      {"KV reads", 327.68},                // 8000 x [2 x 32 x 8 x 128 x 2 = 131072] / 3.2e6
      {"overheads", 460.0},                // 100 + 32 x 10 + 8 x 5
  };
  EXPECT_NEAR(Physics(examples::mixtral_8x7b(), 1).us(decodes(8, 1000)), sum(tp1), 1e-5);

  const Terms tp4{
      {"attention compute", 10.73741824},
      {"attention weights", 335.54432},
      {"expert compute", 90.194313216},
      {"expert weights", 10145.5872},
      {"routing", 320.0},  // every rank routes
      {"LM head", 32.768},
      {"activations", 14.548992},  // 8 x 2 x [32 x (8 x 4096 + 2 x 40 x 128 / 4) + 3 x 32 x 2 x 14336 / 4 = 1818624] / 2e6
      {"KV reads", 81.92},
      {"overheads", 460.0},
      {"all-reduce calls", 672.0},     // 2 x 32 x 10.5
      {"all-reduce bytes", 31.45728},  // as for Llama-2-7B: the same hidden size
  };
  EXPECT_NEAR(Physics(examples::mixtral_8x7b(), 4).us(decodes(8, 1000)), sum(tp4), 1e-5);
}

TEST(Physics, Fp8LayersPayForQuantisationOnceACall) {
  domain::ModelSpec model = examples::llama_2_7b();
  domain::store(model.groups[0].layer.mixer, {.format = domain::WeightFormat::fp8, .bytes = 1.0});
  params::Resolved<double> free_calls = round_parameters();
  free_calls[params::parameter("physics.fp8_call_us")] = 0.0;
  // QKV and O of 32 layers, 3 us each.
  EXPECT_NEAR(Physics(model, 1).us(decodes(8, 1000)) - Physics(model, 1, free_calls).us(decodes(8, 1000)), 32 * 2 * 3.0, 1e-6);
}

TEST(Physics, EveryRankWaitsForTheSlowest) {
  params::Resolved<double> in_step = round_parameters();
  in_step[params::parameter("physics.allreduce_skew_us")] = 0.0;
  const auto waiting_us = [&](int tp) {
    return Physics(examples::llama_2_7b(), tp).us(decodes(8, 1000)) -
           Physics(examples::llama_2_7b(), tp, in_step).us(decodes(8, 1000));
  };
  EXPECT_NEAR(waiting_us(1), 0.0, 1e-9);
  EXPECT_NEAR(waiting_us(2), 64 * 6.0 / 2, 1e-6);  // H(2) - 1 = 1/2
  EXPECT_NEAR(waiting_us(8), 64 * 6.0 * (1. / 2 + 1. / 3 + 1. / 4 + 1. / 5 + 1. / 6 + 1. / 7 + 1. / 8), 1e-6);
}

TEST(Physics, BreakdownsOfDecodeStepsAddUpToTheStepWhereTermsAreAdded) {
  for (const domain::ModelSpec& model : {examples::llama_2_7b(), examples::mixtral_8x7b()}) {
    for (const int tp : {1, 4}) {
      const StepBreakdown breakdown = Physics(model, tp).step_time().breakdown(decodes(8, 1000).view());
      double total_us = 0.0;
      for (const StepTerm& term : breakdown.terms) total_us += term.duration_us;
      EXPECT_NEAR(total_us, breakdown.total_us, 1e-6) << model.name << " tp " << tp;
    }
  }
}

TEST(Physics, APieceEqualsPlainSteppingForAsLongAsItSays) {
  const Physics physics(examples::llama_3_1_70b(), 4);
  RandomBatches batches(7);
  for (int trial = 0; trial < 50; ++trial) {
    const OwnedBatch batch = batches.decode_only();
    const StepPiece<double> piece = physics.step_time().piece(batch.view());
    EXPECT_EQ(piece.valid_steps, kEveryStep);
    const double later_us = piece.duration_us + 1000.0 * static_cast<double>(batch.decode_requests) * piece.slope_us_per_token;
    EXPECT_NEAR(physics.us(batch.after(1000)), later_us, 1e-9 * later_us);
  }
}

TEST(Physics, MoreWorkNeverTakesLessTime) {
  const Physics physics(examples::llama_4_scout_fp8(), 2, params::Resolved<double>{});
  RandomBatches batches(11);
  for (int trial = 0; trial < 200; ++trial) {
    const OwnedBatch batch = trial % 2 == 0 ? batches.decode_only() : batches.mixed();
    OwnedBatch longer = batch;
    longer.decode_context_tokens += 1000;
    OwnedBatch larger = batch;
    larger.decode_requests += 1;
    EXPECT_GE(physics.us(longer), physics.us(batch));
    EXPECT_GE(physics.us(larger), physics.us(batch));
  }
}

/// Two layers with a window of 100 tokens and two without, Llama-2-7B's heads.
domain::ModelSpec with_windows() {
  domain::ModelSpec model = examples::llama_2_7b();
  const domain::AttentionShape heads{.heads = 32, .kv_heads = 32, .head_dim = 128};
  const domain::Ffn ffn = domain::dense_ffn(4096, 11008);
  model.groups = {{.count = 2, .layer = {.mixer = domain::attention(4096, heads, domain::MixerKind::sliding_window, 100), .ffn = ffn}},
                  {.count = 2, .layer = {.mixer = domain::attention(4096, heads), .ffn = ffn}}};
  return model;
}

Batch decoding(const std::vector<std::int64_t>& contexts) {
  Batch batch;
  batch.decode_requests = static_cast<std::int64_t>(contexts.size());
  batch.decode_context_tokens = std::accumulate(contexts.begin(), contexts.end(), std::int64_t{0});
  batch.decode_contexts = contexts;
  return batch;
}

TEST(Physics, ReadsNoMoreThanTheWindowInLayersThatHaveOne) {
  const Physics physics(with_windows(), 1);
  EXPECT_TRUE(physics.step_time().wants_decode_contexts());
  const std::vector<std::int64_t> contexts{40, 1000};
  const std::vector<std::int64_t> none{0, 0};
  const double reads_us = physics.step_time().duration_us(decoding(contexts)) - physics.step_time().duration_us(decoding(none));
  // 2 x 2 x 4096 x 2 B = 32768 B per token in two layers: all 1040 tokens in two of them, 40 + 100 in the others; 3.2e6 B/us.
  EXPECT_NEAR(reads_us, (1040 + 140) * 32768.0 / 3.2e6, 1e-9);
}

TEST(Physics, EndsAPieceWhereARequestOutgrowsTheWindow) {
  const Physics physics(with_windows(), 1);
  std::vector<std::int64_t> contexts{40, 93, 1000};
  const StepPiece<double> piece = physics.step_time().piece(decoding(contexts));
  EXPECT_EQ(piece.valid_steps, 7);
  for (int step = 0; step < 30; ++step) {
    const double us = physics.step_time().duration_us(decoding(contexts));
    if (step < piece.valid_steps) {
      EXPECT_NEAR(us, piece.duration_us + step * 3 * piece.slope_us_per_token, 1e-9) << step;
    }
    for (std::int64_t& context : contexts) ++context;
  }
}

TEST(Physics, PrefillsAndMixedStepsSeeTheWindowToo) {
  const Physics physics(with_windows(), 1);
  const auto us = [&](std::int64_t context, std::int64_t tokens) {
    const std::vector<PrefillChunk> prefills{{.context_tokens = context, .new_tokens = tokens}};
    Batch batch;
    batch.prefills = prefills;
    return physics.step_time().duration_us(batch);
  };
  // 1000 more tokens of context: 1000 more reads in two layers (twice 0.01024 us each) and 64 x 1000 more pairs in two layers
  // (4 x 2 x 4096 FLOPs at 2.5e8 FLOP/us); nothing in the layers whose window is full.
  EXPECT_NEAR(us(2000, 64) - us(1000, 64), 1000 * 2 * 0.01024 + 64 * 1000 * 4 * 2 * 4096 / 2.5e8, 1e-6);
}

TEST(Physics, ReadsAndWritesTheStateOfLinearAttentionPerSequence) {
  domain::ModelSpec model = examples::llama_2_7b();
  const domain::Ffn ffn = domain::dense_ffn(4096, 11008);
  model.groups = {{.count = 4, .layer = {.mixer = domain::gated_delta_net(4096, 16, 32, 128, 128, 4), .ffn = ffn}}};
  const Physics physics(model, 1);
  const std::vector<std::int64_t> short_ones{10, 10};
  const std::vector<std::int64_t> long_ones{1000, 1000};
  const double two_us = physics.step_time().duration_us(decoding(short_ones));
  EXPECT_EQ(two_us, physics.step_time().duration_us(decoding(long_ones))) << "whatever the context";
  domain::ModelSpec without = model;
  without.groups[0].layer.mixer.linear->state_bytes = 0.0;
  without.groups[0].layer.mixer.linear->convolution_bytes = 0.0;
  // Read and written: 2 x (32 x 128 x 128 x 4 + 3 x 8192 x 2) B in each of four layers, for each of two sequences.
  EXPECT_NEAR(two_us - Physics(without, 1).step_time().duration_us(decoding(short_ones)), 2 * 4 * 2 * 2146304.0 / 3.2e6, 1e-6);
}

TEST(Physics, DecodesLatentAttentionByBytesAndProductsTogether) {
  domain::DecoderShape shape = examples::llama_2_7b_shape();
  shape.latent = domain::LatentAttentionSpec{.kv_rank = 512, .nope_head_dim = 128, .rope_head_dim = 64, .value_head_dim = 128};
  const Physics physics(examples::decoder("latent", 32000, shape), 1);
  // Per token and layer 576 x 2 B at 3.2e6 B/us and 2 x 32 x (576 + 512) FLOPs at 2.5e8 FLOP/us: with p = 1 they add.
  EXPECT_NEAR(physics.us(decodes(8, 1000)) - physics.us(decodes(8, 0)), 8000 * 32 * (1152 / 3.2e6 + 69632 / 2.5e8), 1e-6);
}

TEST(Physics, StreamsFourBitWeightsAndComputesThemAsTheGpuCan) {
  domain::ModelSpec model = examples::llama_2_7b();
  const domain::Stored nvfp4{.format = domain::WeightFormat::nvfp4, .bytes = 0.5};
  domain::store(model.groups[0].layer.mixer, nvfp4);
  domain::store(model.groups[0].layer.ffn, nvfp4);
  params::Resolved<double> blackwell = round_parameters();
  blackwell[params::parameter("hardware.TFlopsFP4")] = 4000;
  blackwell[params::parameter("physics.fp8_gemm_fraction")] = 0.5;
  blackwell[params::parameter("physics.fp8_call_us")] = 0;
  // No FP4 units: compute at 5e8 FLOP/us as 16 bits; with them at 2e9. Half a byte per weight either way.
  const double flops = 8 * 2 * 6476005376.0;
  const double without_us = Physics(model, 1).us(decodes(8, 0));
  EXPECT_NEAR(without_us - Physics(model, 1, blackwell).us(decodes(8, 0)), flops / 5e8 - flops / 2e9, 1e-6);
  EXPECT_NEAR(Physics(examples::llama_2_7b(), 1).us(decodes(8, 0)) - without_us, 1.5 * 6476005376.0 / 2e6, 1e-6);
}

}  // namespace
}  // namespace rooftune::latency
