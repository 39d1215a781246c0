#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rooftune::report {

/// A JavaScript module of the plotting library, under the name that other modules require it by.
struct PageModule {
  std::string_view name;
  std::string_view text;
};

/// What a report page is made of besides its own script and style.
struct HtmlReport {
  std::string_view title;
  std::string_view data_json;       ///< runs::report_json(): plots and tables are made from it in the browser
  std::vector<PageModule> modules;  ///< of Vega; empty: the page has tables only and says why
};

/// One HTML file that needs nothing else: no network, no other file.
[[nodiscard]] std::string html_report(const HtmlReport& report);

}  // namespace rooftune::report
