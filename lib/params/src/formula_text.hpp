#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "rooftune/core/diagnostics.hpp"

namespace rooftune::params {

/// What names in formulas are made of, for muParser.
inline constexpr const char* kNameCharacters = "0123456789_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.";

/// A place within a formula that stands there.
inline core::SourcePosition moved(core::SourcePosition position, std::size_t characters) {
  if (position.column > 0) position.column += static_cast<int>(characters);
  return position;
}

/// Where a lone "=" stands: muParser takes it for an assignment.
inline std::size_t find_assignment(const std::string& text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '=') continue;
    if (i + 1 < text.size() && text[i + 1] == '=') {
      ++i;
    } else if (i == 0 || std::string_view("<>!").find(text[i - 1]) == std::string_view::npos) {
      return i;
    }
  }
  return std::string::npos;
}

}  // namespace rooftune::params
