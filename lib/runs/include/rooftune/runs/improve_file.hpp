#pragma once

#include <string>

#include "rooftune/improve/improve.hpp"

namespace rooftune::runs {

/// `rooftune improve --json` (schema `rooftune/improvement/1`): rounds, screenings, why it ended, the runs that
/// no decision saw, and what to measure next. The studies of the rounds are in the journal; the run folder's `result.json` is the fit of
/// the result.
[[nodiscard]] std::string improvement_json(const improve::Improvement& improvement);

/// One line for every round.
[[nodiscard]] std::string improvement_csv(const improve::JournalEntries& journal);

}  // namespace rooftune::runs
