// The program under mpirun: several processes compute one command.
#include <gmock/gmock.h>

#include <csignal>
#include <thread>

#include "mpirun.hpp"
#include "store_files.hpp"

namespace rooftune::testing_support {
namespace {

using testing::HasSubstr;
using testing::Not;

class Ranks : public TemporaryFolderTest {
 protected:
  std::string study_ = folder_.write("study.yaml", small_study("['64', '62', '66']")).string();

  [[nodiscard]] std::vector<std::string> crossval(const std::string& out, std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments{"crossval", study_, "--out", (folder_ / out).string(), "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  /// Waits until the run "run" has stored something.
  [[nodiscard]] std::vector<pid_t> ranks_with_something_stored() const {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(2);
    while (stored_evaluations(folder_ / "run" / "journal.sqlite") == 0 && std::chrono::steady_clock::now() < deadline)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return running_ranks();
  }

  void expect_same_files(const std::string& run, const std::string& other) const {
    for (const char* file : {"result.json", "evaluation.json", "evaluation.csv"})
      EXPECT_EQ(folder_.read(run + "/" + file), folder_.read(other + "/" + file)) << file;
  }
};

TEST_F(Ranks, CrossValidateToTheSameBytesOnOneTwoAndThree) {
  const ProgramResult alone = on_ranks(1, crossval("run1"));
  ASSERT_EQ(alone.exit_code, 0) << alone;
  for (const int ranks : {2, 3}) {
    const std::string run = "run" + std::to_string(ranks);
    const ProgramResult together = on_ranks(ranks, crossval(run));
    ASSERT_EQ(together.exit_code, 0) << together;
    EXPECT_EQ(together.output, alone.output);
    EXPECT_EQ(together.errors, "");
    expect_same_files(run, "run1");
  }
}

TEST_F(Ranks, RecoverAndImproveToTheSameBytes) {
  const std::vector<std::string> recover{"recover", study_, "--repeats", "2", "--json"};
  const ProgramResult alone = on_ranks(1, recover);
  ASSERT_EQ(alone.exit_code, 0) << alone;
  EXPECT_EQ(on_ranks(2, recover).output, alone.output);
  std::vector<std::string> kept = recover;
  kept.insert(kept.end(), {"--store", (folder_ / "store.sqlite").string()});
  EXPECT_EQ(on_ranks(2, kept).output, alone.output);
  const int stored = stored_evaluations(folder_ / "store.sqlite");
  EXPECT_GT(stored, 0);
  EXPECT_EQ(on_ranks(2, kept).output, alone.output);
  EXPECT_EQ(stored_evaluations(folder_ / "store.sqlite"), stored) << "nothing was left to compute";
  const std::string improvable = folder_.write("improvable.yaml", small_study("['64', '62', '66']") +
                                                                      "improve: {moves: [admission_lag], seeds: 2, candidates: 2}\n"
                                                                      "switches: {engine.async_scheduling: off}\n");
  const auto improve = [&](const std::string& out) {
    return std::vector<std::string>{"improve", improvable, "--out", (folder_ / out).string(), "--json", "--rounds", "1"};
  };
  const ProgramResult improved = on_ranks(1, improve("improved1"));
  ASSERT_EQ(improved.exit_code, 0) << improved;
  const ProgramResult together = on_ranks(2, improve("improved2"));
  EXPECT_EQ(together.exit_code, 0) << together;
  EXPECT_EQ(together.output, improved.output);
}

TEST_F(Ranks, RunExternalSimulatorsWhereTheirFoldIs) {
  folder_.write("simulator.sh", R"(echo "{\"e2e\": $1}"
)");
  const std::string study = folder_.write("external.yaml", scripted_study()).string();
  const auto command = [&](const std::string& out) {
    return std::vector<std::string>{"crossval", study, "--json", "--out", (folder_ / out).string()};
  };
  const ProgramResult alone = on_ranks(1, command("run1"));
  ASSERT_EQ(alone.exit_code, 0) << alone;
  const ProgramResult together = on_ranks(2, command("run2"));
  ASSERT_EQ(together.exit_code, 0) << together;
  EXPECT_EQ(together.output, alone.output);
}

TEST_F(Ranks, LoseNothingThatIsDoneWhenOneIsKilled) {
  const std::vector<std::string> repeats{"--repeats", "16"};
  ASSERT_EQ(on_ranks(1, crossval("unbroken", repeats)).exit_code, 0);
  {
    RunningProgram broken(kMpirun, mpirun_arguments(2, crossval("run", repeats)), mpirun_options());
    const std::vector<pid_t> ranks = ranks_with_something_stored();
    ASSERT_EQ(ranks.size(), 2u) << "it ended before it could be killed";
    ::kill(ranks.back(), SIGKILL);
    const ProgramResult result = broken.wait();
    EXPECT_NE(result.exit_code, 0);
    EXPECT_THAT(result.errors, HasSubstr("--resume"));
  }
  EXPECT_GT(stored_evaluations(folder_ / "run" / "journal.sqlite"), 0);
  std::vector<std::string> resumed = crossval("run", repeats);
  resumed.emplace_back("--resume");
  const ProgramResult result = on_ranks(3, resumed);
  ASSERT_EQ(result.exit_code, 0) << result;
  expect_same_files("run", "unbroken");
}

TEST_F(Ranks, EndInOrderWhenTheyAreInterrupted) {
  RunningProgram interrupted(kMpirun, mpirun_arguments(2, crossval("run", {"--repeats", "16"})), mpirun_options());
  ASSERT_EQ(ranks_with_something_stored().size(), 2u) << "it ended before it could be interrupted";
  // mpirun passes it on; what it sends after SIGTERM is SIGKILL, a second later, which a slow machine may not make.
  interrupted.send(SIGUSR1);
  const ProgramResult result = interrupted.wait();
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.errors, HasSubstr("give the same command with its --out and --resume to go on, on any number of ranks"));
  EXPECT_THAT(result.errors, HasSubstr(" folds are not fitted"));
  EXPECT_THAT(result.errors, Not(HasSubstr("mpirun noticed")));
  EXPECT_EQ(integrity(folder_ / "run" / "journal.sqlite"), "ok");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "run" / "result.json"));
}

TEST_F(Ranks, EndInOrderWithOneThatWasLeftOut) {
  const std::vector<std::string> command = crossval("run", {"--repeats", "16"});
  std::vector<std::string> arguments = mpirun_arguments(1, command);
  arguments.insert(arguments.end(), {":", "-n", "1", rooftune_program()});
  arguments.insert(arguments.end(), command.begin(), command.end());
  arguments.insert(arguments.end(), {"--seed", "7"});
  RunningProgram interrupted(kMpirun, arguments, mpirun_options());
  ASSERT_EQ(ranks_with_something_stored().size(), 2u) << "it ended before it could be interrupted";
  interrupted.send(SIGUSR1);
  const ProgramResult result = interrupted.wait();
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.errors, HasSubstr("rank 1 is left out: it differs in 'study'"));
  EXPECT_THAT(result.errors, HasSubstr(" folds are not fitted"));
  EXPECT_THAT(result.errors, Not(HasSubstr("mpirun noticed")));
}

TEST_F(Ranks, AreRefusedByCommandsThatOneProcessComputes) {
  const ProgramResult result = on_ranks(2, {"validate", study_});
  EXPECT_NE(result.exit_code, 0);
  EXPECT_EQ(result.output, "");
  EXPECT_THAT(result.errors,
              HasSubstr("error: one process computes 'validate', and 2 were started together (start it without mpirun; several can "
                        "compute crossval, improve, recover)"));
}

TEST_F(Ranks, SayOnceWhatIsWrongWithAnInput) {
  const ProgramResult result = on_ranks(3, {"crossval", study_, "--group", "modell"});
  EXPECT_NE(result.exit_code, 0);
  const std::size_t first = result.errors.find("did you mean 'model'?");
  ASSERT_NE(first, std::string::npos) << result;
  EXPECT_EQ(result.errors.find("did you mean 'model'?", first + 1), std::string::npos) << result;
}

}  // namespace
}  // namespace rooftune::testing_support
