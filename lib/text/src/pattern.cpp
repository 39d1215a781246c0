#include "rooftune/text/pattern.hpp"

#include <fmt/format.h>
#include <re2/re2.h>

#include <array>
#include <utility>

#include "rooftune/core/contract.hpp"
#include "rooftune/core/limits.hpp"
#include "rooftune/core/printable.hpp"

namespace rooftune::text {

struct Pattern::Compiled {
  explicit Compiled(std::string_view expression) : regex(re2::StringPiece(expression.data(), expression.size()), options()) {}

  static RE2::Options options() {
    RE2::Options options;
    options.set_log_errors(false);
    options.set_max_mem(static_cast<std::int64_t>(core::limits::kPatternBytes));
    // Bytes, so that a pattern works on texts that are not UTF-8 as well.
    options.set_encoding(RE2::Options::EncodingLatin1);
    return options;
  }

  RE2 regex;
};

namespace {

/// What RE2 leaves out, under the names that people know.
std::optional<std::string_view> name_of_unsupported(std::string_view expression) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kLookAround{
      {{"(?=", "look-ahead"}, {"(?!", "look-ahead"}, {"(?<=", "look-behind"}, {"(?<!", "look-behind"}}};
  for (const auto& [opening, name] : kLookAround) {
    if (expression.find(opening) != std::string_view::npos) return name;
  }
  for (std::size_t at = 0; at + 1 < expression.size(); ++at) {
    if (expression[at] != '\\') continue;
    if (expression[at + 1] >= '1' && expression[at + 1] <= '9') return "back-references";
    ++at;
  }
  return std::nullopt;
}

}  // namespace

tl::expected<Pattern, std::string> Pattern::compile(std::string_view expression) {
  if (expression.size() > core::limits::kPatternCharacters) {
    return tl::unexpected(fmt::format("'{}' is a regular expression of {} characters, and at most {} are taken",
                                      core::shown(expression), expression.size(), core::limits::kPatternCharacters));
  }
  auto compiled = std::make_shared<const Compiled>(expression);
  if (compiled->regex.ok()) return Pattern(std::move(compiled));
  if (const auto unsupported = name_of_unsupported(expression)) {
    return tl::unexpected(
        fmt::format("'{}' uses {}, which are not supported in regular expressions here", core::shown(expression), *unsupported));
  }
  return tl::unexpected(
      fmt::format("'{}' is no valid regular expression: {}", core::shown(expression), core::shown(compiled->regex.error())));
}

Pattern Pattern::known(std::string_view expression) {
  auto compiled = std::make_shared<const Compiled>(expression);
  ROOFTUNE_EXPECTS(compiled->regex.ok());
  return Pattern(std::move(compiled));
}

Pattern::Pattern(std::shared_ptr<const Compiled> compiled) : compiled_(std::move(compiled)) {}

int Pattern::groups() const { return compiled_->regex.NumberOfCapturingGroups(); }

std::optional<std::vector<std::string_view>> Pattern::search(std::string_view text) const {
  std::vector<re2::StringPiece> found(static_cast<std::size_t>(groups()) + 1);
  const re2::StringPiece whole(text.data(), text.size());
  if (!compiled_->regex.Match(whole, 0, text.size(), RE2::UNANCHORED, found.data(), static_cast<int>(found.size())))
    return std::nullopt;
  std::vector<std::string_view> result;
  for (std::size_t group = 1; group < found.size(); ++group) result.emplace_back(found[group].data(), found[group].size());
  return result;
}

bool Pattern::matches_start(std::string_view text) const {
  const re2::StringPiece whole(text.data(), text.size());
  return compiled_->regex.Match(whole, 0, text.size(), RE2::ANCHOR_START, nullptr, 0);
}

}  // namespace rooftune::text
