#include "importers/import_fixture.hpp"
#include "support/bad_inputs.hpp"
#include "support/places.hpp"

namespace rooftune::importers {
namespace {

using domain::ArrivalProcess;
using domain::Metric;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

TEST_F(Import, ReplaysTheRequestsOfTheRatesOfAGuideLlmSweep) {
  const auto imported = import_or_fail(ImportFormat::guidellm, example("guidellm_sweep.json"));
  const auto experiments = round_trip(imported);
  ASSERT_THAT(experiments, SizeIs(1));
  const domain::Workload& workload = experiments[0].workload;
  EXPECT_EQ(workload.arrival.process, ArrivalProcess::trace);
  ASSERT_THAT(workload.stages, SizeIs(2));
  EXPECT_EQ(workload.stages[1].rate.value, 4.0);
  ASSERT_THAT(workload.trace, SizeIs(16));
  EXPECT_EQ(workload.trace[1].arrival_s, 0.5);
  EXPECT_EQ(workload.trace[9].arrival_s, 0.25) << "stages count from their own first request";
  EXPECT_EQ(workload.trace[0].shared_prefix_tokens, 128);
  EXPECT_EQ(experiments[0].measured.measured_at, domain::MeasuredAt::client);
  ASSERT_THAT(imported.tables, SizeIs(1));
  EXPECT_THAT(folder_.read("truth/" + imported.tables[0].name), HasSubstr("\n-1,0,")) << "the synchronous level is kept aside";
}

TEST_F(Import, MakesAClosedLoopOfConcurrentStreams) {
  const auto experiments = round_trip(import_or_fail(ImportFormat::guidellm, example("guidellm_concurrent.json")));
  ASSERT_THAT(experiments, SizeIs(1));
  EXPECT_EQ(experiments[0].id, "synthetic_guidellm_concurrent-c4");
  EXPECT_EQ(experiments[0].workload.arrival, (domain::Arrival{.process = ArrivalProcess::closed_loop, .concurrency = 4}));
}

TEST_F(Import, TakesInferencePerfsPromptsAsTheFixedOnesThatTheyAre) {
  const auto imported = import_or_fail(ImportFormat::inference_perf, example("inference_perf"));
  const auto experiments = round_trip(imported);
  ASSERT_THAT(experiments, SizeIs(1));
  const domain::Workload& workload = experiments[0].workload;
  EXPECT_EQ(workload.arrival.process, ArrivalProcess::conditioned_poisson);
  EXPECT_EQ(workload.pattern, domain::PromptPattern::cycled);
  EXPECT_EQ(workload.distinct_prompts, 100);
  EXPECT_EQ(workload.prompt.mean_tokens, 575.0);
  EXPECT_NEAR(workload.prompt_spread_fraction, 0.03, 1e-6);
  EXPECT_EQ(workload.output.mean_tokens, 248.0);
  ASSERT_THAT(workload.stages, SizeIs(2));
  EXPECT_EQ(workload.stages[1].num_requests, 200);
  const domain::Latencies& summary = experiments[0].measured.summary;
  EXPECT_NEAR(*summary[Metric::tpot_mean], (2500.0 - 43.33) / 247.0, 1e-6);
  EXPECT_THAT(imported.assumptions, Contains(HasSubstr("100 fixed ones in turn")));
}

TEST_F(Import, ReplaysInferencePerfsRequestsWhereTheyAllDiffer) {
  const auto experiments = round_trip(import_or_fail(ImportFormat::inference_perf, example("inference_perf_requests")));
  ASSERT_THAT(experiments, SizeIs(1));
  EXPECT_EQ(experiments[0].workload.arrival.process, ArrivalProcess::trace);
  EXPECT_THAT(experiments[0].workload.trace, SizeIs(12)) << "the failed request is counted, not replayed";
  EXPECT_EQ(experiments[0].measured.summary.failed, 1);
  EXPECT_EQ(experiments[0].role, domain::Role::calibration) << "1 of 13 is below a tenth";
}

TEST_F(Import, DerivesTheE2eThatVllmBenchLeavesOutByTheIdentity) {
  const auto imported = import_or_fail(ImportFormat::vllm_bench, example("vllm_bench.json"));
  const auto experiments = round_trip(imported);
  ASSERT_THAT(experiments, SizeIs(1));
  const domain::Latencies& summary = experiments[0].measured.summary;
  const double tokens = experiments[0].workload.output.mean_tokens;
  EXPECT_NEAR(*summary[Metric::e2e_mean], *summary[Metric::ttft_mean] + (tokens - 1.0) * *summary[Metric::tpot_mean], 1e-3);
  EXPECT_THAT(imported.assumptions, Contains(HasSubstr("exact only for outputs of one length")));
  EXPECT_EQ(experiments[0].workload.arrival.process, ArrivalProcess::conditioned_poisson);
}

TEST_F(Import, TakesTheRequestsOfADetailedVllmBenchOverItsSummary) {
  const auto imported = import_or_fail(ImportFormat::vllm_bench, example("vllm_bench_detailed.json"));
  const auto experiments = round_trip(imported);
  ASSERT_THAT(experiments, SizeIs(1));
  EXPECT_EQ(experiments[0].workload.arrival.process, ArrivalProcess::trace);
  EXPECT_TRUE(experiments[0].measured.summary[Metric::e2e_p90]);
  EXPECT_THAT(imported.warnings, IsEmpty());
}

TEST_F(Import, MakesAnExperimentOfEveryLineOfAnAppendedVllmBench) {
  const auto experiments = round_trip(import_or_fail(ImportFormat::vllm_bench, example("vllm_bench_appended.jsonl")));
  ASSERT_THAT(experiments, SizeIs(2));
  EXPECT_EQ(experiments[0].workload.arrival.concurrency, 8);
  EXPECT_EQ(experiments[1].workload.arrival.concurrency, 16);
}

TEST_F(Import, MeasuresSpansAtTheServerAndCutsThemWhereNobodyWaits) {
  ImportOptions options = complete();
  options.stage_gap_s = 1.0;
  const auto experiments = round_trip(import_or_fail(ImportFormat::otel, example("otel_spans.jsonl"), options));
  ASSERT_THAT(experiments, SizeIs(1));
  EXPECT_EQ(experiments[0].measured.measured_at, domain::MeasuredAt::server);
  ASSERT_THAT(experiments[0].workload.stages, SizeIs(2));
  EXPECT_NEAR(experiments[0].workload.stages[0].rate.value, 4.0, 1e-5);
  EXPECT_NEAR(experiments[0].workload.stages[1].rate.value, 8.0, 1e-5);
}

TEST_F(Import, KeepsSpansOneStageUnlessToldTheGap) {
  EXPECT_THAT(import_or_fail(ImportFormat::otel, example("otel_spans.jsonl")).experiments.at(0).experiment.workload.stages, SizeIs(1));
}

TEST_F(Import, ReadsTheRatesOfTheFamilysGroundTruth) {
  ImportOptions options;
  options.settings["block_size"] = "16";
  const auto experiments = round_trip(import_or_fail(ImportFormat::blis, example("blis.json"), options));
  ASSERT_THAT(experiments, SizeIs(1));
  const domain::Deployment& deployment = experiments[0].deployment;
  EXPECT_EQ(deployment.hardware, "H100");
  EXPECT_EQ(deployment.settings.total_kv_blocks, 7438);
  EXPECT_EQ(experiments[0].workload.prompt, (domain::LengthDistribution{500, 50, 300, 700}));
  EXPECT_EQ(experiments[0].workload.system_prompt_tokens, 100);
  EXPECT_EQ(experiments[0].measured.stages[0].itl_mean_ms, 8.1);
  EXPECT_NEAR(*experiments[0].measured.stages[0][Metric::tpot_mean], (505.9 - 28.0) / 59.0, 1e-6);
}

TEST_F(Import, TakesFromTheServersLogWhatTheReportLeavesOut) {
  ImportOptions options;
  options.gpu = "H100";
  options.vllm_log = example("vllm.log");
  const auto experiments = round_trip(import_or_fail(ImportFormat::guidellm, example("guidellm_sweep.json"), options));
  ASSERT_THAT(experiments, SizeIs(1));
  const domain::EngineSettings& settings = experiments[0].deployment.settings;
  EXPECT_EQ(settings.version, "0.11.0");
  EXPECT_EQ(settings.max_num_seqs, 256);
  EXPECT_EQ(settings.total_kv_blocks, 119008 / 16);
  EXPECT_EQ(experiments[0].deployment.tp, 1);
}

TEST_F(Import, NamesEverythingThatNothingSays) {
  const auto imported = import_one(ImportFormat::guidellm, example("guidellm_sweep.json"), ImportOptions{});
  ASSERT_FALSE(imported);
  const std::string text = core::format(imported.error());
  for (const char* missing : {"--gpu", "--tp", "--set version="}) {
    EXPECT_THAT(text, HasSubstr(missing));
  }
  EXPECT_THAT(text, Not(HasSubstr("max_num_seqs"))) << "the version decides";
}

TEST_F(Import, LeavesOpenWhatTheVersionDecides) {
  ImportOptions options = complete();
  options.settings = {{"version", "0.11.0"}};
  const auto imported = import_or_fail(ImportFormat::guidellm, example("guidellm_sweep.json"), options);
  const auto experiments = round_trip(imported);
  ASSERT_THAT(experiments, SizeIs(1));
  const domain::EngineSettings& settings = experiments[0].deployment.settings;
  EXPECT_EQ(settings.max_model_len, 0);
  EXPECT_EQ(settings.max_num_batched_tokens, 0);
  EXPECT_EQ(settings.max_num_seqs, 0);
  EXPECT_THAT(imported.experiments[0].inferred, Contains("max_num_seqs"));
}

TEST_F(Import, TakesEverySettingOfTheEngineFromTheCommandLine) {
  ImportOptions options = complete();
  for (const auto& [name, text] :
       {std::pair{"async_scheduling", "True"}, std::pair{"scheduler_reserve_full_isl", "False"}, std::pair{"watermark", "0.02"},
        std::pair{"kv_cache_dtype", "fp8"}, std::pair{"quantization", "awq"}, std::pair{"cudagraph_mode", "PIECEWISE"},
        std::pair{"cudagraph_capture_sizes", "1, 2, 8, 4"}, std::pair{"enable_expert_parallel", "True"},
        std::pair{"all2all_backend", "deepep_low_latency"}, std::pair{"cpu_kv_blocks", "1000"},
        std::pair{"speculative", "eagle3:3:2.1"}}) {
    options.settings[name] = text;
  }
  const auto experiments = round_trip(import_or_fail(ImportFormat::guidellm, example("guidellm_sweep.json"), options));
  ASSERT_THAT(experiments, SizeIs(1));
  const domain::EngineSettings& settings = experiments[0].deployment.settings;
  EXPECT_EQ(settings.async_scheduling, true);
  EXPECT_EQ(settings.scheduler_reserve_full_isl, false);
  EXPECT_EQ(settings.watermark, 0.02);
  EXPECT_EQ(settings.kv_cache_dtype, "fp8");
  EXPECT_EQ(settings.quantization, "awq");
  EXPECT_EQ(settings.cudagraph_mode, "PIECEWISE");
  EXPECT_EQ(settings.cudagraph_capture_sizes, (std::vector<int>{1, 2, 4, 8}));
  EXPECT_TRUE(settings.enable_expert_parallel);
  EXPECT_EQ(settings.all2all_backend, domain::All2AllBackend::deepep_low_latency);
  EXPECT_TRUE(settings.cpu_offload) << "blocks in the host's memory without offloading are none";
  EXPECT_EQ(settings.speculative, (domain::Speculation{.method = "eagle3", .num_speculative_tokens = 3, .mean_accepted_length = 2.1}));
}

TEST_F(Import, RefusesAnEngineSettingThatVllmDoesNotHave) {
  ImportOptions options = complete();
  options.settings["max_num_seq"] = "256";
  const auto imported = import_one(ImportFormat::guidellm, example("guidellm_sweep.json"), options);
  ASSERT_FALSE(imported);
  EXPECT_THAT(core::format(imported.error()), HasSubstr("did you mean 'max_num_seqs'?"));
}

TEST_F(Import, GivesARunOfWhichManyRequestsFailedTheRoleOverload) {
  std::string text = testing_support::TemporaryFolder::read_file(example("vllm_bench.json"));
  text.replace(text.find("\"num_prompts\": 20"), 17, "\"num_prompts\": 40");
  const auto imported = import_or_fail(ImportFormat::vllm_bench, folder_.write("result.json", text));
  ASSERT_THAT(imported.experiments, SizeIs(1));
  EXPECT_EQ(imported.experiments[0].experiment.role, domain::Role::overload);
  EXPECT_THAT(imported.assumptions, Contains(HasSubstr("20 of 40 requests failed")));
}

TEST_F(Import, SaysWhenAReportContradictsItsOwnRequests) {
  const auto imported = import_or_fail(ImportFormat::vllm_bench, with_number("vllm_bench_detailed.json", "mean_ttft_ms", "50.0"));
  EXPECT_THAT(core::format(imported.warnings), HasSubstr("reports a ttft_mean_ms of 50, but its requests give"));
}

TEST_F(Import, SaysWhenAServerDoesNotKeepUp) {
  const auto imported = import_or_fail(ImportFormat::vllm_bench, with_number("vllm_bench.json", "duration", "30.0"));
  EXPECT_THAT(core::format(imported.warnings), HasSubstr("saturated"));
}

TEST_F(Import, RefusesAFolderThatIsNoReportOfInferencePerf) {
  const auto imported = import_one(ImportFormat::inference_perf, folder_.path());
  ASSERT_FALSE(imported);
  EXPECT_THAT(core::format(imported.error()), HasSubstr("no summary_lifecycle_metrics.json"));
}

TEST_F(Import, RefusesAReportOfFewerStagesThanTheConfigHas) {
  fs::copy(example("inference_perf"), folder_ / "report");
  fs::remove(folder_ / "report/stage_1_lifecycle_metrics.json");
  const auto imported = import_one(ImportFormat::inference_perf, folder_ / "report");
  ASSERT_FALSE(imported);
  EXPECT_THAT(core::format(imported.error()), HasSubstr("config.yaml has 2 stages, but the folder has reports of 1"));
}

TEST_F(Import, RefusesToReplaceAFileUnlessToldTo) {
  const auto imported = import_or_fail(ImportFormat::blis, example("blis.json"));
  const fs::path file = folder_.write("truth.json", "mine");
  EXPECT_FALSE(write_ground_truth(imported, file, ExistingFile::refuse));
  EXPECT_EQ(folder_.read("truth.json"), "mine");
  EXPECT_TRUE(write_ground_truth(imported, file, ExistingFile::replace));
  EXPECT_TRUE(data::read_ground_truth(file));
}

TEST_F(Import, WritesNothingThatWouldNotReadBack) {
  ImportOptions options = complete();
  options.settings["max_model_len"] = "300";
  const auto imported = import_or_fail(ImportFormat::guidellm, example("guidellm_sweep.json"), options);
  const auto noticed = write_ground_truth(imported, folder_ / "truth.json", ExistingFile::refuse);
  ASSERT_FALSE(noticed);
  EXPECT_THAT(core::format(noticed.error()),
              HasSubstr("synthetic_guidellm_sweep.json: error: experiment 'synthetic_guidellm_sweep': prompt and output are"));
  EXPECT_THAT(folder_.names(), IsEmpty());
}

/// The lines of a table are not those of the file that names it.
TEST_F(Import, SaysWhoseTableCannotBeReadBack) {
  ImportedGroundTruth imported = import_or_fail(ImportFormat::guidellm, example("guidellm_sweep.json"));
  ASSERT_THAT(imported.experiments, SizeIs(1));
  imported.experiments.push_back(imported.experiments.front());
  imported.experiments.back().experiment.id = "second";
  imported.experiments.back().table = "second.csv";
  imported.tables.push_back({.name = "second.csv", .csv = imported.tables.front().csv});
  imported.sources = {"first.json", "second.json"};
  for (const std::size_t damaged : {0U, 1U}) {
    ImportedGroundTruth wrong = imported;
    wrong.tables[damaged].csv += "a row of another width\n";
    const auto noticed = write_ground_truth(wrong, folder_ / "truth.json", ExistingFile::refuse);
    ASSERT_FALSE(noticed);
    EXPECT_THAT(core::format(noticed.error()), HasSubstr(damaged == 0 ? "first.json: error: experiment 'synthetic_guidellm_sweep': "
                                                                      : "second.json: error: experiment 'second': "));
  }
}

TEST_F(Import, GivesShippedGroundTruthBackAsItIs) {
  for (const char* name : {"h100.json", "guidellm.json"}) {
    const fs::path file = testing_support::source_folder() / "ground_truth" / name;
    const auto shipped = data::read_ground_truth(file);
    ASSERT_TRUE(shipped);
    std::vector<data::WrittenExperiment> experiments;
    for (const domain::Experiment& experiment : shipped->experiments) {
      if (experiment.workload.arrival.process == ArrivalProcess::trace) continue;  // tables are compared by the imports above
      experiments.push_back({.experiment = experiment});
    }
    if (experiments.empty()) continue;
    const auto again = data::read_ground_truth(folder_.write(name, data::ground_truth_text(experiments)));
    ASSERT_TRUE(again) << core::format(again.error());
    for (std::size_t i = 0; i < experiments.size(); ++i) EXPECT_EQ(again->experiments[i], experiments[i].experiment);
  }
}

TEST(BadImports, AreRefusedWithPlaceAndRemedy) {
  for (const auto& [folder, format] :
       {std::pair{"import_guidellm", ImportFormat::guidellm}, std::pair{"import_vllm_bench", ImportFormat::vllm_bench},
        std::pair{"import_otel", ImportFormat::otel}, std::pair{"import_blis", ImportFormat::blis},
        std::pair{"import_aiperf", ImportFormat::aiperf}, std::pair{"import_blis_trace", ImportFormat::blis_trace},
        std::pair{"import_inferencex", ImportFormat::inferencex}, std::pair{"import_llmd", ImportFormat::llmd},
        std::pair{"import_vllm_console", ImportFormat::vllm_console}}) {
    bad_inputs::expect_all_refused(folder, [format = format](const fs::path& input) {
      ImportOptions options = complete();
      if (format == ImportFormat::llmd) options.settings.erase("version");
      return import_one(format, input, options);
    });
  }
}

/// Each input takes the place of the file of its kind in a report folder that is sound otherwise.
TEST_F(Import, RefusesBadReportsOfInferencePerfWithPlaceAndRemedy) {
  int folders = 0;
  bad_inputs::expect_all_refused("import_inference_perf", [&](const fs::path& input) {
    const fs::path folder = folder_ / ("report" + std::to_string(folders++));
    fs::copy(example("inference_perf"), folder);
    const char* replaced = input.extension() == ".yaml" ? "config.yaml" : "summary_lifecycle_metrics.json";
    fs::copy_file(input, folder / replaced, fs::copy_options::overwrite_existing);
    auto imported = import_one(ImportFormat::inference_perf, folder);
    if (!imported) {
      for (core::Diagnostic& problem : imported.error()) {
        // The folder's name is chance.
        if (fs::path(problem.position.file) == folder) problem.position.file = "report";
      }
    }
    return imported;
  });
}

TEST(BadVllmLogs, AreRefusedWithPlaceAndRemedy) {
  bad_inputs::expect_all_refused("vllm_logs", [](const fs::path& log) {
    ImportOptions options = complete();
    options.vllm_log = log;
    return import_one(ImportFormat::blis, example("blis.json"), options);
  });
}

}  // namespace
}  // namespace rooftune::importers
