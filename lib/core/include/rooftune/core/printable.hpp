#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace rooftune::core {

/// A text that shows on a terminal what it holds and commands it to do nothing: control characters (C0 but '\n', DEL, C1), characters
/// that turn the direction of writing, and bytes that are no UTF-8 become "\x1b", "\u202e", "\xff". Everything else stays.
[[nodiscard]] std::string printable(std::string_view text);

/// One token of a foreign text as messages quote it: printable, on one line, and cut after limits::kShownCharacters.
[[nodiscard]] std::string shown(std::string_view token);

/// "2 times", "1 time"
[[nodiscard]] std::string counted(std::size_t count, std::string_view noun);

/// Where the character at `text[0]` ends: 1 to 4 for well-formed UTF-8, 0 where the first byte begins none. `text` is not empty.
[[nodiscard]] std::size_t utf8_length(std::string_view text);

/// The code point of a well-formed character of `length` bytes.
[[nodiscard]] char32_t utf8_code_point(std::string_view text, std::size_t length);

/// Whether a terminal may obey the character, or show another order than the one that is stored: C0, DEL, C1, bidirectional controls.
[[nodiscard]] bool is_control(char32_t code_point);

}  // namespace rooftune::core
