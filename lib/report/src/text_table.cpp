#include "rooftune/report/text_table.hpp"

#include <algorithm>

#include "rooftune/core/contract.hpp"
#include "rooftune/core/printable.hpp"

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

std::string TextTable::text(Colour colour) const {
  std::vector<std::size_t> widths;
  std::size_t heading_lines = 1;
  for (std::size_t column = 0; column < columns_.size(); ++column) {
    std::size_t width = 0;
    const auto headings = lines_of(columns_[column].heading);
    heading_lines = std::max(heading_lines, headings.size());
    for (const std::string_view line : headings) width = std::max(width, width_of(line));
    for (const auto& row : rows_) width = std::max(width, width_of(row[column].text));
    widths.push_back(width);
  }

  const auto padded = [&](std::size_t column, std::string_view shown, Tone tone) {
    const std::string padding(widths[column] - width_of(shown), ' ');
    const std::string body = toned(shown, tone, colour);
    return columns_[column].align == Align::left ? body + padding : padding + body;
  };
  const auto joined = [&](const auto& cell_of) {
    std::string line;
    for (std::size_t column = 0; column < columns_.size(); ++column) line += (column == 0 ? "" : "  ") + cell_of(column);
    return without_trailing_spaces(std::move(line)) + "\n";
  };
  const std::string rule = joined([&](std::size_t column) { return std::string(widths[column], '-'); });

  std::string result;
  for (std::size_t line = 0; line < heading_lines; ++line) {
    result += joined([&](std::size_t column) {
      const auto headings = lines_of(columns_[column].heading);
      const std::size_t first = heading_lines - headings.size();
      return padded(column, line < first ? std::string_view() : headings[line - first], Tone::plain);
    });
  }
  result += rule;
  for (std::size_t row = 0; row < rows_.size(); ++row) {
    if (std::ranges::find(rules_, row) != rules_.end()) result += rule;
    result += joined([&](std::size_t column) { return padded(column, rows_[row][column].text, rows_[row][column].tone); });
  }
  return result;
}

}  // namespace rooftune::report
