#pragma once

#include <concepts>
#include <cstdint>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace rooftune::core {

/// Whether T is `Type`, constant or not: what a function `fields` takes, which serves both directions.
template <class T, class Type>
concept ValueOf = std::same_as<std::remove_const_t<T>, Type>;

/// Puts values into bytes that another process of the same build takes apart again (Unpacker), to the last bit. A type of ours joins
/// in by one function in its namespace, which takes it apart by a structured binding, so that a member that is added later does not
/// compile until it travels too:
///   template <class Archive, core::ValueOf<Row> Value>
///   void fields(Archive& archive, Value& row) { auto& [experiment, stage] = row; archive(experiment, stage); }
class Packer {
 public:
  template <class... Values>
  void operator()(const Values&... values) {
    (one(values), ...);
  }

  [[nodiscard]] std::string take() && { return std::move(bytes_); }

 private:
  template <class Value>
  void one(const Value& value) {
    if constexpr (std::is_arithmetic_v<Value> || std::is_enum_v<Value>) {
      bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    } else {
      fields(*this, value);
    }
  }
  void one(const std::string& text) {
    one(std::uint64_t{text.size()});
    bytes_ += text;
  }
  template <class Value>
  void one(const std::optional<Value>& value) {
    one(value.has_value());
    if (value) one(*value);
  }
  template <class First, class Second>
  void one(const std::pair<First, Second>& value) {
    one(value.first);
    one(value.second);
  }
  template <class Value>
  void one(const std::vector<Value>& values) {
    one(std::uint64_t{values.size()});
    for (const Value& value : values) one(value);
  }

  std::string bytes_;
};

/// Throws where the bytes are not what a Packer of the same build made of such values.
class Unpacker {
 public:
  explicit Unpacker(std::string_view bytes) : rest_(bytes) {}

  template <class... Values>
  void operator()(Values&... values) {
    (one(values), ...);
  }

  /// What was not taken yet.
  [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
  std::string_view next(std::size_t size) {
    if (size > rest_.size()) throw std::runtime_error("a packed value ends early");
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  std::size_t count() {
    std::uint64_t size = 0;
    one(size);
    // Everything takes a byte at least: no more is made room for than can come.
    if (size > rest_.size()) throw std::runtime_error("a packed value ends early");
    return size;
  }

  template <class Value>
  void one(Value& value) {
    if constexpr (std::is_arithmetic_v<Value> || std::is_enum_v<Value>) {
      std::memcpy(&value, next(sizeof value).data(), sizeof value);
    } else {
      fields(*this, value);
    }
  }
  void one(std::string& text) { text = next(count()); }
  template <class Value>
  void one(std::optional<Value>& value) {
    bool is_there = false;
    one(is_there);
    value.reset();
    if (is_there) one(value.emplace());
  }
  template <class First, class Second>
  void one(std::pair<First, Second>& value) {
    one(value.first);
    one(value.second);
  }
  template <class Value>
  void one(std::vector<Value>& values) {
    values.clear();
    const std::size_t size = count();
    for (std::size_t i = 0; i < size; ++i) one(values.emplace_back());
  }

  std::string_view rest_;
};

template <class... Values>
[[nodiscard]] std::string packed(const Values&... values) {
  Packer packer;
  packer(values...);
  return std::move(packer).take();
}

template <class Value>
[[nodiscard]] Value unpacked(std::string_view bytes) {
  Unpacker unpacker(bytes);
  Value value{};
  unpacker(value);
  if (!unpacker.rest().empty()) throw std::runtime_error("a packed value is followed by something else");
  return value;
}

}  // namespace rooftune::core
