#include "rooftune/text/process.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "support/temporary_folder.hpp"

namespace rooftune::text {
namespace {

using testing::HasSubstr;

class ProcessRun : public testing_support::TemporaryFolderTest {
 protected:
  ProcessEnd run(const std::string& script, double timeout_s = 60.0) {
    std::filesystem::remove_all(folder_ / "work");
    std::filesystem::create_directory(folder_ / "work");
    const Process process{.command = {"sh", "-c", script},
                          .working_directory = folder_ / "work",
                          .environment = {{"PATH", std::getenv("PATH")}},
                          .timeout = std::chrono::duration<double>(timeout_s)};
    return run_process(process, {});
  }

  /// The process whose number the script has written into `name`: whether it is there, and no zombie.
  [[nodiscard]] bool is_running(const std::string& name) const {
    std::ifstream number(folder_ / name);
    std::string id;
    number >> id;
    std::string stat;
    std::getline(std::ifstream("/proc/" + id + "/stat"), stat);
    return !id.empty() && !stat.empty() && stat.at(stat.rfind(')') + 2) != 'Z';
  }
};

TEST_F(ProcessRun, BringsBackWhatTheProgramSaid) {
  const ProcessEnd end = run("echo out; echo err >&2; exit 3");
  EXPECT_TRUE(end.started);
  EXPECT_EQ(end.exit_code, 3);
  EXPECT_EQ(end.output, "out\n");
  EXPECT_EQ(end.errors, "err\n");
  EXPECT_EQ(run("kill -SEGV $$").signal, SIGSEGV);
}

TEST_F(ProcessRun, EndsWhatTheProgramLeftRunningInASessionOfItsOwn) {
  const std::string note = (folder_ / "child").string();
  const ProcessEnd end =
      run("setsid sh -c 'echo $$ > " + note + "; sleep 600' & while ! test -s " + note + "; do sleep 0.01; done; echo done");
  EXPECT_EQ(end.output, "done\n");
  EXPECT_FALSE(is_running("child"));
}

TEST_F(ProcessRun, EndsGrandchildrenWhenTimeIsUp) {
  const std::string note = (folder_ / "child").string();
  const ProcessEnd end = run("(setsid sh -c 'echo $$ > " + note + "; sleep 600' &) ; sleep 600", 0.5);
  EXPECT_TRUE(end.timed_out);
  EXPECT_FALSE(is_running("child"));
}

TEST_F(ProcessRun, EndsAProgramThatWritesForEver) {
  const ProcessEnd end = run("yes");
  EXPECT_TRUE(end.wrote_too_much);
  EXPECT_LE(end.output.size(), std::size_t{64} << 20U);
}

TEST_F(ProcessRun, PassesNoOpenFileOn) {
  const int open = ::open("/dev/null", O_RDONLY);  // without O_CLOEXEC, as some libraries do
  const ProcessEnd end = run("ls /proc/self/fd");
  ::close(open);
  EXPECT_EQ(end.output, "0\n1\n2\n3\n") << "3 is that of ls itself";
}

TEST_F(ProcessRun, ReadsItsStreamsAndNotWhatTheProgramPutInTheirPlace) {
  folder_.write("secret", "secret");
  const ProcessEnd end = run("echo said; rm stdout; ln -s ../secret stdout");
  EXPECT_EQ(end.output, "said\n");
}

}  // namespace
}  // namespace rooftune::text
