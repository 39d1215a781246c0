// Ranks on two hosts that are network namespaces of this machine (scripts/two_hosts.sh). Skipped where nobody may make such.
#include <gmock/gmock.h>

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
  ASSERT_EQ(alone(crossval("unbroken", {"--repeats", "16"})).exit_code, 0);
  // Rank 1 ends mpirun's daemon of its host once something is stored.
  const auto journal = folder_ / "run" / "journal.sqlite";
  const std::string script = R"sh(log=$1-wal
shift
daemon=$PPID
if [ "$OMPI_COMM_WORLD_RANK" = 1 ]; then
  (until [ "$(stat --format %s "$log")" -gt 40000 ]; do sleep 0.01; done 2>/dev/null; kill -KILL $daemon) &
fi
exec "$@")sh";
  std::vector<std::string> command{"sh", folder_.write("failing.sh", script).string(), journal.string()};
  const std::vector<std::string> run = crossval("run", {"--repeats", "16"});
  command.insert(command.end(), run.begin(), run.end());
  const ProgramResult broken = on_hosts(2, command);
  if (broken.exit_code == 0) GTEST_SKIP() << "it ended before its host did";  // how fast the machine is must not decide
  EXPECT_THAT(broken.errors, HasSubstr("--resume"));
  EXPECT_GT(stored_evaluations(journal), 0);
  const ProgramResult resumed = on_hosts(3, crossval("run", {"--repeats", "16", "--resume"}));
  ASSERT_EQ(resumed.exit_code, 0) << resumed;
  expect_same_files("run", "unbroken");
}

}  // namespace
}  // namespace rooftune::testing_support
