#include "rooftune/text/json_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

#include "rooftune/core/printable.hpp"

namespace rooftune::text {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kLongestLine = 200;

/// JSON itself asks for escapes below U+0020 alone; terminals obey more (core::is_control).
std::string with_escaped_controls(std::string text) {
  if (std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; })) return text;
  std::string result;
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t length = std::max<std::size_t>(core::utf8_length(rest), 1);
    const char32_t code = core::utf8_code_point(rest, length);
    result += core::is_control(code) ? fmt::format("\\u{:04x}", static_cast<unsigned>(code)) : std::string(rest.substr(0, length));
    rest.remove_prefix(length);
  }
  return result;
}

std::string plain_text(const Json& value) {
  if (value.is_number_float()) {
    const double number = value.get<double>();
    return std::isfinite(number) ? fmt::format("{}", number) : "null";
  }
  // Names from a user's files may hold bytes that are not UTF-8.
  return with_escaped_controls(value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

/// `opening item, item closing` on one line.
template <class Items>
std::string joined(std::string_view opening, const Items& items, std::string_view closing) {
  std::string text(opening);
  for (const std::string& item : items) text += (text.size() > opening.size() ? ", " : "") + item;
  return text + std::string(closing);
}

void append(std::string& text, const Json& value, std::size_t indent) {
  if (!value.is_structured()) {
    text += plain_text(value);
    return;
  }
  const std::string_view opening = value.is_object() ? "{" : "[";
  const std::string_view closing = value.is_object() ? "}" : "]";
  if (std::ranges::none_of(value, [](const Json& item) { return item.is_structured(); })) {
    std::vector<std::string> items;
    for (const auto& item : value.items()) {
      items.push_back((value.is_object() ? plain_text(Json(item.key())) + ": " : std::string()) + plain_text(item.value()));
    }
    const std::string line = joined(opening, items, closing);
    if (indent + line.size() <= kLongestLine) {
      text += line;
      return;
    }
  }
  text += opening;
  bool first = true;
  for (const auto& item : value.items()) {
    text += (first ? "\n" : ",\n") + std::string(indent + 2, ' ');
    if (value.is_object()) text += plain_text(Json(item.key())) + ": ";
    append(text, item.value(), indent + 2);
    first = false;
  }
  text += "\n" + std::string(indent, ' ') + std::string(closing);
}

}  // namespace

std::string json_text(const Json& json) {
  std::string text;
  append(text, json, 0);
  return text + "\n";
}

}  // namespace rooftune::text
