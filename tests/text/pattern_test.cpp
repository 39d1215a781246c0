#include "rooftune/text/pattern.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace rooftune::text {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string error_of(const std::string& expression) {
  const auto pattern = Pattern::compile(expression);
  return pattern ? "compiled" : pattern.error();
}

TEST(Pattern, FindsWhatItsGroupsMatch) {
  const Pattern pattern = Pattern::known("(\\w+): ([0-9.]+) ms");
  EXPECT_EQ(pattern.groups(), 2);
  const auto found = pattern.search("noise\nttft: 12.5 ms");
  ASSERT_TRUE(found);
  EXPECT_THAT(*found, ElementsAre("ttft", "12.5"));
  EXPECT_FALSE(pattern.search("ttft: fast"));
  EXPECT_TRUE(Pattern::known("model\\..*").matches_start("model.layers.3"));
  EXPECT_FALSE(Pattern::known("layers").matches_start("model.layers.3"));
}

TEST(Pattern, NamesWhatIsNotSupported) {
  EXPECT_EQ(error_of("a(?=b)"), "'a(?=b)' uses look-ahead, which are not supported in regular expressions here");
  EXPECT_THAT(error_of("(?<!a)b"), HasSubstr("look-behind"));
  EXPECT_THAT(error_of("(a)\\1"), HasSubstr("back-references"));
  EXPECT_EQ(error_of("("), "'(' is no valid regular expression: missing ): (");
}

TEST(Pattern, HasAStatedLengthAndStatedMemory) {
  EXPECT_THAT(error_of(std::string(1001, 'a')), HasSubstr("is a regular expression of 1001 characters, and at most 1000 are taken"));
  EXPECT_THAT(error_of("((((a{1,100}){1,100}){1,100}){1,100})"), HasSubstr("is no valid regular expression"));
}

TEST(Pattern, TakesTimeInProportionToTheText) {
  // Patterns and texts that make backtracking matchers try every way to split the text.
  const std::string text(1'000'000, 'a');
  EXPECT_FALSE(Pattern::known("(a+)+$").search(text + "!"));
  EXPECT_FALSE(Pattern::known("(x+x+)+y").search(std::string(1'000'000, 'x')));
  EXPECT_TRUE(Pattern::known("([0-9]+)").search(std::string(1'000'000, '7'))) << "no recursion for each character";
}

}  // namespace
}  // namespace rooftune::text
