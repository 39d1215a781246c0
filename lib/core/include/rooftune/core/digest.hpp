#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "rooftune/core/hash.hpp"
#include "rooftune/core/units.hpp"

namespace rooftune::core {

/// Collects values and gives them one hash, which tells any two collections apart: every part goes in with its exact bits, and
/// texts and lists with their length. A type of ours joins in by a function `add_to(Digest&, const Type&)` in its namespace,
/// which takes the type apart by a structured binding: a member that is added later then does not compile until it is hashed.
class Digest {
 public:
  template <class... Values>
  Digest& add(const Values&... values) {
    (add_one(values), ...);
    return *this;
  }

  [[nodiscard]] std::string hex() const { return sha256_hex(bytes_); }

 private:
  template <class Value>
  void add_one(const Value& value) {
    if constexpr (std::is_enum_v<Value>) {
      add_one(static_cast<std::int64_t>(value));
    } else if constexpr (std::integral<Value>) {
      const auto wide = static_cast<std::int64_t>(value);
      append(&wide, sizeof wide);
    } else if constexpr (std::floating_point<Value>) {
      const double number = value;
      append(&number, sizeof number);
    } else if constexpr (std::convertible_to<Value, std::string_view>) {
      const std::string_view text = value;
      add_one(text.size());
      append(text.data(), text.size());
    } else {
      add_to(*this, value);
    }
  }
  template <class Unit>
  void add_one(const Quantity<Unit>& quantity) {
    add_one(quantity.value);
  }
  template <class Value>
  void add_one(const std::optional<Value>& value) {
    add_one(value.has_value());
    if (value) add_one(*value);
  }
  template <class First, class Second>
  void add_one(const std::pair<First, Second>& value) {
    add(value.first, value.second);
  }
  template <class Value>
  void add_one(const std::vector<Value>& values) {
    add_one(values.size());
    for (const Value& value : values) add_one(value);
  }
  template <class Value, std::size_t Size>
  void add_one(const std::array<Value, Size>& values) {
    for (const Value& value : values) add_one(value);
  }
  template <class Key, class Value>
  void add_one(const std::map<Key, Value>& values) {
    add_one(values.size());
    for (const auto& value : values) add_one(value);
  }

  void append(const void* data, std::size_t size) { bytes_.append(static_cast<const char*>(data), size); }

  std::string bytes_;
};

}  // namespace rooftune::core
