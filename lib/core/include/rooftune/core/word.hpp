#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace rooftune::core {

/// The word that stands for an enumerator in files and on the command line.
template <class Enum>
using Word = std::pair<std::string_view, Enum>;

/// The word of an enumerator; empty when the table lacks it.
template <class Enum, class Table>
[[nodiscard]] constexpr std::string_view word_of(const Table& table, Enum value) {
  for (const auto& [word, listed] : table) {
    if (listed == value) return word;
  }
  return {};
}

/// The enumerator of a word, or nothing.
template <class Enum, class Table>
[[nodiscard]] constexpr std::optional<Enum> find_word(const Table& table, std::string_view wanted) {
  for (const auto& [word, listed] : table) {
    if (word == wanted) return listed;
  }
  return std::nullopt;
}

}  // namespace rooftune::core
