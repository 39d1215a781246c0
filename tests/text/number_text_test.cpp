#include "rooftune/text/number_text.hpp"

#include <gtest/gtest.h>

#include <string>

#include "rooftune/text/yaml_text.hpp"

namespace rooftune::text {
namespace {

TEST(NumberText, TakesWhatJsonAndYamlTakeForADecimalNumber) {
  for (const char* text : {"0", "-1", "+2", "10", "0.5", ".5", "-.5e3", "2.", "1e-3", "1E+9", "0e0"})
    EXPECT_TRUE(is_decimal_number(text)) << text;
  for (const char* text : {"", "-", ".", "e1", "1e", "1e+", "01", "0x10", "1_000", "1.2.3", "1 ", "nan", ".e1", "+-1", "1f"}) {
    EXPECT_FALSE(is_decimal_number(text)) << text;
  }
}

TEST(NumberText, KnowsNumbersThatMayBeOctalAndThoseThatAreNone) {
  for (const char* text : {"010", "-007", "00.5"}) EXPECT_TRUE(has_leading_zero(text)) << text;
  for (const char* text : {"0", "0.5", "10", "0a"}) EXPECT_FALSE(has_leading_zero(text)) << text;
  for (const char* text : {"nan", "-.inf", "Infinity", ".NaN"}) EXPECT_TRUE(is_special_number(text)) << text;
  for (const char* text : {"", "nano", "info", "-"}) EXPECT_FALSE(is_special_number(text)) << text;
}

TEST(NumberText, IsReadInOnePassHoweverLongItIs) {
  const std::string long_number(5'000'000, '7');
  EXPECT_TRUE(is_decimal_number(long_number));
  EXPECT_FALSE(is_decimal_number(long_number + "x"));
}

TEST(YamlText, QuotesWhatCouldBeMisread) {
  for (const char* text : {"plain", "a/b.yaml", "./x", "..a", "x-1", "_1", "/abs"}) EXPECT_EQ(yaml_text::scalar(text), text);
  for (const std::string text : {"", "true", "No", "null", "Y", ".nan", ".INF", "..", "1", "a b", "a: b", "-x", "é"}) {
    EXPECT_EQ(yaml_text::scalar(text), "\"" + text + "\"");
  }
  EXPECT_EQ(yaml_text::scalar(std::string(300'000, 'a')).size(), 300'000u) << "no recursion for each character";
}

}  // namespace
}  // namespace rooftune::text
