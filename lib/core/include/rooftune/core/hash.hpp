#pragma once

#include <string>
#include <string_view>

namespace rooftune::core {

/// SHA-256 as 64 lower-case hexadecimal digits (what `sha256sum` prints).
[[nodiscard]] std::string sha256_hex(std::string_view bytes);

}  // namespace rooftune::core
