#pragma once

#include <nlohmann/json.hpp>
#include <optional>

namespace rooftune::io {

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

}  // namespace rooftune::io
