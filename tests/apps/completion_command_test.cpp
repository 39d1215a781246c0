#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "command_line.hpp"
#include "support/places.hpp"

namespace rooftune::testing_support {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsSupersetOf;

class CompletionCommand : public TemporaryFolderTest {
 protected:
  /// What bash offers for the last of the words.
  std::vector<std::string> offered(const std::vector<std::string>& words) {
    std::string script = "source <(\"" + rooftune_program() + "\" completion bash)\nCOMP_WORDS=(";
    for (const std::string& word : words) script += "'" + word + "' ";
    script += ")\nCOMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n_rooftune\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n";
    const ProgramResult result = run_program("/bin/bash", {"-c", script}, {.working_directory = folder_.path()});
    EXPECT_EQ(result.exit_code, 0) << result;
    EXPECT_EQ(result.errors, "");
    std::vector<std::string> lines;
    std::istringstream stream(result.output);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
  }
};

TEST_F(CompletionCommand, OffersCommandsByTheirFirstLetters) {
  EXPECT_THAT(offered({"rooftune", "cross"}), ElementsAre("crossval"));
  EXPECT_THAT(offered({"rooftune", ""}), IsSupersetOf({"fit", "evaluate", "report", "kernels"}));
}

TEST_F(CompletionCommand, OffersCommandsOfAGroup) {
  EXPECT_THAT(offered({"rooftune", "kernels", ""}), IsSupersetOf({"audit", "normalise", "plan"}));
  EXPECT_THAT(offered({"rooftune", "kernels", "audit", "--j"}), ElementsAre("--json"));
}

TEST_F(CompletionCommand, OffersOptionsAndTheWordsThatOneTakes) {
  EXPECT_THAT(offered({"rooftune", "fit", "study.yaml", "--re"}), IsSupersetOf({"--replicates", "--resume"}));
  EXPECT_THAT(offered({"rooftune", "fit", "--format", "h"}), ElementsAre("hardware-config"));
  EXPECT_THAT(offered({"rooftune", "completion", "z"}), ElementsAre("zsh"));
}

TEST_F(CompletionCommand, OffersFilesWhereAFileIsDue) {
  folder_.write("study.yaml", "");
  EXPECT_THAT(offered({"rooftune", "fit", "st"}), ElementsAre("study.yaml"));
  EXPECT_THAT(offered({"rooftune", "evaluate", "--config", "st"}), ElementsAre("study.yaml"));
}

TEST_F(CompletionCommand, WritesAZshFunctionForEveryCommand) {
  const ProgramResult result = rooftune({"completion", "zsh"});
  EXPECT_EQ(result.exit_code, 0) << result;
  EXPECT_THAT(result.output, HasSubstr("#compdef rooftune\n"));
  for (const char* function : {"_rooftune_fit()", "_rooftune_kernels_audit()", "_rooftune_report()"}) {
    EXPECT_THAT(result.output, HasSubstr(function));
  }
  EXPECT_THAT(result.output, HasSubstr("'--format[also write the tuned values in this form]:value:(config hardware-config)'"));
  if (std::filesystem::exists("/bin/zsh")) {
    const std::string file = folder_.write("_rooftune", result.output).string();
    EXPECT_EQ(run_program("/bin/zsh", {"-n", file}).exit_code, 0);
  }
}

TEST_F(CompletionCommand, WritesAManualPageOfEveryCommandAndOption) {
  const ProgramResult result = rooftune({"completion", "man"});
  EXPECT_EQ(result.exit_code, 0) << result;
  EXPECT_THAT(result.output, HasSubstr(".TH ROOFTUNE 1"));
  EXPECT_THAT(result.output, HasSubstr(".SS rooftune kernels audit\n"));
  EXPECT_THAT(result.output, HasSubstr("\\fB\\-\\-ground\\-truth\\fR"));
  EXPECT_THAT(result.output, HasSubstr("Example: rooftune fit experiments/quickstart.yaml \\-\\-out runs/first"));
}

TEST_F(CompletionCommand, ShowsARealExampleInTheHelpOfEveryCommand) {
  const ProgramResult man = rooftune({"completion", "bash"});
  std::istringstream words(man.output.substr(man.output.find("'') words='") + 11));
  int commands = 0;
  for (std::string word; words >> word && word.find('\'') == std::string::npos;) {
    if (word.front() == '-') continue;
    ++commands;
    EXPECT_THAT(rooftune({word, "--help"}).output, HasSubstr("rooftune " + word + " ")) << word;
    EXPECT_THAT(rooftune({word, "--help"}).output, HasSubstr("Example")) << word;
  }
  EXPECT_GE(commands, 12);
}

TEST_F(CompletionCommand, RefusesAnUnknownShell) {
  const ProgramResult result = rooftune({"completion", "fish"});
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.errors, HasSubstr("fish"));
}

}  // namespace
}  // namespace rooftune::testing_support
