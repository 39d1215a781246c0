// Syntax: what every file goes through first.
#include <array>
#include <charconv>
#include <cmath>

#include "rooftune/core/printable.hpp"
#include "rooftune/text/csv.hpp"
#include "rooftune/text/csv_text.hpp"
#include "rooftune/text/document.hpp"
#include "rooftune/text/folder_lock.hpp"
#include "rooftune/text/number_text.hpp"
#include "rooftune/text/object_reader.hpp"
#include "rooftune/text/pattern.hpp"
#include "rooftune/text/yaml_text.hpp"
#include "target.hpp"

namespace rooftune::fuzz {
namespace {

/// Asks every value what it is, as readers do.
void convert_all(const text::Node& node, text::Problems& problems) {
  double number = 0.0;
  std::int64_t whole = 0;
  bool flag = false;
  std::string word;
  text::convert(node, "x", number, problems);
  text::convert(node, "x", whole, problems);
  text::convert(node, "x", flag, problems);
  text::convert(node, "x", word, problems);
  require(std::isfinite(number));
  for (const text::Node& item : node.items) convert_all(item, problems);
  for (const text::Member& member : node.members) convert_all(member.value, problems);
}

void document(std::string_view bytes, text::Syntax syntax) {
  const auto parsed = text::parse_document(bytes, "input", syntax);
  check(parsed);
  if (!parsed) return;
  text::Problems problems("input");
  convert_all(parsed->root, problems);
  { const text::ObjectReader reader(parsed->root, problems, "the input"); }
  if (problems.has_errors()) check(problems.take_errors());
}

void json(std::string_view bytes) { document(bytes, text::Syntax::json); }
void yaml(std::string_view bytes) { document(bytes, text::Syntax::yaml); }

void csv(std::string_view bytes) {
  const auto table = text::parse_csv(bytes, "input");
  check(table);
  if (!table) return;
  text::Problems problems("input");
  for (const auto& row : table->rows) {
    require(row.size() == table->header.size());
    for (const text::Node& cell : row) convert_all(cell, problems);
  }
}

/// The first line is the expression, the rest what it searches.
void pattern(std::string_view bytes) {
  const std::size_t end = std::min(bytes.find('\n'), bytes.size());
  const auto compiled = text::Pattern::compile(bytes.substr(0, end));
  if (!compiled) return require(!compiled.error().empty());
  const auto found = compiled->search(bytes.substr(end));
  if (found) require(found->size() == static_cast<std::size_t>(compiled->groups()));
  static_cast<void>(compiled->matches_start(bytes));
}

/// Texts on their way out, and small texts that are taken apart by hand.
void words(std::string_view bytes) {
  const std::string shown = core::printable(bytes);
  require(core::printable(shown) == shown);
  require(core::shown(bytes).find('\n') == std::string::npos);
  const std::string word(bytes);
  const auto again = text::parse_document("x: " + text::yaml_text::scalar(word) + "\n", "input", text::Syntax::yaml);
  if (core::printable(word) == word) require(again && again->root.find("x")->text == word);
  const std::string cell = text::csv_cell(word);
  require(cell.empty() || std::string_view("=+-@").find(cell.front()) == std::string_view::npos);
  if (text::is_decimal_number(bytes)) {
    double value = 0.0;
    const char* const begin = bytes.data() + (bytes.front() == '+' ? 1 : 0);
    require(std::from_chars(begin, bytes.data() + bytes.size(), value).ptr == bytes.data() + bytes.size());
  }
  static_cast<void>(text::may_be_running(text::parse_owner(bytes)));
}

}  // namespace

constexpr std::array<Target, 5> kTextTargets{{{"json", json}, {"yaml", yaml}, {"csv", csv}, {"pattern", pattern}, {"words", words}}};
std::span<const Target> text_targets() { return kTextTargets; }

}  // namespace rooftune::fuzz
