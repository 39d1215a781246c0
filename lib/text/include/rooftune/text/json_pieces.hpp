#pragma once

#include <nlohmann/json.hpp>
#include <optional>

#include "rooftune/core/diagnostics.hpp"

namespace rooftune::text {

template <class Value>
[[nodiscard]] nlohmann::ordered_json or_null(const std::optional<Value>& value) {
  return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
}

/// What `make` makes of every item.
template <class Items, class Make>
[[nodiscard]] nlohmann::ordered_json list_of(const Items& items, const Make& make) {
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const auto& item : items) json.push_back(make(item));
  return json;
}

/// Diagnostics as the texts that people read.
[[nodiscard]] inline nlohmann::ordered_json texts_of(const core::Diagnostics& diagnostics) {
  return list_of(diagnostics, [](const core::Diagnostic& diagnostic) { return core::format(diagnostic); });
}

}  // namespace rooftune::text
