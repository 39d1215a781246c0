#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "batches.hpp"
#include "rooftune/core/derivative.hpp"
#include "rooftune/latency/catalogue.hpp"
#include "rooftune/latency/operators.hpp"
#include "support/example_targets.hpp"
#include "synthetic_tables.hpp"

/// Step times of one of several ranks that share the experts.
namespace rooftune::latency {
namespace {

struct Ranks {
  domain::ModelSpec model = examples::llama_4_scout_fp8();
  domain::GpuSpec gpu = examples::h100();
  domain::Deployment deployment;
  kernels::MeasuredKernels measured;
  std::unique_ptr<kernels::KernelTables> tables;

  explicit Ranks(int ranks, bool whole_experts = true) : deployment(examples::deployment(model, gpu, 2)) {
    deployment.settings.version = "0.15.1";
    deployment.settings.data_parallel_size = ranks;
    deployment.settings.enable_expert_parallel = whole_experts;
    deployment.settings.cudagraph_mode = "FULL_AND_PIECEWISE";
    deployment.settings.cudagraph_capture_sizes = {1, 2, 4, 8, 16, 24, 32};
    measured = examples::synthetic_kernels(model);
    // A call of 5 us, and 1 us for 100 kB.
    for (const char* op : {"all_gather", "reduce_scatter"}) {
      for (const int count : {2, 4}) {
        for (std::int64_t bytes = 512; bytes < (std::int64_t{1} << 30); bytes *= 2)
          measured.collectives.push_back({op, count, bytes, 5.0 + static_cast<double>(bytes) * 1e-5});
      }
    }
    tables = std::make_unique<kernels::KernelTables>(measured);
  }
  [[nodiscard]] Target target() const { return {.model = model, .gpu = gpu, .deployment = deployment, .tables = tables.get()}; }
  [[nodiscard]] std::unique_ptr<StepTime<double>> step_time(std::string_view name,
                                                            const params::Resolved<double>& parameters = {}) const {
    return make_step_time<double>(name, target(), parameters);
  }
};

Batch with_ranks(const OwnedBatch& own, std::int64_t all, std::int64_t busiest) {
  Batch batch = own.view();
  batch.ranks = {.all = all, .busiest = busiest};
  return batch;
}

double term(StepTime<double>& step_time, const Batch& batch, std::string_view name) {
  const StepBreakdown breakdown = step_time.breakdown(batch);
  const auto found = std::ranges::find(breakdown.terms, name, &StepTerm::name);
  return found == breakdown.terms.end() ? 0.0 : found->duration_us;
}

TEST(DataParallel, SharesTheExpertsAmongAllRanksAndNothingElse) {
  const Ranks one(1);
  const Ranks four(4);
  const Operators alone = operators_of(one.model, one.deployment);
  const Operators shared = operators_of(four.model, four.deployment);
  EXPECT_EQ(alone.experts[0].ep, 2);
  EXPECT_EQ(shared.experts[0].ep, 8);
  EXPECT_EQ(shared.experts[0].tp, 1);
  EXPECT_EQ(operators_of(four.model, Ranks(4, false).deployment).experts[0].tp, 8) << "slices of every expert, of all ranks";
  EXPECT_EQ(shared.gemms.size(), alone.gemms.size());
  EXPECT_EQ(shared.attentions[0].kv_heads, alone.attentions[0].kv_heads);
  ASSERT_EQ(shared.collectives.size(), alone.collectives.size() + 2);
  const Collective& gather = shared.collectives[shared.collectives.size() - 2];
  EXPECT_EQ(gather.kind, CollectiveKind::all_gather);
  EXPECT_EQ(gather.ranks, 4);
  EXPECT_EQ(gather.bytes_per_token, (5120 + 16) * 2.0) << "a row of activations and the scores of 16 experts";
  EXPECT_EQ(shared.collectives.back().kind, CollectiveKind::reduce_scatter);
  EXPECT_EQ(shared.collectives.back().bytes_per_token, 5120 * 2.0);
  EXPECT_EQ(shared.collectives.back().count, four.model.moe_layers());
}

TEST(DataParallel, PhysicsTakesDispatchFromLatencyAndLink) {
  const Ranks four(4);
  params::Resolved<double> parameters;
  const auto step_time = four.step_time("physics", parameters);
  // 48 layers: two calls of 4.5 us each, and 3/4 of 20512 bytes a token over 0.53 x 450 GB/s.
  const double expected =
      48 * (2 * parameters["physics.allreduce_us"] +
            0.75 * 100.0 * (10272.0 + 10240.0) / (parameters["hardware.link_GBs"] * 1e3 * parameters["physics.allreduce_fraction"]));
  EXPECT_EQ(four.model.moe_layers(), 48);
  EXPECT_NEAR(term(*step_time, with_ranks(decodes(20, 100), 100, 40), "dispatch"), expected, 1e-6);
}

TEST(DataParallel, KernelsTakeDispatchFromTheTables) {
  const Ranks four(4);
  const auto step_time = four.step_time("kernels");
  // The busiest rank's 32 tokens are a captured size: all four ranks run at it.
  const double gather_us = 5.0 + 128.0 * 10272.0 * 1e-5;
  const double scatter_us = 5.0 + 128.0 * 10240.0 * 1e-5;
  // Between rows the tables are straight between logarithms: within 2 % of the line.
  EXPECT_NEAR(term(*step_time, with_ranks(decodes(20, 100), 70, 30), "dispatch"), 48 * (gather_us + scatter_us),
              0.02 * 48 * (gather_us + scatter_us));
}

/// Four ranks of two GPUs each, eight GPUs of experts, over tables in which DeepEP takes 3 us a token out and 5 us a token back.
struct Exchanging : Ranks {
  explicit Exchanging(domain::All2AllBackend backend, double back_us = 5.0, bool grows = true) : Ranks(4) {
    deployment.settings.all2all_backend = backend;
    for (const char* kind : {"low_latency", "high_throughput"}) {
      for (std::int64_t tokens = 1; tokens <= 1024; tokens *= 2) {
        const double times = grows ? static_cast<double>(tokens) : 1.0;
        measured.expert_exchanges.push_back({kind, "dispatch", 8, tokens, 5120, 1, 16, 3.0 * times});
        measured.expert_exchanges.push_back({kind, "combine", 8, tokens, 5120, 1, 16, back_us * times});
      }
    }
    tables = std::make_unique<kernels::KernelTables>(measured);
  }
};

TEST(DataParallel, DeepEpsKernelsSendTokensToTheirExpertsAlone) {
  // 128 tokens of all ranks at the captured size of 32 each: 16 of each of eight GPUs. Low latency was measured with tokens in FP8,
  // which 16 bits are 2 / 1.03125 times of; the tables are straight.
  const Batch batch = with_ranks(decodes(20, 100), 70, 30);
  const Exchanging low(domain::All2AllBackend::deepep_low_latency);
  EXPECT_NEAR(term(*low.step_time("kernels"), batch, "dispatch"), 48 * (3.0 * 16 * 2 / 1.03125 + 5.0 * 16), 1e-6);
  const Exchanging high(domain::All2AllBackend::deepep_high_throughput);
  EXPECT_NEAR(term(*high.step_time("kernels"), batch, "dispatch"), 48 * (3.0 * 16 + 5.0 * 16), 1e-6);
}

TEST(DataParallel, LowLatencyTakes256TokensOfAGpuAtOnce) {
  // 4800 tokens of eight GPUs, 600 of each: three calls. Each takes 3 us out and 7 us back, whatever its size.
  const Exchanging low(domain::All2AllBackend::deepep_low_latency, 7.0, false);
  EXPECT_NEAR(term(*low.step_time("kernels"), with_ranks(decodes(600, 100), 4800, 1200), "dispatch"), 48 * 3 * (3.0 + 7.0), 1e-6);
  const Exchanging high(domain::All2AllBackend::deepep_high_throughput, 7.0, false);
  EXPECT_NEAR(term(*high.step_time("kernels"), with_ranks(decodes(600, 100), 4800, 1200), "dispatch"), 48 * (3.0 + 7.0), 1e-6);
}

TEST(DataParallel, WhatHasNoRowsGoesByBytesAndLatency) {
  // pplx: 5 us a call, and 7/8 of a copy's share over 60 % of 450 GB/s; one copy of each token, an eighth of them of one GPU.
  const Exchanging other(domain::All2AllBackend::pplx);
  const auto step_time = other.step_time("kernels");
  const Batch batch = with_ranks(decodes(20, 100), 70, 30);
  const double row_us = 0.875 * 128 * (5120 * 2.0 / 8) / (0.6 * 450e3);
  EXPECT_NEAR(term(*step_time, batch, "dispatch"), 48 * 2 * (5.0 + row_us), 0.02 * 48 * 2 * (5.0 + row_us));
  EXPECT_GT(step_time->lookup_report()->count(kernels::LookupEvent::no_table), 0U) << "and is said";
  params::Resolved<double> parameters;
  const double link = parameters["hardware.link_GBs"] * 1e3 * parameters["physics.allreduce_fraction"];
  const double expected = 48 * 2 * (parameters["physics.allreduce_us"] + 0.875 * 100 * (5120 * 2.0 / 8) / link);
  EXPECT_NEAR(term(*other.step_time("physics"), with_ranks(decodes(20, 100), 100, 40), "dispatch"), expected, 1e-6);
}

TEST(DataParallel, TheNaiveBackendBroadcastsAndAddsUpEverywhere) {
  Ranks four(4);
  four.deployment.settings.all2all_backend = domain::All2AllBackend::naive;
  params::Resolved<double> parameters;
  const double link = parameters["hardware.link_GBs"] * 1e3 * parameters["physics.allreduce_fraction"];
  // Four broadcasts of a rank's rows and scores, and a sum that passes each link twice.
  const double expected = 48 * (5 * parameters["physics.allreduce_us"] + 0.75 * 100.0 * (10272.0 + 2 * 10240.0) / link);
  EXPECT_NEAR(term(*four.step_time("physics"), with_ranks(decodes(20, 100), 100, 40), "dispatch"), expected, 1e-6);
}

TEST(DataParallel, AStepGrowsWithTheOtherRanksTokensByTheExpertsAlone) {
  const Ranks four(4);
  for (const std::string_view name : {"physics", "kernels"}) {
    const auto step_time = four.step_time(name);
    // No graph holds 40 tokens: every rank runs at its own size.
    const Batch few = with_ranks(decodes(20, 100), 100, 40);
    const Batch many = with_ranks(decodes(20, 100), 150, 40);
    const double grown = step_time->piece(many).duration_us - step_time->piece(few).duration_us;
    const double of_experts = term(*step_time, many, "moe") + term(*step_time, many, "dispatch") - term(*step_time, few, "moe") -
                              term(*step_time, few, "dispatch");
    EXPECT_GT(grown, 0.0) << name;
    EXPECT_NEAR(term(*step_time, many, "linear"), term(*step_time, few, "linear"), 1e-9) << name;
    if (name == "physics") {
      EXPECT_NEAR(grown, of_experts, 1e-6);
    }
    EXPECT_EQ(step_time->piece(many).slope_us_per_token, step_time->piece(few).slope_us_per_token);
  }
}

TEST(DataParallel, WithoutWordOfTheOthersAllHaveAsMuch) {
  const Ranks four(4);
  for (const std::string_view name : {"physics", "kernels"}) {
    const auto step_time = four.step_time(name);
    for (const OwnedBatch& own :
         {decodes(20, 100),
          OwnedBatch{.prefills = {{.context_tokens = 0, .new_tokens = 300}}, .decode_requests = 4, .decode_context_tokens = 400}}) {
      const std::int64_t tokens = own.decode_requests + (own.prefills.empty() ? 0 : 300);
      EXPECT_EQ(step_time->piece(own.view()).duration_us, step_time->piece(with_ranks(own, 4 * tokens, tokens)).duration_us) << name;
    }
  }
}

TEST(DataParallel, UnevenExpertsLoadOneGpuMore) {
  const Ranks four(4);
  const params::ParameterId id = params::parameter("engine.expert_popularity_exponent");
  params::Resolved<double> even;
  params::Resolved<double> uneven;
  uneven[id] = 1.0;
  const Batch batch = with_ranks(decodes(400, 100), 8000, 2000);
  for (const std::string_view name : {"physics", "kernels"}) {
    EXPECT_GT(four.step_time(name, uneven)->piece(batch).duration_us, four.step_time(name, even)->piece(batch).duration_us) << name;
    // Its derivative is that of the value.
    using Dual = core::Dual<core::kNarrowWidth>;
    uneven[id] = 0.8;
    auto dual = uneven.as<Dual>();
    dual[id].v[0] = 1.0;
    const double slope = make_step_time<Dual>(name, four.target(), dual)->piece(batch).duration_us.v[0];
    uneven[id] = 0.8 + 1e-4;
    const double above = four.step_time(name, uneven)->piece(batch).duration_us;
    uneven[id] = 0.8 - 1e-4;
    const double below = four.step_time(name, uneven)->piece(batch).duration_us;
    EXPECT_NEAR(slope, (above - below) / 2e-4, 1e-3 * std::abs(slope)) << name;
    EXPECT_GT(slope, 0.0) << name;
    uneven[id] = 1.0;
  }
}

}  // namespace
}  // namespace rooftune::latency
