#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "rooftune/text/document.hpp"
#include "rooftune/text/object_reader.hpp"

namespace rooftune::text {

/// A CSV file with a header row (RFC 4180: commas, optional double quotes). Cells are nodes, so that `convert` reads them and
/// messages carry their line and column; an empty cell is null.
struct CsvTable {
  std::string file;
  std::vector<Node> header;
  std::vector<std::vector<Node>> rows;  ///< each as wide as the header
};

/// Refuses a missing or empty file, repeated column names, rows of another width and unclosed quotes.
[[nodiscard]] core::Result<CsvTable> parse_csv(std::string_view text, std::string file);
[[nodiscard]] core::Result<CsvTable> read_csv(const std::filesystem::path& path);

/// Reads one column after another of a table; columns that nobody asks for are left alone.
class CsvColumns {
 public:
  CsvColumns(const CsvTable& table, Problems& problems) : table_(table), problems_(problems) {}

  /// Fills `member` of every record from the column; a missing column or an empty cell is an error.
  template <class Record, class T, class... More>
  void required(std::string_view name, std::vector<Record>& records, T Record::*member, More... more) {
    if (const int column = find(name); column >= 0) {
      fill<EmptyText::is_refused>(column, name, records, member, more...);
    } else {
      problems_.error({1, 1}, "the table has no column '" + std::string(name) + "'", "add it");
    }
  }
  /// The same, but a column that is missing, and an empty cell of a column of texts, leave the records as they are.
  template <class Record, class T, class... More>
  void optional(std::string_view name, std::vector<Record>& records, T Record::*member, More... more) {
    if (const int column = find(name); column >= 0) fill<EmptyText::is_left>(column, name, records, member, more...);
  }

 private:
  enum class EmptyText { is_refused, is_left };

  [[nodiscard]] int find(std::string_view name) const;

  template <EmptyText empty_text, class Record, class T, class... More>
  void fill(int column, std::string_view name, std::vector<Record>& records, T Record::*member, More... more) {
    const std::string quoted = "'" + std::string(name) + "'";
    for (std::size_t row = 0; row < table_.rows.size(); ++row) {
      Node cell = table_.rows[row][static_cast<std::size_t>(column)];
      if constexpr (std::is_same_v<T, std::string>) {
        if (empty_text == EmptyText::is_left && cell.kind == Node::Kind::null) continue;
        // CSV has no types: the id 17 is as good a text as any.
        if (cell.kind == Node::Kind::scalar) cell.quoted = true;
      }
      convert(cell, quoted, records[row].*member, problems_, more...);
    }
  }

  const CsvTable& table_;
  Problems& problems_;
};

}  // namespace rooftune::text
