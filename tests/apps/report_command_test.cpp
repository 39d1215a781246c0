#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "command_line.hpp"

namespace rooftune::testing_support {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// What a browser makes of a report is tested in tests/browser.
using ReportCommand = TemporaryFolderTest;

TEST_F(ReportCommand, RefusesAFolderWithoutARun) {
  const ProgramResult result = rooftune({"report", (folder_ / "nothing").string()});
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.errors, HasSubstr("manifest.json"));
}

TEST_F(ReportCommand, RefusesABrokenResultAndWritesNothing) {
  folder_.write("study.yaml", small_study());
  ASSERT_EQ(rooftune({"fit", "study.yaml", "--out", "run"}, {.working_directory = folder_.path()}).exit_code, 0);
  folder_.write("run/result.json", "{\"schema\": ");
  const ProgramResult result = rooftune({"report", "run", "-o", "report.html"}, {.working_directory = folder_.path()});
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.errors, HasSubstr("run/result.json:1:"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "report.html"));
}

TEST_F(ReportCommand, SaysWhatIsMissingWhenTheDataHaveMovedAndWhenThereIsNoPlottingLibrary) {
  folder_.write("study.yaml", small_study());
  ASSERT_EQ(rooftune({"fit", "study.yaml", "--out", "run"}, {.working_directory = folder_.path()}).exit_code, 0);
  folder_.write("run/study.yaml", "name: small\ndata: {ground_truth: gone.json}\n");
  const ProgramResult result = rooftune({"report", "run"}, {.working_directory = folder_.path()});
  EXPECT_EQ(result.exit_code, 0) << result;
  EXPECT_THAT(result.errors, AllOf(HasSubstr("gone.json"), HasSubstr("(the report says so, too)")));
  EXPECT_THAT(folder_.read("run/report.html"), HasSubstr("The pages on load, step time and kernels are missing"));

  const ProgramResult no_library =
      rooftune({"report", "run", "--vega", folder_.path().string()}, {.working_directory = folder_.path()});
  EXPECT_EQ(no_library.exit_code, 1) << no_library;
  EXPECT_THAT(no_library.errors, HasSubstr("libjs-vega"));
}

TEST_F(ReportCommand, PrintsTheDataOfThePageAsJson) {
  folder_.write("study.yaml", small_study());
  ASSERT_EQ(rooftune({"fit", "study.yaml", "--out", "run"}, {.working_directory = folder_.path()}).exit_code, 0);
  const ProgramResult result = rooftune({"report", "run", "--json"}, {.working_directory = folder_.path()});
  ASSERT_EQ(result.exit_code, 0) << result;
  const auto json = nlohmann::json::parse(result.output);
  EXPECT_EQ(json["schema"], "rooftune/report/1");
  EXPECT_EQ(json["run"]["evaluation"], nlohmann::json::parse(folder_.read("run/evaluation.json")));
  EXPECT_THAT(folder_.read("run/report.html"), HasSubstr("rooftune/report/1"));
}

TEST_F(ReportCommand, RefusesAFitWhereACrossValidationIsAskedFor) {
  folder_.write("study.yaml", small_study());
  ASSERT_EQ(rooftune({"fit", "study.yaml", "--out", "run"}, {.working_directory = folder_.path()}).exit_code, 0);
  const ProgramResult result = rooftune({"report", "run", "--crossval", "run"}, {.working_directory = folder_.path()});
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.errors, HasSubstr("not of 'crossval'"));
}

}  // namespace
}  // namespace rooftune::testing_support
