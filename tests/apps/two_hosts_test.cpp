// Ranks on two hosts that are network namespaces of this machine (scripts/two_hosts.sh). Skipped where nobody may make such.
#include <gmock/gmock.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "mpirun.hpp"
#include "store_files.hpp"

namespace rooftune::testing_support {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr int kNoHosts = 77;

class TwoHosts : public TemporaryFolderTest {
 protected:
  void SetUp() override {
    const ProgramResult names = on_hosts(2, {"sh", "-c", "hostname"});
    if (names.exit_code == kNoHosts) GTEST_SKIP() << names.errors;
    ASSERT_EQ(names.exit_code, 0) << names;
    EXPECT_THAT(names.output, AllOf(HasSubstr("east-"), HasSubstr("west-")));
  }

  static ProgramResult on_hosts(int ranks, const std::vector<std::string>& command) {
    std::vector<std::string> arguments{std::to_string(ranks)};
    arguments.insert(arguments.end(), command.begin(), command.end());
    return run_program(shipped("scripts/two_hosts.sh"), arguments);
  }

  [[nodiscard]] std::vector<std::string> crossval(const std::string& out, std::vector<std::string> more = {}) const {
    std::vector<std::string> command{rooftune_program(), "crossval", study_, "--out", (folder_ / out).string(), "--json"};
    command.insert(command.end(), more.begin(), more.end());
    return command;
  }

  [[nodiscard]] ProgramResult alone(const std::vector<std::string>& command) const {
    return rooftune({command.begin() + 1, command.end()});
  }

  void expect_same_files(const std::string& run, const std::string& other) const {
    for (const char* file : {"result.json", "evaluation.json", "evaluation.csv"})
      EXPECT_EQ(folder_.read(run + "/" + file), folder_.read(other + "/" + file)) << file;
  }

  std::string study_ = folder_.write("study.yaml", small_study("['64', '62', '66']")).string();
};

TEST_F(TwoHosts, ComputeTheBytesOfOne) {
  const ProgramResult one = alone(crossval("alone"));
  ASSERT_EQ(one.exit_code, 0) << one;
  const ProgramResult both = on_hosts(2, crossval("both"));
  ASSERT_EQ(both.exit_code, 0) << both;
  EXPECT_EQ(both.output, one.output);
  EXPECT_EQ(both.errors, "");
  expect_same_files("both", "alone");
}

TEST_F(TwoHosts, LoseNothingThatIsDoneWhenOneFails) {
  // A simulator that answers slowly, so that something is stored, and then keeps everybody waiting: the run cannot end before its host does.
  const std::filesystem::path wait = folder_.write("wait", "");
  folder_.write("answers", "");
  folder_.write("simulator.sh", R"sh(while [ -e "$2/wait" ] && [ "$(wc -l <"$2/answers")" -ge 16 ]; do sleep 0.01; done
[ ! -e "$2/wait" ] || sleep 0.2
echo >>"$2/answers"
echo "{\"e2e\": $1}"
)sh");
  study_ = folder_.write("external.yaml", scripted_study()).string();
  // Rank 1 ends mpirun's daemon of its host when it is told to.
  const std::string script = R"sh(told=$1
shift
daemon=$PPID
if [ "$OMPI_COMM_WORLD_RANK" = 1 ]; then
  (until [ -e "$told" ]; do sleep 0.01; done; kill -KILL $daemon) &
fi
exec "$@")sh";
  std::vector<std::string> command{"2", "sh", folder_.write("failing.sh", script).string(), (folder_ / "fail").string()};
  const std::vector<std::string> run = crossval("run");
  command.insert(command.end(), run.begin(), run.end());
  const auto journal = folder_ / "run" / "journal.sqlite";
  RunningProgram running(shipped("scripts/two_hosts.sh"), command);
  while (stored_evaluations(journal) == 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  folder_.write("fail", "");
  const ProgramResult broken = running.wait();
  EXPECT_NE(broken.exit_code, 0);
  EXPECT_THAT(broken.errors, HasSubstr("--resume"));
  std::filesystem::remove(wait);
  const ProgramResult resumed = on_hosts(3, crossval("run", {"--resume"}));
  ASSERT_EQ(resumed.exit_code, 0) << resumed;
  ASSERT_EQ(alone(crossval("unbroken")).exit_code, 0);
  expect_same_files("run", "unbroken");
}

}  // namespace
}  // namespace rooftune::testing_support
