#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

#include "command_line.hpp"
#include "store_files.hpp"
#include "support/places.hpp"

namespace rooftune::testing_support {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

namespace fs = std::filesystem;

class Resume : public TemporaryFolderTest {
 protected:
  /// Some hundred evaluations of a scalar search and then least squares: two seconds of work, so that signals arrive in between.
  Resume() {
    std::string text = small_study();
    const std::string stage = "  - {algorithm: ceres_lm, max_evaluations: 20}\n";
    text.replace(text.find(stage), stage.size(), "  - {algorithm: crs2, max_evaluations: 300, tolerance: 0}\n" + stage);
    study_ = folder_.write("study.yaml", text).string();
  }

  [[nodiscard]] std::vector<std::string> fit(const std::string& out, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments{"fit", study_, "--out", (folder_ / out).string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  /// Starts the fit and sends it a signal as soon as something is stored.
  [[nodiscard]] ProgramResult fit_until_signal(const std::string& out, int signal) const {
    return until_signal(fit(out), out, signal);
  }

  [[nodiscard]] ProgramResult until_signal(const std::vector<std::string>& arguments, const std::string& out, int signal) const {
    RunningProgram program(rooftune_program(), arguments);
    while (stored_evaluations(folder_ / out / "journal.sqlite") == 0 && !fs::exists(folder_ / out / "result.json"))
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    program.send(signal);
    return program.wait();
  }

  void expect_same_results(const std::string& one, const std::string& two) const {
    for (const std::string& file : kResults) EXPECT_EQ(folder_.read(one + "/" + file), folder_.read(two + "/" + file)) << file;
  }

  std::string study_;
};

TEST_F(Resume, EndsAKilledFitAtTheSameBytesAsAnUnbrokenOne) {
  ASSERT_EQ(rooftune(fit("unbroken")).exit_code, 0);
  const ProgramResult killed = fit_until_signal("killed", SIGKILL);
  ASSERT_EQ(killed.signal, SIGKILL) << killed;
  EXPECT_EQ(nlohmann::json::parse(folder_.read("killed/manifest.json"))["state"], "begun");
  EXPECT_EQ(integrity(folder_ / "killed/journal.sqlite"), "ok");

  const ProgramResult refused = rooftune(fit("killed"));
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(
      refused.errors,
      HasSubstr("the folder holds a run that was begun and not finished (continue it with --resume, or choose another --out)"));

  const ProgramResult resumed = rooftune(fit("killed", {"--resume"}));
  ASSERT_EQ(resumed.exit_code, 0) << resumed;
  EXPECT_THAT(resumed.output, HasSubstr("taken from the store"));
  expect_same_results("unbroken", "killed");
  EXPECT_EQ(integrity(folder_ / "killed/journal.sqlite"), "ok");
  EXPECT_EQ(nlohmann::json::parse(folder_.read("killed/manifest.json"))["state"], "finished");
}

TEST_F(Resume, EndsAnInterruptedFitWithTheBestSoFarAndGoesOn) {
  const ProgramResult interrupted = fit_until_signal("run", SIGINT);
  ASSERT_EQ(interrupted.exit_code, 2) << interrupted;
  EXPECT_THAT(interrupted.errors, AllOf(HasSubstr("interrupted: this is the best so far"), HasSubstr("(go on with: rooftune fit ")));
  EXPECT_EQ(nlohmann::json::parse(folder_.read("run/manifest.json"))["state"], "interrupted");
  const auto result = nlohmann::json::parse(folder_.read("run/result.json"));
  EXPECT_EQ(result["interrupted"], true);
  EXPECT_LE(double(result["objective"]["after"]), double(result["objective"]["before"]));
  EXPECT_EQ(rooftune({"validate", (folder_ / "run/tuned.json").string()}).exit_code, 0);

  ASSERT_EQ(rooftune(fit("run", {"--resume"})).exit_code, 0);
  ASSERT_EQ(rooftune(fit("unbroken")).exit_code, 0);
  expect_same_results("unbroken", "run");
}

TEST_F(Resume, EndsABootstrapThatWasInterruptedAtTheSameBytes) {
  // Priors are drawn anew in every refit, so that each asks for evaluations of its own: long enough to be met in its middle, after
  // the search with its 320.
  std::string text = folder_.read("study.yaml");
  text.replace(text.find("- physics.t_layer_us"), 20, "- {id: physics.t_layer_us, prior: {centre: 24.7, standard_deviation: 0.2}}");
  folder_.write("study.yaml", text);
  const std::vector<std::string> more{"--bootstrap", "40"};
  RunningProgram program(rooftune_program(), fit("run", more));
  while (stored_evaluations(folder_ / "run/journal.sqlite") < 380 && !fs::exists(folder_ / "run/result.json"))
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  program.send(SIGINT);
  const ProgramResult interrupted = program.wait();
  ASSERT_EQ(interrupted.exit_code, 2) << interrupted;
  const auto result = nlohmann::json::parse(folder_.read("run/result.json"));
  EXPECT_EQ(result["interrupted"], true);
  EXPECT_TRUE(result["bootstrap"].is_null());
  std::vector<std::string> resume = more;
  resume.emplace_back("--resume");
  ASSERT_EQ(rooftune(fit("run", resume)).exit_code, 0);
  ASSERT_EQ(rooftune(fit("unbroken", more)).exit_code, 0);
  expect_same_results("unbroken", "run");
}

TEST_F(Resume, KeepsAFitWhoseHeldOutRefitsWereInterrupted) {
  // The search takes its 320 evaluations, then the refits theirs.
  const std::vector<std::string> more{"--held-out"};
  RunningProgram program(rooftune_program(), fit("run", more));
  while (stored_evaluations(folder_ / "run/journal.sqlite") < 380 && !fs::exists(folder_ / "run/result.json"))
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  program.send(SIGINT);
  const ProgramResult interrupted = program.wait();
  ASSERT_EQ(interrupted.exit_code, 2) << interrupted;
  EXPECT_THAT(interrupted.errors, AllOf(HasSubstr("interrupted: the search was over, but what runs outside the fit miss is not known"),
                                        HasSubstr("(go on with: rooftune fit ")));
  EXPECT_EQ(nlohmann::json::parse(folder_.read("run/result.json"))["interrupted"], true);
  EXPECT_EQ(rooftune({"validate", (folder_ / "run/tuned.json").string()}).exit_code, 0);
  std::vector<std::string> resume = more;
  resume.emplace_back("--resume");
  ASSERT_EQ(rooftune(fit("run", resume)).exit_code, 0);
  ASSERT_EQ(rooftune(fit("unbroken", more)).exit_code, 0);
  expect_same_results("unbroken", "run");
}

/// `command` on the study `text`, killed and resumed, must end at what an unbroken run says.
void expect_same_result_after_a_kill(const TemporaryFolder& folder, const std::string& command, const std::string& text,
                                     const std::function<ProgramResult(const std::vector<std::string>&, const std::string&)>& kill) {
  const std::string study = folder.write(command + ".yaml", text).string();
  const auto arguments = [&](const std::string& out) {
    return std::vector<std::string>{command, study, "--out", (folder / out).string()};
  };
  ASSERT_EQ(rooftune(arguments("unbroken")).exit_code, 0);
  ASSERT_EQ(kill(arguments("killed"), "killed").signal, SIGKILL);
  EXPECT_EQ(rooftune(arguments("killed")).exit_code, 1) << "it was begun and not finished";
  std::vector<std::string> resume = arguments("killed");
  resume.emplace_back("--resume");
  const ProgramResult resumed = rooftune(resume);
  ASSERT_EQ(resumed.exit_code, 0) << resumed;
  EXPECT_THAT(resumed.output, HasSubstr("taken from the store"));
  EXPECT_EQ(folder.read("unbroken/result.json"), folder.read("killed/result.json"));
  EXPECT_THAT(rooftune(resume).output, HasSubstr("nothing to resume"));
}

TEST_F(Resume, EndsAKilledComparisonAtTheSameBytes) {
  const std::string text = folder_.read("study.yaml") +
                           "compare:\n  variants:\n    - {name: a, free: [physics.t_step_us]}\n    - {name: b, fixed: "
                           "{physics.t_seq_us: 3}}\n";
  expect_same_result_after_a_kill(folder_, "compare", text,
                                  [&](const auto& arguments, const auto& out) { return until_signal(arguments, out, SIGKILL); });
}

TEST_F(Resume, EndsAnInterruptedComparisonWithWhatIsFinishedAndGoesOn) {
  std::string text = folder_.read("study.yaml");
  text.replace(text.find("max_evaluations: 300"), 20, "max_evaluations: 100");
  text +=
      "threads: 1\ncompare:\n  variants:\n    - {name: a, free: [physics.t_step_us]}\n    - {name: b, fixed: "
      "{physics.t_seq_us: 3}}\n";
  const std::string study = folder_.write("compare.yaml", text).string();
  const std::string run = (folder_ / "run").string();
  RunningProgram program(rooftune_program(), {"compare", study, "--out", run, "--json"});
  while (stored_evaluations(folder_ / "run/journal.sqlite") < 10 && !fs::exists(folder_ / "run/result.json"))
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  program.send(SIGTERM);
  const ProgramResult interrupted = program.wait();
  ASSERT_EQ(interrupted.exit_code, 2) << interrupted;
  EXPECT_THAT(interrupted.errors, AllOf(HasSubstr("of 2 variants are finished"), HasSubstr("--resume to go on")));
  EXPECT_FALSE(fs::exists(folder_ / "run/result.json"));
  ASSERT_EQ(rooftune({"compare", study, "--out", run, "--resume"}).exit_code, 0);
  ASSERT_EQ(rooftune({"compare", study, "--out", (folder_ / "unbroken").string()}).exit_code, 0);
  EXPECT_EQ(folder_.read("unbroken/result.json"), folder_.read("run/result.json"));
}

TEST_F(Resume, EndsAKilledTrialOfARecommendationAtTheSameBytes) {
  std::string text = small_study("['60', '61', '62', '63', '64', '65', '66']");
  text.replace(text.find("step_time_model: physics"), 24, "config: h100");
  expect_same_result_after_a_kill(folder_, "onboard",
                                  text + "onboard: {gpu: H100-SXM, trial: {start_runs: 3, draws: 4}}\nthreads: 1\n",
                                  [&](const auto& arguments, const auto& out) { return until_signal(arguments, out, SIGKILL); });
}

TEST_F(Resume, RefusesToGoOnWithOtherOptions) {
  ASSERT_EQ(fit_until_signal("run", SIGKILL).signal, SIGKILL);
  const ProgramResult other = rooftune(fit("run", {"--resume", "--select", "id=64"}));
  EXPECT_EQ(other.exit_code, 1);
  EXPECT_THAT(
      other.errors,
      HasSubstr("study.yaml: error: the options make another study of the file than the run was begun with (give the same options as "
                "then, or start afresh with another --out)"));
}

class SharedStore : public TemporaryFolderTest {
 protected:
  SharedStore() : study_(folder_.write("study.yaml", small_study()).string()) {}

  [[nodiscard]] ProgramResult run(const std::string& command, const std::string& out, const std::vector<std::string>& more) const {
    std::vector<std::string> arguments{command, study_, "--out", (folder_ / out).string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return rooftune(arguments);
  }

  [[nodiscard]] std::string store() const { return (folder_ / "store.sqlite").string(); }

  std::string study_;
};

TEST_F(SharedStore, ServesALaterRunOfTheSameStudy) {
  ASSERT_EQ(run("crossval", "first", {"--store", store(), "--threads", "1"}).exit_code, 0);
  const ProgramResult again = run("crossval", "again", {"--store", store(), "--threads", "4"});
  ASSERT_EQ(again.exit_code, 0) << again;
  EXPECT_THAT(again.output, HasSubstr(", 0 computed"));
  for (const char* file : {"result.json", "evaluation.json"})
    EXPECT_EQ(folder_.read(std::string("first/") + file), folder_.read(std::string("again/") + file)) << file;
}

TEST_F(SharedStore, ReplaysAFitAndCountsWhatItLacks) {
  ASSERT_EQ(run("fit", "first", {"--store", store()}).exit_code, 0);
  const ProgramResult replayed = run("fit", "replayed", {"--replay", store()});
  ASSERT_EQ(replayed.exit_code, 0) << replayed;
  EXPECT_THAT(replayed.output, HasSubstr("0 were not in it"));
  EXPECT_EQ(folder_.read("first/result.json"), folder_.read("replayed/result.json"));

  // Another seed draws other requests: nothing that is stored answers for them.
  const ProgramResult strange = run("fit", "strange", {"--replay", store(), "--seed", "2"});
  EXPECT_EQ(strange.exit_code, 2);
  EXPECT_THAT(strange.errors, HasSubstr("the store does not hold this point"));
  EXPECT_FALSE(fs::exists(folder_ / "strange"));
}

TEST_F(SharedStore, ServesProfilesAndBootstrapsToo) {
  const std::vector<std::string> closer{"--store", store(), "--profile", "physics.t_layer_us", "--bootstrap", "4"};
  const ProgramResult first = run("fit", "first", closer);
  ASSERT_EQ(first.exit_code, 0) << first;
  const ProgramResult again = run("fit", "again", closer);
  ASSERT_EQ(again.exit_code, 0) << again;
  EXPECT_THAT(again.output, HasSubstr(", 0 computed"));
  EXPECT_EQ(folder_.read("first/result.json"), folder_.read("again/result.json"));
}

TEST_F(SharedStore, GivesTheSameBytesWhereHopelessCandidatesAreGivenUp) {
  std::string text = small_study();
  const std::string stage = "{algorithm: ceres_lm, max_evaluations: 20}";
  text.replace(text.find(stage), stage.size(), "{algorithm: ceres_lm, starts: 4, max_evaluations: 20}");
  folder_.write("study.yaml", text);
  ASSERT_EQ(run("fit", "own", {"--threads", "1"}).exit_code, 0);
  {
    SQLite::Database database((folder_ / "own/journal.sqlite").string(), SQLite::OPEN_READONLY);
    EXPECT_GT(database.execAndGet("SELECT count(*) FROM evaluations WHERE refusal = 'worse than the best'").getInt(), 0);
  }
  ASSERT_EQ(run("fit", "filled", {"--store", store(), "--threads", "2"}).exit_code, 0);
  const ProgramResult looked_up = run("fit", "looked-up", {"--store", store(), "--threads", "2"});
  ASSERT_EQ(looked_up.exit_code, 0) << looked_up;
  EXPECT_THAT(looked_up.output, HasSubstr(", 0 computed"));
  const ProgramResult replayed = run("fit", "replayed", {"--replay", store()});
  ASSERT_EQ(replayed.exit_code, 0) << replayed;
  EXPECT_THAT(replayed.output, HasSubstr("0 were not in it"));
  for (const char* out : {"filled", "looked-up", "replayed"}) {
    for (const std::string& file : kResults) {
      EXPECT_EQ(folder_.read("own/" + file), folder_.read(std::string(out) + "/" + file)) << out << ' ' << file;
    }
  }
}

TEST_F(SharedStore, IsRefusedWhenItIsNone) {
  const ProgramResult result = run("fit", "run", {"--store", study_});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.errors, HasSubstr("study.yaml: error: cannot be used as an evaluation store"));
  EXPECT_THAT(result.output, IsEmpty());
  EXPECT_FALSE(fs::exists(folder_ / "run"));
}

}  // namespace
}  // namespace rooftune::testing_support
