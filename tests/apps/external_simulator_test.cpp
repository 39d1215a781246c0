#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "command_line.hpp"
#include "store_files.hpp"

namespace rooftune::testing_support {
namespace {

using testing::HasSubstr;

const std::string kExample = shipped("experiments/external_example/study.yaml");

class ExternalSimulatorStudy : public TemporaryFolderTest {
 protected:
  [[nodiscard]] nlohmann::json result_of(const std::string& run) const {
    return nlohmann::json::parse(folder_.read(run + "/result.json"));
  }

  /// A study of one run of the example on a shell script that stands for a simulator, `script`.
  [[nodiscard]] std::string study_of(const std::string& script, const std::string& failures) const {
    folder_.write("simulator.sh", script);
    return folder_
        .write(
            "study.yaml",
            "name: scripted\ndata:\n  ground_truth: [" + shipped("experiments/external_example/ground_truth.json") +
                "]\n  select: {id: [short-prompts]}\nsimulator:\n  command: [sh, \"${folder}/simulator.sh\", \"${parameter:scale}\", "
                "\"${rate}\"]\n  metrics: {e2e_mean_ms: {json: /e2e}}\n  parameters: [{name: scale, lower: 1, initial: 4, upper: 9}]\n"
                "free: [external.scale]\nfailures: " +
                failures + "\nobjective: {metrics: {e2e_mean_ms: 1}}\nsolver: [{algorithm: ceres_lm, max_evaluations: 20}]\n")
        .string();
  }

  void expect_stopped_short_of_six(const ProgramResult& result) const {
    const double scale = nlohmann::json::parse(folder_.read("run/tuned.json"))["parameters"]["external.scale"]["value"];
    EXPECT_GT(scale, 4.0);
    EXPECT_LT(scale, 6.0);
    EXPECT_GT(result_of("run")["failed_evaluations"]["count"], 0);
    EXPECT_THAT(result.output, HasSubstr("The simulator failed"));
  }

  [[nodiscard]] ProgramResult fit(const std::string& study, std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments{"fit", study, "--out", (folder_ / "run").string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return rooftune(arguments);
  }
};

TEST_F(ExternalSimulatorStudy, FindsTheParametersThatMadeTheGroundTruth) {
  const ProgramResult result = fit(kExample);
  ASSERT_EQ(result.exit_code, 0) << result;
  const auto tuned = nlohmann::json::parse(folder_.read("run/tuned.json"));
  EXPECT_EQ(tuned["step_time_model"], "external");
  const std::vector<std::pair<std::string, double>> truth{
      {"overhead_us", 4000.0}, {"prefill_us_per_token", 60.0}, {"decode_us", 9000.0}, {"decode_us_per_request", 110.0}};
  for (const auto& [name, value] : truth) {
    EXPECT_NEAR(double(tuned["parameters"]["external." + name]["value"]), value, 1e-3 * value) << name;
  }
  // The config is of use where its study is: the same predictions, to the last digit.
  const ProgramResult again = rooftune({"evaluate", kExample, "--config", (folder_ / "run/tuned.json").string(), "--json"});
  ASSERT_EQ(again.exit_code, 0) << again;
  EXPECT_EQ(nlohmann::json::parse(again.output)["rows"], nlohmann::json::parse(folder_.read("run/evaluation.json"))["rows"]);
  const ProgramResult resolved = rooftune({"show", (folder_ / "run/study.yaml").string()});
  EXPECT_EQ(resolved.exit_code, 0) << resolved;
}

constexpr const char* kWorks = "echo \"{\\\"e2e\\\": $1}\"";
/// The best scale lies far above 6, so that the search tries where it fails.
constexpr const char* kFailsFromSix = "case $1 in [6-9]*) exit 9;; esac; echo \"{\\\"e2e\\\": $1}\"";
constexpr const char* kBroken = "echo out of memory >&2; exit 9";

TEST_F(ExternalSimulatorStudy, TracesProfilesAndBootstrapsLikeAnyOther) {
  const std::string study = study_of(R"(awk -v scale="$1" 'BEGIN {printf "{\"e2e\": %.9f}", scale * 1000}')", "{policy: abort}");
  std::string text = folder_.read("study.yaml");
  const std::string one_run = "\n  select: {id: [short-prompts]}";
  text.erase(text.find(one_run),
             one_run.size());  // all runs: one parameter cannot fit them, so that something is left to be unsure of
  folder_.write("study.yaml", text);
  const ProgramResult result = fit(study, {"--profile", "external.scale", "--bootstrap", "3"});
  ASSERT_EQ(result.exit_code, 0) << result;
  const auto json = result_of("run");
  const double value = json["parameters"][0]["value"];
  const auto& profile = json["profiles"][0];
  EXPECT_EQ(profile["parameter"], "external.scale");
  EXPECT_GT(profile["points"].size(), 5U);
  EXPECT_LT(double(profile["lower_95"]), value);
  EXPECT_EQ(json["bootstrap"]["refits"], 3);
  EXPECT_EQ(json["bootstrap"]["failed"], 0);
  EXPECT_GT(double(json["bootstrap"]["parameters"][0]["standard_deviation"]), 0.0);
}

TEST_F(ExternalSimulatorStudy, AbortsAtAFailureAndGoesOnOnceItsCauseIsGone) {
  const std::string ready = (folder_ / "ready").string();
  const std::string study =
      study_of("test -e " + ready + " || { echo out of memory >&2; exit 9; }; echo \"{\\\"e2e\\\": $1}\"", "{policy: abort}");
  const ProgramResult result = fit(study);
  EXPECT_EQ(result.exit_code, 2) << result;
  EXPECT_THAT(result.errors,
              HasSubstr("the simulator failed: experiment 'short-prompts': stage 0: ended with exit code 9; it said: out of memory"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "run/tuned.json"));
  folder_.write("ready", "");
  const ProgramResult resumed = fit(study, {"--resume"});
  EXPECT_EQ(resumed.exit_code, 0) << resumed;
  EXPECT_TRUE(std::filesystem::exists(folder_ / "run/tuned.json"));
}

TEST_F(ExternalSimulatorStudy, EndsAnInterruptedFitWithTheBestSoFarAndGoesOn) {
  // What the signal stops has not failed: the policy does not see it, and no penalty for it is stored.
  for (const std::string policy : {"abort", "penalise"}) {
    const std::string slow = "sleep 0.03; echo \"{\\\"e2e\\\": $1}\"";
    const std::string study = study_of(slow, "{policy: " + policy + "}");
    const std::string out = (folder_ / ("run-" + policy)).string();
    RunningProgram program(rooftune_program(), {"fit", study, "--out", out});
    while (stored_evaluations(out + "/journal.sqlite") < 4 && !std::filesystem::exists(out + "/result.json"))
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    program.send(SIGINT);
    const ProgramResult interrupted = program.wait();
    ASSERT_EQ(interrupted.exit_code, 2) << interrupted;
    EXPECT_THAT(interrupted.errors, HasSubstr("interrupted: this is the best so far"));
    const auto result = result_of("run-" + policy);
    EXPECT_EQ(result["interrupted"], true);
    EXPECT_EQ(result["failed_evaluations"]["count"], 0);
    EXPECT_LE(double(result["objective"]["after"]), double(result["objective"]["before"]));
    EXPECT_TRUE(std::filesystem::exists(out + "/tuned.json"));

    const ProgramResult resumed = rooftune({"fit", study, "--out", out, "--resume"});
    ASSERT_EQ(resumed.exit_code, 0) << resumed;
    ASSERT_EQ(rooftune({"fit", study, "--out", out + "-unbroken"}).exit_code, 0);
    EXPECT_EQ(folder_.read("run-" + policy + "/result.json"), folder_.read("run-" + policy + "-unbroken/result.json"));
  }
}

TEST_F(ExternalSimulatorStudy, TakesAChangedProgramForAnotherSimulator) {
  const std::string study = study_of(kBroken, "{policy: abort}");
  ASSERT_EQ(fit(study).exit_code, 2);
  folder_.write("simulator.sh", kWorks);
  const ProgramResult resumed = fit(study, {"--resume"});
  EXPECT_EQ(resumed.exit_code, 1) << resumed;
  EXPECT_THAT(resumed.errors, HasSubstr("simulator.sh"));
}

TEST_F(ExternalSimulatorStudy, RetriesBeforeItGivesUp) {
  const std::string count = (folder_ / "count").string();
  const ProgramResult result = fit(study_of("echo again >> " + count + "; exit 9", "{policy: retry, retries: 2}"));
  EXPECT_EQ(result.exit_code, 2) << result;
  EXPECT_EQ(folder_.read("count"), "again\nagain\nagain\n");
}

TEST_F(ExternalSimulatorStudy, PenalisesFailuresSoThatTheSearchMovesAwayAndCountsThem) {
  const ProgramResult result = fit(study_of(kFailsFromSix, "{policy: penalise, penalty: 9}"));
  ASSERT_EQ(result.exit_code, 0) << result;
  expect_stopped_short_of_six(result);
}

TEST_F(ExternalSimulatorStudy, SkipsPointsThatFailAndCountsThem) {
  const ProgramResult result = fit(study_of(kFailsFromSix, "{policy: skip}"));
  ASSERT_EQ(result.exit_code, 0) << result;
  expect_stopped_short_of_six(result);
}

TEST_F(ExternalSimulatorStudy, GivesNoResultWhoseExperimentFails) {
  const ProgramResult result = fit(study_of(kBroken, "{policy: penalise}"));
  EXPECT_EQ(result.exit_code, 2) << result;
  EXPECT_FALSE(std::filesystem::exists(folder_ / "run/tuned.json"));
}

TEST_F(ExternalSimulatorStudy, GivesNoResultWhenEveryPointIsSkipped) {
  const ProgramResult result = fit(study_of(kBroken, "{policy: skip}"));
  EXPECT_EQ(result.exit_code, 2) << result;
  EXPECT_THAT(result.errors, HasSubstr("the fit found no usable point"));
}

TEST_F(ExternalSimulatorStudy, EndsAtATimeout) {
  std::string study = study_of("sleep 600", "{policy: abort}");
  std::string text = folder_.read("study.yaml");
  text.insert(text.find("  parameters:"), "  timeout_s: 0.2\n");
  folder_.write("study.yaml", text);
  const ProgramResult result = fit(study);
  EXPECT_EQ(result.exit_code, 2) << result;
  EXPECT_THAT(result.errors, HasSubstr("no end within timeout_s: 0.2 s"));
}

TEST_F(ExternalSimulatorStudy, EvaluatesOrSaysWhyNot) {
  const std::string study = study_of(kWorks, "{policy: abort}");
  EXPECT_EQ(rooftune({"evaluate", study}).exit_code, 0);
  folder_.write("simulator.sh", kBroken);
  const ProgramResult result = rooftune({"evaluate", study, "--json"});
  EXPECT_EQ(result.exit_code, 2) << result;
  EXPECT_THAT(result.output, testing::IsEmpty());
  EXPECT_THAT(result.errors, HasSubstr("ended with exit code 9"));
}

TEST_F(ExternalSimulatorStudy, IsRefusedByCommandsThatNeedTheBuiltInSimulation) {
  const ProgramResult result = rooftune({"improve", kExample, "--out", (folder_ / "run").string()});
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.errors, HasSubstr("this command needs the built-in simulation, and the study names a simulator of its own"));
}

}  // namespace
}  // namespace rooftune::testing_support
