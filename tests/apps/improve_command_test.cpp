#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "command_line.hpp"

namespace rooftune::testing_support {
namespace {

using testing::HasSubstr;
using testing::Not;

class ImproveCommand : public TemporaryFolderTest {
 protected:
  ImproveCommand()
      : study_(folder_
                   .write("study.yaml", small_study("['64', '62', '66']") +
                                            "improve: {moves: [admission_lag, graph_padding], seeds: 2, candidates: 2}\n"
                                            "switches: {engine.async_scheduling: off}\n")
                   .string()) {}

  [[nodiscard]] ProgramResult improve(std::vector<std::string> more) const {
    std::vector<std::string> arguments{"improve", study_, "--out", (folder_ / "run").string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return rooftune(arguments);
  }

  std::string study_;
};

TEST_F(ImproveCommand, TellsItsStoryKeepsAJournalAndReplaysARound) {
  const ProgramResult result = improve({});
  ASSERT_EQ(result.exit_code, 0) << result;
  EXPECT_THAT(result.output, HasSubstr("round  0  start"));
  EXPECT_THAT(result.output, HasSubstr("admission_lag"));
  EXPECT_THAT(result.output, HasSubstr("Ended: "));
  for (const char* file : {"manifest.json", "study.yaml", "tuned.json", "journal.sqlite"}) {
    EXPECT_TRUE(std::filesystem::exists(folder_ / "run" / file)) << file;
  }
  const ProgramResult replayed = improve({"--replay-round", "0"});
  EXPECT_EQ(replayed.exit_code, 0) << replayed;
  EXPECT_THAT(replayed.output, HasSubstr("every fit the same to the last bit"));
  EXPECT_THAT(improve({"--replay-round", "99"}).errors, HasSubstr("the journal has no round 99 (it has rounds 0 to "));
  EXPECT_EQ(improve({}).exit_code, 1) << "the folder is in use";
  const ProgramResult resumed = improve({"--resume"});
  EXPECT_EQ(resumed.exit_code, 0) << resumed;
  EXPECT_THAT(resumed.output, HasSubstr("Ended: "));
}

TEST_F(ImproveCommand, WritesItsRoundsForMachines) {
  const std::string table = (folder_ / "rounds.csv").string();
  const ProgramResult result = improve({"--json", "--csv", table, "--rounds", "1"});
  ASSERT_EQ(result.exit_code, 0) << result;
  EXPECT_THAT(result.output, testing::StartsWith("{"));
  for (const char* key : {"\"rounds\"", "\"screenings\"", "\"next_runs\"", "\"burden\"", "rooftune/improvement/1"}) {
    EXPECT_THAT(result.output, HasSubstr(key));
  }
  EXPECT_THAT(result.output, Not(HasSubstr("round  0")));
  EXPECT_THAT(folder_.read("rounds.csv"), HasSubstr("\n1,"));
}

TEST_F(ImproveCommand, ShowsItsJournalInTheReport) {
  ASSERT_EQ(improve({"--rounds", "1"}).exit_code, 0);
  const ProgramResult result = rooftune({"report", (folder_ / "run").string(), "-o", (folder_ / "report.html").string()});
  ASSERT_EQ(result.exit_code, 0) << result;
  const std::string page = folder_.read("report.html");
  EXPECT_THAT(page, HasSubstr("\"journal\":{\"rounds\":[{\"round\":0"));
  EXPECT_THAT(page, HasSubstr("admission_lag"));
}

TEST_F(ImproveCommand, SaysWhatToHoldOutIsMissing) {
  const std::string study = folder_.write("bare.yaml", "name: x\ndata: {ground_truth: [" + kGroundTruth + "]}\n").string();
  const ProgramResult result = rooftune({"improve", study});
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.errors, HasSubstr("the study does not say what to hold out"));
}

}  // namespace
}  // namespace rooftune::testing_support
