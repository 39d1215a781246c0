// What the program does when the world around it is hostile or broken: streams, signals, devices, studies and names from elsewhere.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "command_line.hpp"
#include "store_files.hpp"

namespace rooftune::testing_support {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class Robustness : public TemporaryFolderTest {
 protected:
  /// The program with its streams where a shell puts them.
  [[nodiscard]] ProgramResult in_shell(const std::string& arguments_and_streams) const {
    return run_program("/bin/sh", {"-c", rooftune_program() + " " + arguments_and_streams}, {.working_directory = folder_.path()});
  }

  /// Waits until the file is there.
  static void wait_for(const fs::path& file) {
    for (int tries = 0; !fs::exists(file) && tries < 3000; ++tries) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    ASSERT_TRUE(fs::exists(file)) << file;
  }
};

TEST_F(Robustness, LostOutputIsAnError) {
  for (const std::string& command :
       std::vector<std::string>{"params", "--help", "--version", "evaluate --ground-truth " + shipped("ground_truth/l40s.json")}) {
    const ProgramResult full = in_shell(command + " > /dev/full");
    EXPECT_EQ(full.exit_code, 1) << full;
    EXPECT_THAT(full.errors, HasSubstr("standard output: error: cannot be written: ")) << full;
    EXPECT_THAT(full.errors, HasSubstr("(what was printed is lost, files that were named are written)")) << full;
    EXPECT_THAT(full.errors, Not(HasSubstr("bug"))) << full;
    EXPECT_EQ(in_shell(command + " >&-").exit_code, 1) << "closed";
  }
  EXPECT_EQ(in_shell("params 2> /dev/full > /dev/null").exit_code, 0) << "standard error is nobody's concern";
}

TEST_F(Robustness, ClosedStreamsGetNoFileOfOurs) {
  const ProgramResult result = in_shell("params --csv table.csv >&- 2>&-");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_TRUE(folder_.read("table.csv").starts_with("kind,id,")) << "and nothing of what was printed is in it";
}

TEST_F(Robustness, TablesGoThroughDevicesLinksAndPipes) {
  ASSERT_EQ(in_shell("params --csv table.csv > /dev/null").exit_code, 0);
  const std::string table = folder_.read("table.csv");
  EXPECT_EQ(in_shell("params --csv /dev/stdout | grep -c ,linear,").exit_code, 0);
  EXPECT_EQ(in_shell("params --csv /dev/null").exit_code, 0);
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  fs::create_symlink("behind.csv", folder_ / "link.csv");
  EXPECT_EQ(in_shell("params --csv link.csv").exit_code, 0);
  EXPECT_EQ(folder_.read("behind.csv"), table);
  EXPECT_TRUE(fs::is_symlink(folder_ / "link.csv"));
}

TEST_F(Robustness, NumbersOnTheCommandLineAreCheckedLikeThoseInFiles) {
  const std::string simulate = "simulate --model Llama-2-7b-hf --prompt-tokens 10 --output-tokens 2 ";
  const std::vector<std::pair<std::string, std::string>> wrong{
      {"--rate nan", "'nan' is no plain decimal number"},
      {"--duration nan", "'nan' is no plain decimal number"},
      {"--rate inf", "'inf' is no plain decimal number"},
      {"--rate 0x10", "'0x10' is no plain decimal number"},
      {"--rate 0", "0 is out of range (give a number above 0 and at most 1000000)"},
      {"--rate 1e999", "1e999 is out of range"},
      {"--tp 010", "'010' may be taken for an octal number"},
      {"--tp 2147483647", "2147483647 is out of range (give a number above 0 and at most 4096)"},
      {"--rate 5 --duration 429496730", "429496730 is out of range"},
      {"--rate 5 --duration 10000000", "5 requests/s for 1e+07 s are 5e+07 requests (simulate at most 5000000: shorten --duration)"},
      {"--rates 1,nan", "'nan' is no plain decimal number"},
  };
  for (const auto& [flags, message] : wrong) {
    const ProgramResult result = in_shell(simulate + flags);
    EXPECT_EQ(result.exit_code, 1) << flags << result;
    EXPECT_THAT(result.errors, HasSubstr(message)) << flags;
    EXPECT_LT(result.errors.size(), 300u) << flags;
    EXPECT_THAT(result.output, IsEmpty()) << flags;
  }
}

TEST_F(Robustness, SignalsEndEveryCommandAtOnceAndInOrder) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) {
    RunningProgram program(rooftune_program(),
                           {"simulate", "--model", "Llama-2-7b-hf", "--rate", "50", "--duration", "20000", "--prompt-tokens", "100",
                            "--output-tokens", "200", "--requests", (folder_ / "requests.csv").string()},
                           {.time_limit = std::chrono::seconds(60)});
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    program.send(signal);
    const ProgramResult result = program.wait();
    EXPECT_EQ(result.exit_code, 2) << signal << result;
    EXPECT_THAT(result.errors, HasSubstr("interrupted")) << result;
    EXPECT_THAT(folder_.names(), IsEmpty());
  }
}

TEST_F(Robustness, ARunThatASignalEndsKeepsTheBestSoFarAndSaysHowItGoesOn) {
  for (const std::string command : {"onboard", "improve"}) {
    const std::string study = shipped(command == "onboard" ? "experiments/onboard_a100.yaml" : "experiments/improve_v1.yaml");
    const std::string out = (folder_ / command).string();
    RunningProgram program(rooftune_program(), {command, study, "--out", out, "--threads", "1", "--json"},
                           {.time_limit = std::chrono::seconds(60)});
    wait_for(out + "/journal.sqlite");
    // An onboarding computes its first evaluation at its third step.
    for (int i = 0; command == "onboard" && i < 3000 && stored_evaluations(out + "/journal.sqlite") == 0; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    if (command == "improve") std::this_thread::sleep_for(std::chrono::milliseconds(500));
    program.send(SIGTERM);
    const ProgramResult result = program.wait();
    EXPECT_EQ(result.exit_code, 2) << command << result;
    EXPECT_THAT(result.errors,
                AllOf(HasSubstr("ending with the best so far (once more to end at once)"), HasSubstr(out + ": warning: interrupted: "),
                      HasSubstr("(give the same command with this --out and --resume to go on)")))
        << result;
    EXPECT_THAT(folder_.names(), Not(testing::Contains(testing::HasSubstr(".lock")))) << command;
    if (command == "improve") continue;
    EXPECT_EQ(nlohmann::json::parse(folder_.read("onboard/manifest.json")).at("state"), "interrupted");
    EXPECT_EQ(nlohmann::json::parse(folder_.read("onboard/result.json")).at("interrupted"), true);
    EXPECT_EQ(rooftune({"validate", out + "/tuned.json"}).exit_code, 0);
    ASSERT_EQ(rooftune({command, study, "--out", out, "--resume"}).exit_code, 0);
    ASSERT_EQ(rooftune({command, study, "--out", out + "-unbroken"}).exit_code, 0);
    EXPECT_EQ(folder_.read("onboard/result.json"), folder_.read("onboard-unbroken/result.json"));
  }
}

TEST_F(Robustness, CommandsThatKeepNothingEndWithWhatIsFinished) {
  const std::string study = shipped("experiments/physics_h100.yaml");
  const std::vector<std::vector<std::string>> commands{
      {"recover", study, "--truth", "h100.physics", "--repeats", "100000", "--threads", "2", "--json"},
      {"solvers", study, "--max-evaluations", "1000000", "--threads", "1", "--json"}};
  for (const auto& command : commands) {
    RunningProgram program(rooftune_program(), command, {.time_limit = std::chrono::seconds(60)});
    std::this_thread::sleep_for(std::chrono::milliseconds(1500));
    program.send(SIGTERM);
    const ProgramResult result = program.wait();
    EXPECT_EQ(result.exit_code, 2) << result;
    EXPECT_THAT(result.errors, AllOf(HasSubstr("ending with the best so far"), HasSubstr(study + ": warning: interrupted: "),
                                     HasSubstr("(this is what was finished; nothing is kept to go on from)")))
        << result;
    const auto json = nlohmann::json::parse(result.output);
    EXPECT_EQ(json.at("interrupted"), true);
    if (command.front() == "recover") {
      EXPECT_EQ(json.at("repeats"), 100000);
      EXPECT_LT(json.at("finished"), 100000);
      EXPECT_EQ(json.at("failed"), 0) << "what was cut short has not failed";
    } else {
      ASSERT_FALSE(json.at("rows").empty());
      EXPECT_TRUE(json.at("rows").back().at("objective").is_number()) << "the best so far";
    }
  }
}

TEST_F(Robustness, ARecoveryThatKeepsEvaluationsSaysHowItGoesOn) {
  const std::string store = (folder_ / "store.sqlite").string();
  RunningProgram program(rooftune_program(),
                         {"recover", shipped("experiments/physics_h100.yaml"), "--truth", "h100.physics", "--repeats", "100000",
                          "--threads", "1", "--store", store},
                         {.time_limit = std::chrono::seconds(60)});
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (stored_evaluations(store) == 0 && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  program.send(SIGTERM);
  const ProgramResult result = program.wait();
  EXPECT_EQ(result.exit_code, 2) << result;
  EXPECT_THAT(result.errors, HasSubstr("the same command goes on from " + store)) << result;
  EXPECT_EQ(integrity(store), "ok");
}

TEST_F(Robustness, ASignalThatWasIgnoredStaysIgnored) {
  // The simulator answers only after the signal.
  folder_.write("simulator.sh", "echo > \"$1/begun\"; while [ ! -e \"$1/sent\" ]; do sleep 0.01; done; echo '{\"e2e\": 5}'\n");
  folder_.write("slow.yaml", "name: slow\ndata: {ground_truth: [" + shipped("experiments/external_example/ground_truth.json") +
                                 "], select: {id: [short-prompts]}}\nsimulator:\n"
                                 "  command: [sh, \"${folder}/simulator.sh\", \"${folder}\", \"${parameter:a}\"]\n"
                                 "  metrics: {e2e_mean_ms: {json: /e2e}}\n"
                                 "  parameters: [{name: a, lower: 1, initial: 2, upper: 3}]\nfree: [external.*]\n"
                                 "objective: {metrics: {e2e_mean_ms: 1}}\n");
  const std::string script = "trap '' HUP; " + rooftune_program() +
                             " evaluate slow.yaml > /dev/null & p=$!; while [ ! -e begun ]; do sleep 0.01; done; "
                             "kill -HUP $p; sent=$?; echo > sent; wait $p && exit $sent";
  const ProgramResult result = run_program("/bin/sh", {"-c", script}, {.working_directory = folder_.path()});
  EXPECT_EQ(result.exit_code, 0) << result;
}

TEST_F(Robustness, ARunFolderHasOneOwner) {
  // The first waits for its external simulator, for as long as it takes.
  folder_.write("simulator.sh", "echo > \"$1\"; exec sleep 600\n");
  const std::string note = (folder_ / "begun").string();
  folder_.write("slow.yaml", "name: slow\ndata: {ground_truth: [" + shipped("experiments/external_example/ground_truth.json") +
                                 "], select: {id: [short-prompts]}}\nsimulator:\n  command: [sh, \"${folder}/simulator.sh\", " + note +
                                 ", \"${parameter:a}\"]\n  metrics: {e2e_mean_ms: {json: /e2e}}\n"
                                 "  parameters: [{name: a, lower: 1, initial: 2, upper: 3}]\nfree: [external.*]\n"
                                 "objective: {metrics: {e2e_mean_ms: 1}}\n");
  folder_.write("study.yaml", small_study());
  const auto fit_of = [&](const std::string& study) {
    return std::vector<std::string>{"fit",     (folder_ / study).string(), "--out", (folder_ / "run").string(), "--threads", "1",
                                    "--resume"};
  };
  const std::vector<std::string> fit = fit_of("study.yaml");
  RunningProgram first(rooftune_program(), fit_of("slow.yaml"), {.time_limit = std::chrono::seconds(300)});
  wait_for(note);
  const ProgramResult second = rooftune(fit);
  EXPECT_EQ(second.exit_code, 1) << second;
  EXPECT_THAT(second.errors, AllOf(HasSubstr("run: error: the run folder is in use by process "), HasSubstr(" since 20")));
  first.send(SIGKILL);
  EXPECT_EQ(first.wait().signal, SIGKILL);
  fs::remove_all(folder_ / "run");  // what the first began is another study's
  const ProgramResult third = rooftune(fit);
  EXPECT_EQ(third.exit_code, 0) << "what a killed process left is known to be stale" << third;
  EXPECT_THAT(folder_.names(), ElementsAre("begun", "run", "simulator.sh", "slow.yaml", "study.yaml"));
  EXPECT_EQ(integrity(folder_ / "run" / "journal.sqlite"), "ok");
}

TEST_F(Robustness, DevicesAndSilentPipesAreNotReadForEver) {
  const ProgramResult zero = in_shell("validate /dev/zero");
  EXPECT_EQ(zero.exit_code, 1);
  EXPECT_THAT(zero.errors, HasSubstr("/dev/zero: error: this is a device or a socket, not a file"));
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(in_shell("validate pipe").errors, HasSubstr("pipe: error: nothing came from this pipe for 5 s"));
}

TEST_F(Robustness, NothingThatATerminalObeysIsPrinted) {
  std::string truth = TemporaryFolder::read_file(shipped("ground_truth/l40s.json"));
  const std::size_t id = truth.find("\"id\": \"") + 7;
  truth.insert(id, "\\u001b]0;owned\\u0007\\u001b[31m");
  folder_.write("truth.json", truth);
  folder_.write("study.yaml", "\"\\e[31mname\": 1\nextends: \"\\e[2J.yaml\"\nname: x\n");
  for (const std::string command :
       {"evaluate --ground-truth truth.json", "evaluate --ground-truth truth.json --json", "validate study.yaml truth.json",
        "show --ground-truth truth.json", "simulate --ground-truth truth.json", "'\x1b[31m'"}) {
    const ProgramResult result = in_shell(command);
    EXPECT_THAT(result.output + result.errors, Not(HasSubstr("\x1b"))) << command;
    EXPECT_THAT(result.output + result.errors, Not(HasSubstr("\x07"))) << command;
  }
}

TEST_F(Robustness, AStudysNameLeadsNowhere) {
  folder_.write("deep/study.yaml", "name: ../../outside/x\n" + small_study().substr(small_study().find('\n') + 1));
  const ProgramResult result = run_program(rooftune_program(), {"fit", "study.yaml"}, {.working_directory = folder_ / "deep"});
  ASSERT_EQ(result.exit_code, 0) << result;
  EXPECT_THAT(folder_.names(), ElementsAre("deep"));
  EXPECT_TRUE(fs::exists(folder_ / "deep" / "runs"));
}

TEST_F(Robustness, AStudyMayExtendOneBesideItAndBeNamedWithoutAFolder) {
  folder_.write("base.yaml", small_study());
  folder_.write("study.yaml", "name: small\nextends: base.yaml\n");
  const ProgramResult result = in_shell("validate study.yaml && " + rooftune_program() + " fit study.yaml --out run");
  EXPECT_EQ(result.exit_code, 0) << result;
}

TEST_F(Robustness, WhatComesThroughAPipeIsReadOnce) {
  const ProgramResult result = run_program(
      "/bin/bash", {"-c", rooftune_program() + " evaluate --ground-truth <(cat " + shipped("ground_truth/l40s.json") + ")"});
  EXPECT_EQ(result.exit_code, 0) << result;
  EXPECT_THAT(result.output + result.errors, AllOf(HasSubstr("a pipe is read once: the manifest does not name what came through it"),
                                                   HasSubstr("name a file where a run is to be repeated")));
}

TEST_F(Robustness, AManifestIsJudgedUnderItsOwnName) {
  folder_.write("manifest.json", "{\"schema\": \"rooftune/manifest/1\"}");
  folder_.write("other.json", "{\"simulator_identity\": 3}");
  const ProgramResult result = in_shell("validate other.json");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.errors, AllOf(HasSubstr("other.json:1:"), Not(HasSubstr("manifest.json"))));
}

TEST_F(Robustness, UnknownModelsAndGpusHaveAPlace) {
  std::string truth = TemporaryFolder::read_file(shipped("ground_truth/l40s.json"));
  truth.replace(truth.find("\"L40S\""), 6, "\"L41S\"");
  folder_.write("truth.json", truth);
  EXPECT_THAT(in_shell("evaluate --ground-truth truth.json").errors,
              testing::ContainsRegex("truth.json:[0-9]+:[0-9]+: error: experiment '.*': unknown GPU 'L41S'"));
}

TEST_F(Robustness, ProgramsOfAStudyEndWithAKilledRooftune) {
  fs::create_directory(folder_ / "tmp");
  folder_.write("simulator.sh", "setsid sh -c 'echo $$ > \"$0\"; sleep 600' \"$1\" & sleep 600\n");
  const std::string note = (folder_ / "child").string();
  folder_.write("study.yaml", "name: slow\ndata: {ground_truth: [" + shipped("experiments/external_example/ground_truth.json") +
                                  "], select: {id: [short-prompts]}}\nsimulator:\n  command: [sh, \"${folder}/simulator.sh\", " +
                                  note + "]\n  metrics: {e2e_mean_ms: {json: /e2e}}\nobjective: {metrics: {e2e_mean_ms: 1}}\n");
  RunningProgram program(rooftune_program(), {"evaluate", (folder_ / "study.yaml").string()},
                         {.environment = {{"TMPDIR", (folder_ / "tmp").string()}}});
  wait_for(note);
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  const std::string child = folder_.read("child").substr(0, folder_.read("child").find('\n'));
  program.send(SIGKILL);
  EXPECT_EQ(program.wait().signal, SIGKILL);
  const auto is_clean = [&] { return !fs::exists("/proc/" + child) && fs::is_empty(folder_ / "tmp"); };
  for (int tries = 0; !is_clean() && tries < 500; ++tries) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_FALSE(fs::exists("/proc/" + child)) << "outlived its rooftune";
  EXPECT_TRUE(fs::is_empty(folder_ / "tmp"));
}

TEST_F(Robustness, AStudysProgramIsNamedBeforeItRuns) {
  folder_.write("study.yaml", "name: s\ndata: {ground_truth: [" + shipped("experiments/external_example/ground_truth.json") +
                                  "], select: {id: [short-prompts]}}\nsimulator:\n  command: [sh, -c, \"echo '{\\\"e2e\\\": 1}'\"]\n"
                                  "  metrics: {e2e_mean_ms: {json: /e2e}}\nobjective: {metrics: {e2e_mean_ms: 1}}\n");
  EXPECT_THAT(in_shell("evaluate study.yaml").errors, HasSubstr("note: the study's own program predicts: sh -c "));
  EXPECT_THAT(in_shell("evaluate study.yaml").errors, HasSubstr("(each run ends within 300 s)"));
  EXPECT_THAT(in_shell("show study.yaml").errors, Not(HasSubstr("note:")));
}

}  // namespace
}  // namespace rooftune::testing_support
