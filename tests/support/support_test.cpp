#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/run_program.hpp"
#include "support/temporary_folder.hpp"

namespace rooftune::testing_support {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

ProgramResult run_shell(const std::string& commands, ProgramOptions options = {}) {
  return run_program("/bin/sh", {"-c", commands}, std::move(options));
}

TEST(RunProgram, KeepsTheStreamsApartAndTellsTheExitCode) {
  const ProgramResult result = run_shell("echo figures; echo complaints >&2; exit 3");
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_EQ(result.output, "figures\n");
  EXPECT_EQ(result.errors, "complaints\n");
}

TEST(RunProgram, PassesArgumentsAsTheyAre) {
  EXPECT_EQ(run_program("/bin/sh", {"-c", "printf '%s|' \"$@\"", "sh", "two words", "", "$HOME"}).output, "two words||$HOME|");
}

TEST(RunProgram, SetsEnvironmentAndWorkingDirectory) {
  const TemporaryFolder folder;
  EXPECT_EQ(run_shell("echo $NO_COLOR; pwd", {.working_directory = folder.path(), .environment = {{"NO_COLOR", "yes"}}}).output,
            "yes\n" + folder.path().string() + "\n");
}

TEST(RunProgram, SurvivesMoreOutputThanAPipeHolds) {
  EXPECT_EQ(run_shell("i=0; while [ $i -lt 3000 ]; do echo 0123456789012345678901234567890123456789012345678; i=$((i+1)); done")
                .output.size(),
            150'000u);
}

TEST(RunProgram, KillsWhatOutlivesItsTimeLimit) {
  const ProgramResult result = run_shell("exec sleep 60", {.time_limit = std::chrono::seconds(0)});
  EXPECT_TRUE(result.timed_out);
  EXPECT_EQ(result.signal, SIGKILL);
}

TEST(RunProgram, CanBeInterruptedWhileItRuns) {
  RunningProgram program("/bin/sh", {"-c", "trap 'echo interrupted; exit 5' INT; echo ready; while :; do sleep 0.01; done"});
  while (program.output_so_far().empty()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  program.send(SIGINT);
  const ProgramResult result = program.wait();
  EXPECT_EQ(result.exit_code, 5);
  EXPECT_EQ(result.output, "ready\ninterrupted\n");
}

TEST(RunProgram, SaysWhenThereIsNoSuchProgram) { EXPECT_THROW((void)run_program("/nowhere/rooftune", {}), std::runtime_error); }

TEST(TemporaryFolder, IsEmptyAndGoneAfterwards) {
  std::filesystem::path path;
  {
    const TemporaryFolder folder;
    path = folder.path();
    EXPECT_THAT(folder.names(), IsEmpty());
    folder.write("inner/a.txt", "text");
    EXPECT_THAT(folder.names(), ElementsAre("inner"));
    EXPECT_EQ(folder.read("inner/a.txt"), "text");
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace rooftune::testing_support
