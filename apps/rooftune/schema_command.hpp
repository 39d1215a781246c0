#pragma once

#include <CLI/CLI.hpp>

#include "exit_code.hpp"

namespace rooftune::app {

/// Adds `rooftune schema` (commands.hpp says how).
void add_schema_command(CLI::App& program, ExitCode& exit_code);

}  // namespace rooftune::app
