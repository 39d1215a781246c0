// What a file says about its load and its figures is what is simulated, or the import says why not.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "importers/import_fixture.hpp"

namespace rooftune::importers {
namespace {

using domain::ArrivalProcess;
using domain::Metric;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

std::string warnings(const ImportedGroundTruth& imported) { return core::format(imported.warnings); }
const domain::Experiment& first(const ImportedGroundTruth& imported) { return imported.experiments.at(0).experiment; }

/// A GuideLLM report of one constant rate: 5 requests a second for 8 s, of which `listed` are in the report.
struct GuideLlm {
  int listed = 40;
  std::string in_benchmark = "{}";  ///< config.requests
  std::string in_report{};          ///< further members of the root

  [[nodiscard]] std::string text() const {
    std::vector<std::string> requests;
    for (int i = 0; i < listed; ++i) {
      requests.push_back(fmt::format(
          R"({{"request_start_time": {}, "time_to_first_token_ms": 40, "request_latency": 0.5, "prompt_tokens": 300, "output_tokens": 20}})",
          100.0 + i * 0.2));
    }
    const auto metric = [](std::string_view name, double mean) {
      return fmt::format(R"("{}": {{"successful": {{"mean": {}, "std_dev": 0, "min": {}, "max": {}, "percentiles": {{"p90": {}}}}}}})",
                         name, mean, mean, mean, mean);
    };
    return fmt::format(
        R"({{"benchmarks": [{{"config": {{"strategy": {{"type_": "constant", "rate": 5.0}}, "backend": {{"model": "meta-llama/Llama-2-7b-hf"}},
        "requests": {}}}, "scheduler_metrics": {{"requests_made": {{"successful": 40, "errored": 0}}}}, "start_time": 100.0,
        "end_time": 108.0, "metrics": {{{}, {}, {}, {}}}, "requests": {{"successful": [{}], "errored": [], "incomplete": []}}}}]{}}})",
        in_benchmark, metric("time_to_first_token_ms", 40), metric("request_latency", 0.5), metric("prompt_token_count", 300),
        metric("output_token_count", 20), fmt::join(requests, ", "), in_report.empty() ? "" : ", " + in_report);
  }
};

class SaidFacts : public Import {
 protected:
  ImportedGroundTruth guidellm(const GuideLlm& report) {
    return import_or_fail(ImportFormat::guidellm, folder_.write("report.json", report.text()));
  }

  /// A report folder of inference-perf with these files in place of an example's.
  fs::path inference_perf(const std::string& from, std::initializer_list<std::pair<const char*, std::string>> files) {
    fs::path folder = folder_ / "report";
    fs::copy(example(from), folder);
    for (const auto& [name, text] : files) folder_.write(fmt::format("report/{}", name), text);
    return folder;
  }
};

// --- samples and newer layouts of GuideLLM ------------------------------------------------------------------------------

TEST_F(SaidFacts, ASampleOfTheRequestsIsNotReplayedAsIfItWereAll) {
  const auto imported = guidellm({.listed = 7});
  EXPECT_EQ(first(imported).workload.arrival.process, ArrivalProcess::constant);
  ASSERT_THAT(first(imported).workload.stages, SizeIs(1));
  EXPECT_EQ(first(imported).workload.stages[0].num_requests, 40);
  EXPECT_THAT(imported.assumptions, Contains(HasSubstr("lists 7 of 40 successful requests (a sample)")));
  EXPECT_EQ(first(guidellm({})).workload.arrival.process, ArrivalProcess::trace) << "all of them are";
}

TEST_F(SaidFacts, TheSamePrefixIsFoundWhereverAVersionKeepsIt) {
  constexpr std::string_view kData =
      R"({"kind": "synthetic_text", "prompt_tokens": 100, "prefix_buckets": [{"bucket_weight": 100, "prefix_count": 1, "prefix_tokens": 200}]})";
  std::string quoted(kData);
  for (std::size_t at = quoted.find('"'); at != std::string::npos; at = quoted.find('"', at + 2)) quoted.insert(at, "\\");
  const auto v2 = guidellm({.in_report = fmt::format(R"("config": {{"spec": {{"data": [{}]}}}})", kData)});
  const auto v1 = guidellm({.in_benchmark = fmt::format(R"({{"data": "['{}']"}})", quoted)});
  const auto plain = guidellm({.in_benchmark = R"({"data": "prompt_tokens=100,output_tokens=20,prefix_tokens=200"})"});
  for (const auto* imported : {&v2, &v1, &plain}) EXPECT_EQ(first(*imported).workload.system_prompt_tokens, 200);
  EXPECT_EQ(first(v1).workload, first(v2).workload);
}

TEST_F(SaidFacts, SeveralPrefixesAreThatMany) {
  const auto imported = guidellm(
      {.in_report =
           R"("config": {"spec": {"data": [{"prefix_buckets": [{"bucket_weight": 1, "prefix_count": 3, "prefix_tokens": 150}]}]}})"});
  const auto& trace = first(imported).workload.trace;
  ASSERT_THAT(trace, SizeIs(40));
  EXPECT_EQ(trace[0].prefix_group, trace[3].prefix_group);
  EXPECT_NE(trace[0].prefix_group, trace[1].prefix_group);
  EXPECT_EQ(trace[0].shared_prefix_tokens, 150);
  const auto sampled =
      guidellm({.listed = 2, .in_report = R"("config": {"spec": {"data": [{"prefix_count": 3, "prefix_tokens": 150}]}})"});
  EXPECT_EQ(first(sampled).workload.prompt_groups, 3);
}

TEST_F(SaidFacts, ConversationsAreNamedAsNotSimulated) {
  const auto imported = guidellm({.in_report = R"("config": {"spec": {"data": [{"turns": 4}]}})"});
  EXPECT_THAT(warnings(imported), HasSubstr("the data are conversations of 4 turns (not simulated"));
}

// --- vllm bench -----------------------------------------------------------------------------------------------------------

constexpr std::string_view kResult =
    R"("completed": 4, "num_prompts": 4, "total_input_tokens": 400, "total_output_tokens": 40, "duration": 9.0,
 "mean_ttft_ms": 30.0, "mean_tpot_ms": 10.0, "mean_e2el_ms": 120.0)";

TEST_F(SaidFacts, ARisingRateIsReplayedFromTheSummary) {
  const auto imported =
      import_or_fail(ImportFormat::vllm_bench,
                     folder_.write("result.json", fmt::format(R"({{{}, "request_rate": "inf", "ramp_up_strategy": "exponential",
 "ramp_up_start_rps": 1, "ramp_up_end_rps": 4}})",
                                                              kResult)));
  const auto experiments = round_trip(imported);
  ASSERT_THAT(experiments, SizeIs(1));
  const domain::Workload& workload = experiments[0].workload;
  EXPECT_EQ(workload.arrival.rate_ramp, domain::RateRamp::exponential);
  EXPECT_EQ(workload.arrival.first_rate.value, 1.0);
  EXPECT_EQ(workload.arrival.last_rate.value, 4.0);
  ASSERT_THAT(workload.stages, SizeIs(1));
  EXPECT_EQ(workload.stages[0].num_requests, 4) << "never a closed loop of all of them";
}

TEST_F(SaidFacts, ARisingRateIsReplayedByTheStarts) {
  const auto imported = import_or_fail(
      ImportFormat::vllm_bench,
      folder_.write("result.json",
                    fmt::format(R"({{{}, "request_rate": Infinity, "ramp_up_strategy": "linear", "input_lens": [100, 100, 100, 100],
 "output_lens": [10, 10, 10, 10], "ttfts": [0.03, 0.03, 0.03, 0.03], "itls": [[0.09], [0.09], [0.09], [0.09]],
 "start_times": [50.0, 54.0, 56.0, 57.0], "errors": ["", "", "", ""]}})",
                                kResult)));
  EXPECT_EQ(first(imported).workload.arrival.process, ArrivalProcess::trace);
  ASSERT_THAT(first(imported).workload.trace, SizeIs(4));
  EXPECT_EQ(first(imported).workload.trace[2].arrival_s, 6.0);
  EXPECT_THAT(warnings(imported), IsEmpty());
}

TEST_F(SaidFacts, MediansAreNamedInTheUsersFile) {
  const auto imported = import_one(
      ImportFormat::vllm_bench,
      folder_.write("result.json",
                    R"({"completed": 4, "total_input_tokens": 400, "total_output_tokens": 40, "request_rate": 2, "duration": 9,
 "median_ttft": 0.03, "median_e2el": 0.12})"));
  ASSERT_FALSE(imported);
  EXPECT_THAT(
      core::format(imported.error()),
      HasSubstr("result.json:1:1: error: the result lacks 'mean_ttft_ms', and 'mean_e2el_ms' or 'mean_tpot_ms'; it has median_ttft, "
                "median_e2el"));
}

TEST_F(SaidFacts, ARateThatTheClientsLimitIsTheirClosedLoop) {
  // 40 requests in 20 s of 4 s each: 8 under way, all the time.
  const auto imported = import_or_fail(
      ImportFormat::vllm_bench,
      folder_.write("result.json",
                    R"({"completed": 40, "num_prompts": 40, "total_input_tokens": 4000, "total_output_tokens": 400, "duration": 20.0,
 "mean_ttft_ms": 3000.0, "mean_e2el_ms": 4000.0, "request_rate": 50.0, "max_concurrency": 8})"));
  EXPECT_EQ(first(imported).workload.arrival, (domain::Arrival{.process = ArrivalProcess::closed_loop, .concurrency = 8}));
  EXPECT_THAT(warnings(imported), HasSubstr("max_concurrency, not the rate of 50 a second, made the load"));
  EXPECT_THAT(warnings(imported), Not(HasSubstr("saturated")));
}

TEST_F(SaidFacts, TwoCountsOfTheSameTokensAreCompared) {
  const auto imported = import_or_fail(
      ImportFormat::sglang,
      folder_.write("result.jsonl", fmt::format(R"({{{}, "request_rate": 2.0, "total_output_tokens_retokenized": 71}})", kResult)));
  std::string one_line = warnings(imported);
  EXPECT_THAT(one_line, HasSubstr("40 output tokens were asked for, 71 count the text tokenised again: 1.77 times as many"));
}

TEST_F(SaidFacts, AServersConfigIsReadWithItsObjectsAndUnknownArguments) {
  std::string text = testing_support::TemporaryFolder::read_file(example("blis.json"));
  const std::string version = R"("version": "0.11.0",)";
  text.replace(text.find(version), version.size(),
               R"("vllm_version": "0.11.0", "compilation_config": {"cudagraph_mode": "FULL", "cudagraph_capture_sizes": [1, 2, 8]},
 "max_model_len_of_drafts": 7, "watermark": null, "enable_lora": true,)");
  const auto imported = import_or_fail(ImportFormat::blis, folder_.write("blis.json", text), ImportOptions{});
  const domain::EngineSettings& settings = first(imported).deployment.settings;
  EXPECT_EQ(settings.version, "0.11.0");
  EXPECT_EQ(settings.cudagraph_mode, "FULL");
  EXPECT_EQ(settings.cudagraph_capture_sizes, (std::vector<int>{1, 2, 8}));
  EXPECT_THAT(imported.assumptions, Contains(HasSubstr("arguments of the server that are not simulated: max_model_len_of_drafts=7")));
  EXPECT_THAT(warnings(imported), HasSubstr("the server ran with LoRA adapters"));
}

// --- prompts that begin alike ---------------------------------------------------------------------------------------------

TEST_F(SaidFacts, RecordsOfAPoolOfPrefixesBeginInAsManyWays) {
  std::string records;
  for (int i = 1; i <= 6; ++i) {
    records += fmt::format(
        R"({{"metadata": {{"request_start_ns": {}000000000}}, "metrics": {{"time_to_first_token": {{"value": 100, "unit": "ms"}}, "request_latency": {{"value": 500, "unit": "ms"}}, "input_sequence_length": {{"value": 100}}, "output_sequence_length": {{"value": 20}}}}, "error": null}})",
        i);
    records += "\n";
  }
  folder_.write("profile_export.jsonl", records);
  const auto with_pool = [&](int pool) {
    folder_.write("profile_export_aiperf.json",
                  fmt::format(R"({{"input_config": {{"input": {{"prompt": {{"prefix_prompt": {{"length": 64, "pool_size": {}}}}}}},
 "loadgen": {{"request_rate": 1}}}}, "request_count": {{"avg": 6}},
 "time_to_first_token": {{"unit": "ms", "avg": 100}}, "request_latency": {{"unit": "ms", "avg": 500}}}})",
                              pool));
    return import_or_fail(ImportFormat::aiperf, folder_.path());
  };
  const auto several = with_pool(3);
  const auto& trace = first(several).workload.trace;
  ASSERT_THAT(trace, SizeIs(6));
  EXPECT_NE(trace[0].prefix_group, trace[1].prefix_group);
  EXPECT_EQ(trace[0].prefix_group, trace[3].prefix_group);
  EXPECT_EQ(trace[5].shared_prefix_tokens, 64);
  EXPECT_THAT(several.assumptions, Contains(HasSubstr("prompts begin in 3 ways, taken in turn")));
  const auto one = with_pool(1);
  EXPECT_EQ(first(one).workload.trace.at(1).prefix_group, first(one).workload.trace.at(0).prefix_group);
}

TEST_F(SaidFacts, RepeatedPrefixesOfVllmBenchAreTakenInTurn) {
  const auto imported =
      import_or_fail(ImportFormat::vllm_bench,
                     folder_.write("result.json", fmt::format(R"({{{}, "request_rate": 1.0, "input_lens": [100, 100, 100, 100],
 "output_lens": [10, 10, 10, 10], "ttfts": [0.03, 0.03, 0.03, 0.03], "itls": [[0.09], [0.09], [0.09], [0.09]],
 "start_times": [50.0, 54.0, 56.0, 57.0], "errors": ["", "", "", ""], "dataset_name": "prefix_repetition",
 "prefix_repetition_prefix_len": 60, "prefix_repetition_num_prefixes": 2}})",
                                                              kResult)));
  const auto& trace = first(imported).workload.trace;
  ASSERT_THAT(trace, SizeIs(4));
  EXPECT_NE(trace[0].prefix_group, trace[1].prefix_group);
  EXPECT_EQ(trace[0].prefix_group, trace[2].prefix_group);
  EXPECT_EQ(trace[0].shared_prefix_tokens, 60);
  EXPECT_EQ(first(imported).workload.prompt_groups, 2);
}

// --- inference-perf -------------------------------------------------------------------------------------------------------

constexpr std::string_view kSummary = R"({{"load_summary": {{"count": {}{}}}, "successes": {{"count": {},
 "latency": {{"request_latency": {{"mean": {}}}, "time_to_first_token": {{"mean": 0.05}}}}, "throughput": {{"requests_per_sec": {}}},
 "prompt_len": {{"mean": 200, "p5": 200, "p95": 200}}, "output_len": {{"mean": 30}}}}, "failures": {{"count": 0}}}})";

/// A request of inference-perf in either layout: 10 tokens by the server, `client_tokens` by the client.
std::string request_text(double start, int client_tokens, bool is_new) {
  if (!is_new) {
    return fmt::format(
        R"({{"start_time": {}, "end_time": {}, "info": {{"input_tokens": 200, "output_tokens": {}, "output_token_times": [{}]}}, "error": null}})",
        start, start + 0.5, client_tokens, start + 0.05);
  }
  return fmt::format(
      R"({{"start_time": {}, "end_time": {}, "info": {{"request_metrics": {{"text": {{"input_tokens": 200}}}}, "response_metrics": {{"output_tokens": {},
 "server_usage": {{"prompt_tokens": 200, "completion_tokens": 10}}, "output_token_times": [{}]}}}}, "error": null}})",
      start, start + 0.5, client_tokens, start + 0.05);
}

std::string requests_text(int client_tokens, bool is_new) {
  std::vector<std::string> requests;
  for (int i = 0; i < 8; ++i) requests.push_back(request_text(10.0 + i, client_tokens, is_new));
  return fmt::format("[{}]", fmt::join(requests, ",\n"));
}

constexpr std::string_view kRandomConfig = R"(data: {type: random, output_distribution: {min: 10, max: 10, mean: 10}}
load: {type: constant, stages: [{rate: 1.0, duration: 8}]}
server: {model_name: meta-llama/Llama-2-7b-hf, ignore_eos: true}
)";

TEST_F(SaidFacts, BothLayoutsOfInferencePerfsRequestsGiveTheSameTable) {
  const std::string summary = fmt::format(kSummary, 8, "", 8, 0.5, 1.0);
  const auto read = [&](bool is_new) {
    fs::remove_all(folder_ / "report");
    const fs::path report =
        inference_perf("inference_perf_requests", {{"config.yaml", std::string(kRandomConfig)},
                                                   {"summary_lifecycle_metrics.json", summary},
                                                   {"stage_0_lifecycle_metrics.json", summary},
                                                   {"per_request_lifecycle_metrics.json", requests_text(10, is_new)}});
    return import_or_fail(ImportFormat::inference_perf, report);
  };
  const auto before = read(false);
  const auto since = read(true);
  ASSERT_THAT(since.tables, SizeIs(1));
  EXPECT_EQ(since.tables[0].csv, before.tables.at(0).csv);
}

TEST_F(SaidFacts, TheServersTokensCountMoreThanTheTextTokenisedAgain) {
  const std::string summary = fmt::format(kSummary, 8, "", 8, 0.5, 1.0);
  const auto with = [&](bool is_new) {
    fs::remove_all(folder_ / "report");
    return import_or_fail(
        ImportFormat::inference_perf,
        inference_perf("inference_perf_requests", {{"config.yaml", std::string(kRandomConfig)},
                                                   {"summary_lifecycle_metrics.json", summary},
                                                   {"stage_0_lifecycle_metrics.json", summary},
                                                   {"per_request_lifecycle_metrics.json", requests_text(18, is_new)}}));
  };
  const auto newer = with(true);
  EXPECT_NEAR(*first(newer).measured.summary[Metric::tpot_mean], 450.0 / 9.0, 1e-6);
  EXPECT_THAT(warnings(newer), Not(HasSubstr("tokenised again")));
  EXPECT_THAT(warnings(with(false)), HasSubstr("the counts are of the text tokenised again, 1.80 times what was generated"));
}

TEST_F(SaidFacts, AFileOfRequestsThatYieldsNothingIsAnError) {
  const std::string unknown = R"([{"start_time": 1.0, "end_time": 2.0, "info": {"somewhere_else": {}}, "error": null}])";
  const auto imported = import_one(ImportFormat::inference_perf,
                                   inference_perf("inference_perf_requests", {{"per_request_lifecycle_metrics.json", unknown}}));
  ASSERT_FALSE(imported);
  EXPECT_THAT(
      core::format(imported.error()),
      HasSubstr("per_request_lifecycle_metrics.json:1:1: error: none of the 1 request can be replayed: 0 failed, 1 lack the times"));
}

TEST_F(SaidFacts, TheLoadThatWasSentIsReplayedNotTheOneThatWasAskedFor) {
  const std::string on_time =
      fmt::format(kSummary, 100, R"(, "send_duration": 20, "achieved_rate": 5, "schedule_delay": {"mean": 0.001})", 100, 0.4, 5.0);
  const std::string late =
      fmt::format(kSummary, 800, R"(, "send_duration": 40, "achieved_rate": 20, "schedule_delay": {"mean": 10})", 800, 3.1, 19.8);
  const auto imported = import_or_fail(
      ImportFormat::inference_perf,
      inference_perf(
          "inference_perf",
          {{"config.yaml",
            R"(data: {type: shared_prefix, shared_prefix: {num_groups: 2, num_prompts_per_group: 3, system_prompt_len: 100, question_len: 100, output_len: 30}}
load: {type: constant, stages: [{rate: 5, duration: 20}, {rate: 40, duration: 20}], num_workers: 8, worker_max_concurrency: 8}
server: {model_name: meta-llama/Llama-2-7b-hf, ignore_eos: true}
)"},
           {"summary_lifecycle_metrics.json", fmt::format(kSummary, 900, "", 900, 2.8, 17.0)},
           {"stage_0_lifecycle_metrics.json", on_time},
           {"stage_1_lifecycle_metrics.json", late}}));
  ASSERT_THAT(imported.experiments, SizeIs(2));
  ASSERT_THAT(first(imported).workload.stages, SizeIs(1));
  EXPECT_EQ(first(imported).workload.stages[0].rate.value, 5.0);
  EXPECT_NEAR(*first(imported).measured.summary[Metric::e2e_mean], 400.0, 1e-9) << "the pooled summary holds the late stage too";
  const domain::Experiment& loop = imported.experiments[1].experiment;
  EXPECT_EQ(loop.id, "report-stage1-c64");
  EXPECT_EQ(loop.workload.arrival, (domain::Arrival{.process = ArrivalProcess::closed_loop, .concurrency = 64}));
  EXPECT_THAT(warnings(imported),
              HasSubstr("the load generator sent 20 requests a second of the 40 asked for: the client limited the load"));
  EXPECT_THAT(warnings(imported), Not(HasSubstr("saturated"))) << "the server is not to blame";
}

TEST_F(SaidFacts, ConcurrentLoadsOfInferencePerfAreClosedLoops) {
  const std::string stage = fmt::format(kSummary, 50, "", 50, 0.5, 10.0);
  const auto imported = import_or_fail(
      ImportFormat::inference_perf,
      inference_perf("inference_perf", {{"config.yaml", R"(data: {type: random}
load: {type: concurrent, stages: [{num_requests: 50, concurrency_level: 4}, {num_requests: 50, concurrency_level: 16}]}
server: {model_name: meta-llama/Llama-2-7b-hf}
)"},
                                        {"summary_lifecycle_metrics.json", fmt::format(kSummary, 100, "", 100, 0.5, 10.0)},
                                        {"stage_0_lifecycle_metrics.json", stage},
                                        {"stage_1_lifecycle_metrics.json", stage}}));
  const auto experiments = round_trip(imported);
  ASSERT_THAT(experiments, SizeIs(1)) << "one server lived on";
  ASSERT_THAT(experiments[0].workload.stages, SizeIs(2));
  EXPECT_EQ(experiments[0].workload.stages[0].concurrency, 4);
  EXPECT_EQ(experiments[0].workload.stages[1].concurrency, 16);
}

// --- loads that their client limited --------------------------------------------------------------------------------------

/// Rows of a trace of `blis observe`: `clients` clients, each sending `turnaround_s` after its reply, which takes 1 to 1.5 s.
std::string rows_of_clients(int clients, int requests, double turnaround_s) {
  std::string rows = "request_id,status,input_tokens,output_tokens,send_time_us,first_chunk_time_us,last_chunk_time_us\n";
  std::vector<double> free_s(static_cast<std::size_t>(clients), 0.0);
  for (int i = 0; i < requests; ++i) {
    double& next = *std::ranges::min_element(free_s);
    const double lasts_s = 1.0 + 0.5 * ((i * 37) % 100) / 100.0;
    rows += fmt::format("{},ok,100,20,{:.0f},{:.0f},{:.0f}\n", i, next * 1e6, (next + 0.1) * 1e6, (next + lasts_s) * 1e6);
    next += lasts_s + turnaround_s;
  }
  return rows;
}

TEST_F(SaidFacts, ATraceOfALimitedClientIsReplayedAsItsClosedLoop) {
  folder_.write("trace_header.yaml", "trace_version: 2\ntime_unit: microseconds\nmode: real\n");
  folder_.write("trace_data.csv", rows_of_clients(12, 400, 0.005));
  const auto imported = import_or_fail(ImportFormat::blis_trace, folder_ / "trace_header.yaml");
  const auto experiments = round_trip(imported);
  ASSERT_THAT(experiments, SizeIs(1));
  const domain::Workload& workload = experiments[0].workload;
  EXPECT_EQ(workload.arrival.process, ArrivalProcess::closed_loop);
  EXPECT_EQ(workload.arrival.concurrency, 12);
  EXPECT_NEAR(workload.arrival.turnaround_us.value_or(0.0), 5000.0, 500.0);
  EXPECT_THAT(workload.trace, SizeIs(400)) << "their lengths, in their order";
  EXPECT_THAT(warnings(imported), HasSubstr("never more than 12 requests were in flight"));
}

TEST_F(SaidFacts, ACloseLoopThatNeverHadAllItsClientsIsSaid) {
  std::string records;
  std::vector<double> free_s(6, 0.0);
  for (int i = 0; i < 200; ++i) {
    double& next = *std::ranges::min_element(free_s);
    const double lasts_s = 1.0 + 0.5 * ((i * 37) % 100) / 100.0;
    records += fmt::format(
        R"({{"metadata": {{"request_start_ns": {:.0f}}}, "metrics": {{"time_to_first_token": {{"value": 100, "unit": "ms"}}, "request_latency": {{"value": {}, "unit": "ms"}}, "input_sequence_length": {{"value": 100}}, "output_sequence_length": {{"value": 20}}}}, "error": null}})",
        next * 1e9, lasts_s * 1e3);
    records += "\n";
    next += lasts_s + 0.002;
  }
  folder_.write("profile_export.jsonl", records);
  folder_.write("profile_export_aiperf.json",
                R"({"input_config": {"loadgen": {"concurrency": 10, "warmup_request_count": 20}}, "request_count": {"avg": 200},
 "time_to_first_token": {"unit": "ms", "avg": 100}, "request_latency": {"unit": "ms", "avg": 1250},
 "input_sequence_length": {"avg": 100}, "output_sequence_length": {"avg": 20}, "request_throughput": {"avg": 4.8}})");
  const auto imported = import_or_fail(ImportFormat::aiperf, folder_.path());
  const auto experiments = round_trip(imported);
  ASSERT_THAT(experiments, SizeIs(1));
  EXPECT_EQ(experiments[0].workload.arrival.concurrency, 6);
  EXPECT_THAT(warnings(imported), HasSubstr("10 clients were asked for, but never more than 6 requests were in flight"));
  EXPECT_EQ(experiments[0].workload.warm_up,
            (domain::WarmUp{.requests = 20, .concurrency = 10, .prompt = domain::WarmUp::Prompt::next}));
}

TEST_F(SaidFacts, ARateBesideAConcurrencyThatWasReachedIsItsClosedLoop) {
  const auto imported = import_or_fail(
      ImportFormat::aiperf,
      folder_.write("profile_export_aiperf.json",
                    R"({"input_config": {"loadgen": {"concurrency": 16, "request_rate": 40, "concurrency_ramp_duration": 5}},
 "request_count": {"avg": 320}, "benchmark_duration": {"unit": "s", "avg": 40},
 "time_to_first_token": {"unit": "ms", "avg": 100}, "request_latency": {"unit": "ms", "avg": 1980},
 "input_sequence_length": {"avg": 100}, "output_sequence_length": {"avg": 20}, "request_throughput": {"avg": 8}})"));
  EXPECT_EQ(first(imported).workload.arrival, (domain::Arrival{.process = ArrivalProcess::closed_loop, .concurrency = 16}));
  EXPECT_THAT(warnings(imported), HasSubstr("the 16 clients were busy all the time: their number, not the rate of 40 a second"));
  EXPECT_THAT(warnings(imported), Not(HasSubstr("saturated")));
}

// --- conversations --------------------------------------------------------------------------------------------------------

TEST_F(SaidFacts, TurnsOfASessionAreTurns) {
  folder_.write("trace_header.yaml", "trace_version: 2\ntime_unit: microseconds\nmode: real\n");
  const auto read = [&](int second_prompt) {
    folder_.write("trace_data.csv",
                  fmt::format("request_id,session_id,status,input_tokens,output_tokens,send_time_us,first_chunk_time_us,"
                              "last_chunk_time_us\n0,a,ok,100,20,0,100000,1000000\n1,b,ok,50,20,200000,300000,900000\n"
                              "2,a,ok,{},20,3000000,3100000,3500000\n3,,ok,70,20,3200000,3300000,3400000\n",
                              second_prompt));
    return import_or_fail(ImportFormat::blis_trace, folder_ / "trace_header.yaml");
  };
  const auto whole = read(150);
  const auto& trace = first(whole).workload.trace;
  ASSERT_THAT(trace, SizeIs(4));
  EXPECT_EQ(trace[0].conversation, trace[2].conversation);
  EXPECT_GE(trace[0].conversation, 0);
  EXPECT_EQ(trace[1].conversation, -1) << "one turn is no conversation";
  EXPECT_EQ(trace[2].arrival_s, 2.0) << "the time to think since the reply";
  EXPECT_EQ(trace[2].input_tokens, 150);
  EXPECT_EQ(first(whole).workload.pattern, domain::PromptPattern::conversations);
  round_trip(whole);
  const auto added = read(30);
  EXPECT_EQ(first(added).workload.trace[2].input_tokens, 150) << "100 + 20 before it";
  EXPECT_THAT(added.assumptions, Contains(HasSubstr("without the conversation so far, which is added")));
  folder_.write("trace_data.csv",
                "request_id,stage,session_id,status,input_tokens,output_tokens,send_time_us,first_chunk_time_us,last_chunk_time_us\n"
                "0,0,a,ok,100,20,0,100000,1000000\n1,0,a,ok,150,20,3000000,3100000,3500000\n"
                "2,1,b,ok,100,20,60000000,60100000,61000000\n3,1,b,ok,150,20,63000000,63100000,63500000\n");
  const auto stages = import_or_fail(ImportFormat::blis_trace, folder_ / "trace_header.yaml");
  const auto& of_two = first(stages).workload.trace;
  ASSERT_THAT(of_two, SizeIs(4));
  EXPECT_EQ(of_two[2].conversation, of_two[3].conversation);
  EXPECT_NE(of_two[2].conversation, of_two[0].conversation) << "the first of the second stage is not the first of the first";
  EXPECT_EQ(of_two[2].arrival_s, 0.0) << "it waits for no reply of the stage before";
  EXPECT_THAT(stages.assumptions, Contains(HasSubstr("2 conversations: a turn is sent after")).Times(1));
}

TEST_F(SaidFacts, AStageWhoseRequestsAllFailedIsNamedAndItsFailuresCount) {
  folder_.write("trace_header.yaml", "trace_version: 2\ntime_unit: microseconds\nmode: real\n");
  folder_.write("trace_data.csv",
                "request_id,stage,status,input_tokens,output_tokens,send_time_us,first_chunk_time_us,last_chunk_time_us\n"
                "0,0,ok,100,20,0,100000,1000000\n1,0,ok,100,20,3000000,3100000,3500000\n"
                "2,1,error,100,0,60000000,0,0\n3,1,timeout,100,0,61000000,0,0\n");
  const auto imported = import_or_fail(ImportFormat::blis_trace, folder_ / "trace_header.yaml");
  EXPECT_THAT(warnings(imported), HasSubstr("trace_data.csv:4:1: warning: stage 1: no request can be replayed, 2 failed"));
  const auto experiments = round_trip(imported);
  ASSERT_THAT(experiments, SizeIs(1));
  EXPECT_THAT(experiments[0].workload.stages, SizeIs(1));
  EXPECT_EQ(experiments[0].measured.summary.failed, 2);
  EXPECT_EQ(experiments[0].role, domain::Role::overload) << "half of all";
}

// --- names ----------------------------------------------------------------------------------------------------------------

TEST_F(SaidFacts, APathOrAHuggingFaceCacheNamesTheModel) {
  ImportOptions options = complete();
  options.model.reset();
  for (const auto& [id, name] :
       {std::pair{"/models/models--meta-llama--Llama-2-7b-hf/snapshots/b5c939de8f754692c1647ca7/", "meta-llama/Llama-2-7b-hf"},
        std::pair{"/mnt/weights/Llama-2-7b-hf", "Llama-2-7b-hf"}, std::pair{"s3://bucket/models/Llama-2-7b-hf/1", "Llama-2-7b-hf"},
        std::pair{"meta-llama/Llama-2-7b-hf", "meta-llama/Llama-2-7b-hf"}}) {
    const auto imported = import_or_fail(
        ImportFormat::vllm_bench,
        folder_.write("result.json", fmt::format(R"({{{}, "request_rate": 2.0, "model_id": "{}"}})", kResult, id)), options);
    EXPECT_EQ(first(imported).deployment.model, name);
  }
  const auto place = import_one(
      ImportFormat::vllm_bench,
      folder_.write("result.json", fmt::format(R"({{{}, "request_rate": 2.0, "model_id": "/mnt/models"}})", kResult)), options);
  ASSERT_FALSE(place);
  EXPECT_THAT(core::format(place.error()), HasSubstr("the model ('/mnt/models' names a place; --model)"));
}

TEST_F(SaidFacts, AGpuIsKnownByTheNameThatToolsGiveIt) {
  ImportOptions options = complete();
  options.gpu = "Tesla H100 SXM5 80GB";
  EXPECT_EQ(first(import_or_fail(ImportFormat::vllm_bench, example("vllm_bench.json"), options)).deployment.hardware, "H100-SXM");
  options.gpu = "NVIDIA H100 PCIe";
  const auto other = import_or_fail(ImportFormat::vllm_bench, example("vllm_bench.json"), options);
  EXPECT_EQ(first(other).deployment.hardware, "NVIDIA H100 PCIe") << "another GPU";
  EXPECT_THAT(other.assumptions, Contains(HasSubstr("'NVIDIA H100 PCIe' is no GPU that ships")));
}

}  // namespace
}  // namespace rooftune::importers
