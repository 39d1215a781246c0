#include "rooftune/report/html_report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rooftune::report {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(HtmlReport, KeepsDataFromEndingTheirElement) {
  const std::string page =
      html_report({.title = "t", .data_json = R"({"name": "</script><script>alert(1)</script>"})", .modules = {}});
  EXPECT_THAT(page, HasSubstr(R"({"name": "\u003c/script>\u003cscript>alert(1)\u003c/script>"})"));
}

TEST(HtmlReport, WritesTheTitleAsText) {
  const std::string page = html_report({.title = "a <b> & \"c\"", .data_json = "{}", .modules = {}});
  EXPECT_THAT(page, HasSubstr("<title>a &lt;b> &amp; &quot;c&quot;</title>"));
}

TEST(HtmlReport, LeavesMarksInTheDataAlone) {
  const std::string page = html_report({.title = "t", .data_json = R"({"name": "{{style}}"})", .modules = {}});
  EXPECT_THAT(page, HasSubstr(R"({"name": "{{style}}"})"));
}

TEST(HtmlReport, PutsModulesInWithoutTheirReferencesToOtherFiles) {
  const std::string page =
      html_report({.title = "t",
                   .data_json = "{}",
                   .modules = {{.name = "vega-util", .text = "f();\n//# sourceMappingURL=vega-util.min.js.map"}}});
  EXPECT_THAT(page, HasSubstr("rooftuneModules.define(\"vega-util\", function (exports, module, require) {\nf();\n"));
  EXPECT_THAT(page, Not(HasSubstr("sourceMappingURL")));
}

}  // namespace
}  // namespace rooftune::report
