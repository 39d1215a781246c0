#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace rooftune::text {

/// JSON for people and version control: two spaces per level, one member per line, but an object or array that holds only
/// plain values stays on one line while that is short. Numbers read back as the same bits; those that are not
/// finite become null, for JSON has no word for them. Ends with a newline.
[[nodiscard]] std::string json_text(const nlohmann::ordered_json& json);

}  // namespace rooftune::text
