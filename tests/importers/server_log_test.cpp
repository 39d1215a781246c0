// What a vLLM server's log says about the engine: read, used, or named as not simulated.
#include <fmt/format.h>

#include "importers/import_fixture.hpp"
#include "support/bad_inputs.hpp"

namespace rooftune::importers {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

/// The lines of a server's start; `arguments` and `config` are added to its own listing of them.
struct LogText {
  std::string arguments{};  ///< ", 'key': value"
  std::string config{};     ///< ", key=value"
  std::string pools = "(EngineCore_DP0 pid=200) INFO 01-01 00:01:00 [kv_cache_utils.py:1087] GPU KV cache size: 200,000 tokens\n";
  std::string more{};
  std::string model = "meta-llama/Llama-2-7b-hf";

  [[nodiscard]] std::string text() const {
    return fmt::format(
        "(APIServer pid=1) INFO 01-01 00:00:01 [api_server.py:1839] vLLM API server version 0.11.0\n"
        "(APIServer pid=1) INFO 01-01 00:00:01 [utils.py:233] non-default args: {{'model': '{}', 'max_model_len': 4096, "
        "'max_num_seqs': 96{}}}\n"
        "(APIServer pid=1) INFO 01-01 00:00:02 [scheduler.py:205] Chunked prefill is enabled with max_num_batched_tokens=4096.\n"
        "(EngineCore_DP0 pid=200) INFO 01-01 00:00:10 [core.py:93] Initializing a V1 LLM engine (v0.11.0) with config: model='{}', "
        "tokenizer='other', max_seq_len=4096, enforce_eager=False, kv_cache_dtype=auto, seed=0, enable_prefix_caching=True, "
        "chunked_prefill_enabled=True{}\n{}{}",
        model, arguments, model, config, pools, more);
  }
};

class ServerLog : public Import {
 protected:
  ImportedGroundTruth with(const LogText& log) {
    ImportOptions options;
    options.gpu = "H100";
    options.tp = tp_;
    options.vllm_log = folder_.write("server.log", log.text());
    return import_or_fail(ImportFormat::vllm_bench, example("vllm_bench.json"), options);
  }
  static std::string warnings(const ImportedGroundTruth& imported) { return core::format(imported.warnings); }
  static const domain::Deployment& deployment(const ImportedGroundTruth& imported) {
    return imported.experiments.at(0).experiment.deployment;
  }

  std::optional<int> tp_ = 1;
};

TEST_F(ServerLog, OfAPlainServerGivesItsSettingsAndNothingToSay) {
  const auto imported = with({});
  const domain::EngineSettings& settings = deployment(imported).settings;
  EXPECT_EQ(settings.max_num_seqs, 96);
  EXPECT_EQ(settings.max_num_batched_tokens, 4096);
  EXPECT_EQ(settings.total_kv_blocks, 200000 / 16);
  EXPECT_THAT(warnings(imported), IsEmpty());
}

TEST_F(ServerLog, GivesPipelineAndDataParallelDegrees) {
  tp_.reset();
  const auto imported = with({.config = ", tensor_parallel_size=2, pipeline_parallel_size=2, data_parallel_size=3"});
  EXPECT_EQ(deployment(imported).tp, 2);
  EXPECT_EQ(deployment(imported).pp, 2) << "1 is never written where the log says 2";
  EXPECT_EQ(deployment(imported).dp, 3);
}

TEST_F(ServerLog, OfSeveralRanksGivesTheSmallestPoolOfOneRank) {
  const auto imported = with({.pools = "(EngineCore_DP0 pid=200) INFO [kv_cache_utils.py:1087] GPU KV cache size: 200,000 tokens\n"
                                       "(EngineCore_DP1 pid=201) INFO [kv_cache_utils.py:1087] GPU KV cache size: 160,000 tokens\n"});
  EXPECT_EQ(deployment(imported).settings.total_kv_blocks, 10000);
  EXPECT_EQ(deployment(imported).dp, 2);
  EXPECT_THAT(imported.assumptions, Contains(HasSubstr("the ranks' KV pools differ (160000 to 200000)")));
  EXPECT_THAT(warnings(imported), Not(HasSubstr("several values")));
}

TEST_F(ServerLog, NamesWhatTheServerDidAndTheSimulatorDoesNot) {
  struct Case {
    std::string arguments;
    std::string expected;
  };
  for (const auto& [arguments, expected] :
       {Case{", 'speculative_config': {'method': 'ngram', 'num_speculative_tokens': 5, 'model': 'some/draft'}",
             "server.log:2: warning: the server ran with speculative decoding (ngram, 5 tokens) (not simulated: commands refuse"},
        Case{", 'kv_cache_dtype': 'nvfp4'", "an element type of its own for the KV cache (kv_cache_dtype=nvfp4) (not simulated: "},
        Case{", 'quantization': 'awq_marlin'", "quantization is 'awq_marlin', but the config of Llama-2-7b-hf has 16-bit weights"},
        Case{", 'enable_lora': True", "LoRA adapters (enable_lora=True) (not simulated: the base model alone"},
        Case{", 'scheduling_policy': 'priority'", "another scheduling policy (scheduling_policy=priority)"},
        Case{", 'kv_transfer_config': KVTransferConfig(kv_connector='NixlConnector', kv_role='kv_both')",
             "a KV connector (NixlConnector)"},
        Case{", 'enforce_eager': True", "eager mode (enforce_eager=True) (not simulated: recorded as cudagraph_mode NONE"}}) {
    const auto imported = with({.arguments = arguments});
    EXPECT_THAT(warnings(imported), HasSubstr(expected));
    EXPECT_EQ(deployment(imported).model, "meta-llama/Llama-2-7b-hf") << "the draft's name is not the model's";
  }
}

TEST_F(ServerLog, GivesEverySettingThatAnExperimentHas) {
  const auto imported =
      with({.arguments = ", 'kv_cache_dtype': 'fp8', 'enable_expert_parallel': True, 'all2all_backend': 'naive', "
                         "'scheduler_reserve_full_isl': False, "
                         "'compilation_config': {'cudagraph_mode': 'FULL_DECODE_ONLY', 'cudagraph_capture_sizes': [1, 2, 4, 8], "
                         "'pass_config': {'fuse_allreduce_rms': False}}, 'max_cudagraph_capture_size': 256, "
                         "'kv_transfer_config': KVTransferConfig(kv_connector='OffloadingConnector', "
                         "kv_connector_extra_config={'block_size': 32, 'num_cpu_blocks': 500}), 'watermark': 0.01, "
                         "'speculative_config': {'method': 'mtp', 'num_speculative_tokens': 2}",
            .more = "INFO Asynchronous scheduling is enabled.\n"});
  const domain::EngineSettings& settings = deployment(imported).settings;
  EXPECT_EQ(settings.kv_cache_dtype, "fp8");
  EXPECT_TRUE(settings.enable_expert_parallel);
  EXPECT_EQ(settings.all2all_backend, domain::All2AllBackend::naive);
  EXPECT_EQ(settings.scheduler_reserve_full_isl, false);
  EXPECT_EQ(settings.cudagraph_mode, "FULL_DECODE_ONLY");
  EXPECT_EQ(settings.cudagraph_capture_sizes, (std::vector<int>{1, 2, 4, 8}));
  EXPECT_EQ(settings.max_cudagraph_capture_size, 256);
  EXPECT_EQ(settings.fuse_allreduce_rms, false);
  EXPECT_EQ(settings.cpu_kv_blocks, 1000) << "of 16 tokens";
  EXPECT_TRUE(settings.cpu_offload);
  EXPECT_EQ(settings.watermark, 0.01);
  EXPECT_EQ(settings.speculative, (domain::Speculation{.method = "mtp", .num_speculative_tokens = 2}));
  EXPECT_EQ(settings.async_scheduling, true);
  EXPECT_THAT(imported.assumptions, Contains(HasSubstr("kv_cache_dtype fp8 is simulated: 1 byte")));
  round_trip(imported);
}

TEST_F(ServerLog, GivesTheGraphsOfTheEnginesOwnListing) {
  for (const auto& [listing, mode] :
       {std::pair{"compilation_config={\"level\":3,\"cudagraph_mode\":[2,1],\"cudagraph_capture_sizes\":[16,8,4,2,1]}",
                  "FULL_AND_PIECEWISE"},
        std::pair{"compilation_config={'mode': <CompilationMode.VLLM_COMPILE: 3>, 'cudagraph_mode': "
                  "<CUDAGraphMode.FULL_DECODE_ONLY: (2, 0)>, 'cudagraph_capture_sizes': [1, 2, 4, 8, 16]}",
                  "FULL_DECODE_ONLY"}}) {
    const domain::EngineSettings settings = deployment(with({.config = fmt::format(", {}", listing)})).settings;
    EXPECT_EQ(settings.cudagraph_mode, mode);
    EXPECT_EQ(settings.cudagraph_capture_sizes, (std::vector<int>{1, 2, 4, 8, 16}));
  }
  EXPECT_EQ(deployment(with({.arguments = ", 'enforce_eager': True"})).settings.cudagraph_mode, "NONE");
}

TEST_F(ServerLog, SaysWhereTheModelsConfigHoldsOtherWeights) {
  EXPECT_THAT(warnings(with({.arguments = ", 'quantization': 'awq'"})),
              HasSubstr("quantization is 'awq', but the config of Llama-2-7b-hf has 16-bit weights: its 13 GB are simulated"));
  const auto at_load = with({.arguments = ", 'quantization': 'fp8'"});
  EXPECT_THAT(warnings(at_load), Not(HasSubstr("quantization is")));
  EXPECT_THAT(at_load.assumptions, Contains(HasSubstr("quantization fp8 is simulated: 16-bit weights become FP8")));
  EXPECT_THAT(warnings(with({.arguments = ", 'quantization': 'compressed-tensors'",
                             .model = "RedHatAI/Llama-4-Scout-17B-16E-Instruct-FP8-dynamic"})),
              Not(HasSubstr("quantization is")))
      << "what the model's config says already";
}

TEST_F(ServerLog, TellsSpeculativeDecodingFromTheEnginesOwnListing) {
  const auto imported =
      with({.config = ", speculative_config=SpeculativeConfig(method='eagle', model='some/draft', num_spec_tokens=2)"});
  EXPECT_THAT(warnings(imported), HasSubstr("server.log:4: warning: the server ran with speculative decoding (eagle, 2 tokens)"));
}

TEST_F(ServerLog, TakesTheAcceptanceOfDraftsFromItsMetrics) {
  const std::string listing = ", speculative_config=SpeculativeConfig(method='eagle3', model='some/draft', num_spec_tokens=2)";
  const auto line = [](int accepted, int drafted, std::string_view shares) {
    return fmt::format(
        "(APIServer pid=1) INFO 01-01 00:02:00 [metrics.py:96] SpecDecoding metrics: Mean acceptance length: 1.00, Accepted "
        "throughput: "
        "4.37 tokens/s, Drafted throughput: 4.92 tokens/s, Accepted: {} tokens, Drafted: {} tokens, Per-position acceptance rate: "
        "{}, Avg Draft acceptance rate: 60.0%\n",
        accepted, drafted, shares);
  };
  // Of 100 and 300 tokens drafted in twos, 50 steps accept 0.8 and 0.4 and 150 steps 0.6 and 0.2.
  const auto imported = with({.config = listing, .more = line(60, 100, "0.800, 0.400") + line(120, 300, "0.600, 0.200")});
  EXPECT_THAT(warnings(imported), IsEmpty());
  EXPECT_THAT(imported.assumptions, Contains(HasSubstr("acceptance of the whole log: 1.90 tokens a step, 400 tokens drafted")));
  EXPECT_EQ(deployment(imported).settings.speculative,
            (domain::Speculation{.method = "eagle3", .num_speculative_tokens = 2, .acceptance_per_position = {0.65, 0.25}}));
  const auto without_shares =
      with({.config = listing,
            .more = "INFO SpecDecoding metrics: Draft acceptance rate: 60.0%, Accepted: 60 tokens, Drafted: 100 "
                    "tokens\n"});
  EXPECT_EQ(deployment(without_shares).settings.speculative,
            (domain::Speculation{.method = "eagle3", .num_speculative_tokens = 2, .mean_accepted_length = 2.2}));
}

TEST_F(ServerLog, SaysHowDraftsAreMadeAndTheBenchmarkHowManyWereAccepted) {
  std::string result = bad_inputs::text_of(example("vllm_bench.json"));
  result.insert(result.rfind('}'),
                R"(, "spec_decode_acceptance_length": 2.4, "spec_decode_num_drafts": 100, "spec_decode_draft_tokens": 300)");
  ImportOptions options;
  options.gpu = "H100";
  options.tp = 1;
  options.vllm_log = folder_.write(
      "server.log", LogText{.config = ", speculative_config=SpeculativeConfig(method='eagle3', model='a/draft', num_spec_tokens=3)",
                            .more = "INFO SpecDecoding metrics: Accepted: 60 tokens, Drafted: 100 tokens\n"}
                        .text());
  const auto imported = import_or_fail(ImportFormat::vllm_bench, folder_.write("result.json", result), options);
  EXPECT_EQ(deployment(imported).settings.speculative,
            (domain::Speculation{.method = "eagle3", .num_speculative_tokens = 3, .mean_accepted_length = 2.4}));
}

TEST_F(ServerLog, ListsOtherSettingsThatAreNotSimulated) {
  const auto imported =
      with({.arguments = ", 'host': '0.0.0.0', 'port': 8001, 'max_mystery_size': 1024, 'long_prefill_token_threshold': 512",
            .more = "INFO Asynchronous scheduling is disabled.\n"});
  EXPECT_THAT(imported.assumptions, Contains(HasSubstr("not simulated: max_mystery_size=1024")));
  EXPECT_EQ(deployment(imported).settings.async_scheduling, false);
  EXPECT_EQ(deployment(imported).settings.long_prefill_token_threshold, 512);
}

TEST_F(ServerLog, SaysWhereTheConcurrencyLineContradictsTheTokens) {
  const auto agreeing = with({.more = "(EngineCore_DP0 pid=200) INFO Maximum concurrency for 4,096 tokens per request: 48.83x\n"});
  EXPECT_THAT(warnings(agreeing), IsEmpty());
  const auto hybrid = with({.more = "(EngineCore_DP0 pid=200) INFO Maximum concurrency for 4,096 tokens per request: 130.20x\n"});
  EXPECT_THAT(warnings(hybrid), HasSubstr("server.log:6: warning: the KV pool of 200000 tokens (line 5) holds 48.83 requests of 4096 "
                                          "tokens, but this line says 130.2 (layers of several kinds share the pool"));
}

TEST_F(ServerLog, OfAnotherModelThanTheResultsIsSaid) {
  const auto imported = with({.model = "Qwen/Qwen3-14B"});
  EXPECT_THAT(warnings(imported), HasSubstr("model is meta-llama/Llama-2-7b-hf in the file but Qwen/Qwen3-14B in "));
  EXPECT_THAT(warnings(imported), HasSubstr("server.log:4 (the log's is taken)"));
  EXPECT_EQ(deployment(imported).model, "Qwen/Qwen3-14B");
}

TEST_F(ServerLog, OfAPathNamesTheModelAllTheSame) {
  const auto imported =
      with({.model = "/models/models--meta-llama--Llama-2-7b-hf/snapshots/0123456789abcdef0123456789abcdef01234567/"});
  EXPECT_THAT(warnings(imported), IsEmpty());
  EXPECT_EQ(deployment(imported).model, "meta-llama/Llama-2-7b-hf");
}

TEST_F(ServerLog, OfAPlaceGivesTheNameThatClientsAskFor) {
  ImportOptions options;
  options.gpu = "H100";
  options.tp = 1;
  options.vllm_log =
      folder_.write("server.log", LogText{.arguments = ", 'served_model_name': ['Llama-2-7b-hf']", .model = "/mnt/models"}.text());
  const auto imported = import_or_fail(ImportFormat::vllm_bench, example("vllm_bench.json"), options);
  EXPECT_THAT(warnings(imported), IsEmpty());
}

TEST_F(ServerLog, OfTwoStartsGivesTheLast) {
  LogText second;
  second.arguments = ", 'gpu_memory_utilization': 0.8";
  const auto imported = with({.arguments = ", 'enable_lora': True, 'gpu_memory_utilization': 0.7", .more = second.text()});
  EXPECT_EQ(deployment(imported).settings.gpu_mem_util, 0.8);
  EXPECT_THAT(warnings(imported), HasSubstr("several values for gpu_memory_utilization (the last one, 0.8, is taken"));
  EXPECT_THAT(warnings(imported), Not(HasSubstr("LoRA"))) << "of the start before";
}

TEST_F(ServerLog, OfNumbersThatAreNoneIsRefusedWithItsLine) {
  ImportOptions options;
  options.gpu = "H100";
  options.vllm_log = folder_.write("server.log", LogText{.config = ", tensor_parallel_size=99999999999"}.text());
  const auto imported = import_one(ImportFormat::vllm_bench, example("vllm_bench.json"), options);
  ASSERT_FALSE(imported);
  EXPECT_THAT(core::format(imported.error()), HasSubstr("server.log:4: error: tensor_parallel_size is '99999999999'"));
}

TEST_F(ServerLog, OfVeryLongLinesIsReadInTime) {
  const auto imported = with({.more = "INFO prompt: '" + std::string(2'000'000, '(') + "\n"});
  EXPECT_EQ(deployment(imported).settings.max_num_seqs, 96);
}

TEST_F(ServerLog, TakesTheCommandLineThatWasKeptWithIt) {
  ImportOptions options;
  options.gpu = "H100";
  options.vllm_log = folder_.write("setup.txt",
                                   "vllm serve meta-llama/Llama-2-7b-hf --host 0.0.0.0 --max-num-seqs 16 --max-model-len=4096 "
                                   "--tensor-parallel-size 1 --max-num-batched-tokens 8192 --no-enable-prefix-caching\n"
                                   "(APIServer pid=7) INFO [utils.py:325]  ▄▄ ▄█ █     █     █ ▀▄▀ █  version 0.15.0\n"
                                   "(EngineCore_DP0 pid=8) INFO [kv_cache_utils.py:1307] GPU KV cache size: 160,000 tokens\n");
  const auto imported = import_or_fail(ImportFormat::vllm_bench, example("vllm_bench.json"), options);
  const domain::EngineSettings& settings = deployment(imported).settings;
  EXPECT_EQ(settings.version, "0.15.0");
  EXPECT_EQ(settings.max_num_seqs, 16);
  EXPECT_EQ(settings.max_num_batched_tokens, 8192);
  EXPECT_FALSE(settings.enable_prefix_caching);
}

}  // namespace
}  // namespace rooftune::importers
