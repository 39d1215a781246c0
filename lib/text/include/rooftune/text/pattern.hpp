#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/core/diagnostics.hpp"

namespace rooftune::text {

/// A regular expression that may come from anywhere: matching takes time in proportion to the text, whatever the expression, and
/// memory within limits::kPatternBytes. RE2's syntax: that of Perl but for look-around and back-references, which are refused by name,
/// because they would cost just that.
class Pattern {
 public:
  /// The error's text says what is wrong, and quotes the expression cut short; the caller knows where it stands.
  [[nodiscard]] static tl::expected<Pattern, std::string> compile(std::string_view expression);
  /// One of our own, which is known to be right.
  [[nodiscard]] static Pattern known(std::string_view expression);

  /// Parentheses that keep what they match.
  [[nodiscard]] int groups() const;

  /// What each group matched at the first match in `text`, which goes on living elsewhere; empty for a group that took no part.
  [[nodiscard]] std::optional<std::vector<std::string_view>> search(std::string_view text) const;
  /// Whether it matches from the start of the text.
  [[nodiscard]] bool matches_start(std::string_view text) const;

 private:
  struct Compiled;
  explicit Pattern(std::shared_ptr<const Compiled> compiled);
  std::shared_ptr<const Compiled> compiled_;
};

}  // namespace rooftune::text
