#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rooftune::report {

/// Whether texts carry ANSI colours. The caller knows whether a terminal reads them.
enum class Colour { off, on };

/// What a text means; shown as colour where there is one, never needed to understand it.
enum class Tone { plain, good, bad, faint };

enum class Align { left, right };

struct Column {
  std::string heading;  ///< with its unit; '\n' separates lines
  Align align = Align::right;
};

struct Cell {
  std::string text;
  Tone tone = Tone::plain;
  bool is_title = false;

  Cell(std::string cell_text, Tone cell_tone = Tone::plain)
      : text(std::move(cell_text)), tone(cell_tone) {}  // NOLINT: cells are texts
  Cell(const char* cell_text) : text(cell_text) {}      // NOLINT

  /// Of a row about the others ("mean |error|"): never shortened, where it may reach over empty cells beside it.
  [[nodiscard]] static Cell title(std::string text) {
    Cell cell(std::move(text));
    cell.is_title = true;
    return cell;
  }
};

/// A table of aligned columns: headings, a rule, rows; two spaces apart, no line ends in spaces.
class TextTable {
 public:
  explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}

  /// A row with a cell for every column.
  void add(std::vector<Cell> row);
  /// A line between the rows before and those after.
  void add_rule() { rules_.push_back(rows_.size()); }
  [[nodiscard]] bool empty() const { return rows_.empty(); }

  [[nodiscard]] std::string text(Colour colour) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
  std::vector<std::size_t> rules_;  ///< rows that have a rule above them
};

/// The text in the tone's colour.
[[nodiscard]] std::string toned(std::string_view text, Tone tone, Colour colour);

}  // namespace rooftune::report
