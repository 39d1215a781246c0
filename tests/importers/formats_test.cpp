// Formats that were added to the first five, each with its example, and the recognition of all of them.
#include "importers/import_fixture.hpp"
#include "rooftune/importers/recognise.hpp"
#include "support/bad_inputs.hpp"

namespace rooftune::importers {
namespace {

using domain::ArrivalProcess;
using domain::Metric;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

/// As complete(), without what the files themselves say.
ImportOptions without_model() {
  ImportOptions options = complete();
  options.model.reset();
  return options;
}

TEST_F(Import, ReadsInfinityAsPythonWritesItAndSglangsNames) {
  const auto imported = import_or_fail(ImportFormat::sglang, example("sglang.jsonl"), without_model());
  const auto experiments = round_trip(imported);
  ASSERT_THAT(experiments, SizeIs(1));
  EXPECT_EQ(experiments[0].workload.arrival, (domain::Arrival{.process = ArrivalProcess::closed_loop, .concurrency = 8}));
  EXPECT_EQ(experiments[0].measured.summary[Metric::e2e_mean], 2020.0) << "mean_e2e_latency_ms, not derived";
  EXPECT_EQ(experiments[0].deployment.model, "meta-llama/Llama-2-7b-hf") << "of a Hugging Face cache";
  EXPECT_EQ(experiments[0].deployment.engine, "sglang");
  EXPECT_EQ(experiments[0].deployment.settings.block_size, 1) << "its pages";
}

TEST_F(Import, ReadsSglangsChainsOfDraftsAndLeavesItsTreesToBeRefused) {
  const auto speculative = [&](std::string_view server) {
    std::string text = bad_inputs::text_of(example("sglang.jsonl"));
    text.replace(text.find("NaN"), 3, "2.5");
    const std::string_view none = "\"speculative_algorithm\": null";
    text.replace(text.find(none), none.size(), server);
    return *import_or_fail(ImportFormat::sglang, folder_.write("drafts.jsonl", text), without_model())
                .experiments.at(0)
                .experiment.deployment.settings.speculative;
  };
  EXPECT_EQ(
      speculative(
          R"("speculative_algorithm": "NEXTN", "speculative_num_steps": 3, "speculative_eagle_topk": 1, "speculative_num_draft_tokens": 4)"),
      (domain::Speculation{.method = "mtp", .num_speculative_tokens = 3, .mean_accepted_length = 2.5}));
  EXPECT_EQ(speculative(R"("speculative_algorithm": "EAGLE3", "speculative_num_steps": 3, "speculative_eagle_topk": 4)").method,
            "EAGLE3 (trees of 4 branches)");
}

TEST_F(Import, ReadsWhatVllmBenchPrints) {
  const auto experiments = round_trip(import_or_fail(ImportFormat::vllm_console, example("vllm_console.txt"), without_model()));
  ASSERT_THAT(experiments, SizeIs(1));
  const domain::Experiment& experiment = experiments[0];
  EXPECT_EQ(experiment.deployment.model, "meta-llama/Llama-2-7b-hf");
  EXPECT_EQ(experiment.workload.arrival.process, ArrivalProcess::conditioned_poisson);
  ASSERT_THAT(experiment.workload.stages, SizeIs(1));
  EXPECT_EQ(experiment.workload.stages[0].rate.value, 4.0);
  EXPECT_EQ(experiment.workload.prompt.mean_tokens, 256.0);
  EXPECT_EQ(experiment.measured.summary[Metric::ttft_mean], 31.25);
  EXPECT_EQ(experiment.measured.summary[Metric::e2e_p90], 360.0);
}

TEST_F(Import, RefusesAPrintedResultThatDoesNotSayItsLoad) {
  const auto imported =
      import_one(ImportFormat::vllm_console, folder_.write("bench.txt", R"(============ Serving Benchmark Result ============
Successful requests:                     8
Benchmark duration (s):                  4.00
Total input tokens:                      800
Total generated tokens:                  80
Mean TTFT (ms):                          20.00
Mean TPOT (ms):                          10.00
==================================================
)"));
  ASSERT_FALSE(imported);
  EXPECT_THAT(core::format(imported.error()), HasSubstr("bench.txt:1:1: error: the text does not say at which rate"));
}

TEST_F(Import, ReplaysTheRecordsOfAiperfWithoutItsWarmUp) {
  const auto experiments = round_trip(import_or_fail(ImportFormat::aiperf, example("aiperf"), without_model()));
  ASSERT_THAT(experiments, SizeIs(1));
  const domain::Workload& workload = experiments[0].workload;
  EXPECT_EQ(workload.arrival.process, ArrivalProcess::trace);
  ASSERT_THAT(workload.trace, SizeIs(10)) << "2 of the 12 records are of the warm-up";
  EXPECT_EQ(workload.trace[1].arrival_s, 0.25);
  EXPECT_NEAR(*experiments[0].measured.summary[Metric::e2e_mean], 336.5, 1e-9);
  EXPECT_EQ(experiments[0].deployment.model, "meta-llama/Llama-2-7b-hf");
}

TEST_F(Import, MakesAClosedLoopOfGenAiPerfsConcurrency) {
  const auto experiments = round_trip(import_or_fail(ImportFormat::aiperf, example("genai_perf.json"), without_model()));
  ASSERT_THAT(experiments, SizeIs(1));
  EXPECT_EQ(experiments[0].workload.arrival, (domain::Arrival{.process = ArrivalProcess::closed_loop, .concurrency = 8}));
  EXPECT_EQ(experiments[0].workload.stages[0].num_requests, 160);
  EXPECT_EQ(experiments[0].measured.summary[Metric::ttft_p99], 80.0);
}

TEST_F(Import, TakesUnitsOfAiperfFromTheExport) {
  std::string text = testing_support::TemporaryFolder::read_file(example("genai_perf.json"));
  for (const auto& [from, to] : {std::pair{"\"unit\": \"ms\",\n  \"avg\": 60.0", "\"unit\": \"s\",\n  \"avg\": 0.06"}}) {
    ASSERT_NE(text.find(from), std::string::npos);
    text.replace(text.find(from), std::string(from).size(), to);
  }
  const auto imported = import_or_fail(ImportFormat::aiperf, folder_.write("profile.json", text), without_model());
  EXPECT_NEAR(*imported.experiments.at(0).experiment.measured.summary[Metric::ttft_mean], 60.0, 1e-9);
}

TEST_F(Import, TakesFromAnLlmDReportWhatTheStackRanWith) {
  ImportOptions nothing;
  const auto imported = import_or_fail(ImportFormat::llmd, example("llmd_v0_2.yaml"), nothing);
  const auto experiments = round_trip(imported);
  ASSERT_THAT(experiments, SizeIs(1));
  const domain::Deployment& deployment = experiments[0].deployment;
  EXPECT_EQ(deployment.hardware, "H100-SXM") << "NVIDIA-H100-80GB-HBM3, as clusters label it";
  EXPECT_EQ(deployment.dp, 2);
  EXPECT_EQ(deployment.settings.version, "0.11.0");
  EXPECT_EQ(deployment.settings.max_num_seqs, 256);
  EXPECT_EQ(deployment.settings.kv_cache_dtype, "fp8");
  const domain::Workload& workload = experiments[0].workload;
  EXPECT_EQ(workload.arrival.process, ArrivalProcess::conditioned_poisson);
  EXPECT_EQ(workload.distinct_prompts, 20) << "inference-perf's shared_prefix data";
  ASSERT_THAT(workload.stages, SizeIs(1));
  EXPECT_EQ(workload.stages[0].rate.value, 8.0) << "the report is of stage 1";
  EXPECT_NEAR(*experiments[0].measured.summary[Metric::ttft_mean], 40.0, 1e-9) << "s in the report";
  EXPECT_THAT(core::format(imported.warnings), IsEmpty());
}

TEST_F(Import, ReadsTheFirstVersionOfAnLlmDReport) {
  const auto experiments = round_trip(import_or_fail(ImportFormat::llmd, example("llmd_v0_1.yaml"), ImportOptions{}));
  ASSERT_THAT(experiments, SizeIs(1));
  EXPECT_EQ(experiments[0].workload.arrival, (domain::Arrival{.process = ArrivalProcess::closed_loop, .concurrency = 16}));
  EXPECT_NEAR(*experiments[0].measured.summary[Metric::e2e_mean], 90.0 + 63.0 * 30.0, 1e-6);
}

TEST_F(Import, ReplaysATraceOfBlisWithItsSharedBeginnings) {
  const auto experiments = round_trip(import_or_fail(ImportFormat::blis_trace, example("blis_trace"), without_model()));
  ASSERT_THAT(experiments, SizeIs(1));
  const domain::Workload& workload = experiments[0].workload;
  ASSERT_THAT(workload.trace, SizeIs(9)) << "one of the ten failed";
  EXPECT_EQ(workload.trace[0].input_tokens, 228);
  EXPECT_EQ(workload.trace[0].shared_prefix_tokens, 128);
  EXPECT_NE(workload.trace[0].prefix_group, workload.trace[1].prefix_group);
  EXPECT_EQ(workload.trace[2].prefix_group, -1);
  EXPECT_NEAR(*experiments[0].measured.summary[Metric::ttft_mean], 30.0, 1e-9);
  EXPECT_EQ(experiments[0].measured.summary.failed, 1);
}

TEST_F(Import, RefusesATraceOfBlisThatNobodyMeasured) {
  fs::copy(example("blis_trace"), folder_ / "trace");
  folder_.write("trace/trace_header.yaml", "trace_version: 2\ntime_unit: microseconds\nmode: generated\n");
  const auto imported = import_one(ImportFormat::blis_trace, folder_ / "trace");
  ASSERT_FALSE(imported);
  EXPECT_THAT(core::format(imported.error()), HasSubstr("trace_header.yaml:3:7: error: the trace's mode is 'generated'"));
}

TEST_F(Import, ReadsInferenceXInSecondsAndDerivesMeansFromThroughputAlone) {
  ImportOptions options = without_model();
  options.gpu.reset();
  const auto imported = import_or_fail(ImportFormat::inferencex, example("inferencex_1k1k.json"), options);
  const auto experiments = round_trip(imported);
  ASSERT_THAT(experiments, SizeIs(2));
  EXPECT_EQ(experiments[0].deployment.hardware, "H100-SXM") << "h100-cw: GPU and cluster";
  EXPECT_EQ(experiments[0].workload.output.max_tokens, 1024.0) << "1k of the file's name";
  EXPECT_EQ(experiments[0].workload.output.min_tokens, 819.0);
  EXPECT_EQ(experiments[0].workload.numpy_seed, 0U);
  EXPECT_NEAR(*experiments[0].measured.summary[Metric::ttft_mean], 200.0, 1e-9);
  EXPECT_FALSE(experiments[1].measured.summary[Metric::ttft_mean]) << "a median is no mean";
  EXPECT_NEAR(*experiments[1].measured.summary[Metric::e2e_mean], 64.0 / (2560.0 / 921.5) * 1e3, 1e-6) << "Little's law";
}

TEST_F(Import, ReadsSpansAsTempoAndJaegerExportThem) {
  const auto plain = import_or_fail(ImportFormat::otel, example("tempo.json"), without_model());
  const auto jaeger = import_or_fail(ImportFormat::otel, example("jaeger.json"), without_model());
  ASSERT_THAT(plain.experiments, SizeIs(1));
  ASSERT_THAT(jaeger.experiments, SizeIs(1));
  EXPECT_EQ(plain.experiments[0].experiment.workload.trace, jaeger.experiments[0].experiment.workload.trace);
  EXPECT_EQ(plain.experiments[0].experiment.measured, jaeger.experiments[0].experiment.measured);
  EXPECT_THAT(plain.experiments[0].experiment.workload.trace, SizeIs(6));
}

TEST(Recognise, TellsEveryFormatByItsContents) {
  for (const auto& [name, format] :
       {std::pair{"guidellm_sweep.json", ImportFormat::guidellm}, std::pair{"inference_perf", ImportFormat::inference_perf},
        std::pair{"vllm_bench.json", ImportFormat::vllm_bench}, std::pair{"vllm_bench_appended.jsonl", ImportFormat::vllm_bench},
        std::pair{"vllm_console.txt", ImportFormat::vllm_console}, std::pair{"sglang.jsonl", ImportFormat::sglang},
        std::pair{"aiperf", ImportFormat::aiperf}, std::pair{"aiperf/profile_export.jsonl", ImportFormat::aiperf},
        std::pair{"genai_perf.json", ImportFormat::aiperf}, std::pair{"llmd_v0_1.yaml", ImportFormat::llmd},
        std::pair{"llmd_v0_2.yaml", ImportFormat::llmd}, std::pair{"inferencex_1k1k.json", ImportFormat::inferencex},
        std::pair{"otel_spans.jsonl", ImportFormat::otel}, std::pair{"tempo.json", ImportFormat::otel},
        std::pair{"jaeger.json", ImportFormat::otel}, std::pair{"blis.json", ImportFormat::blis},
        std::pair{"blis_trace", ImportFormat::blis_trace}, std::pair{"blis_trace/trace_data.csv", ImportFormat::blis_trace},
        std::pair{"blis_trace/trace_header.yaml", ImportFormat::blis_trace}}) {
    const auto found = recognise(example(name));
    ASSERT_TRUE(found) << core::format(found.error());
    EXPECT_EQ(found->format, format) << name;
  }
  const auto log = recognise(example("vllm.log"));
  ASSERT_TRUE(log) << core::format(log.error());
  EXPECT_TRUE(log->is_server_log);
}

TEST_F(Import, TakesALogAmongTheInputsForTheServersAndSaysWhatItTook) {
  ImportOptions options;
  options.gpu = "H100";
  const auto imported = import_recognised(std::vector{example("guidellm_sweep.json"), example("vllm.log")}, options);
  ASSERT_TRUE(imported) << core::format(imported.error());
  EXPECT_EQ(imported->experiments.at(0).experiment.deployment.settings.total_kv_blocks, 119008 / 16);
  EXPECT_THAT(imported->assumptions, Contains(HasSubstr("guidellm_sweep.json is of the format guidellm")));
  EXPECT_THAT(imported->assumptions, Contains(HasSubstr("vllm.log is a vLLM server's log")));
}

TEST_F(Import, LeavesTheMarkOutThatSomeProgramsBeginFilesWith) {
  const std::string text = "\xef\xbb\xbf" + testing_support::TemporaryFolder::read_file(example("vllm_bench.json"));
  const auto imported = import_recognised(std::vector{folder_.write("result.json", text)}, complete());
  EXPECT_TRUE(imported) << core::format(imported.error());
}

TEST_F(Import, SaysWhichFormatsAreKnownWhereAFileIsOfNone) {
  const auto imported = import_recognised(std::vector{folder_.write("other.json", R"({"answer": 42})")}, complete());
  ASSERT_FALSE(imported);
  EXPECT_THAT(core::format(imported.error()), HasSubstr("other.json: error: no format that is known here (known are guidellm, "));
}

}  // namespace
}  // namespace rooftune::importers
