#include "rooftune/text/csv.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "rooftune/core/limits.hpp"
#include "rooftune/core/printable.hpp"

namespace rooftune::text {
namespace {

/// Splits text into records of cells, character by character because quoted cells may hold commas and line ends.
class Splitter {
 public:
  Splitter(std::string_view text, Problems& problems) : text_(text), problems_(problems) {}

  [[nodiscard]] bool at_end() const { return offset_ >= text_.size(); }

  /// The next line's cells; blank lines give none.
  std::vector<Node> record() {
    std::vector<Node> cells;
    do {
      cells.push_back(cell());
    } while (take(','));
    take('\r');
    if (take('\n')) {
      ++line_;
      line_start_ = offset_;
    }
    const bool blank = cells.size() == 1 && cells.front().kind == Node::Kind::null;
    return blank ? std::vector<Node>{} : cells;
  }

 private:
  [[nodiscard]] Place here() const { return {line_, static_cast<int>(offset_ - line_start_) + 1}; }

  bool take(char wanted) {
    if (at_end() || text_[offset_] != wanted) return false;
    ++offset_;
    return true;
  }

  Node cell() {
    Node node = Node::at(here());
    if (take('"')) {
      node.kind = Node::Kind::scalar;
      node.quoted = true;
      node.text = quoted_text(node.place);
    } else {
      const std::size_t end = std::min(text_.find_first_of(",\r\n", offset_), text_.size());
      node.text = std::string(text_.substr(offset_, end - offset_));
      node.kind = node.text.empty() ? Node::Kind::null : Node::Kind::scalar;
      offset_ = end;
    }
    return node;
  }

  std::string quoted_text(Place opening) {
    std::string text;
    while (!at_end()) {
      if (take('"')) {
        if (!take('"')) return text;
        text += '"';
        continue;
      }
      if (text_[offset_] == '\n') {
        ++line_;
        line_start_ = offset_ + 1;
      }
      text += text_[offset_++];
    }
    problems_.error(opening, "the quote that opens here is never closed", "close it; double a quote inside quotes");
    return text;
  }

  std::string_view text_;
  Problems& problems_;
  std::size_t offset_ = 0;
  std::size_t line_start_ = 0;
  int line_ = 1;
};

}  // namespace

core::Result<CsvTable> parse_csv(std::string_view text, std::string file) {
  CsvTable table{.file = file, .header = {}, .rows = {}};
  Problems problems(std::move(file));
  Splitter splitter(text, problems);
  table.header = splitter.record();
  std::set<std::string> names;
  for (const Node& name : table.header) {
    if (!names.insert(name.text).second)
      problems.error(name.place, fmt::format("duplicate column '{}'", core::shown(name.text)), "keep one of them");
  }
  if (table.header.size() > core::limits::kColumns) {
    problems.error({1, 1}, fmt::format("{} columns", table.header.size()),
                   fmt::format("a table has at most {}: check that this is the right file", core::limits::kColumns));
    return tl::unexpected(problems.take_errors());
  }
  std::size_t values = table.header.size();
  while (!splitter.at_end()) {
    std::vector<Node> row = splitter.record();
    if (row.empty()) continue;
    values += row.size();
    if (values > core::limits::kValues) {
      problems.error(row.front().place, fmt::format("the file holds more than {} values", core::limits::kValues), "split it");
      return tl::unexpected(problems.take_errors());
    }
    if (row.size() != table.header.size()) {
      problems.error(row.front().place, fmt::format("{} cells under {} columns", row.size(), table.header.size()),
                     "give every column one cell; quote cells that hold commas");
    }
    table.rows.push_back(std::move(row));
  }
  if (problems.has_errors()) return tl::unexpected(problems.take_errors());
  return table;
}

core::Result<CsvTable> read_csv(const std::filesystem::path& path) {
  const auto text = read_text(path);
  if (!text) return tl::unexpected(text.error());
  return parse_csv(*text, path.string());
}

int CsvColumns::find(std::string_view name) const {
  const auto found = std::ranges::find(table_.header, name, &Node::text);
  return found == table_.header.end() ? -1 : static_cast<int>(found - table_.header.begin());
}

}  // namespace rooftune::text
