#pragma once

#include <string>
#include <string_view>

#include "rooftune/domain/experiment.hpp"
#include "rooftune/text/object_reader.hpp"

namespace rooftune::importers {

/// Sets an engine setting from its text; names that no experiment has change nothing. Texts: numbers and flags; lists of numbers
/// with blanks or commas between them; speculative as "method", "method:tokens", "method:tokens:length" or "method:tokens:share/share".
void assign_setting(domain::EngineSettings& settings, std::string_view name, const std::string& text, text::Problems& problems);

/// What a benchmark and its server's log say of drafts, together: how they are made, as the log has it where the benchmark does not
/// know; how many are accepted, as the benchmark has it, which saw this load alone.
[[nodiscard]] std::string joined_speculation(std::string_view benchmark, std::string_view log);

}  // namespace rooftune::importers
