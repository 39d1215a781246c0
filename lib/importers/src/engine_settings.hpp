#pragma once

#include <string>
#include <string_view>

#include "rooftune/domain/experiment.hpp"
#include "rooftune/text/object_reader.hpp"

namespace rooftune::importers {

/// Sets an engine setting from its text; names that no experiment has change nothing. Texts: numbers and flags; lists of numbers
/// with blanks or commas between them; speculative as "method", "method:tokens" or "method:tokens:accepted".
void assign_setting(domain::EngineSettings& settings, std::string_view name, const std::string& text, text::Problems& problems);

}  // namespace rooftune::importers
