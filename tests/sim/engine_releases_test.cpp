#include "rooftune/sim/engine_releases.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rooftune/domain/layers.hpp"

namespace rooftune::sim {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

domain::GpuSpec gpu(std::string name, double memory_gib) {
  domain::GpuSpec spec;
  spec.name = std::move(name);
  spec.memory = {memory_gib};
  return spec;
}

/// A server of which nothing but the version was recorded.
domain::Deployment server(std::string version) {
  domain::Deployment deployment;
  deployment.settings = {.version = std::move(version), .max_model_len = 0, .max_num_batched_tokens = 0, .max_num_seqs = 0};
  return deployment;
}

domain::EngineSettings settled(std::string version, const domain::GpuSpec& on) {
  domain::ModelSpec model;
  model.max_positions = 131072;
  return settle(server(std::move(version)), model, on).deployment.settings;
}

const domain::GpuSpec kH100 = gpu("H100-SXM", 80);

TEST(EngineReleases, SchedulesAsynchronouslyFrom0_14) {
  EXPECT_FALSE(*settled("0.11.0", kH100).async_scheduling);
  EXPECT_FALSE(*settled("0.13.0", kH100).async_scheduling);
  EXPECT_TRUE(*settled("0.14.0", kH100).async_scheduling);
  EXPECT_TRUE(*settled("0.15.1", kH100).async_scheduling);
}

TEST(EngineReleases, SchedulesAsynchronouslyBesideDraftLayersFrom0_15AndBesideNoOtherDrafter) {
  const auto beside = [](std::string version, std::string method) {
    domain::Deployment drafting = server(std::move(version));
    drafting.settings.speculative = {.method = std::move(method), .num_speculative_tokens = 2, .mean_accepted_length = 1.5};
    const SettledDeployment settled = settle(drafting, {}, kH100);
    // What is said is what is simulated, under the name that the record would have.
    EXPECT_THAT(settled.assumed,
                testing::Contains(testing::AllOf(
                    testing::Field(&AssumedSetting::setting, "async_scheduling"),
                    testing::Field(&AssumedSetting::value, *settled.deployment.settings.async_scheduling ? "on" : "off"))));
    return *settled.deployment.settings.async_scheduling;
  };
  for (const char* const method : {"eagle", "eagle3", "mtp"}) {
    EXPECT_FALSE(beside("0.13.0", method)) << method;
    EXPECT_FALSE(beside("0.14.0", method)) << method;
    EXPECT_TRUE(beside("0.15.0", method)) << method;
  }
  for (const char* const method : {"ngram", "draft_model"}) {
    EXPECT_FALSE(beside("0.14.0", method)) << method;
    EXPECT_FALSE(beside("0.15.0", method)) << method;
  }
}

TEST(EngineReleases, ReservesWholePromptsFrom0_19) {
  EXPECT_FALSE(*settled("0.18.1", kH100).scheduler_reserve_full_isl);
  EXPECT_TRUE(*settled("0.19.0", kH100).scheduler_reserve_full_isl);
}

TEST(EngineReleases, ReusesUnhashedBlocksFirstFrom0_24) {
  const auto first = [](std::string version) { return settle(server(std::move(version)), {}, kH100).freed_unhashed_first; };
  EXPECT_FALSE(first("0.21.0"));
  EXPECT_FALSE(first("0.23.0"));
  EXPECT_TRUE(first("0.24.0"));
  EXPECT_TRUE(first("main-2026-06-24"));
}

TEST(EngineReleases, SizesBatchesByTheGpusMemoryAndSparesTheA100) {
  const domain::EngineSettings h100 = settled("0.15.1", kH100);
  EXPECT_EQ(h100.max_num_batched_tokens, 8192);
  EXPECT_EQ(h100.max_num_seqs, 1024);
  EXPECT_EQ(h100.max_model_len, 131072);
  for (const domain::GpuSpec& smaller : {gpu("L40S", 48), gpu("A100-SXM", 80)}) {
    const domain::EngineSettings settings = settled("0.15.1", smaller);
    EXPECT_EQ(settings.max_num_batched_tokens, 2048) << smaller.name;
    EXPECT_EQ(settings.max_num_seqs, 256) << smaller.name;
  }
}

TEST(EngineReleases, CapturesSizesUpToTwiceTheSeats) {
  EXPECT_THAT(default_capture_sizes({0, 15, 1}, 8), ElementsAre(1, 2, 4, 8, 16));
  EXPECT_THAT(default_capture_sizes({0, 15, 1}, 140), testing::Contains(272));
  EXPECT_THAT(default_capture_sizes({0, 15, 1}, 140), testing::Not(testing::Contains(264)));
  EXPECT_THAT(default_capture_sizes({0, 11, 0}, 140), testing::Contains(264));
  EXPECT_EQ(default_capture_sizes({0, 15, 1}, 1024).back(), 512);
}

TEST(EngineReleases, ChooseHowTokensComeToTheExpertsOfRanks) {
  domain::ModelSpec model;
  model.groups = {{.count = 1, .layer = {.ffn = domain::moe_ffn(64, {.experts = 8, .experts_per_token = 2, .expert_width = 32})}}};
  const auto settings_of = [&](const char* version, int ranks, std::optional<domain::All2AllBackend> backend) {
    domain::Deployment deployment = server(version);
    deployment.settings.data_parallel_size = ranks;
    deployment.settings.enable_expert_parallel = true;
    deployment.settings.all2all_backend = backend;
    return settle(deployment, model, kH100).deployment.settings;
  };
  using enum domain::All2AllBackend;
  EXPECT_EQ(settings_of("0.10.2", 2, {}).all2all_backend, naive);
  EXPECT_EQ(settings_of("0.11.0", 2, {}).all2all_backend, allgather_reducescatter);
  EXPECT_EQ(settings_of("0.11.0", 2, pplx).all2all_backend, pplx);
  EXPECT_EQ(settings_of("0.11.0", 1, {}).all2all_backend, std::nullopt) << "one rank has nothing to send";
  // High-throughput kernels run in no graph.
  EXPECT_EQ(settings_of("0.11.0", 2, deepep_high_throughput).cudagraph_mode, "NONE");
  EXPECT_EQ(settings_of("0.11.0", 2, deepep_low_latency).cudagraph_mode, "FULL_AND_PIECEWISE");
  EXPECT_EQ(settings_of("0.11.0", 1, deepep_high_throughput).cudagraph_mode, "FULL_AND_PIECEWISE");
}

TEST(EngineReleases, LeaveWhatWasRecordedAndSettleOnce) {
  domain::Deployment deployment = server("0.15.1");
  deployment.settings.async_scheduling = false;
  deployment.settings.max_num_seqs = 16;
  const SettledDeployment once = settle(deployment, {}, kH100);
  EXPECT_FALSE(*once.deployment.settings.async_scheduling);
  EXPECT_EQ(once.deployment.settings.max_num_seqs, 16);
  EXPECT_THAT(once.assumed, testing::Not(testing::Contains(testing::Field(&AssumedSetting::setting, "async_scheduling"))));
  EXPECT_THAT(once.assumed, testing::Contains(testing::Field(&AssumedSetting::setting, "max_num_batched_tokens")));
  const SettledDeployment twice = settle(once.deployment, {}, kH100);
  EXPECT_EQ(twice.deployment, once.deployment);
  EXPECT_THAT(twice.assumed, IsEmpty());
}

TEST(EngineReleases, TakeTheNearestKnownReleaseAndSaySo) {
  EXPECT_THAT(settle(server("0.15.1"), {}, kH100).notice, IsEmpty());
  EXPECT_THAT(settle(server("0.24.4"), {}, kH100).notice, IsEmpty());
  EXPECT_THAT(settle(server("0.6.3"), {}, kH100).notice, HasSubstr("those of 0.9.0 are taken"));
  EXPECT_THAT(settle(server("1.2.0"), {}, kH100).notice, HasSubstr("those of 0.24.0 are taken"));
  EXPECT_THAT(settle(server("custom build"), {}, kH100).notice, HasSubstr("names no release"));
  domain::Deployment other = server("0.5.9");
  other.engine = "tensorrt";
  EXPECT_THAT(settle(other, {}, kH100).notice, HasSubstr("'tensorrt'"));
}

TEST(EngineReleases, HaveSglangsOwnDefaultsAndSayWhatTheyWereNotHeldAgainst) {
  domain::Deployment sglang = server("0.5.4");
  sglang.engine = "sglang";
  sglang.tp = 4;
  const auto on = [&](const domain::GpuSpec& gpu) { return settle(sglang, {}, gpu).deployment.settings; };
  EXPECT_EQ(on(gpu("L4", 24)).max_num_batched_tokens, 2048);
  EXPECT_EQ(on(gpu("L40S", 48)).max_num_batched_tokens, 4096);
  EXPECT_EQ(on(gpu("A100-SXM", 80)).max_num_batched_tokens, 8192);
  EXPECT_EQ(on(gpu("H200-SXM", 141)).max_num_batched_tokens, 8192);
  EXPECT_EQ(on(gpu("B200", 180)).max_num_batched_tokens, 16384);
  const domain::EngineSettings h100 = on(kH100);
  EXPECT_EQ(h100.max_num_seqs, 2048);
  EXPECT_TRUE(*h100.async_scheduling);
  EXPECT_TRUE(*h100.scheduler_reserve_full_isl);
  EXPECT_EQ(h100.cudagraph_mode, "FULL_DECODE_ONLY");
  EXPECT_EQ(h100.cudagraph_capture_sizes.back(), 512);
  sglang.tp = 2;
  EXPECT_EQ(on(kH100).cudagraph_capture_sizes.back(), 256);
  const SettledDeployment once = settle(sglang, {}, kH100);
  EXPECT_TRUE(once.prompts_alone && once.keeps_growth_reserve);
  EXPECT_THAT(once.notice, HasSubstr("no measurement of it"));
  const SettledDeployment twice = settle(once.deployment, {}, kH100);
  EXPECT_EQ(twice.deployment, once.deployment);
  EXPECT_THAT(twice.notice, HasSubstr("docs/sglang.md")) << "it is said where nothing was assumed, too";
}

TEST(EngineReleases, GiveEveryRuleASource) {
  for (const EngineRule& rule : engine_rules()) EXPECT_FALSE(rule.source.empty()) << rule.setting;
}

}  // namespace
}  // namespace rooftune::sim
