#pragma once

#include <string>

#include "rooftune/improve/improve.hpp"
#include "rooftune/report/text_table.hpp"

namespace rooftune::report {

/// One round in one line: verdict, move, held-out score before and after, noise, price, and why.
[[nodiscard]] std::string round_line(const improve::RoundRecord& round, Colour colour);

/// The strongest findings about a structure, and what became of the moves that were screened for it.
[[nodiscard]] std::string screening_lines(const improve::ScreeningRecord& screening, Colour colour);

/// What happened, in the end: changes that were kept, held-out errors before and after by group, errors on runs that no decision
/// saw, what is still wrong, and what to measure next.
[[nodiscard]] std::string improvement_story(const improve::Improvement& improvement, Colour colour);

}  // namespace rooftune::report
