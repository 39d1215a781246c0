#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "command_line.hpp"

namespace rooftune::testing_support {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;

TEST(Program, TellsItsVersionAndTheSimulatorsIdentity) {
  const ProgramResult result = rooftune({"--version"});
  EXPECT_EQ(result.exit_code, 0) << result;
  EXPECT_THAT(result.output, MatchesRegex("rooftune [0-9]+\\.[0-9]+\\.[0-9]+\nsimulator [0-9a-f]{16}\n"));
}

TEST(Program, ExplainsItsCommands) {
  const ProgramResult result = rooftune({"--help"});
  EXPECT_EQ(result.exit_code, 0) << result;
  for (const char* command : {"fit", "evaluate", "crossval", "simulate", "validate", "params", "show", "diff"}) {
    EXPECT_THAT(result.output, HasSubstr(command));
    const ProgramResult help = rooftune({command, "--help"});
    EXPECT_EQ(help.exit_code, 0) << help;
    EXPECT_THAT(help.output, HasSubstr("Example")) << command;
  }
  EXPECT_THAT(result.errors, IsEmpty());
}

TEST(Program, SuggestsTheCommandThatWasMeant) {
  const ProgramResult result = rooftune({"evalute"});
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.output, IsEmpty());
  EXPECT_EQ(result.errors, "error: unknown command 'evalute' (did you mean 'evaluate'?)\n");
}

TEST(Program, HelpsWithACommand) {
  EXPECT_EQ(rooftune({"help"}).output, rooftune({"--help"}).output);
  EXPECT_EQ(rooftune({"help", "fit"}).output, rooftune({"fit", "--help"}).output);
  EXPECT_EQ(rooftune({"help", "fti"}).errors, "error: unknown command 'fti' (did you mean 'fit'?)\n");
}

TEST(Program, SuggestsTheOptionThatWasMeant) {
  EXPECT_THAT(rooftune({"simulate", "--rat", "5"}).errors, HasSubstr("(did you mean '--rate'? or see rooftune simulate --help)"));
  EXPECT_THAT(rooftune({"kernels", "plan", "--modle=x"}).errors, HasSubstr("did you mean '--model'?"));
}

TEST(Program, RefusesAnUnknownOption) {
  const ProgramResult result = rooftune({"params", "--jsn"});
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.errors, HasSubstr("--jsn"));
  EXPECT_THAT(result.errors, HasSubstr("see rooftune params --help"));
}

TEST(Program, RefusesToDoNothing) { EXPECT_EQ(rooftune({}).exit_code, 1); }

}  // namespace
}  // namespace rooftune::testing_support
