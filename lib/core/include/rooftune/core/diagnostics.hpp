#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>
#include <vector>

namespace rooftune::core {

/// A place in a file. Lines and columns count from 1; 0 means "not known" and is left out of messages.
struct SourcePosition {
  std::string file;
  int line = 0;
  int column = 0;

  friend bool operator==(const SourcePosition&, const SourcePosition&) = default;
};

enum class Severity { error, warning };

/// One finding about a user's input: where, what, and what to do about it.
struct Diagnostic {
  SourcePosition position;
  std::string problem;
  std::string remedy;
  Severity severity = Severity::error;

  friend bool operator==(const Diagnostic&, const Diagnostic&) = default;
};

using Diagnostics = std::vector<Diagnostic>;

/// Adds what else was found to what was.
inline void append(Diagnostics& all, const Diagnostics& more) { all.insert(all.end(), more.begin(), more.end()); }

/// The value, or everything that is wrong with the user's input. Not for our own bugs (ROOFTUNE_EXPECTS) nor for
/// ordinary numerical outcomes (values with a Termination).
template <class T>
using Result = tl::expected<T, Diagnostics>;

/// `file:line:column: error: problem (remedy)`; parts that are not known are left out.
[[nodiscard]] std::string format(const Diagnostic& diagnostic);

/// One line per diagnostic.
[[nodiscard]] std::string format(const Diagnostics& diagnostics);

/// A failed result that carries one error.
[[nodiscard]] tl::unexpected<Diagnostics> fail(SourcePosition position, std::string problem, std::string remedy);

/// The candidate closest to `word` by edit distance, or an empty view when none is close enough to be a misspelling.
[[nodiscard]] std::string_view closest_match(std::string_view word, const std::vector<std::string_view>& candidates);

/// "did you mean 'X'?" when a candidate is close, else "known: A, B, C".
[[nodiscard]] std::string suggest(std::string_view word, const std::vector<std::string_view>& candidates);

}  // namespace rooftune::core
