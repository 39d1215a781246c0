#pragma once

#include <string>
#include <vector>

namespace rooftune::text::yaml_text {

/// The text as a YAML scalar: plain where nothing can misread it, else in double quotes (JSON's are YAML's).
[[nodiscard]] std::string scalar(const std::string& text);

/// `[a, "b c"]`
[[nodiscard]] std::string list(const std::vector<std::string>& texts);

}  // namespace rooftune::text::yaml_text
