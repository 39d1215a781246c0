#pragma once

#include <string>
#include <string_view>

#include "rooftune/text/document.hpp"

namespace rooftune::text {

/// Parses JSON as Python's json module writes it: NaN, Infinity and -Infinity may stand for numbers, and keep their spelling. As strict
/// as parse_document() otherwise.
[[nodiscard]] core::Result<Document> parse_python_json(std::string_view text, std::string file);

}  // namespace rooftune::text
