#include "rooftune/report/text_table.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>
#include <string>

#include "rooftune/report/line_width.hpp"

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

/// Tables as on a terminal of some width, for as long as it lives.
struct Terminal {
  explicit Terminal(int characters) { set_line_width(characters); }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  ~Terminal() { set_line_width(0); }
};

TextTable wide_table() {
  TextTable table(
      {{"run", Align::left}, {"model", Align::left}, {"GPU", Align::left}, {"TTFT ms\nmean"}, {"\np90"}, {"E2E ms\nmean"}, {"\np90"}});
  table.add({"17", "Llama-4-Scout-17B-16E-Instruct-FP8-dynamic", "H100-SXM", "62.74", "70.10", "5270", "5501"});
  table.add({"64", "Qwen2.5-7B-Instruct", "H100-SXM", "26.72", "30.55", "1772", "1801"});
  return table;
}

TEST(TextTable, SaysBelowWhatIsTheSameInEveryRowWhereItIsTooWide) {
  const Terminal terminal(80);
  EXPECT_EQ(wide_table().text(Colour::off),
            "                                                 TTFT ms         E2E ms\n"
            "run  model                                          mean    p90    mean   p90\n"
            "---  ------------------------------------------  -------  -----  ------  ----\n"
            "17   Llama-4-Scout-17B-16E-Instruct-FP8-dynamic    62.74  70.10    5270  5501\n"
            "64   Qwen2.5-7B-Instruct                           26.72  30.55    1772  1801\n"
            "in every row: GPU H100-SXM\n");
}

TEST(TextTable, ShortensNamesBeforeItLeavesNumbersOutAndSaysWhich) {
  {
    const Terminal terminal(55);
    EXPECT_EQ(wide_table().text(Colour::off),
              "                           TTFT ms         E2E ms\n"
              "run  model                    mean    p90    mean   p90\n"
              "---  --------------------  -------  -----  ------  ----\n"
              "17   Llama-4-Scout\u2026ynamic    62.74  70.10    5270  5501\n"
              "64   Qwen2.5-7B-Instruct     26.72  30.55    1772  1801\n"
              "in every row: GPU H100-SXM\n");
  }
  const Terminal terminal(34);
  EXPECT_EQ(wide_table().text(Colour::off),
            "                    TTFT ms\n"
            "run  model             mean    p90\n"
            "---  -------------  -------  -----\n"
            "17   Llama-4-\u2026amic    62.74  70.10\n"
            "64   Qwen2.5-\u2026ruct    26.72  30.55\n"
            "in every row: GPU H100-SXM\n"
            "--wide shows E2E ms mean,\n"
            "  E2E ms p90\n");
}

TEST(TextTable, KeepsNamesApartAndLeavesColumnsOutInstead) {
  TextTable table({{"parameter", Align::left}, {"value"}, {"source", Align::left}, {"", Align::left}});
  table.add({"physics.moe_fp8_weight_bandwidth_fraction", "0.956", "kernel tables of the H100", "mostly its prior"});
  table.add({"physics.moe_fp8_gemm_fraction", "0.05559", "fitted", ""});
  const Terminal terminal(53);
  EXPECT_EQ(table.text(Colour::off),
            "parameter                     value\n"
            "--------------------------  -------  ----------------\n"
            "physics.moe_fp8_w\u2026fraction    0.956  mostly its prior\n"
            "physics.moe_fp8_g\u2026fraction  0.05559\n"
            "--wide shows source\n");
}

TEST(TextTable, LetsATitleReachOverWhatIsEmptyBesideIt) {
  TextTable table({{"run", Align::left}, {"model", Align::left}, {"GPU", Align::left}, {"TTFT %"}, {"clients"}});
  table.add({"17", "Llama-4-Scout-17B-16E-Instruct-FP8-dynamic", "H100-SXM", "+2.2", "-"});
  table.add({"64", "Qwen2.5-7B-Instruct", "H100-SXM", "-0.3", "-"});
  table.add_rule();
  table.add({Cell::title("mean |error|"), "", "", "1.2", "-"});
  const Terminal terminal(43);
  EXPECT_EQ(table.text(Colour::off),
            "run  model                 GPU       TTFT %\n"
            "---  --------------------  --------  ------\n"
            "17   Llama-4-Scout\u2026ynamic  H100-SXM    +2.2\n"
            "64   Qwen2.5-7B-Instruct   H100-SXM    -0.3\n"
            "---  --------------------  --------  ------\n"
            "mean |error|                            1.2\n");
}

TEST(TextTable, LeavesNoLineLongerThanTheTerminalDownToItsNames) {
  for (const int width : {30, 40, 60, 80, 120}) {
    const Terminal terminal(width);
    std::istringstream lines(wide_table().text(Colour::off));
    for (std::string line; std::getline(lines, line);) {
      const auto characters = std::ranges::count_if(line, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
      EXPECT_LE(characters, width) << line;
    }
  }
}

TEST(TextTable, ColoursOnlyWhereThereAreColours) {
  TextTable table({{"x"}});
  table.add({Cell("bad", Tone::bad)});
  EXPECT_EQ(table.text(Colour::off), "  x\n---\nbad\n");
  EXPECT_EQ(table.text(Colour::on), "  x\n---\n\033[31mbad\033[0m\n");
}

}  // namespace
}  // namespace rooftune::report
