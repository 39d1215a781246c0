#pragma once

#include <map>
#include <string>
#include <vector>

#include "command_line.hpp"
#include "rooftune/core/diagnostics.hpp"
#include "rooftune/importers/import_record.hpp"

namespace rooftune::app {

/// What of a run its files may not say is grouped so in the help.
constexpr auto kSaidOptions = "What the files do not say";

/// --model, --gpu, --tp, --workload, and engine settings into `settings`, for `apply_settings`.
void add_said_options(const Command& command, importers::ImportOptions& import, std::vector<std::string>& settings);
/// Takes engine settings as --set gives them (key=value) into `settings`; gives what is wrong with them.
[[nodiscard]] core::Diagnostics apply_settings(const std::vector<std::string>& given, std::map<std::string, std::string>& settings);

}  // namespace rooftune::app
