#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "command_line.hpp"
#include "support/places.hpp"

namespace rooftune::testing_support {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

/// `count` requests, one a second.
std::string requests(int count) {
  std::string text = "arrival_s,input_tokens,output_tokens,ttft_ms,e2e_ms\n";
  for (int i = 0; i < count; ++i) text += fmt::format("{},575,50,22.1,412.4\n", i);
  return text;
}

class WatchCommand : public TemporaryFolderTest {
 protected:
  [[nodiscard]] static std::vector<std::string> watch(const std::filesystem::path& file, const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments{"watch", "h100", file.string(), "--model", "Llama-2-7b-hf", "--window", "20"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
};

TEST_F(WatchCommand, SaysHowManyRequestsAreNotJudged) {
  const ProgramResult few = rooftune(watch(folder_.write("few.csv", requests(39))));
  EXPECT_EQ(few.exit_code, 0) << few;
  EXPECT_EQ(few.output, "");
  EXPECT_THAT(few.errors, HasSubstr("the last 39 requests are not judged"));
  const ProgramResult one = rooftune(watch(folder_.write("one.csv", requests(40))));
  EXPECT_THAT(one.output, StartsWith("window 1: 20 requests, 0.0 to 19.0 s"));
  EXPECT_THAT(one.errors, HasSubstr("the last 20 requests are not judged"));
  const ProgramResult none = rooftune(watch(folder_.write("none.csv", requests(0))));
  EXPECT_EQ(none.errors, "");
}

TEST_F(WatchCommand, SaysHowManyRequestsTheSimulationRefuses) {
  const auto file = folder_.write("long.csv", requests(20) + "20,900000,50,22.1,412.4\n" + requests(60).substr(requests(21).size()));
  const ProgramResult text = rooftune(watch(file));
  EXPECT_THAT(text.output, HasSubstr("(1 refused by the simulation)")) << text;
  EXPECT_THAT(text.output, Not(HasSubstr("nan")));
  const ProgramResult json = rooftune(watch(file, {"--json"}));
  EXPECT_THAT(json.output, HasSubstr("\"refused\":1,"));
  EXPECT_THAT(json.output, Not(HasSubstr("\"predicted\":null")));
}

TEST_F(WatchCommand, PrintsAWindowBeforeTheStreamEnds) {
  const std::filesystem::path pipe = folder_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const int stream = ::open(pipe.c_str(), O_RDWR | O_CLOEXEC);  // or the program would hold the end that it waits for
  ASSERT_GE(stream, 0);
  RunningProgram program(rooftune_program(), watch(pipe, {"--json"}));
  const std::string text = requests(40);
  ASSERT_EQ(::write(stream, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (program.output_so_far().empty() && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_THAT(program.output_so_far(), HasSubstr("rooftune/watched-window/1"));
  ::close(stream);
  EXPECT_EQ(program.wait().signal, 0);
}

}  // namespace
}  // namespace rooftune::testing_support
