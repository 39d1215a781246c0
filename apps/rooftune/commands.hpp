#pragma once

#include "command_line.hpp"
#include "exit_code.hpp"

namespace rooftune::app {

// Each function adds one command to the program. When the command is given, it runs while the command line is parsed and
// leaves its outcome in `exit_code`.

void add_fit_command(const Command& program, ExitCode& exit_code);
void add_evaluate_command(const Command& program, ExitCode& exit_code);
void add_crossval_command(const Command& program, ExitCode& exit_code);
void add_onboard_command(const Command& program, ExitCode& exit_code);
void add_compare_command(const Command& program, ExitCode& exit_code);
void add_solvers_command(const Command& program, ExitCode& exit_code);
void add_recover_command(const Command& program, ExitCode& exit_code);
void add_capacity_command(const Command& program, ExitCode& exit_code);
void add_export_command(const Command& program, ExitCode& exit_code);
void add_init_command(const Command& program, ExitCode& exit_code);
void add_import_command(const Command& program, ExitCode& exit_code);
void add_improve_command(const Command& program, ExitCode& exit_code);
void add_kernels_command(const Command& program, ExitCode& exit_code);
void add_simulate_command(const Command& program, ExitCode& exit_code);
void add_validate_command(const Command& program, ExitCode& exit_code);
void add_watch_command(const Command& program, ExitCode& exit_code);
void add_observe_command(const Command& program, ExitCode& exit_code);
void add_params_command(const Command& program, ExitCode& exit_code);
void add_schema_command(const Command& program, ExitCode& exit_code);
void add_show_command(const Command& program, ExitCode& exit_code);
void add_diff_command(const Command& program, ExitCode& exit_code);
void add_report_command(const Command& program, ExitCode& exit_code);
void add_store_command(const Command& program, ExitCode& exit_code);
void add_completion_command(const Command& program, ExitCode& exit_code);

}  // namespace rooftune::app
