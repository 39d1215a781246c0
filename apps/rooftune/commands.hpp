#pragma once

#include <CLI/CLI.hpp>

#include "exit_code.hpp"

namespace rooftune::app {

// Each function adds one command to the program. When the command is given, it runs while the command line is parsed and
// leaves its outcome in `exit_code`.

void add_fit_command(CLI::App& program, ExitCode& exit_code);
void add_evaluate_command(CLI::App& program, ExitCode& exit_code);
void add_crossval_command(CLI::App& program, ExitCode& exit_code);
void add_onboard_command(CLI::App& program, ExitCode& exit_code);
void add_compare_command(CLI::App& program, ExitCode& exit_code);
void add_solvers_command(CLI::App& program, ExitCode& exit_code);
void add_recover_command(CLI::App& program, ExitCode& exit_code);
void add_capacity_command(CLI::App& program, ExitCode& exit_code);
void add_export_command(CLI::App& program, ExitCode& exit_code);
void add_init_command(CLI::App& program, ExitCode& exit_code);
void add_import_command(CLI::App& program, ExitCode& exit_code);
void add_improve_command(CLI::App& program, ExitCode& exit_code);
void add_kernels_command(CLI::App& program, ExitCode& exit_code);
void add_simulate_command(CLI::App& program, ExitCode& exit_code);
void add_validate_command(CLI::App& program, ExitCode& exit_code);
void add_observe_command(CLI::App& program, ExitCode& exit_code);
void add_params_command(CLI::App& program, ExitCode& exit_code);
void add_show_command(CLI::App& program, ExitCode& exit_code);
void add_diff_command(CLI::App& program, ExitCode& exit_code);
void add_report_command(CLI::App& program, ExitCode& exit_code);
void add_completion_command(CLI::App& program, ExitCode& exit_code);

}  // namespace rooftune::app
