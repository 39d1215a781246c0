#include "settings_text.hpp"

#include <algorithm>
#include <cctype>

namespace rooftune::importers {
namespace {

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool is_quote(char c) { return c == '\'' || c == '"'; }
bool is_opening(char c) { return c == '(' || c == '[' || c == '{'; }
bool is_closing(char c) { return c == ')' || c == ']' || c == '}'; }

/// Where the quoted text that opens at `start` ends, past its closing quote.
std::size_t end_of_quoted(std::string_view text, std::size_t start) {
  const char quote = text[start];
  for (std::size_t i = start + 1; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == quote) {
      return i + 1;
    }
  }
  return text.size();
}

/// Where the value that starts at `start` ends: at a comma or a closing bracket of its own level.
std::size_t end_of_value(std::string_view text, std::size_t start) {
  int depth = 0;
  for (std::size_t i = start; i < text.size(); ++i) {
    if (is_quote(text[i])) {
      i = end_of_quoted(text, i) - 1;
    } else if (is_opening(text[i])) {
      ++depth;
    } else if (is_closing(text[i])) {
      if (depth == 0) return i;
      --depth;
    } else if (text[i] == ',' && depth == 0) {
      return i;
    }
  }
  return text.size();
}

std::string without_quotes(std::string_view text) {
  text = trimmed(text);
  const bool is_quoted = text.size() >= 2 && is_quote(text.front()) && text.back() == text.front();
  return std::string(is_quoted ? text.substr(1, text.size() - 2) : text);
}

/// "key" of "'key': value" or "key=value", and where the value starts; empty where this is no pair.
SettingText pair_of(std::string_view item) {
  const std::size_t separator =
      !item.empty() && is_quote(item.front()) ? item.find(':', end_of_quoted(item, 0)) : item.find_first_of("=:");
  if (separator == std::string_view::npos) return {};
  SettingText pair{.name = without_quotes(item.substr(0, separator)), .value = without_quotes(item.substr(separator + 1))};
  if (pair.name.empty() || !std::ranges::all_of(pair.name, [](char c) { return is_word(c) || c == '-' || c == '.'; })) return {};
  return pair;
}

/// "-tp" and "--max-num-seqs", but not the number "-1".
bool is_option(std::string_view word) {
  return word.size() > 1 && word.front() == '-' && std::isdigit(static_cast<unsigned char>(word[1])) == 0;
}

bool is_number(std::string_view word) {
  return !word.empty() && std::ranges::all_of(word, [](unsigned char c) { return std::isdigit(c) != 0; });
}

/// The words of a command line, quoted ones without their quotes.
std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  for (std::size_t i = 0; i < text.size();) {
    if (std::isspace(static_cast<unsigned char>(text[i])) != 0 || text[i] == '\\') {
      ++i;
      continue;
    }
    std::string word;
    while (i < text.size() && std::isspace(static_cast<unsigned char>(text[i])) == 0) {
      if (!is_quote(text[i])) {
        word += text[i++];
        continue;
      }
      const std::size_t end = end_of_quoted(text, i);
      word += text.substr(i + 1, end - i - 2);
      i = end;
    }
    words.push_back(std::move(word));
  }
  return words;
}

}  // namespace

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r");
  return first == std::string_view::npos ? std::string_view() : text.substr(first, text.find_last_not_of(" \t\r") + 1 - first);
}

std::vector<SettingText> python_settings(std::string_view text) {
  std::vector<SettingText> settings;
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = end_of_value(text, start);
    if (SettingText pair = pair_of(trimmed(text.substr(start, end - start))); !pair.name.empty()) settings.push_back(std::move(pair));
    if (end < text.size() && text[end] != ',') break;
    start = end + 1;
  }
  return settings;
}

std::vector<SettingText> command_line_settings(std::string_view text) {
  std::vector<SettingText> settings;
  const std::vector<std::string> words = words_of(text);
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::string_view word = words[i];
    if (!is_option(word)) continue;
    word.remove_prefix(std::min(word.find_first_not_of('-'), word.size()));
    const std::size_t equals = word.find('=');
    std::string name(word.substr(0, equals));
    std::ranges::replace(name, '-', '_');
    const bool has_word_after = i + 1 < words.size() && !is_option(words[i + 1]);
    if (equals != std::string_view::npos) {
      settings.push_back({.name = std::move(name), .value = std::string(word.substr(equals + 1))});
    } else if (has_word_after) {
      std::string value = words[++i];
      // --cudagraph-capture-sizes 1 2 4: options of lists of numbers.
      while (is_number(value.substr(value.rfind(' ') + 1)) && i + 1 < words.size() && is_number(words[i + 1]))
        value += ' ' + words[++i];
      settings.push_back({.name = std::move(name), .value = std::move(value)});
    } else if (name.starts_with("no_")) {
      settings.push_back({.name = name.substr(3), .value = "False"});
    } else {
      settings.push_back({.name = std::move(name), .value = "True"});
    }
  }
  return settings;
}

std::string nested_setting(std::string_view text, std::string_view name) {
  for (std::size_t at = text.find(name); at != std::string_view::npos; at = text.find(name, at + 1)) {
    if (at > 0 && is_word(text[at - 1])) continue;
    std::size_t after = at + name.size();
    if (after < text.size() && is_quote(text[after])) ++after;
    after = std::min(text.find_first_not_of(' ', after), text.size());
    if (after == text.size() || (text[after] != '=' && text[after] != ':')) continue;
    return without_quotes(text.substr(after + 1, end_of_value(text, after + 1) - after - 1));
  }
  return {};
}

}  // namespace rooftune::importers
