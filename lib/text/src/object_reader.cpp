#include "rooftune/text/object_reader.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <tuple>

#include "rooftune/core/limits.hpp"
#include "rooftune/core/printable.hpp"
#include "rooftune/text/number_text.hpp"

namespace rooftune::text {
namespace {

bool is_plain(const Node& node) { return node.kind == Node::Kind::scalar && !node.quoted; }
bool is_boolean(const Node& node) { return is_plain(node) && (node.text == "true" || node.text == "false"); }
bool is_number(const Node& node) { return is_plain(node) && is_decimal_number(node.text); }

std::string range_text(const Range& range) {
  if (range.power_of_two) return "a power of two";
  const bool has_min = std::isfinite(range.min);
  const bool has_max = std::isfinite(range.max);
  const std::string min = has_min ? fmt::format("{} {}", range.excludes_min ? "above" : "at least", range.min) : "";
  const std::string max = has_max ? fmt::format("at most {}", range.max) : "";
  return has_min && has_max ? min + " and " + max : min + max;
}

bool contains(const Range& range, double value) {
  int exponent = 0;
  if (range.power_of_two && std::frexp(value, &exponent) != 0.5) return false;
  return (range.excludes_min ? value > range.min : value >= range.min) && value <= range.max;
}

/// A whole number; digits alone keep all 64 bits, other spellings (2.0, 1e6) are exact as long as a double is.
template <class Whole>
bool convert_whole(const Node& node, std::string_view name, Whole& target, Problems& problems, Range range) {
  double value = 0.0;
  if (!convert(node, name, value, problems, range)) return false;
  if (value != std::trunc(value)) {
    problems.error(node.place, fmt::format("{} is {}", name, core::shown(node.text)), "it must be a whole number");
    return false;
  }
  Whole exact{};
  const char* const end = node.text.data() + node.text.size();
  if (const auto digits = std::from_chars(node.text.data(), end, exact); digits.ec == std::errc{} && digits.ptr == end) {
    target = exact;
    return true;
  }
  constexpr double exact_limit = 9007199254740992.0;  // 2^53: every whole number up to here is a double
  const double limit = std::min(exact_limit, static_cast<double>(std::numeric_limits<Whole>::max()));
  if (std::abs(value) > limit) {
    problems.error(node.place, fmt::format("{} is {}", name, core::shown(node.text)), fmt::format("it must be at most {:.0f}", limit));
    return false;
  }
  target = static_cast<Whole>(value);
  return true;
}

void sort_by_place(core::Diagnostics& diagnostics) {
  const auto earlier = [](const core::SourcePosition& a, const core::SourcePosition& b) {
    return std::tie(a.file, a.line, a.column) < std::tie(b.file, b.line, b.column);
  };
  std::ranges::stable_sort(diagnostics, earlier, &core::Diagnostic::position);
}

}  // namespace

void Problems::Kept::add(core::Diagnostic diagnostic) {
  if (diagnostics.size() < core::limits::kMessages) {
    diagnostics.push_back(std::move(diagnostic));
  } else {
    ++more;
  }
}

core::Diagnostics Problems::Kept::take(const std::string& file) {
  sort_by_place(diagnostics);
  if (more > 0) {
    diagnostics.push_back({.position = {.file = file},
                           .problem = fmt::format("{} more problems like these are not shown", more),
                           .remedy = fmt::format("mend the first {} and try again", core::limits::kMessages),
                           .severity = diagnostics.front().severity});
  }
  more = 0;
  return std::exchange(diagnostics, {});
}

void Problems::error(Place place, std::string problem, std::string remedy) {
  errors_.add({{file_, place.line, place.column}, std::move(problem), std::move(remedy), core::Severity::error});
}

void Problems::warning(Place place, std::string problem, std::string remedy) {
  warnings_.add({{file_, place.line, place.column}, std::move(problem), std::move(remedy), core::Severity::warning});
}

void Problems::add(const core::Diagnostics& errors) {
  for (const core::Diagnostic& error : errors) errors_.add(error);
}

core::Diagnostics Problems::take_errors() { return errors_.take(file_); }

core::Diagnostics Problems::take_warnings() { return warnings_.take(file_); }

namespace {

std::string kind_of(const Node& node) {
  switch (node.kind) {
    case Node::Kind::null: return "null";
    case Node::Kind::list: return "a list";
    case Node::Kind::object: return "an object";
    case Node::Kind::scalar: break;
  }
  if (is_boolean(node)) return node.text;
  return is_number(node) ? "a number" : "a text";
}

}  // namespace

std::string describe(const Node& node) {
  if (node.kind != Node::Kind::scalar || is_boolean(node) || node.is_top) return kind_of(node);
  return fmt::format("the {} '{}'", is_number(node) ? "number" : "text", core::shown(node.text));
}

bool convert(const Node& node, std::string_view name, double& target, Problems& problems, Range range) {
  if (is_plain(node) && has_leading_zero(node.text)) {
    problems.error(node.place, fmt::format("{} is '{}', which some readers take for an octal number", name, core::shown(node.text)),
                   "write it without leading zeros");
    return false;
  }
  if (is_plain(node) && is_special_number(node.text)) {
    problems.error(node.place, fmt::format("{} is '{}', which is not a finite number", name, core::shown(node.text)),
                   "give a finite number");
    return false;
  }
  if (!is_number(node)) {
    problems.error(node.place, fmt::format("{} must be a number, not {}", name, describe(node)),
                   node.quoted && is_decimal_number(node.text) ? "remove the quotes" : "give a plain decimal number");
    return false;
  }
  if (node.text.size() > core::limits::kNumberCharacters) {
    problems.error(node.place, fmt::format("{} is a number of {} characters", name, node.text.size()),
                   fmt::format("write it in at most {}", core::limits::kNumberCharacters));
    return false;
  }
  const std::size_t sign = node.text.front() == '+' ? 1 : 0;
  double value = 0.0;
  const auto [end, failure] = std::from_chars(node.text.data() + sign, node.text.data() + node.text.size(), value);
  if (failure != std::errc{} || !std::isfinite(value)) {
    problems.error(node.place, fmt::format("{} is '{}', which does not fit a double", name, core::shown(node.text)),
                   "give a finite number");
    return false;
  }
  if (value > range.limit) {
    problems.error(node.place, fmt::format("{} is {}", name, core::shown(node.text)),
                   fmt::format("at most {:.10g} is taken", range.limit));
    return false;
  }
  if (!contains(range, value)) {
    problems.error(node.place, fmt::format("{} is {}", name, core::shown(node.text)), fmt::format("it must be {}", range_text(range)));
    return false;
  }
  target = value;
  return true;
}

bool convert(const Node& node, std::string_view name, int& target, Problems& problems, Range range) {
  return convert_whole(node, name, target, problems, range);
}

bool convert(const Node& node, std::string_view name, std::int64_t& target, Problems& problems, Range range) {
  return convert_whole(node, name, target, problems, range);
}

bool convert(const Node& node, std::string_view name, std::uint64_t& target, Problems& problems, Range range) {
  return convert_whole(node, name, target, problems, range);
}

bool convert(const Node& node, std::string_view name, bool& target, Problems& problems) {
  if (!is_boolean(node)) {
    problems.error(node.place, fmt::format("{} must be true or false, not {}", name, describe(node)), "write true or false");
    return false;
  }
  target = node.text == "true";
  return true;
}

bool convert(const Node& node, std::string_view name, std::string& target, Problems& problems) {
  if (node.kind != Node::Kind::scalar || is_boolean(node) || is_number(node)) {
    problems.error(node.place, fmt::format("{} must be a text, not {}", name, describe(node)),
                   node.kind == Node::Kind::scalar ? "put it in quotes" : "give a text");
    return false;
  }
  if (node.text.empty()) {
    problems.error(node.place, fmt::format("{} is empty", name), "give a text");
    return false;
  }
  target = node.text;
  return true;
}

bool is_list(const Node& node, std::string_view name, Problems& problems) {
  if (node.kind == Node::Kind::list) return true;
  problems.error(node.place, fmt::format("{} must be a list, not {}", name, describe(node)), "put it in [ ]");
  return false;
}

ObjectReader::ObjectReader(const Node& node, Problems& problems, std::string name, OtherKeys other_keys)
    : node_(node), problems_(problems), name_(std::move(name)), other_keys_(other_keys) {
  if (node.kind != Node::Kind::object) {
    problems_.error(node.place, fmt::format("{} must be an object, not {}", name_, describe(node)), "write it as 'key: value' pairs");
  }
}

ObjectReader::~ObjectReader() {
  if (other_keys_ == OtherKeys::tolerate) return;
  const std::vector<std::string_view> known(known_.begin(), known_.end());
  if (node_.is_top && !known.empty() && is_of_another_kind(known)) {
    problems_.error(node_.place, fmt::format("no key here is one of {}", name_),
                    fmt::format("check that this is the right file; known: {}", fmt::join(known, ", ")));
    return;
  }
  for (const Member& member : node_.members) {
    if (std::ranges::find(known, member.key) != known.end()) continue;
    problems_.error(member.place, fmt::format("unknown key '{}' in {}", core::shown(member.key), name_),
                    core::suggest(member.key, known));
  }
}

bool ObjectReader::is_of_another_kind(const std::vector<std::string_view>& known) const {
  return !node_.members.empty() && std::ranges::none_of(node_.members, [&](const Member& member) {
    return std::ranges::find(known, member.key) != known.end() || !core::closest_match(member.key, known).empty();
  });
}

const Node* ObjectReader::find(std::string_view key) {
  if (std::ranges::find(known_, key) == known_.end()) known_.emplace_back(key);
  const Node* node = node_.find(key);
  return node == nullptr || node->kind == Node::Kind::null ? nullptr : node;
}

const Node* ObjectReader::required_node(std::string_view key) {
  const Node* node = find(key);
  // A node that is no object was reported as a whole.
  if (node == nullptr && node_.kind == Node::Kind::object) {
    problems_.error(place_of(key), fmt::format("{} lacks '{}'", name_, key), "add it");
  }
  return node;
}

std::vector<std::string_view> ObjectReader::unread() const {
  std::vector<std::string_view> keys;
  for (const Member& member : node_.members) {
    if (std::ranges::find(known_, member.key) == known_.end()) keys.emplace_back(member.key);
  }
  return keys;
}

void ObjectReader::ignore(std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) static_cast<void>(find(key));
}

const Node* ObjectReader::required_object(std::string_view key) {
  return required_node(key) == nullptr ? nullptr : optional_object(key);
}

const Node* ObjectReader::optional_object(std::string_view key) {
  const Node* node = find(key);
  if (node == nullptr || node->kind == Node::Kind::object) return node;
  problems_.error(node->place, fmt::format("'{}' must be an object, not {}", key, describe(*node)), "write it as 'key: value' pairs");
  return nullptr;
}

std::span<const Node> ObjectReader::required_list(std::string_view key) {
  const Node* node = required_node(key);
  if (node == nullptr || !is_list(*node, quoted(key), problems_)) return {};
  if (node->items.empty()) problems_.error(node->place, fmt::format("'{}' is an empty list", key), "give at least one item");
  return node->items;
}

std::span<const Node> ObjectReader::optional_list(std::string_view key) {
  const Node* node = find(key);
  if (node == nullptr || !is_list(*node, quoted(key), problems_)) return {};
  return node->items;
}

Place ObjectReader::place_of(std::string_view key) const {
  const auto found = std::ranges::find(node_.members, key, &Member::key);
  return found == node_.members.end() ? node_.place : found->place;
}

void ObjectReader::report_choice(const Node& node, std::string_view key, const std::vector<std::string_view>& names) {
  const std::string remedy = node.kind == Node::Kind::scalar ? core::suggest(node.text, names) : fmt::format("give one of its names");
  problems_.error(node.place, fmt::format("'{}' is {}, which is not one of its values", key, describe(node)), remedy);
}

}  // namespace rooftune::text
