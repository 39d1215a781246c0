#include "rooftune/data/ground_truth.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "rooftune/core/hash.hpp"
#include "rooftune/text/csv.hpp"
#include "rooftune/text/document.hpp"
#include "support/places.hpp"
#include "support/temporary_folder.hpp"

namespace rooftune::data {
namespace {

namespace fs = std::filesystem;
using domain::Metric;
using testing::HasSubstr;
using testing::Not;

GroundTruth read_or_fail(const fs::path& file) {
  auto ground_truth = read_ground_truth(file);
  if (!ground_truth) {
    ADD_FAILURE() << core::format(ground_truth.error());
    return {};
  }
  return *std::move(ground_truth);
}

const domain::Experiment& find(const GroundTruth& ground_truth, std::string_view id) {
  return *std::ranges::find(ground_truth.experiments, id, &domain::Experiment::id);
}

TEST(UpstreamGroundTruth, LoadsUnchanged) {
  const char* folder = std::getenv("ROOFTUNE_UPSTREAM_DATA");
  if (folder == nullptr) GTEST_SKIP() << "ROOFTUNE_UPSTREAM_DATA does not name a folder with experiments.json";
  const GroundTruth ground_truth = read_or_fail(fs::path(folder) / "experiments.json");
  ASSERT_EQ(ground_truth.experiments.size(), 19U);
  const domain::Experiment& scout = find(ground_truth, "17");
  EXPECT_EQ(scout.workload.prompt.mean_tokens, 575.0);
  EXPECT_EQ(scout.measured.stages.size(), 2U);
  EXPECT_THAT(core::format(ground_truth.warnings), HasSubstr("'itl_mean' is not (E2E - TTFT) / (output tokens - 1) in "));
  EXPECT_THAT(core::format(ground_truth.warnings), HasSubstr("4068 of 4800 requests failed"));
  EXPECT_THAT(core::format(ground_truth.warnings), Not(HasSubstr("tpot_true_mean")));
}

const fs::path kShipped = testing_support::source_folder() / "ground_truth";

TEST(ShippedGroundTruth, HoldsTheExperimentsOfEveryGpuAndTheOverloadedRun) {
  EXPECT_EQ(read_or_fail(kShipped / "h100.json").experiments.size(), 15U);
  EXPECT_EQ(read_or_fail(kShipped / "a100.json").experiments.size(), 2U);
  EXPECT_EQ(read_or_fail(kShipped / "l40s.json").experiments.size(), 1U);
  const GroundTruth overload = read_or_fail(kShipped / "overload.json");
  ASSERT_EQ(overload.experiments.size(), 1U);
  EXPECT_EQ(overload.experiments.front().role, domain::Role::overload);
  EXPECT_THAT(core::format(overload.warnings), HasSubstr("4068 of 4800 requests failed"));
}

TEST(ShippedGroundTruth, ReadsTheWorkloadAsItReallyRan) {
  const GroundTruth ground_truth = read_or_fail(kShipped / "h100.json");
  const domain::Workload& workload = find(ground_truth, "17").workload;
  EXPECT_EQ(workload.arrival.process, domain::ArrivalProcess::conditioned_poisson);
  EXPECT_EQ(workload.pattern, domain::PromptPattern::cycled);
  EXPECT_EQ(workload.distinct_prompts, 100);
  EXPECT_EQ(workload.prompt_groups, 10);
  EXPECT_EQ(workload.system_prompt_tokens, 100);
  EXPECT_EQ(workload.prompt.mean_tokens, 575.0);
  EXPECT_EQ(workload.prompt_spread_fraction, 0.03);
  EXPECT_EQ(workload.output.mean_tokens, 248.0);
  ASSERT_EQ(workload.stages.size(), 2U);
  EXPECT_EQ(workload.stages[1].rate.value, 6.0);
  EXPECT_EQ(workload.stages[1].num_requests, 3600);
}

TEST(ShippedGroundTruth, ReadsSettingsAndLatencies) {
  const GroundTruth ground_truth = read_or_fail(kShipped / "h100.json");
  const domain::Experiment& experiment = find(ground_truth, "60");
  EXPECT_EQ(experiment.deployment.tp, 4);
  EXPECT_EQ(experiment.deployment.settings.total_kv_blocks, 30251);
  EXPECT_EQ(experiment.deployment.settings.version, "0.15.1");
  const domain::Latencies& summary = find(ground_truth, "17").measured.summary;
  EXPECT_NEAR(*summary[Metric::ttft_mean], 62.7399, 1e-4);
  EXPECT_NEAR(*summary[Metric::e2e_p99], 6001.2596, 1e-4);
  EXPECT_NEAR(*summary[Metric::tpot_mean], 21.0824, 1e-4);
  EXPECT_NEAR(*find(ground_truth, "17").measured.stages[0][Metric::ttft_mean], 57.8000, 1e-4);
}

TEST(ShippedGroundTruth, SaysThatTheItlColumnIsNoTimePerToken) {
  const std::string warnings = core::format(read_or_fail(kShipped / "h100.json").warnings);
  EXPECT_THAT(warnings, HasSubstr("'itl_mean' is not (E2E - TTFT) / (output tokens - 1) in "));
  EXPECT_THAT(warnings, Not(HasSubstr("tpot_true_mean")));
  EXPECT_EQ(std::ranges::count(warnings, '\n'), 1) << warnings;
}

TEST(ShippedGroundTruth, HoldsTheGuideLlmSweepsWithTheirRequests) {
  const GroundTruth ground_truth = read_or_fail(kShipped / "guidellm.json");
  ASSERT_EQ(ground_truth.experiments.size(), 4U);
  EXPECT_TRUE(ground_truth.warnings.empty()) << core::format(ground_truth.warnings);
  const domain::Experiment& run = find(ground_truth, "guidellm-jan20-codellama-prefill-1");
  EXPECT_EQ(run.measured.measured_at, domain::MeasuredAt::server);
  EXPECT_EQ(run.workload.arrival.process, domain::ArrivalProcess::trace);
  ASSERT_EQ(run.workload.stages.size(), 3U);
  EXPECT_EQ(run.workload.trace.size(), 120U) << "without the synchronous and throughput requests";
  EXPECT_EQ(run.workload.trace.front().shared_prefix_tokens, 1024);
  EXPECT_NEAR(*run.measured.stages[0][Metric::ttft_mean], 921.664, 1e-3);
}

TEST(ShippedGroundTruth, MatchesTheHashesOfItsManifest) {
  const auto manifest = text::read_document(kShipped / "manifest.json");
  ASSERT_TRUE(manifest) << core::format(manifest.error());
  const auto& files = manifest->root.find("files")->items;
  EXPECT_EQ(files.size(), 17U);
  for (const text::Node& entry : files) {
    const std::string& name = entry.find("file")->text;
    const auto text = text::read_text(kShipped / name);
    ASSERT_TRUE(text) << core::format(text.error());
    EXPECT_EQ(core::sha256_hex(*text), entry.find("sha256")->text) << name;
  }
}

TEST(ShippedGroundTruth, HoldsThePeersPredictions) {
  const auto peers = text::read_csv(kShipped / "peers.csv");
  ASSERT_TRUE(peers) << core::format(peers.error());
  EXPECT_EQ(peers->rows.size(), 1369U);
}

TEST(ShippedGroundTruth, HoldsTheServingPointsAndKeepsTheDoubtfulOnesOutOfFits) {
  const auto usable = [](const GroundTruth& points) {
    return std::ranges::count(points.experiments, domain::Role::calibration, &domain::Experiment::role);
  };
  const GroundTruth h100 = read_or_fail(kShipped / "serving_h100.json");
  EXPECT_EQ(h100.experiments.size(), 129U);
  EXPECT_EQ(usable(h100), 100);
  const GroundTruth h200 = read_or_fail(kShipped / "serving_h200.json");
  EXPECT_EQ(h200.experiments.size(), 105U);
  EXPECT_EQ(usable(h200), 104);
  for (const domain::Experiment& experiment : h100.experiments) {
    EXPECT_FALSE(experiment.sweep.empty());
    EXPECT_TRUE(experiment.role == domain::Role::calibration || !experiment.flags.empty()) << experiment.id;
    EXPECT_EQ(experiment.workload.numpy_seed, 0U);
  }
}

/// One experiment; the arguments replace its workload and its measurement.
std::string experiment_text(const std::string& workload, const std::string& measured, const std::string& settings = "") {
  return R"([{"id": "x", "model": "m", "hardware": "H100", "tp": 1, "dp": 2, "pp": 2,
    "vllm": {"version": "1", "max_model_len": 4096, "max_num_batched_tokens": 2048, "max_num_seqs": 8)" +
         settings + R"(},
    "workload": )" +
         workload + ", \"measured\": " + measured + "}]";
}

const std::string kMeans = R"({"summary": {"ttft_mean": 10, "e2e_mean": 109}})";

class GroundTruthForms : public testing_support::TemporaryFolderTest {
 protected:
  GroundTruth read(const std::string& text) { return read_or_fail(folder_.write("g.json", text)); }
};

TEST_F(GroundTruthForms, ReadHowClientsOfAClosedLoopSend) {
  const domain::Experiment experiment =
      read(experiment_text(R"({
    "name": "w", "prompt_length": {"distribution": "uniform", "min": 819, "max": 1024},
    "output_length": {"distribution": "uniform", "min": 80, "max": 100}, "numpy_seed": 0, "temperature": 0,
    "warm_up": {"requests": 16, "prompt": "first"},
    "arrival": {"process": "closed_loop", "concurrency": 8, "start": "ramp", "ramp_duration": 5, "turnaround_us": 300},
    "stages": [{"num_requests": 80}, {"duration": 60, "concurrency": 16}]})",
                           R"({"statistic": {"ttft": "unknown"}, "summary": {"tpot_true_mean": 10}})",
                           R"(, "async_scheduling": true, "kv_cache_dtype": "fp8", "watermark": 0.01)"))
          .experiments.front();
  EXPECT_EQ(experiment.workload.prompt.shape, domain::LengthShape::uniform);
  EXPECT_EQ(experiment.workload.prompt.mean_tokens, 921.5);
  EXPECT_EQ(experiment.workload.numpy_seed, 0U);
  EXPECT_EQ(experiment.workload.temperature, 0.0);
  EXPECT_EQ(experiment.workload.warm_up, (domain::WarmUp{.requests = 16, .concurrency = 8, .prompt = domain::WarmUp::Prompt::first}));
  EXPECT_EQ(experiment.workload.arrival.start, domain::ClientStart::ramp);
  EXPECT_EQ(experiment.workload.arrival.ramp.value, 5.0);
  EXPECT_EQ(experiment.workload.arrival.turnaround_us, 300.0);
  EXPECT_EQ(experiment.workload.stages[1], (domain::Stage{.rate = {}, .duration = {60.0}, .num_requests = 0, .concurrency = 16}));
  EXPECT_EQ(experiment.measured.unknown_statistic, std::vector{Metric::ttft_mean});
  EXPECT_EQ(experiment.measured.summary[Metric::tpot_mean], 10.0);
  EXPECT_EQ(experiment.deployment.settings.async_scheduling, true);
  EXPECT_EQ(experiment.deployment.settings.kv_cache_dtype, "fp8");
  EXPECT_EQ(experiment.deployment.settings.watermark, 0.01);
  EXPECT_EQ(experiment.deployment.settings.scheduler_reserve_full_isl, std::nullopt);
}

TEST_F(GroundTruthForms, ReadRampsSessionsAndMedians) {
  const domain::Experiment experiment = read(experiment_text(R"({
    "name": "w", "question_len": 100, "output_len": 20,
    "sessions": {"turns": {"mean": 4}, "think_time": {"mean": 2.5, "distribution": "constant"}},
    "arrival": {"process": "poisson", "ramp_up": {"strategy": "exponential", "start_rps": 1, "end_rps": 4}},
    "stages": [{"num_requests": 3}]})",
                                                             R"({"summary": {"ttft_median": 10, "e2e_median": 100}})"))
                                            .experiments.front();
  EXPECT_EQ(experiment.workload.pattern, domain::PromptPattern::conversations);
  EXPECT_EQ(experiment.workload.turns->mean_tokens, 4.0);
  EXPECT_EQ(experiment.workload.think_time, (domain::ThinkTime{{2.5}, domain::ThinkTime::Shape::constant}));
  EXPECT_EQ(experiment.workload.arrival.rate_ramp, domain::RateRamp::exponential);
  EXPECT_NEAR(experiment.workload.stages[0].rate.value, 3.0 / 1.75, 1e-12);  // gaps of 1, 1/2 and 1/4 s
  EXPECT_EQ(experiment.measured.summary[Metric::ttft_median], 10.0);
  EXPECT_EQ(experiment.measured.summary[Metric::ttft_mean], std::nullopt);
}

TEST_F(GroundTruthForms, SayWhenTheClientWasTheLimit) {
  std::string table = "stage,arrival_s,input_tokens,output_tokens,e2e_ms\n";
  for (int i = 0; i < 60; ++i) table += std::to_string(i / 2) + ".00" + std::to_string(i % 2) + ",9,9,999\n";
  for (std::size_t at = table.find('\n') + 1; at < table.size(); at = table.find('\n', at) + 1) table.insert(at, "0,");
  folder_.write("t.csv", table);
  const GroundTruth ground_truth = read(experiment_text(R"({"name": "w", "arrival": {"process": "trace", "table": "t.csv"},
    "stages": [{"num_requests": 60}]})",
                                                        kMeans));
  EXPECT_THAT(core::format(ground_truth.warnings), HasSubstr("never more than 2 requests were in flight"));
  EXPECT_THAT(core::format(ground_truth.warnings), HasSubstr("process closed_loop, concurrency 2, start ramp"));
}

TEST_F(GroundTruthForms, ReadClosedLoopsAndLengthDistributions) {
  const GroundTruth ground_truth = read(experiment_text(
      R"({"name": "w", "prompt_length": {"mean": 500, "standard_deviation": 50, "min": 100, "max": 900}, "output_len": 100,
          "arrival": {"process": "closed_loop", "concurrency": 16}, "stages": [{"num_requests": 320}]})",
      kMeans, R"(, "long_prefill_token_threshold": 512)"));
  const domain::Experiment& experiment = ground_truth.experiments.front();
  EXPECT_EQ(experiment.deployment.dp, 2);
  EXPECT_EQ(experiment.deployment.pp, 2);
  EXPECT_EQ(experiment.deployment.settings.long_prefill_token_threshold, 512);
  EXPECT_EQ(experiment.workload.arrival.process, domain::ArrivalProcess::closed_loop);
  EXPECT_EQ(experiment.workload.arrival.concurrency, 16);
  EXPECT_EQ(experiment.workload.prompt, (domain::LengthDistribution{500, 50, 100, 900}));
  EXPECT_EQ(experiment.workload.pattern, domain::PromptPattern::unique);
  EXPECT_EQ(experiment.workload.stages.front().num_requests, 320);
}

TEST_F(GroundTruthForms, FillInRequestCountsPromptLengthAndTheOnlyStage) {
  const GroundTruth ground_truth = read(experiment_text(
      R"({"name": "w", "system_prompt_len": 20, "question_len": 80, "output_len": 100, "stages": [{"rate": 2, "duration": 30}]})",
      kMeans));
  const domain::Experiment& experiment = ground_truth.experiments.front();
  EXPECT_EQ(experiment.workload.prompt.mean_tokens, 100.0);
  EXPECT_EQ(experiment.workload.stages.front().num_requests, 60);
  EXPECT_EQ(experiment.measured.stages.front(), experiment.measured.summary);
}

TEST_F(GroundTruthForms, WarnAboutStagesThatWereNotMeasuredAndOddRequestCounts) {
  const GroundTruth ground_truth = read(experiment_text(
      R"({"name": "w", "question_len": 80, "output_len": 100, "stages": [{"rate": 2, "duration": 30}, {"rate": 4, "duration": 30, "num_requests": 90}]})",
      R"({"summary": {"ttft_mean": 10, "e2e_mean": 109, "tpot_true_mean": 1.1}, "stages": [{"stage": 1, "ttft_mean": 11, "e2e_mean": 110}]})"));
  const std::string warnings = core::format(ground_truth.warnings);
  EXPECT_THAT(warnings, HasSubstr("a stage of 90 requests, but rate x duration is 120"));
  EXPECT_THAT(warnings, HasSubstr("1 of 2 stages were measured"));
  EXPECT_THAT(warnings,
              HasSubstr("'tpot_true_mean' is not (E2E - TTFT) / (output tokens - 1) in 1 of 1 experiments: off by up to +10.0 %"));
  const auto& stages = ground_truth.experiments.front().measured.stages;
  ASSERT_EQ(stages.size(), 2U);
  EXPECT_FALSE(stages[0][Metric::ttft_mean]);
  EXPECT_EQ(stages[1][Metric::ttft_mean], 11.0);
}

TEST_F(GroundTruthForms, RefuseTheSameIdInTwoFiles) {
  const std::string text =
      experiment_text(R"({"name": "w", "question_len": 80, "output_len": 100, "stages": [{"rate": 2, "duration": 30}]})", kMeans);
  const std::array files{folder_.write("a.json", text), folder_.write("b.json", text)};
  const auto both = read_ground_truth(files);
  ASSERT_FALSE(both);
  EXPECT_THAT(core::format(both.error()), HasSubstr("the experiment 'x' is in "));
}

}  // namespace
}  // namespace rooftune::data
