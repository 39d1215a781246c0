#pragma once

#include <span>
#include <string>
#include <string_view>

#include "rooftune/text/document.hpp"
#include "rooftune/text/object_reader.hpp"

namespace rooftune::text {

/// Reads one of the known words, in any case of letters; reports another one, says which are known, and returns false.
bool convert_word(const Node& node, std::string_view name, std::string& target, std::span<const std::string_view> known,
                  Problems& problems);

}  // namespace rooftune::text
