#include "rooftune/core/printable.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "rooftune/core/limits.hpp"

namespace rooftune::core {
namespace {

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

std::size_t announced_length(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead < 0xE0) return 2;
  if (lead >= 0xE0 && lead < 0xF0) return 3;
  if (lead >= 0xF0 && lead < 0xF5) return 4;
  return 0;
}

/// False for bytes above 0x7f too: char is signed where this is built, and otherwise they are above '~'.
bool is_harmless_ascii(char c) { return c >= ' ' && c <= '~'; }

}  // namespace

char32_t utf8_code_point(std::string_view text, std::size_t length) {
  const auto byte = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[i])); };
  if (length == 1) return byte(0);
  char32_t code = byte(0) & (0x7FU >> length);
  for (std::size_t i = 1; i < length; ++i) code = (code << 6U) | (byte(i) & 0x3FU);
  return code;
}

std::size_t utf8_length(std::string_view text) {
  const std::size_t length = announced_length(static_cast<unsigned char>(text.front()));
  if (length == 0 || text.size() < length || !std::ranges::all_of(text.substr(1, length - 1), is_continuation)) return 0;
  const char32_t code = utf8_code_point(text, length);
  const bool is_overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
  const bool is_surrogate = code >= 0xD800 && code < 0xE000;
  return is_overlong || is_surrogate || code > 0x10FFFF ? 0 : length;
}

bool is_control(char32_t code_point) {
  return code_point < 0x20 || (code_point >= 0x7F && code_point < 0xA0) || code_point == 0x200E || code_point == 0x200F ||
         (code_point >= 0x2028 && code_point <= 0x202E) || (code_point >= 0x2066 && code_point <= 0x2069);
}

std::string printable(std::string_view text) {
  if (std::ranges::all_of(text, [](char c) { return is_harmless_ascii(c) || c == '\n'; })) return std::string(text);
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const char32_t code = length == 0 ? 0 : utf8_code_point(text, length);
    if (length == 0) {
      result += fmt::format("\\x{:02x}", static_cast<unsigned char>(text.front()));
    } else if (text.front() == '\n' || !is_control(code)) {
      result += text.substr(0, length);
    } else {
      result +=
          code < 0x100 ? fmt::format("\\x{:02x}", static_cast<unsigned>(code)) : fmt::format("\\u{:04x}", static_cast<unsigned>(code));
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return result;
}

std::string counted(std::size_t count, std::string_view noun) {
  return std::to_string(count) + ' ' + std::string(noun) + (count == 1 ? "" : "s");
}

std::string shown(std::string_view token) {
  const bool is_long = token.size() > limits::kShownCharacters;
  std::size_t end = is_long ? limits::kShownCharacters : token.size();
  while (is_long && end > limits::kShownCharacters - 3 && is_continuation(token[end])) --end;  // no character is cut in two
  std::string text;
  for (const char c : token.substr(0, end)) text += c == '\n' ? std::string("\\n") : std::string(1, c);
  return printable(text) + (is_long ? "..." : "");
}

}  // namespace rooftune::core
