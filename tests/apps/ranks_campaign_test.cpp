// Shipped studies on one to four ranks, and ranks that are killed at random moments. For minutes, label "long".
#include <gmock/gmock.h>

#include <chrono>
#include <csignal>
#include <iostream>
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

  [[nodiscard]] std::vector<std::string> crossval(const std::string& out) const {
    return {"crossval", shipped("experiments/crossval_model.yaml"), "--out", (folder_ / out).string(), "--resume"};
  }
};

TEST_F(RanksCampaign, CrossValidatesImprovesAndRecoversToTheSameBytes) {
  expect_same_on_ranks({"crossval", shipped("experiments/crossval_model.yaml")}, true);
  expect_same_on_ranks({"recover", shipped("experiments/physics_h100.yaml"), "--truth", "h100.physics", "--repeats", "8"}, false);
  expect_same_on_ranks({"improve", shipped("experiments/improve_v1.yaml"), "--rounds", "1"}, true);
}

TEST_F(RanksCampaign, ResumesToTheSameBytesWhicheverRankIsKilledWhenever) {
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_EQ(on_ranks(2, crossval("unbroken")).exit_code, 0);
  const Seconds duration = std::chrono::steady_clock::now() - begin;
  std::mt19937_64 random{20260201};
  int killed = 0;
  for (int run = 0; killed < kKills; ++run) {
    ASSERT_LT(run, 10 * kKills) << "runs end before they can be killed";
    const std::string out = "run" + std::to_string(run);
    {
      RunningProgram program(kMpirun, mpirun_arguments(2, crossval(out)), mpirun_options());
      std::this_thread::sleep_for(duration * std::uniform_real_distribution<double>(0.0, 1.0)(random));
      const std::vector<pid_t> ranks = running_ranks();
      if (ranks.empty()) continue;
      ::kill(ranks[random() % ranks.size()], SIGKILL);
      if (program.wait().exit_code == 0) continue;
    }
    ++killed;
    const auto journal = folder_ / out / "journal.sqlite";
    std::cout << out << ": killed with " << stored_evaluations(journal) << " evaluations stored\n";
    const int ranks = 1 + static_cast<int>(random() % 3);
    const ProgramResult resumed = on_ranks(ranks, crossval(out));
    ASSERT_EQ(resumed.exit_code, 0) << resumed;
    for (const char* file : {"result.json", "evaluation.json", "evaluation.csv"})
      EXPECT_EQ(folder_.read(out + "/" + file), folder_.read(std::string("unbroken/") + file)) << out << " on " << ranks << " ranks";
    EXPECT_EQ(integrity(journal), "ok");
  }
}

}  // namespace
}  // namespace rooftune::testing_support
