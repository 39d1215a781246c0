#include "rooftune/report/html_report.hpp"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "page_files.hpp"

namespace rooftune::report {
namespace {

std::string replaced(std::string_view text, std::string_view wanted, std::string_view by) {
  std::string result;
  for (std::size_t at = text.find(wanted); at != std::string_view::npos; at = text.find(wanted)) {
    result.append(text.substr(0, at)).append(by);
    text.remove_prefix(at + wanted.size());
  }
  return result.append(text);
}

std::string html_text(std::string_view text) { return replaced(replaced(replaced(text, "&", "&amp;"), "<", "&lt;"), "\"", "&quot;"); }

/// JSON that no HTML parser takes for markup: '<' stands in strings only, where it may be written so.
std::string safe_json(std::string_view json) { return replaced(json, "<", "\\u003c"); }

/// Scripts must not close their own element.
std::string safe_script(std::string_view script) { return replaced(script, "</script", "<\\/script"); }

/// Each module in a function of its own, as the registry of modules.js expects them; without the references to source maps,
/// which are other files.
std::string wrapped(const std::vector<PageModule>& modules) {
  std::string text;
  for (const PageModule& module : modules) {
    const std::string_view body = module.text.substr(0, module.text.rfind("//# sourceMappingURL="));
    text += fmt::format("rooftuneModules.define(\"{}\", function (exports, module, require) {{\n{}\n}});\n", module.name,
                        safe_script(body));
  }
  return text;
}

}  // namespace

std::string html_report(const HtmlReport& report) {
  const std::array<std::pair<std::string_view, std::string>, 7> parts{{
      {"{{title}}", html_text(report.title)},
      {"{{style}}", std::string(page::kStyle)},
      {"{{modules}}", safe_script(page::kModules)},
      {"{{vega}}", wrapped(report.modules)},
      {"{{plots}}", safe_script(page::kPlots)},
      {"{{pages}}", safe_script(page::kPages)},
      {"{{data}}", safe_json(report.data_json)},
  }};
  // In one pass over the template: what is put in is never searched for more.
  std::string page;
  std::string_view rest = page::kTemplate;
  for (std::size_t open = rest.find("{{"); open != std::string_view::npos; open = rest.find("{{")) {
    page.append(rest.substr(0, open));
    rest.remove_prefix(open);
    bool known = false;
    for (const auto& [mark, text] : parts) {
      if (!rest.starts_with(mark)) continue;
      page.append(text);
      rest.remove_prefix(mark.size());
      known = true;
      break;
    }
    if (!known) {
      page.append("{{");
      rest.remove_prefix(2);
    }
  }
  return page.append(rest);
}

}  // namespace rooftune::report
