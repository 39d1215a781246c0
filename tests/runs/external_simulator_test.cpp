#include "rooftune/runs/external_simulator.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <utility>

#include "support/simulated_runs.hpp"
#include "support/temporary_folder.hpp"

namespace rooftune::runs {
namespace {

using domain::Metric;
using testing::AllOf;
using testing::HasSubstr;
using testing::Optional;

/// A shell script that stands for somebody's simulator.
calibrate::ExternalSpec program(const std::string& script) {
  calibrate::ExternalSpec spec;
  spec.command = {"sh", "-c", script};
  spec.metrics = {{.metric = Metric::e2e_mean, .json = "/e2e", .regex = {}, .scale = 1.0}};
  spec.timeout_s = 60.0;
  return spec;
}

/// Two stages, of 1 and 3 requests per second.
eval::Case two_stages() {
  const auto run = examples::unmeasured_run("run", examples::llama_2_7b(), 2, {1.0, 3.0});
  return {.experiment = run, .model = examples::llama_2_7b(), .gpu = examples::h100(), .plans = {}, .tables = {}};
}

eval::ExternalOutcome outcome_of(const calibrate::ExternalSpec& spec, const params::Config& config = {}) {
  return make_external_simulator(spec)->predict(two_stages(), 1, config, {});
}

std::string failure_of(const calibrate::ExternalSpec& spec) {
  const auto outcome = outcome_of(spec);
  return outcome ? "no failure" : outcome.error();
}

using ExternalSimulator = testing_support::TemporaryFolderTest;

TEST_F(ExternalSimulator, ReadsNumbersFromTheProgramsOutput) {
  const auto outcome = outcome_of(program(R"(echo '{"e2e": 12.5}')"));
  ASSERT_TRUE(outcome) << outcome.error();
  ASSERT_EQ(outcome->size(), 3u) << "a summary and two stages";
  for (const domain::Latencies& row : *outcome) EXPECT_THAT(row[Metric::e2e_mean], Optional(12.5));
}

TEST_F(ExternalSimulator, ReadsNumbersFromAFileByARegularExpressionInAnotherUnit) {
  auto spec = program("echo noise; echo 'E2E mean: 2.5e-1 s' > report.txt");
  spec.output = "report.txt";
  spec.metrics = {{.metric = Metric::e2e_mean, .json = {}, .regex = "mean: ([0-9.eE+-]+) s", .scale = 1000.0}};
  const auto outcome = outcome_of(spec);
  ASSERT_TRUE(outcome) << outcome.error();
  EXPECT_THAT(outcome->front()[Metric::e2e_mean], Optional(250.0));
}

TEST_F(ExternalSimulator, GivesTheStageAndTheParametersToTheProgram) {
  params::declare({.name = "speed", .unit = "1", .lower = 1, .initial = 2, .upper = 9, .transform = {}, .meaning = ""});
  auto spec = program("read x < given.txt; printf '{\"e2e\": %s%s}' $x ${rate}");
  spec.parameters = {{.name = "speed", .unit = "1", .lower = 1, .initial = 2, .upper = 9, .transform = {}, .meaning = ""}};
  spec.files = {{"given.txt", "${parameter:speed}${tp}"}};
  params::Config config;
  config.parameters[params::parameter("external.speed")] = {.value = 5.0, .standard_error = {}};
  const auto outcome = outcome_of(spec, config);
  ASSERT_TRUE(outcome) << outcome.error();
  EXPECT_THAT((*outcome)[1][Metric::e2e_mean], Optional(521.0)) << "speed 5, TP 2, rate 1";
  EXPECT_THAT((*outcome)[2][Metric::e2e_mean], Optional(523.0)) << "speed 5, TP 2, rate 3";
  EXPECT_THAT((*outcome)[0][Metric::e2e_mean], Optional(522.0)) << "the mean of stages with as many requests";
}

TEST_F(ExternalSimulator, PassesNothingOfItsEnvironmentOnButThePath) {
  ::setenv("ROOFTUNE_TEST_SECRET", "known", 1);
  auto spec = program("test -z \"$ROOFTUNE_TEST_SECRET\" && test -n \"$PATH\" && test \"$WANTED\" = 3 && echo '{\"e2e\": 1}'");
  spec.environment = {{"WANTED", "${rate}"}};
  EXPECT_THAT(failure_of(spec), HasSubstr("stage 0: ended with exit code 1")) << "the first stage's rate is 1";
  spec.environment = {{"WANTED", "3"}};
  EXPECT_EQ(failure_of(spec), "no failure");
  ::unsetenv("ROOFTUNE_TEST_SECRET");
}

TEST_F(ExternalSimulator, RemovesTheWorkingDirectory) {
  const std::string note = (folder_ / "where").string();
  ASSERT_EQ(failure_of(program("pwd > " + note + R"(; echo '{"e2e": 1}')")), "no failure");
  std::string where = folder_.read("where");
  where.pop_back();
  EXPECT_THAT(where, HasSubstr("rooftune-simulation-"));
  EXPECT_FALSE(std::filesystem::exists(where)) << where;
}

TEST_F(ExternalSimulator, SaysHowAProgramFailed) {
  EXPECT_THAT(failure_of(program("echo no GPU >&2; exit 3")), AllOf(HasSubstr("exit code 3"), HasSubstr("it said: no GPU")));
  EXPECT_THAT(failure_of(program("kill -SEGV $$")), HasSubstr("ended by signal 11"));
  auto absent = program("");
  absent.command = {"there-is-no-such-simulator"};
  EXPECT_THAT(failure_of(absent), HasSubstr("'there-is-no-such-simulator' cannot be started"));
}

TEST_F(ExternalSimulator, TakesNoGarbageForANumber) {
  EXPECT_THAT(failure_of(program("echo hello")), HasSubstr("its output is no JSON; it said: hello"));
  EXPECT_THAT(failure_of(program("true")), HasSubstr("its output is no JSON; it said nothing"));
  EXPECT_THAT(failure_of(program(R"(echo '{"ttft": 1}')")), HasSubstr("the output has nothing at '/e2e'"));
  EXPECT_THAT(failure_of(program(R"(echo '{"e2e": "fast"}')")), HasSubstr("the output has no number at '/e2e' but \"fast\""));
  EXPECT_THAT(failure_of(program(R"(echo '{"e2e": -1}')")), HasSubstr("e2e_mean_ms is -1, not a positive time"));
  EXPECT_THAT(failure_of(program(R"(echo '{"e2e": 1e999}')")), HasSubstr("stage 0: "));
  auto spec = program("echo e2e: 12ms");
  spec.metrics = {{.metric = Metric::e2e_mean, .json = {}, .regex = "ttft: (.*)", .scale = 1.0}};
  EXPECT_THAT(failure_of(spec), HasSubstr("nothing in the output matches 'ttft: (.*)'"));
  spec.metrics.front().regex = "e2e: (.*)";
  EXPECT_THAT(failure_of(spec), HasSubstr("'12ms', which matches 'e2e: (.*)', is no number"));
  spec.output = "report.txt";
  EXPECT_THAT(failure_of(spec), HasSubstr("it wrote no 'report.txt'"));
}

/// Whether a process runs; one that ended and that nobody has collected does not.
bool is_running(const std::string& id) {
  std::ifstream stream("/proc/" + id + "/stat");
  std::string text;
  if (!std::getline(stream, text)) return false;
  return text.at(text.rfind(')') + 2) != 'Z';
}

TEST_F(ExternalSimulator, KillsAllThatAProgramStartedWhenTimeIsUp) {
  const std::string note = (folder_ / "child").string();
  auto spec = program("sleep 600 & echo $! > " + note + "; echo busy >&2; wait");
  spec.timeout_s = 0.5;
  EXPECT_THAT(failure_of(spec), AllOf(HasSubstr("no end within timeout_s: 0.5 s"), HasSubstr("busy")));
  std::string child = folder_.read("child");
  child.pop_back();
  ASSERT_FALSE(child.empty());
  for (int tries = 0; is_running(child) && tries < 500; ++tries) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_FALSE(is_running(child)) << "process " << child << " outlived its simulator";
}

TEST_F(ExternalSimulator, StopsWhenItIsCancelled) {
  std::stop_source source;
  source.request_stop();
  const auto outcome = make_external_simulator(program("sleep 600"))->predict(two_stages(), 1, {}, source.get_token());
  ASSERT_FALSE(outcome);
  EXPECT_THAT(outcome.error(), HasSubstr("stopped"));
}

TEST_F(ExternalSimulator, IsAnotherOneWhenAFileOfItsCommandChanges) {
  const auto file = folder_.write("simulator.sh", "echo one");
  calibrate::ExternalSpec spec = program("");
  spec.folder = folder_.path().string();
  spec.command = {"sh", "${folder}/simulator.sh"};
  const std::string before = make_external_simulator(spec)->identity();
  EXPECT_EQ(make_external_simulator(spec)->identity(), before);
  EXPECT_THAT(program_files(spec.command, spec.folder), testing::ElementsAre(file));
  folder_.write("simulator.sh", "echo two");
  const std::string after = make_external_simulator(spec)->identity();
  EXPECT_NE(after, before);
  spec.version = "2";
  EXPECT_NE(make_external_simulator(spec)->identity(), after);
}

}  // namespace
}  // namespace rooftune::runs
