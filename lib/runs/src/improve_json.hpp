#pragma once

#include <nlohmann/json.hpp>

#include "rooftune/improve/journal.hpp"

namespace rooftune::runs {

[[nodiscard]] nlohmann::ordered_json finding_json(const improve::Finding& finding);

/// A journal of improvements without the studies of its rounds.
[[nodiscard]] nlohmann::ordered_json journal_json(const improve::JournalEntries& journal);

}  // namespace rooftune::runs
