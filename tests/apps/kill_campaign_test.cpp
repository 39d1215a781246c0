// Kills fits at random moments and demands that the resumed ones end as if nothing had happened. Label "long".
#include <gtest/gtest.h>

#include <chrono>
#include <iostream>
#include <random>
#include <thread>

#include "command_line.hpp"
#include "store_files.hpp"
#include "support/places.hpp"

namespace rooftune::testing_support {
namespace {

using Seconds = std::chrono::duration<double>;

constexpr int kKills = 10;

class KillCampaign : public TemporaryFolderTest {
 protected:
  /// Fits the shipped physics study without a break, for comparison and for how long it takes.
  KillCampaign() {
    const auto begin = std::chrono::steady_clock::now();
    const ProgramResult result = rooftune(fit("unbroken"));
    duration_ = std::chrono::steady_clock::now() - begin;
    if (result.exit_code != 0) throw std::runtime_error("the unbroken fit failed: " + result.errors);
  }

  [[nodiscard]] std::vector<std::string> fit(const std::string& out, const std::string& more = "") const {
    std::vector<std::string> arguments{"fit", shipped("experiments/physics_h100.yaml"), "--out", (folder_ / out).string()};
    if (!more.empty()) arguments.push_back(more);
    return arguments;
  }

  /// Runs the program and kills it after a random part of the unbroken fit's time; false when it had ended before.
  [[nodiscard]] bool kill_at_random(const std::vector<std::string>& arguments) {
    RunningProgram program(rooftune_program(), arguments);
    std::this_thread::sleep_for(duration_ * std::uniform_real_distribution<double>(0.0, 1.0)(random_));
    program.send(SIGKILL);
    return program.wait().signal == SIGKILL;
  }

  void expect_as_unbroken(const std::string& out) const {
    for (const std::string& file : kResults) EXPECT_EQ(folder_.read(out + "/" + file), folder_.read("unbroken/" + file)) << file;
    EXPECT_EQ(integrity(folder_ / out / "journal.sqlite"), "ok");
  }

  std::mt19937_64 random_{20260101};
  Seconds duration_{};
};

TEST_F(KillCampaign, EveryKilledFitResumesToTheSameBytes) {
  int killed = 0;
  for (int run = 0; killed < kKills; ++run) {
    ASSERT_LT(run, 10 * kKills) << "fits end before they can be killed";
    const std::string out = "run" + std::to_string(run);
    if (!kill_at_random(fit(out))) continue;
    ++killed;
    const auto journal = folder_ / out / "journal.sqlite";
    if (std::filesystem::exists(journal)) {
      EXPECT_EQ(integrity(journal), "ok") << out;
    }
    std::cout << out << ": killed with " << stored_evaluations(journal) << " evaluations stored\n";
    const ProgramResult resumed = rooftune(fit(out, "--resume"));
    ASSERT_EQ(resumed.exit_code, 0) << resumed;
    expect_as_unbroken(out);
  }
}

TEST_F(KillCampaign, AFitThatIsKilledAgainAndAgainStillEndsAtTheSameBytes) {
  for (int kill = 0; kill < kKills; ++kill) {
    if (!kill_at_random(fit("run", "--resume"))) break;
  }
  const ProgramResult resumed = rooftune(fit("run", "--resume"));
  ASSERT_EQ(resumed.exit_code, 0) << resumed;
  expect_as_unbroken("run");
  for (const std::string& name : folder_.names()) EXPECT_FALSE(name.starts_with(".run.partial")) << "left behind: " << name;
}

}  // namespace
}  // namespace rooftune::testing_support
