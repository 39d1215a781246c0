#include "rooftune/text/csv.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "rooftune/text/csv_text.hpp"

namespace rooftune::text {
namespace {

TEST(CsvCell, IsQuotedWhereItMustBe) {
  EXPECT_EQ(csv_cell("plain text"), "plain text");
  EXPECT_EQ(csv_cell("a,\"b\""), "\"a,\"\"b\"\"\"");
}

TEST(CsvCell, StartsNoFormula) {
  for (const std::string start : {"=", "+", "-", "@", "\t"}) EXPECT_EQ(csv_cell(start + "1"), "'" + start + "1");
  EXPECT_EQ(csv_cell("=HYPERLINK(\"x\",\"y\")"), "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\"");
}

TEST(Csv, HasAStatedNumberOfColumns) {
  std::string header = "c0";
  for (int i = 1; i < 1001; ++i) header += ",c" + std::to_string(i);
  const auto table = parse_csv(header + "\n", "file");
  ASSERT_FALSE(table);
  EXPECT_EQ(core::format(table.error()),
            "file:1:1: error: 1001 columns (a table has at most 1000: check that this is the right file)\n");
}

}  // namespace
}  // namespace rooftune::text
