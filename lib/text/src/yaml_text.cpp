#include "rooftune/text/yaml_text.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

#include "rooftune/text/number_text.hpp"

namespace rooftune::text::yaml_text {
namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/// Whether nobody can take the text for something else than text when it stands there without quotes.
bool is_plain(const std::string& text) {
  constexpr std::array<std::string_view, 9> kWordsWithAMeaning{"true", "false", "yes", "no", "on", "off", "null", "y", "n"};
  const auto starts_plain = [](char c) { return is_letter(c) || c == '.' || c == '/' || c == '_'; };
  const auto goes_on_plain = [&](char c) { return starts_plain(c) || (c >= '0' && c <= '9') || c == '-'; };
  if (text.empty() || !starts_plain(text.front()) || !std::ranges::all_of(text, goes_on_plain)) return false;
  if (text.find_first_not_of('.') == std::string::npos) return false;
  if (text.front() == '.' && is_special_number(text)) return false;
  return std::ranges::none_of(kWordsWithAMeaning, [&](std::string_view word) { return equals_ignoring_case(text, word); });
}

}  // namespace

std::string scalar(const std::string& text) {
  if (is_plain(text)) return text;
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string list(const std::vector<std::string>& texts) {
  std::vector<std::string> scalars;
  for (const std::string& text : texts) scalars.push_back(scalar(text));
  return fmt::format("[{}]", fmt::join(scalars, ", "));
}

}  // namespace rooftune::text::yaml_text
