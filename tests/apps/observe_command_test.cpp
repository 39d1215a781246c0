// From a server to its parameters: observe, import, fit. The server is one of the tests' own on loopback.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <nlohmann/json.hpp>

#include "command_line.hpp"
#include "support/streaming_server.hpp"

namespace rooftune::testing_support {
namespace {

using testing::HasSubstr;

using ObserveCommand = TemporaryFolderTest;
using ObserveCampaign = TemporaryFolderTest;

TEST_F(ObserveCommand, WritesATraceAndTheNextLineToType) {
  const StreamingServer server({.step_us = 2'000.0});
  const std::string out = (folder_ / "observed").string();
  const ProgramResult result = rooftune({"observe", "--url", server.url(), "--model", "Llama-2-7b-hf", "--rate", "40", "--duration",
                                         "1", "--prompt-tokens", "32", "--output-tokens", "4", "--num-warmups", "2", "--out", out});
  ASSERT_EQ(result.exit_code, 0) << result;
  EXPECT_THAT(result.output, HasSubstr("40 requests, 0 failed"));
  EXPECT_THAT(result.output, HasSubstr("rooftune import blis-trace " + out));
  EXPECT_THAT(folder_.read("observed/trace_header.yaml"), HasSubstr("mode: real\nwarm_up_requests: 2\n"));
  const ProgramResult again = rooftune({"observe", "--url", server.url(), "--model", "m", "--out", out});
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_THAT(again.errors, HasSubstr("name another folder, or replace it with --force"));
}

TEST_F(ObserveCommand, TakesNoOptionOfSimulatedWarmUps) {
  for (const auto& [option, value] : {std::pair{"--warm-up-requests", "2"}, std::pair{"--warm-up-prompt", "first"}}) {
    const ProgramResult result = rooftune({"observe", "--url", "http://127.0.0.1:1", "--model", "Llama-2-7b-hf", option, value,
                                           "--out", (folder_ / "observed").string()});
    EXPECT_EQ(result.exit_code, 1) << result;
    EXPECT_THAT(result.errors, HasSubstr(option));
    EXPECT_FALSE(std::filesystem::exists(folder_ / "observed"));
  }
}

TEST_F(ObserveCommand, SaysWhenNoServerAnswers) {
  std::string url;
  {
    const StreamingServer server({});
    url = server.url();
  }
  const ProgramResult result = rooftune({"observe", "--url", url, "--model", "Llama-2-7b-hf", "--rate", "20", "--duration", "0.2",
                                         "--out", (folder_ / "observed").string()});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.errors, HasSubstr("requests was answered"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "observed"));
}

/// Parameters of the blackbox step-time model.
struct StepParameters {
  double step_us = 0.0;
  double per_prefill_token_us = 0.0;
  double per_decode_us = 0.0;
};

/// Those that the server kept: the least squares fit to its own steps. On a quiet machine they are the ones that it was given.
StepParameters kept_by(const StreamingServer& server) {
  std::array<std::array<double, 4>, 3> equations{};
  for (const StreamingServer::Step& step : server.steps()) {
    const std::array<double, 4> row{1.0, static_cast<double>(step.prefill_tokens), static_cast<double>(step.decodes),
                                    step.duration_us};
    for (std::size_t i = 0; i < 3; ++i) {
      for (std::size_t j = 0; j < 4; ++j) equations[i][j] += row[i] * row[j];
    }
  }
  // Gauss-Jordan; the matrix is positive definite.
  for (std::size_t pivot = 0; pivot < 3; ++pivot) {
    for (std::size_t i = 0; i < 3; ++i) {
      if (i == pivot) continue;
      const double factor = equations[i][pivot] / equations[pivot][pivot];
      for (std::size_t j = 0; j < 4; ++j) equations[i][j] -= factor * equations[pivot][j];
    }
  }
  const auto solution = [&](std::size_t i) { return equations[i][3] / equations[i][i]; };
  return {.step_us = solution(0), .per_prefill_token_us = solution(1), .per_decode_us = solution(2)};
}

/// Time on the clock, a few seconds of it, decides: kept out of the quick tests.
TEST_F(ObserveCampaign, AFitRecoversTheServersParameters) {
  constexpr double kStepUs = 8'000.0;
  constexpr double kPerPrefillTokenUs = 20.0;
  constexpr double kPerDecodeUs = 500.0;
  const StreamingServer server({.step_us = kStepUs, .per_prefill_token_us = kPerPrefillTokenUs, .per_decode_us = kPerDecodeUs});
  std::string truth;
  int number = 0;
  for (const std::vector<std::string>& load :
       {std::vector<std::string>{"--rate", "4", "--duration", "6", "--prompt-tokens", "100"},
        std::vector<std::string>{"--rate", "8", "--duration", "5", "--prompt-tokens", "1000"},
        // No closed loop: clients of equal requests end together, and which of their next ones an idle server takes first is chance.
        std::vector<std::string>{"--rate", "30", "--duration", "8", "--prompt-tokens", "50"}}) {
    const std::string out = (folder_ / ("load" + std::to_string(number))).string();
    std::vector<std::string> observe{"observe",         "--url", server.url(), "--model", "Llama-2-7b-hf",
                                     "--output-tokens", "24",    "--out",      out};
    observe.insert(observe.end(), load.begin(), load.end());
    ASSERT_EQ(rooftune(observe).exit_code, 0);
    const ProgramResult imported = rooftune({"import", "blis-trace", out, "--gpu", "H100", "--tp", "1", "--set", "version=0.15.1",
                                             "--set", "max_model_len=4096", "--set", "max_num_batched_tokens=16384", "--set",
                                             "max_num_seqs=256", "--set", "total_kv_blocks=20000", "--out", out + ".json"});
    ASSERT_EQ(imported.exit_code, 0) << imported;
    truth += (truth.empty() ? "" : ", ") + out + ".json";
    ++number;
  }
  const auto study =
      folder_.write("study.yaml", "name: recovered\ndata: {ground_truth: [" + truth +
                                      "]}\nstart: {step_time_model: blackbox}\n"
                                      "switches: {engine.async_scheduling: off}\n"
                                      "fixed: {frontend.per_prompt_token_us: 0.001, frontend.per_output_token_us: 0.001}\n"
                                      "free: [frontend.constant_us, blackbox.step_us, blackbox.per_prefill_token_us, "
                                      "blackbox.per_decode_us]\n"
                                      "solver: [{algorithm: ceres_lm, max_evaluations: 200}]\n");
  const ProgramResult fit = rooftune({"fit", study.string(), "--out", (folder_ / "run").string()});
  ASSERT_EQ(fit.exit_code, 0) << fit;
  std::ifstream stream(folder_ / "run" / "tuned.json");
  const auto tuned = nlohmann::json::parse(stream);
  const auto value_of = [&](const std::string& id) {
    const auto& parameter = tuned.at("parameters").at(id);
    return parameter.is_object() ? parameter.at("value").get<double>() : parameter.get<double>();
  };
  const StepParameters kept = kept_by(server);
  const auto record = [&](const std::string& name, double given, double own) {
    RecordProperty(name, "given " + std::to_string(given) + ", kept " + std::to_string(own) + ", fitted " +
                             std::to_string(value_of("blackbox." + name)));
  };
  record("step_us", kStepUs, kept.step_us);
  record("per_prefill_token_us", kPerPrefillTokenUs, kept.per_prefill_token_us);
  record("per_decode_us", kPerDecodeUs, kept.per_decode_us);
  EXPECT_NEAR(value_of("blackbox.step_us"), kept.step_us, 0.10 * kept.step_us);
  EXPECT_NEAR(value_of("blackbox.per_prefill_token_us"), kept.per_prefill_token_us, 0.10 * kept.per_prefill_token_us);
  EXPECT_NEAR(value_of("blackbox.per_decode_us"), kept.per_decode_us, 0.15 * kept.per_decode_us);
}

}  // namespace
}  // namespace rooftune::testing_support
