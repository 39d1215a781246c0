#include "rooftune/core/diagnostics.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "rooftune/core/limits.hpp"
#include "rooftune/core/printable.hpp"

namespace rooftune::core {
namespace {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t above = row[j + 1];
      row[j + 1] = std::min({above + 1, row[j] + 1, diagonal + (a[i] == b[j] ? 0U : 1U)});
      diagonal = above;
    }
  }
  return row.back();
}

}  // namespace

std::string format(const Diagnostic& diagnostic) {
  const auto on_one_line = [](std::string text) {
    for (std::size_t at = text.find('\n'); at != std::string::npos; at = text.find('\n', at)) text.replace(at, 1, "\\n");
    return text;
  };
  const auto cut = [](const std::string& text) {
    return text.size() <= limits::kMessageCharacters ? text : text.substr(0, limits::kMessageCharacters) + "...";
  };
  std::string text = diagnostic.position.file;
  if (diagnostic.position.line > 0) {
    text += fmt::format(":{}", diagnostic.position.line);
    if (diagnostic.position.column > 0) text += fmt::format(":{}", diagnostic.position.column);
  }
  if (!text.empty()) text += ": ";
  text += diagnostic.severity == Severity::error ? "error: " : "warning: ";
  text += cut(diagnostic.problem);
  if (!diagnostic.remedy.empty()) text += fmt::format(" ({})", cut(diagnostic.remedy));
  // Names, keys and what programs say come from anywhere.
  return printable(on_one_line(std::move(text)));
}

std::string format(const Diagnostics& diagnostics) {
  std::string text;
  for (const Diagnostic& diagnostic : diagnostics) text += format(diagnostic) + "\n";
  return text;
}

tl::unexpected<Diagnostics> fail(SourcePosition position, std::string problem, std::string remedy) {
  return tl::unexpected(Diagnostics{
      {.position = std::move(position), .problem = std::move(problem), .remedy = std::move(remedy), .severity = Severity::error}});
}

std::string_view closest_match(std::string_view word, const std::vector<std::string_view>& candidates) {
  std::string_view best;
  if (word.size() > limits::kSuggestionCharacters) return best;  // no misspelling, and the distance would take long
  std::size_t best_distance = word.size() / 3 + 2;
  for (std::string_view candidate : candidates) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

std::string suggest(std::string_view word, const std::vector<std::string_view>& candidates) {
  const std::string_view match = closest_match(word, candidates);
  if (!match.empty()) return fmt::format("did you mean '{}'?", match);
  return fmt::format("known: {}", fmt::join(candidates, ", "));
}

}  // namespace rooftune::core
