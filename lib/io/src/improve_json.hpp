#pragma once

#include <nlohmann/json.hpp>

#include "rooftune/study/journal.hpp"

namespace rooftune::io {

/// A journal of improvements without the studies of its rounds.
[[nodiscard]] nlohmann::ordered_json journal_json(const study::JournalEntries& journal);

}  // namespace rooftune::io
