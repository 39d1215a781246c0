#pragma once

#include <optional>
#include <string>
#include <vector>

#include "rooftune/calibrate/prepare.hpp"
#include "rooftune/improve/journal.hpp"
#include "rooftune/improve/moves.hpp"

namespace rooftune::improve {

/// What somebody outside is asked: what is wrong with the structure as it is, and what was tried. No measurement is part of it.
struct Question {
  const calibrate::PreparedStudy& study;
  const std::vector<Finding>& findings;
  const JournalEntries& journal;
};

/// Moves that somebody outside thinks of.
struct Answer {
  std::vector<Move> moves{};
  std::vector<std::string> unusable{};   ///< items that are no moves, and why
  std::optional<std::string> failure{};  ///< why there is no answer
};

/// A person's script or a language model: it is asked once a diagnosis, and its moves are judged like any other.
class Proposer {
 public:
  Proposer() = default;
  Proposer(const Proposer&) = delete;
  Proposer& operator=(const Proposer&) = delete;
  virtual ~Proposer() = default;
  /// Never fails: what goes wrong is part of the answer.
  [[nodiscard]] virtual Answer ask(const Question& question) = 0;
};

/// What stands before the ids of its moves.
inline constexpr std::string_view kOutside = "outside:";

}  // namespace rooftune::improve
