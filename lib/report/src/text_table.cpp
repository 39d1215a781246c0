#include "rooftune/report/text_table.hpp"

#include <algorithm>
#include <set>

#include "rooftune/core/contract.hpp"
#include "rooftune/core/printable.hpp"
#include "rooftune/report/line_width.hpp"

namespace rooftune::report {
namespace {

/// Characters, not bytes: continuation bytes of UTF-8 take no room.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (true) {
    const std::size_t end = text.find('\n');
    lines.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return lines;
    text.remove_prefix(end + 1);
  }
}

std::string without_trailing_spaces(std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

using Columns = std::vector<Column>;
using Rows = std::vector<std::vector<Cell>>;

/// Between two columns.
constexpr std::size_t kGap = 2;
/// Below, a name says nothing any more.
constexpr std::size_t kShortestName = 10;
/// Columns that a table keeps, however narrow the terminal.
constexpr std::size_t kFewestColumns = 3;
constexpr std::string_view kEllipsis = "\u2026";

int& width_of_lines() {
  static int characters = 0;
  return characters;
}

/// The first so many characters.
std::string_view first_characters(std::string_view text, std::size_t count) {
  std::size_t end = 0;
  for (; end < text.size(); ++end) {
    if ((static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) continue;
    if (count-- == 0) break;
  }
  return text.substr(0, end);
}

/// Beginning and end of a name that is too long.
std::string without_middle(std::string_view text, std::size_t most) {
  const std::size_t width = width_of(text);
  if (width <= most) return std::string(text);
  const std::size_t tail = (most - 1) / 3;
  std::string result(first_characters(text, most - 1 - tail));
  result += kEllipsis;
  return result.append(text.substr(first_characters(text, width - tail).size()));
}

/// A title that stands where names stand, with nothing beside it ("mean |error|" of a last row): it has the room of what it stands for.
bool is_title(const std::vector<Cell>& row) { return row.size() > 1 && row[0].is_title && row[1].text.empty(); }

std::size_t column_width(const Columns& columns, const Rows& rows, std::size_t column) {
  std::size_t width = 0;
  for (const std::string_view line : lines_of(columns[column].heading)) width = std::max(width, width_of(line));
  for (const auto& row : rows) {
    if (column > 0 || !is_title(row)) width = std::max(width, width_of(row[column].text));
  }
  return width;
}

std::size_t table_width(const Columns& columns, const Rows& rows, const auto& width_of_column) {
  std::size_t width = columns.empty() ? 0 : kGap * (columns.size() - 1);
  for (std::size_t column = 0; column < columns.size(); ++column) width += width_of_column(columns, rows, column);
  return width;
}

/// Takes a column out. The heading of a group stands above its first column, and then above the next.
void erase_column(Columns& columns, Rows& rows, std::size_t column) {
  const std::string heading = columns[column].heading;
  const std::size_t end = heading.find('\n');
  const bool leads_group = end != std::string::npos && end > 0;
  if (leads_group && column + 1 < columns.size() && columns[column + 1].heading.starts_with('\n')) {
    columns[column + 1].heading.insert(0, heading, 0, end);
  }
  columns.erase(columns.begin() + static_cast<std::ptrdiff_t>(column));
  for (auto& row : rows) row.erase(row.begin() + static_cast<std::ptrdiff_t>(column));
}

std::string one_line(std::string heading) {
  for (std::size_t end = heading.find("-\n"); end != std::string::npos; end = heading.find("-\n", end)) heading.erase(end + 1, 1);
  std::ranges::replace(heading, '\n', ' ');
  heading.erase(0, heading.find_first_not_of(' '));
  return heading;
}

/// Takes out what every row has in common (but not the first column), and says what that was.
std::vector<std::string> take_constant_columns(Columns& columns, Rows& rows) {
  std::vector<std::string> taken;
  for (std::size_t column = columns.size() - 1; column > 0 && rows.size() > 1; --column) {
    const std::string& first = rows.front()[column].text;
    const bool is_same = std::ranges::all_of(rows, [&](const auto& row) { return row[column].text == first; });
    const bool is_alone = columns[column].heading.find('\n') == std::string::npos && !columns[column].heading.empty();
    if (!is_same || first.empty() || !is_alone) continue;
    if (first != "-") taken.insert(taken.begin(), columns[column].heading + " " + first);
    erase_column(columns, rows, column);
  }
  return taken;
}

/// How long names have to stay so that those which differ still do.
std::size_t telling_width(const Rows& rows, std::size_t column, std::size_t from, std::size_t width) {
  std::set<std::string_view> names;
  for (const auto& row : rows) names.insert(row[column].text);
  for (; from < width; ++from) {
    std::set<std::string> shortened;
    for (const std::string_view name : names) shortened.insert(without_middle(name, from));
    if (shortened.size() == names.size()) break;
  }
  return from;
}

/// What a column takes at least: names lose their middle down to this, numbers nothing.
std::size_t narrowest_width(const Columns& columns, const Rows& rows, std::size_t column) {
  const std::size_t width = column_width(columns, rows, column);
  if (columns[column].align == Align::right) return width;
  const std::size_t shortest = std::max(kShortestName, width_of(one_line(columns[column].heading)));
  return telling_width(rows, column, std::min(width, shortest), width);
}

/// Names, the longest first, lose their middle until the table fits or they say nothing any more.
void shorten_names(Columns& columns, Rows& rows, std::size_t most) {
  while (table_width(columns, rows, column_width) > most) {
    std::size_t widest = columns.size();
    for (std::size_t column = 0; column < columns.size(); ++column) {
      const std::size_t width = column_width(columns, rows, column);
      if (width <= narrowest_width(columns, rows, column)) continue;
      if (widest == columns.size() || width > column_width(columns, rows, widest)) widest = column;
    }
    if (widest == columns.size()) return;
    const std::size_t target = column_width(columns, rows, widest) - 1;
    for (auto& row : rows) {
      if (widest > 0 || !is_title(row)) row[widest].text = without_middle(row[widest].text, target);
    }
  }
}

/// A heading with that of its group, which stands above the group's first column.
std::string full_name(const Columns& columns, std::size_t column) {
  const std::string& heading = columns[column].heading;
  std::size_t first = column;
  while (first > 0 && columns[first].heading.starts_with('\n')) --first;
  const std::size_t end = columns[first].heading.find('\n');
  const bool has_group = first < column && end != std::string::npos;
  return has_group ? columns[first].heading.substr(0, end) + " " + one_line(heading) : one_line(heading);
}

/// Columns are left out from the right: what stands first says most. Those without a heading are remarks about the row.
std::vector<std::string> take_last_columns(Columns& columns, Rows& rows, std::size_t most) {
  std::vector<std::string> taken;
  while (columns.size() > kFewestColumns && table_width(columns, rows, narrowest_width) > most) {
    std::size_t last = columns.size() - 1;
    while (last > 0 && columns[last].heading.empty()) --last;
    if (last == 0) break;
    std::string name = full_name(columns, last);
    if (std::ranges::find(taken, name) == taken.end()) taken.insert(taken.begin(), std::move(name));
    erase_column(columns, rows, last);
  }
  return taken;
}

/// "what a, b, c", broken between words.
std::string note(std::string_view what, const std::vector<std::string>& names, std::size_t most) {
  std::string text(what);
  std::size_t length = width_of(what);
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string word = names[i] + (i + 1 < names.size() ? "," : "");
    const bool is_new_line = length + 1 + width_of(word) > most;
    text += (is_new_line ? "\n  " : " ") + word;
    length = (is_new_line ? 2 : length + 1) + width_of(word);
  }
  return text;
}

/// The table as it is.
std::string laid_out(const Columns& columns, const Rows& rows, const std::vector<std::size_t>& rules, Colour colour) {
  std::vector<std::size_t> widths;
  std::size_t heading_lines = 1;
  for (std::size_t column = 0; column < columns.size(); ++column) {
    heading_lines = std::max(heading_lines, lines_of(columns[column].heading).size());
    widths.push_back(column_width(columns, rows, column));
  }

  const auto padded = [&](std::size_t column, std::string_view shown, Tone tone) {
    const std::string padding(widths[column] - width_of(shown), ' ');
    const std::string body = toned(shown, tone, colour);
    return columns[column].align == Align::left ? body + padding : padding + body;
  };
  const auto joined = [&](const auto& cell_of, std::size_t from = 0) {
    std::string line;
    for (std::size_t column = from; column < columns.size(); ++column)
      line += std::string(column == 0 ? 0 : kGap, ' ') + cell_of(column);
    return without_trailing_spaces(std::move(line)) + "\n";
  };
  // Over the columns beside it that are empty, as far as it needs them; after those the row goes on as any other.
  const auto title = [&](const std::vector<Cell>& row, std::size_t& next) {
    std::size_t room = widths[0];
    for (next = 1; next < columns.size() && row[next].text.empty() && room < width_of(row[0].text); ++next)
      room += kGap + widths[next];
    const std::string shown = without_middle(row[0].text, room);
    return toned(shown, row[0].tone, colour) + std::string(room - width_of(shown), ' ');
  };
  const std::string rule = joined([&](std::size_t column) { return std::string(widths[column], '-'); });

  std::string result;
  for (std::size_t line = 0; line < heading_lines; ++line) {
    result += joined([&](std::size_t column) {
      const auto headings = lines_of(columns[column].heading);
      const std::size_t first = heading_lines - headings.size();
      return padded(column, line < first ? std::string_view() : headings[line - first], Tone::plain);
    });
  }
  result += rule;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    if (std::ranges::find(rules, row) != rules.end()) result += rule;
    std::size_t next = 0;
    if (is_title(rows[row])) result += title(rows[row], next);
    result += joined([&](std::size_t column) { return padded(column, rows[row][column].text, rows[row][column].tone); }, next);
  }
  return result;
}

}  // namespace

std::string toned(std::string_view text, Tone tone, Colour colour) {
  if (colour == Colour::off || tone == Tone::plain) return std::string(text);
  const std::string_view code = tone == Tone::good ? "\033[32m" : (tone == Tone::bad ? "\033[31m" : "\033[2m");
  return std::string(code) + std::string(text) + "\033[0m";
}

void TextTable::add(std::vector<Cell> row) {
  ROOFTUNE_EXPECTS(row.size() == columns_.size());
  for (Cell& cell : row) {  // names come from anywhere
    std::ranges::replace(cell.text, '\n', ' ');
    cell.text = core::printable(cell.text);
  }
  rows_.push_back(std::move(row));
}

void set_line_width(int characters) { width_of_lines() = characters; }

int line_width() { return width_of_lines(); }

std::string TextTable::text(Colour colour) const {
  const auto most = static_cast<std::size_t>(std::max(0, line_width()));
  if (most == 0 || table_width(columns_, rows_, column_width) <= most) return laid_out(columns_, rows_, rules_, colour);
  Columns columns = columns_;
  Rows rows = rows_;
  const std::vector<std::string> constant = take_constant_columns(columns, rows);
  const std::vector<std::string> left_out = take_last_columns(columns, rows, most);
  shorten_names(columns, rows, most);
  std::string text = laid_out(columns, rows, rules_, colour);
  if (!constant.empty()) text += toned(note("in every row:", constant, most), Tone::faint, colour) + "\n";
  if (!left_out.empty()) text += toned(note("--wide shows", left_out, most), Tone::faint, colour) + "\n";
  return text;
}

}  // namespace rooftune::report
