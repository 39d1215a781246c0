// Shipped studies on one to four ranks, and ranks that are killed at random moments. For minutes, label "long".
#include <gmock/gmock.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <functional>
#include <iostream>
#include <optional>
#include <random>
#include <thread>

#include "mpirun.hpp"
#include "store_files.hpp"

namespace rooftune::testing_support {
namespace {

using Seconds = std::chrono::duration<double>;

constexpr int kKills = 10;

class RanksCampaign : public TemporaryFolderTest {
 protected:
  /// Runs a command on 1 to 4 ranks, and demands the same output; prints how long each took.
  void expect_same_on_ranks(const std::vector<std::string>& command, bool wants_folder) const {
    std::string alone;
    for (int ranks = 1; ranks <= 4; ++ranks) {
      std::vector<std::string> arguments = command;
      arguments.insert(arguments.end(), {"--json", "--threads", "1"});
      if (wants_folder) arguments.insert(arguments.end(), {"--out", (folder_ / (command[0] + std::to_string(ranks))).string()});
      const auto begin = std::chrono::steady_clock::now();
      const ProgramResult result = on_ranks(ranks, arguments);
      std::cout << command[0] << " on " << ranks << ": " << Seconds(std::chrono::steady_clock::now() - begin).count() << " s\n";
      ASSERT_EQ(result.exit_code, 0) << result;
      if (ranks == 1) alone = result.output;
      EXPECT_EQ(result.output, alone) << ranks << " ranks";
    }
  }

  /// Kills a rank of two at a random moment, time after time, goes on with one to three, and demands what an unbroken run gives:
  /// what it prints, and those files of its folder. Each run has a folder for whatever it keeps.
  void expect_resumed_as_unbroken(const std::function<std::vector<std::string>(const std::filesystem::path& folder)>& command,
                                  const std::vector<std::string>& files) {
    const auto begin = std::chrono::steady_clock::now();
    const ProgramResult unbroken = on_ranks(2, command(folder_ / "unbroken"));
    const Seconds duration = std::chrono::steady_clock::now() - begin;
    ASSERT_EQ(unbroken.exit_code, 0) << unbroken;
    int killed = 0;
    for (int run = 0; killed < kKills; ++run) {
      ASSERT_LT(run, 10 * kKills) << "runs end before they can be killed";
      const std::string name = "run" + std::to_string(run);
      const std::optional<std::size_t> rank = kill_a_rank(command(folder_ / name), duration);
      if (!rank) continue;
      ++killed;
      const auto journal = folder_ / name / "journal.sqlite";
      const int stored = stored_evaluations(journal);
      const int ranks = 1 + static_cast<int>(random_() % 3);
      std::cout << name << ": rank " << *rank << " killed with " << stored << " evaluations stored; resumed on " << ranks << "\n";
      const ProgramResult resumed = on_ranks(ranks, command(folder_ / name));
      ASSERT_EQ(resumed.exit_code, 0) << resumed;
      EXPECT_EQ(resumed.output, unbroken.output) << name << " on " << ranks << " ranks";
      for (const std::string& file : files) EXPECT_EQ(folder_.read(name + "/" + file), folder_.read("unbroken/" + file)) << name;
      EXPECT_EQ(integrity(journal), "ok");
    }
  }

 private:
  /// Which rank of two was killed within `duration`; nothing where the command was faster.
  std::optional<std::size_t> kill_a_rank(const std::vector<std::string>& command, Seconds duration) {
    RunningProgram program(kMpirun, mpirun_arguments(2, command), mpirun_options());
    std::this_thread::sleep_for(duration * std::uniform_real_distribution<double>(0.0, 1.0)(random_));
    const std::vector<pid_t> ranks = running_ranks();
    if (ranks.empty()) return std::nullopt;
    const std::size_t rank = random_() % ranks.size();
    ::kill(ranks[rank], SIGKILL);
    if (program.wait().exit_code == 0) return std::nullopt;
    return rank;
  }

  std::mt19937_64 random_{20260201};
};

TEST_F(RanksCampaign, CrossValidatesImprovesAndRecoversToTheSameBytes) {
  expect_same_on_ranks({"crossval", shipped("experiments/crossval_model.yaml")}, true);
  expect_same_on_ranks({"recover", shipped("experiments/physics_h100.yaml"), "--truth", "h100.physics", "--repeats", "8"}, false);
  expect_same_on_ranks({"improve", shipped("experiments/improve_v1.yaml"), "--rounds", "1"}, true);
}

TEST_F(RanksCampaign, CrossValidatesOnWhicheverRankIsKilledWhenever) {
  expect_resumed_as_unbroken(
      [](const std::filesystem::path& folder) {
        return std::vector<std::string>{"crossval", shipped("experiments/crossval_model.yaml"), "--out", folder.string(), "--resume",
                                        "--json"};
      },
      {"result.json", "evaluation.json", "evaluation.csv"});
}

TEST_F(RanksCampaign, ImprovesOnWhicheverRankIsKilledWhenever) {
  const std::string study = folder_
                                .write("study.yaml", small_study("['64', '62', '66']") +
                                                         "improve: {moves: [admission_lag, graph_padding, 'hold:*'], seeds: 2, "
                                                         "candidates: 3}\nswitches: {engine.async_scheduling: off}\n")
                                .string();
  expect_resumed_as_unbroken(
      [&](const std::filesystem::path& folder) {
        return std::vector<std::string>{"improve", study, "--out", folder.string(), "--resume", "--json"};
      },
      kResults);
}

TEST_F(RanksCampaign, RecoversOnWhicheverRankIsKilledWhenever) {
  const std::string study = folder_.write("study.yaml", small_study("['64', '62', '66']")).string();
  expect_resumed_as_unbroken(
      [&](const std::filesystem::path& folder) {
        std::filesystem::create_directories(folder);
        return std::vector<std::string>{
            "recover", study, "--repeats", "40", "--json", "--store", (folder / "journal.sqlite").string()};
      },
      {});
}

}  // namespace
}  // namespace rooftune::testing_support
