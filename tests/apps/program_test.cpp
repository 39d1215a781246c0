#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/run_program.hpp"

namespace rooftune {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing_support::ProgramResult;

ProgramResult rooftune(const std::vector<std::string>& arguments) { return testing_support::run_program(ROOFTUNE_PROGRAM, arguments); }

TEST(Program, TellsItsVersion) {
  const ProgramResult result = rooftune({"--version"});
  EXPECT_EQ(result.exit_code, 0) << result;
  EXPECT_THAT(result.output, testing::MatchesRegex("rooftune [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

TEST(Program, ExplainsItsCommands) {
  const ProgramResult result = rooftune({"--help"});
  EXPECT_EQ(result.exit_code, 0) << result;
  EXPECT_THAT(result.output, HasSubstr("fit"));
  EXPECT_THAT(result.errors, IsEmpty());
}

TEST(Program, RefusesAnUnknownCommandWithExitCodeOne) {
  const ProgramResult result = rooftune({"frobnicate"});
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.output, IsEmpty());
  EXPECT_THAT(result.errors, HasSubstr("frobnicate"));
}

TEST(Program, RefusesAMissingStudyWithExitCodeOne) {
  const ProgramResult result = rooftune({"fit", "there_is_no_such_study.yaml"});
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.errors, HasSubstr("there_is_no_such_study.yaml"));
}

}  // namespace
}  // namespace rooftune
