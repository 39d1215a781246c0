#pragma once

#include "command_line.hpp"
#include "exit_code.hpp"

namespace rooftune::app {

/// Adds `rooftune watch` (commands.hpp says how).
void add_watch_command(const Command& program, ExitCode& exit_code);

}  // namespace rooftune::app
