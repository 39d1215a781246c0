#include "rooftune/core/printable.hpp"

#include <gtest/gtest.h>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/core/limits.hpp"

namespace rooftune::core {
namespace {

TEST(Printable, LeavesOrdinaryTextAlone) {
  for (const std::string text : {"", "plain\ntext ~", "Größe 漢字 \U0001F600", "a\\x1b"}) EXPECT_EQ(printable(text), text);
}

TEST(Printable, ShowsWhatATerminalWouldObey) {
  EXPECT_EQ(printable("\x1b[31mred"), "\\x1b[31mred");
  EXPECT_EQ(printable("a\tb\rc\x07"), "a\\x09b\\x0dc\\x07");
  EXPECT_EQ(printable(std::string("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(printable("\x7f"), "\\x7f");
  EXPECT_EQ(printable("\xC2\x9B"
                      "31m"),
            "\\x9b31m")
      << "C1's control sequence introducer";
  EXPECT_EQ(printable("a\u202Eb\u2066c"), "a\\u202eb\\u2066c") << "what turns the direction of writing";
}

TEST(Printable, ShowsBytesThatAreNoUtf8) {
  EXPECT_EQ(printable("\xff\x80"), "\\xff\\x80");
  EXPECT_EQ(printable("\xC3"), "\\xc3") << "cut off";
  EXPECT_EQ(printable("\xC0\x9B"), "\\xc0\\x9b") << "overlong";
  EXPECT_EQ(printable("\xED\xA0\x80"), "\\xed\\xa0\\x80") << "a surrogate";
  EXPECT_EQ(printable("\x9b"
                      "31m"),
            "\\x9b31m")
      << "an 8-bit control";
}

TEST(Shown, CutsLongTokensBetweenCharacters) {
  EXPECT_EQ(shown("short"), "short");
  EXPECT_EQ(shown("two\nlines"), "two\\nlines");
  EXPECT_EQ(shown(std::string(100, 'x')), std::string(limits::kShownCharacters, 'x') + "...");
  EXPECT_EQ(shown(std::string(39, 'x') + "ä and more"), std::string(39, 'x') + "...");
}

TEST(Diagnostics, StayOnOneLineAndCommandNoTerminal) {
  const Diagnostic diagnostic{.position = {.file = "a\x1b.json"}, .problem = "unknown key 'x\nb: error: forged'", .remedy = "\r"};
  EXPECT_EQ(format(diagnostic), "a\\x1b.json: error: unknown key 'x\\nb: error: forged' (\\x0d)");
}

}  // namespace
}  // namespace rooftune::core
