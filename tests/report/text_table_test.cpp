#include "rooftune/report/text_table.hpp"

#include <gtest/gtest.h>

namespace rooftune::report {
namespace {

TEST(TextTable, AlignsColumnsUnderHeadingsOfSeveralLines) {
  TextTable table({{"name", Align::left}, {"time\nms"}, {"note", Align::left}});
  table.add({"a", "1.50", "first"});
  table.add_rule();
  table.add({"longer", "120.25", ""});
  EXPECT_EQ(table.text(Colour::off),
            "          time\n"
            "name        ms  note\n"
            "------  ------  -----\n"
            "a         1.50  first\n"
            "------  ------  -----\n"
            "longer  120.25\n");
}

TEST(TextTable, CountsCharactersNotBytes) {
  TextTable table({{"µs"}, {"x"}});
  table.add({"10", "1"});
  EXPECT_EQ(table.text(Colour::off),
            "µs  x\n"
            "--  -\n"
            "10  1\n");
}

TEST(TextTable, ColoursOnlyWhereThereAreColours) {
  TextTable table({{"x"}});
  table.add({Cell("bad", Tone::bad)});
  EXPECT_EQ(table.text(Colour::off), "  x\n---\nbad\n");
  EXPECT_EQ(table.text(Colour::on), "  x\n---\n\033[31mbad\033[0m\n");
}

}  // namespace
}  // namespace rooftune::report
