#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/core/units.hpp"
#include "rooftune/text/document.hpp"

namespace rooftune::text {

/// Everything that is wrong with one file, or worth a warning, collected while it is read. The first limits::kMessages of either are
/// kept; of those that follow their number.
class Problems {
 public:
  explicit Problems(std::string file) : file_(std::move(file)) {}

  void error(Place place, std::string problem, std::string remedy);
  void warning(Place place, std::string problem, std::string remedy);
  /// Errors of another file that this one names.
  void add(const core::Diagnostics& errors);

  [[nodiscard]] bool has_errors() const { return error_count() > 0; }
  [[nodiscard]] std::size_t error_count() const { return errors_.diagnostics.size() + errors_.more; }
  /// File by file, each in its own order.
  [[nodiscard]] core::Diagnostics take_errors();
  [[nodiscard]] core::Diagnostics take_warnings();

 private:
  struct Kept {
    core::Diagnostics diagnostics;
    std::size_t more = 0;
    void add(core::Diagnostic diagnostic);
    [[nodiscard]] core::Diagnostics take(const std::string& file);
  };

  std::string file_;
  Kept errors_;
  Kept warnings_;
};

/// Which numbers are accepted.
struct Range {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  bool excludes_min = false;
  bool power_of_two = false;
  double limit = std::numeric_limits<double>::infinity();  ///< what is taken at all (core/limits.hpp); said only to who exceeds it
};
[[nodiscard]] constexpr Range any_number() { return {}; }
[[nodiscard]] constexpr Range above(double bound) { return {.min = bound, .excludes_min = true}; }
[[nodiscard]] constexpr Range at_least(double bound) { return {.min = bound}; }
[[nodiscard]] constexpr Range power_of_two() { return {.min = 1, .power_of_two = true}; }
/// Counts: from `min` to a limit.
[[nodiscard]] constexpr Range counted(double min, double limit) { return {.min = min, .limit = limit}; }
[[nodiscard]] constexpr Range within(double min, double max) { return {.min = min, .max = max}; }
[[nodiscard]] constexpr Range above_up_to(double min, double max) { return {.min = min, .max = max, .excludes_min = true}; }

/// Conversions of one value; `name` says in messages what it is. They set `target` and return true, or report and leave it as
/// it was. Numbers are plain decimal: no quotes, no leading zeros, no .nan or .inf. A whole number may be spelled 2.0.
bool convert(const Node& node, std::string_view name, double& target, Problems& problems, Range range = any_number());
bool convert(const Node& node, std::string_view name, int& target, Problems& problems, Range range = any_number());
bool convert(const Node& node, std::string_view name, std::int64_t& target, Problems& problems, Range range = any_number());
bool convert(const Node& node, std::string_view name, std::uint64_t& target, Problems& problems, Range range = at_least(0));
bool convert(const Node& node, std::string_view name, bool& target, Problems& problems);
bool convert(const Node& node, std::string_view name, std::string& target, Problems& problems);
template <class Unit>
bool convert(const Node& node, std::string_view name, core::Quantity<Unit>& target, Problems& problems, Range range = any_number()) {
  return convert(node, name, target.value, problems, range);
}
template <class T, class... More>
bool convert(const Node& node, std::string_view name, std::optional<T>& target, Problems& problems, More... more) {
  T value{};
  if (!convert(node, name, value, problems, more...)) return false;
  target = std::move(value);
  return true;
}
/// Every item of a list; the items that cannot be converted are reported one by one.
template <class T, class... More>
bool convert(const Node& node, std::string_view name, std::vector<T>& target, Problems& problems, More... more);

/// "a list", "the text 'abc'", "the number 3" ... for messages. A file whose top is another thing than was expected may be anything
/// (somebody's passwords): what stands there is not repeated, it is "a text" or "a number".
[[nodiscard]] std::string describe(const Node& node);

/// A name of an enumerator as files spell it.
template <class Enum>
using Choice = std::pair<std::string_view, Enum>;

enum class OtherKeys { refuse, tolerate };

/// Reads one object key by key and reports what is missing or wrong; the keys that nobody asked for are reported as unknown
/// when the reader goes out of scope, so that no caller can forget to. Targets keep their value where a key is absent or wrong,
/// so defaults are those of the target. A null value counts as an absent key.
///
///     ObjectReader stage(node, problems);
///     stage.required("rate", result.rate, above(0));
///     stage.optional("num_requests", result.num_requests, at_least(1));
class ObjectReader {
 public:
  /// A node that is no object is reported; `name` says what it should have been ("a stage").
  ObjectReader(const Node& node, Problems& problems, std::string name, OtherKeys other_keys = OtherKeys::refuse);
  ObjectReader(const ObjectReader&) = delete;
  ObjectReader& operator=(const ObjectReader&) = delete;
  ~ObjectReader();

  /// Returns whether the target was set.
  template <class T, class... More>
  bool required(std::string_view key, T& target, More... more) {
    const Node* node = required_node(key);
    return node != nullptr && convert(*node, quoted(key), target, problems_, more...);
  }
  template <class T, class... More>
  bool optional(std::string_view key, T& target, More... more) {
    const Node* node = find(key);
    return node != nullptr && convert(*node, quoted(key), target, problems_, more...);
  }

  /// A text that names an enumerator.
  template <class Enum>
  bool required_choice(std::string_view key, Enum& target, std::span<const Choice<Enum>> choices) {
    const Node* node = required_node(key);
    return node != nullptr && convert_choice(*node, key, target, choices);
  }
  template <class Enum>
  bool optional_choice(std::string_view key, Enum& target, std::span<const Choice<Enum>> choices) {
    const Node* node = find(key);
    return node != nullptr && convert_choice(*node, key, target, choices);
  }

  /// The object under `key`, to be read by another ObjectReader. Null when absent (reported if required) or no object (reported).
  [[nodiscard]] const Node* required_object(std::string_view key);
  [[nodiscard]] const Node* optional_object(std::string_view key);
  /// The items under `key`. Empty when absent (reported if required, as is an empty list) or no list (reported).
  [[nodiscard]] std::span<const Node> required_list(std::string_view key);
  [[nodiscard]] std::span<const Node> optional_list(std::string_view key);

  /// The value as it stands, for what the typed readers do not cover; null when absent. The key counts as known from now on.
  [[nodiscard]] const Node* find(std::string_view key);
  [[nodiscard]] const Node* required_node(std::string_view key);
  /// Makes `keys` known without reading them: fields that are documented and deliberately not used.
  void ignore(std::initializer_list<std::string_view> keys);

  /// The keys that nobody has asked for so far, for readers that tolerate them.
  [[nodiscard]] std::vector<std::string_view> unread() const;

  /// Where `key` stands, or the object itself when it has no such key.
  [[nodiscard]] Place place_of(std::string_view key) const;
  [[nodiscard]] const Node& node() const { return node_; }
  [[nodiscard]] Problems& problems() { return problems_; }

 private:
  /// Not one key is known or looks like one that is: the keys of such a file are not repeated.
  [[nodiscard]] bool is_of_another_kind(const std::vector<std::string_view>& known) const;
  [[nodiscard]] static std::string quoted(std::string_view key) { return "'" + std::string(key) + "'"; }

  template <class Enum>
  bool convert_choice(const Node& node, std::string_view key, Enum& target, std::span<const Choice<Enum>> choices) {
    std::vector<std::string_view> names;
    for (const auto& [name, value] : choices) {
      if (node.kind == Node::Kind::scalar && node.text == name) {
        target = value;
        return true;
      }
      names.push_back(name);
    }
    report_choice(node, key, names);
    return false;
  }
  void report_choice(const Node& node, std::string_view key, const std::vector<std::string_view>& names);

  const Node& node_;
  Problems& problems_;
  std::string name_;
  OtherKeys other_keys_;
  std::vector<std::string> known_;
};

/// Reports a node that is no list.
[[nodiscard]] bool is_list(const Node& node, std::string_view name, Problems& problems);

template <class T, class... More>
bool convert(const Node& node, std::string_view name, std::vector<T>& target, Problems& problems, More... more) {
  if (!is_list(node, name, problems)) return false;
  std::vector<T> values(node.items.size());
  bool all_good = true;
  for (std::size_t i = 0; i < values.size(); ++i) {
    all_good =
        convert(node.items[i], "item " + std::to_string(i + 1) + " of " + std::string(name), values[i], problems, more...) && all_good;
  }
  if (all_good) target = std::move(values);
  return all_good;
}

}  // namespace rooftune::text
