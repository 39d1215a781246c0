#include "rooftune/core/diagnostics.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace rooftune::core {
namespace {

Diagnostic error(SourcePosition position, std::string problem, std::string remedy = "") {
  return {.position = std::move(position), .problem = std::move(problem), .remedy = std::move(remedy), .severity = Severity::error};
}

TEST(Diagnostics, SayPlaceProblemAndRemedyInOneLine) {
  EXPECT_EQ(format(error({.file = "study.yaml", .line = 3, .column = 7}, "unknown key 'sed'", "did you mean 'seed'?")),
            "study.yaml:3:7: error: unknown key 'sed' (did you mean 'seed'?)");
}

TEST(Diagnostics, LeaveOutWhatIsNotKnown) {
  EXPECT_EQ(format(error({.file = "a.csv", .line = 3}, "no number")), "a.csv:3: error: no number");
  EXPECT_EQ(format(error({.file = "a.csv"}, "file is empty")), "a.csv: error: file is empty");
  EXPECT_EQ(format(error({}, "nothing to fit")), "error: nothing to fit");
  // A column without a line says nothing.
  EXPECT_EQ(format(error({.file = "a.csv", .column = 4}, "no number")), "a.csv: error: no number");
}

TEST(Diagnostics, NameWarnings) {
  Diagnostic warning = error({}, "default sampling unknown");
  warning.severity = Severity::warning;
  EXPECT_EQ(format(warning), "warning: default sampling unknown");
}

TEST(Diagnostics, TakeOneLineEach) {
  const Diagnostics two{error({}, "first"), error({}, "second")};
  EXPECT_EQ(format(two), "error: first\nerror: second\n");
}

TEST(Diagnostics, MakeAFailedResult) {
  const Result<int> result = fail({.file = "x"}, "broken", "mend it");
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error(), (Diagnostics{error({.file = "x"}, "broken", "mend it")}));
}

TEST(Suggestion, OffersTheNearestWord) {
  EXPECT_EQ(suggest("mfuPrefil", {"mfuDecode", "mfuPrefill"}), "did you mean 'mfuPrefill'?");
  EXPECT_EQ(closest_match("hardwre", {"hardware", "model"}), "hardware");
}

TEST(Suggestion, ListsWhatIsKnownWhenNothingIsNear) {
  EXPECT_EQ(suggest("banana", {"tp", "model"}), "known: tp, model");
  EXPECT_EQ(closest_match("banana", {"tp", "model"}), "");
}

}  // namespace
}  // namespace rooftune::core
