#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "rooftune/text/document.hpp"

namespace rooftune::text {

/// Deeper nesting is refused; no file of ours comes near, and the walkers recurse.
inline constexpr std::size_t kMaxNesting = 100;

[[nodiscard]] core::Result<Document> parse_json(std::string_view text, std::string file);
/// The same for JSON as Python writes it.
[[nodiscard]] core::Result<Document> parse_json_of_python(std::string_view text, std::string file);
[[nodiscard]] core::Result<Document> parse_yaml(std::string_view text, std::string file);

/// Adds a member and reports a key that is already there.
void add_member(Node& object, Member member, const std::string& file, core::Diagnostics& problems);

[[nodiscard]] core::Diagnostic nesting_problem(std::string file, Place place);

}  // namespace rooftune::text
