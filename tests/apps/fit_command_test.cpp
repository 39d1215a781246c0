#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "command_line.hpp"

namespace rooftune::testing_support {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class FitCommand : public TemporaryFolderTest {
 protected:
  FitCommand() : study_(folder_.write("study.yaml", small_study()).string()) {}

  [[nodiscard]] ProgramResult fit(const std::string& out, std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments{"fit", study_, "--out", (folder_ / out).string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return rooftune(arguments);
  }

  std::string study_;
};

TEST_F(FitCommand, WritesARunFolderAndSaysWhere) {
  const ProgramResult result = fit("run");
  ASSERT_EQ(result.exit_code, 0) << result;
  EXPECT_THAT(result.output, HasSubstr("mean |error|"));
  EXPECT_THAT(result.output, HasSubstr("tuned config  " + (folder_ / "run/tuned.json").string()));
  EXPECT_THAT(result.errors, IsEmpty());
  for (const char* file : {"manifest.json", "study.yaml", "result.json", "tuned.json", "evaluation.json", "evaluation.csv"}) {
    EXPECT_TRUE(std::filesystem::exists(folder_ / "run" / file)) << file;
  }
}

TEST_F(FitCommand, WritesAConfigThatPredictsWhatItReported) {
  ASSERT_EQ(fit("run").exit_code, 0);
  const ProgramResult again = rooftune({"evaluate", "--ground-truth", kGroundTruth, "--select", "id=64", "--select", "id=62",
                                        "--config", (folder_ / "run/tuned.json").string(), "--json"});
  ASSERT_EQ(again.exit_code, 0) << again;
  EXPECT_EQ(nlohmann::json::parse(again.output)["rows"], nlohmann::json::parse(folder_.read("run/evaluation.json"))["rows"]);
}

TEST_F(FitCommand, MakesTheErrorSmaller) {
  ASSERT_EQ(fit("run").exit_code, 0);
  const auto result = nlohmann::json::parse(folder_.read("run/result.json"));
  EXPECT_TRUE(result["usable"]);
  EXPECT_LT(double(result["objective"]["after"]), 0.8 * double(result["objective"]["before"]));
}

TEST_F(FitCommand, EndsAtAnExperimentThatNeedsMoreEventsThanTheStudyAllows) {
  folder_.write("study.yaml", small_study() + "failures: {policy: abort, max_events: 100}\n");
  const ProgramResult result = fit("run");
  EXPECT_EQ(result.exit_code, 2) << result;
  EXPECT_THAT(result.errors, HasSubstr("more than 100 events (failures.max_events) (raise max_events under 'failures'"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "run/tuned.json"));
  const ProgramResult evaluated = rooftune({"evaluate", study_});
  EXPECT_EQ(evaluated.exit_code, 2) << evaluated;
  EXPECT_THAT(evaluated.errors, HasSubstr("more than 100 events"));
}

TEST_F(FitCommand, CountsExperimentsThatNeedMoreEventsThanTheStudyAllows) {
  folder_.write("study.yaml", small_study() + "failures: {policy: skip, max_events: 100}\n");
  const ProgramResult result = fit("run");
  EXPECT_EQ(result.exit_code, 2) << result;
  EXPECT_THAT(result.errors, HasSubstr("the fit found no usable point"));
}

TEST_F(FitCommand, SaysWhereMeasurementsShouldFall) {
  const ProgramResult fitted = fit("run");
  ASSERT_EQ(fitted.exit_code, 0) << fitted;
  EXPECT_THAT(fitted.output, HasSubstr("90 % intervals of the means: where measurements like these should fall"));
  EXPECT_THAT(fitted.output, HasSubstr("the model's own error is not in it"));
  const auto result = nlohmann::json::parse(folder_.read("run/result.json"))["prediction_intervals"];
  EXPECT_EQ(result["level"], 0.9);
  std::map<std::string, double> predicted;
  const auto evaluation = nlohmann::json::parse(folder_.read("run/evaluation.json"));
  for (const auto& row : evaluation["rows"]) {
    if (row["stage"] == "summary") predicted[std::string(row["experiment"]) + std::string(row["metric"])] = row["predicted"];
  }
  std::size_t compared = 0;
  for (const auto& interval : result["intervals"]) {
    EXPECT_LT(double(interval["lower"]), double(interval["predicted"]));
    EXPECT_GT(double(interval["upper"]), double(interval["predicted"]));
    EXPECT_TRUE(interval["structural_deviation"].is_null());
    const auto found = predicted.find(std::string(interval["experiment"]) + std::string(interval["metric"]));
    if (interval["stage"] != "summary" || found == predicted.end()) continue;
    EXPECT_EQ(double(interval["predicted"]), found->second);
    ++compared;
  }
  EXPECT_EQ(compared, predicted.size());
}

TEST_F(FitCommand, PutsTheModelsOwnErrorIntoIntervalsThatKnowIt) {
  const ProgramResult fitted = fit("run", {"--held-out"});
  ASSERT_EQ(fitted.exit_code, 0) << fitted;
  const auto result = nlohmann::json::parse(folder_.read("run/result.json"))["prediction_intervals"];
  ASSERT_FALSE(result["intervals"].empty());
  EXPECT_FALSE(result["intervals"][0]["structural_deviation"].is_null());
}

TEST_F(FitCommand, WritesAConfigForAGpuOfOnesOwnThatLoadsByItself) {
  folder_.write(
      "gpu.yaml",
      "schema: rooftune/gpus/1\ngpus:\n  - name: MyGPU\n    peak_bf16_tflops: 989.5\n    hbm_bandwidth_tbs: 3.35\n    interconnect: "
      "nvlink\n    link_bandwidth_gbs: 450\n    memory_gib: 80\n    source: its data sheet\n");
  std::string truth = TemporaryFolder::read_file(kGroundTruth);
  for (std::size_t at = truth.find("\"hardware\": \"H100\""); at != std::string::npos; at = truth.find("\"hardware\": \"H100\"")) {
    truth.replace(at, 18, "\"hardware\": \"MyGPU\"");
  }
  const std::string ground_truth = folder_.write("truth.json", truth).string();
  std::string study = small_study("['64', '62']", "{id: physics.t_layer_us, where: {gpu: MyGPU}}");
  study.replace(study.find(kGroundTruth), kGroundTruth.size(), ground_truth);
  study.replace(study.find("data:\n"), 6, "data:\n  hardware: [gpu.yaml]\n");
  folder_.write("study.yaml", study);
  const ProgramResult fitted = fit("run");
  ASSERT_EQ(fitted.exit_code, 0) << fitted;
  const ProgramResult again = rooftune({"evaluate", "--ground-truth", ground_truth, "--select", "id=64", "--select", "id=62",
                                        "--config", (folder_ / "run/tuned.json").string(), "--json"});
  ASSERT_EQ(again.exit_code, 0) << again;
  EXPECT_EQ(nlohmann::json::parse(again.output)["rows"], nlohmann::json::parse(folder_.read("run/evaluation.json"))["rows"]);
  EXPECT_EQ(rooftune({"simulate", "--model", "Llama-2-7b-hf", "--gpu", "MyGPU", "--config", (folder_ / "run/tuned.json").string(),
                      "--rate", "1", "--duration", "20", "--prompt-tokens", "100", "--output-tokens", "20"})
                .exit_code,
            0);
}

TEST_F(FitCommand, GivesTheSameBytesAgainAndForOtherThreadCounts) {
  ASSERT_EQ(fit("one", {"--threads", "1"}).exit_code, 0);
  ASSERT_EQ(fit("two", {"--threads", "2"}).exit_code, 0);
  for (const char* file : {"result.json", "tuned.json", "evaluation.json"}) {
    EXPECT_EQ(folder_.read(std::string("one/") + file), folder_.read(std::string("two/") + file)) << file;
  }
  const ProgramResult difference = rooftune({"diff", (folder_ / "one").string(), (folder_ / "two").string()});
  EXPECT_EQ(difference.exit_code, 0) << difference;
  EXPECT_THAT(difference.output, HasSubstr("the runs are the same"));
}

TEST_F(FitCommand, KeepsTheStudyInAFormThatRunsAgain) {
  ASSERT_EQ(fit("run").exit_code, 0);
  EXPECT_EQ(rooftune({"show", (folder_ / "run/study.yaml").string()}).exit_code, 0);
}

TEST_F(FitCommand, RecordsHashesAndSeedInTheManifest) {
  ASSERT_EQ(fit("run", {"--seed", "7"}).exit_code, 0);
  const auto manifest = nlohmann::json::parse(folder_.read("run/manifest.json"));
  EXPECT_EQ(manifest["seed"], 7);
  EXPECT_EQ(manifest["state"], "finished");
  EXPECT_EQ(manifest["inputs"][0]["path"], study_);
  EXPECT_EQ(std::string(manifest["inputs"][0]["sha256"]).size(), 64u);
  EXPECT_EQ(std::string(manifest["simulator_identity"]).size(), 16u);
}

TEST_F(FitCommand, RefusesAFolderInUseBeforeItComputes) {
  folder_.write("run/precious.txt", "data");
  const ProgramResult result = fit("run");
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.output, IsEmpty());
  EXPECT_THAT(TemporaryFolder::read_file(folder_ / "run/precious.txt"), "data");
}

TEST_F(FitCommand, ResumesHarmlessly) {
  ASSERT_EQ(fit("run", {"--resume"}).exit_code, 0);
  const std::string tuned = folder_.read("run/tuned.json");
  const ProgramResult again = fit("run", {"--resume"});
  EXPECT_EQ(again.exit_code, 0) << again;
  EXPECT_THAT(again.output, HasSubstr("nothing to resume"));
  EXPECT_EQ(folder_.read("run/tuned.json"), tuned);
}

TEST_F(FitCommand, DoesNotResumeAnotherRun) {
  ASSERT_EQ(fit("run").exit_code, 0);
  const ProgramResult other = fit("run", {"--resume", "--seed", "5"});
  EXPECT_EQ(other.exit_code, 1) << other;
  EXPECT_THAT(other.errors, HasSubstr("seed 1, not 5"));
}

TEST_F(FitCommand, WritesNothingWhenTheStudyIsWrong) {
  const std::string crossed =
      folder_.write("crossed.yaml", small_study("['64']", "{id: physics.t_step_us, lower: 900, upper: 100}")).string();
  const ProgramResult result = rooftune({"fit", crossed, "--out", (folder_ / "run").string()});
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.errors, HasSubstr("crossed.yaml:9:"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "run"));
}

TEST_F(FitCommand, RefusesAMissingStudy) {
  const ProgramResult result = rooftune({"fit", "there_is_no_such_study.yaml"});
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.errors, HasSubstr("there_is_no_such_study.yaml"));
}

TEST_F(FitCommand, DumpsAStudyThatIsValid) {
  const ProgramResult dump = rooftune({"fit", "--dump-default"});
  ASSERT_EQ(dump.exit_code, 0) << dump;
  EXPECT_EQ(rooftune({"validate", folder_.write("default.yaml", dump.output).string()}).exit_code, 0);
}

TEST_F(FitCommand, WritesTheFamilysFormOfRooflineV1) {
  std::string text = small_study("['64']", "roofline_v1.decodeBwFactor");
  text.replace(text.find("physics"), 7, "roofline_v1");
  const std::string study = folder_.write("v1.yaml", text).string();
  const ProgramResult result = rooftune({"fit", study, "--out", (folder_ / "run").string(), "--format", "hardware-config"});
  ASSERT_EQ(result.exit_code, 0) << result;
  EXPECT_TRUE(nlohmann::json::parse(folder_.read("run/hardware_config.json")).is_object());
  EXPECT_THAT(result.errors, HasSubstr("frontend"));
}

}  // namespace
}  // namespace rooftune::testing_support
