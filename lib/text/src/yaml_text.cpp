#include "rooftune/text/yaml_text.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>
#include <regex>

namespace rooftune::text::yaml_text {

std::string scalar(const std::string& text) {
  static const std::regex plain("[A-Za-z./_][A-Za-z0-9./_-]*");
  static const std::regex word_with_a_meaning(R"(true|false|yes|no|on|off|null|y|n|\.*|\.(nan|inf))", std::regex::icase);
  if (std::regex_match(text, plain) && !std::regex_match(text, word_with_a_meaning)) return text;
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string list(const std::vector<std::string>& texts) {
  std::vector<std::string> scalars;
  for (const std::string& text : texts) scalars.push_back(scalar(text));
  return fmt::format("[{}]", fmt::join(scalars, ", "));
}

}  // namespace rooftune::text::yaml_text
