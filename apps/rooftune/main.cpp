#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "commands.hpp"
#include "ranks.hpp"
#include "rooftune/core/diagnostics.hpp"
#include "rooftune/core/memory.hpp"
#include "rooftune/core/printable.hpp"
#include "rooftune/runs/interruption.hpp"
#include "rooftune/runs/run.hpp"
#include "rooftune/sim/simulate.hpp"
#include "run_options.hpp"
#include "terminal.hpp"

namespace rooftune::app {
namespace {

std::vector<std::string> command_names(const CLI::App& program) {
  std::vector<std::string> names;
  for (const CLI::App* command : program.get_subcommands({})) names.push_back(command->get_name());
  return names;
}

/// The complaint about the word that stands where a command should, when it is none.
core::Diagnostics check_command(const CLI::App& program, const std::vector<std::string>& words) {
  if (words.empty() || words.front().starts_with('-')) return {};
  const std::vector<std::string> names = command_names(program);
  if (std::ranges::find(names, words.front()) != names.end()) return {};
  return {{.position = {},
           .problem = fmt::format("unknown command '{}'", words.front()),
           .remedy = core::suggest(words.front(), {names.begin(), names.end()})}};
}

/// `rooftune help COMMAND` is `rooftune COMMAND --help`.
std::vector<std::string> words_of(int argument_count, char** arguments) {
  std::vector<std::string> words(arguments + std::min(1, argument_count), arguments + argument_count);
  if (words.empty() || words.front() != "help") return words;
  words.erase(words.begin());
  words.emplace_back("--help");
  return words;
}

std::string given_command(const CLI::App& program) {
  const auto given = program.get_subcommands();
  return given.empty() ? "" : " " + given.front()->get_name();
}

/// "did you mean '--rate'? or ", where an option that the command does not have is close to one that it has.
std::string meant_option(const CLI::App& program) {
  const CLI::App* command = &program;
  while (!command->get_subcommands().empty()) command = command->get_subcommands().front();
  std::vector<std::string> options;
  for (const CLI::Option* option : command->get_options()) {
    for (const std::string& name : option->get_lnames()) options.push_back("--" + name);
  }
  for (const std::string& word : command->remaining()) {
    if (!word.starts_with("--")) continue;
    const std::string_view match = core::closest_match(word.substr(0, word.find('=')), {options.begin(), options.end()});
    if (!match.empty()) return fmt::format("did you mean '{}'? or ", match);
  }
  return "";
}

int run(int argument_count, char** arguments) {
  start_ranks();
  remember_command_line(argument_count, arguments);
  CLI::App program("Calibrates roofline models of LLM serving against measured benchmarks.", "rooftune");
  program.set_version_flag("--version",
                           fmt::format("rooftune {}\nsimulator {}", runs::versions().at("rooftune"), sim::simulator_identity()));
  program.require_subcommand(1);
  program.footer(
      "The options of a command: rooftune help COMMAND\n"
      "Exit codes: 0 done, 1 bad usage or input, 2 ran but no usable solution.\n"
      "A first run: rooftune fit experiments/quickstart.yaml");
  ExitCode exit_code = ExitCode::done;
  const Command commands(program);
  add_init_command(commands, exit_code);
  add_fit_command(commands, exit_code);
  add_evaluate_command(commands, exit_code);
  add_crossval_command(commands, exit_code);
  add_compare_command(commands, exit_code);
  add_solvers_command(commands, exit_code);
  add_recover_command(commands, exit_code);
  add_improve_command(commands, exit_code);
  add_onboard_command(commands, exit_code);
  add_simulate_command(commands, exit_code);
  add_capacity_command(commands, exit_code);
  add_export_command(commands, exit_code);
  add_import_command(commands, exit_code);
  add_observe_command(commands, exit_code);
  add_watch_command(commands, exit_code);
  add_kernels_command(commands, exit_code);
  add_validate_command(commands, exit_code);
  add_params_command(commands, exit_code);
  add_schema_command(commands, exit_code);
  add_show_command(commands, exit_code);
  add_diff_command(commands, exit_code);
  add_report_command(commands, exit_code);
  add_store_command(commands, exit_code);
  add_completion_command(commands, exit_code);

  std::vector<std::string> words = words_of(argument_count, arguments);
  if (const core::Diagnostics problems = check_command(program, words); !problems.empty()) {
    print_errors(problems);
    return static_cast<int>(ExitCode::bad_input);
  }
  if (const core::Diagnostics problems = check_ranks(words); !problems.empty()) {
    print_errors(problems);
    return static_cast<int>(ExitCode::bad_input);
  }
  const Heartbeat heartbeat;
  try {
    std::ranges::reverse(words);  // as the parser takes them
    program.parse(std::move(words));
  } catch (const CLI::ParseError& error) {
    // Help and version arrive as "errors" of exit code 0.
    if (error.get_exit_code() == 0) return program.exit(error);
    print_errors({{.position = {},
                   .problem = error.what(),
                   .remedy = fmt::format("{}see rooftune{} --help", meant_option(program), given_command(program))}});
    return static_cast<int>(ExitCode::bad_input);
  }
  return static_cast<int>(exit_code);
}

}  // namespace
}  // namespace rooftune::app

int main(int argument_count, char** arguments) {
  using namespace rooftune;
  app::open_missing_streams();
  core::keep_freed_memory();
  int exit_code = static_cast<int>(app::ExitCode::bad_input);
  std::optional<runs::SignalWatch> signals;  // as long as this process waits for the others
  try {
    signals.emplace();
    exit_code = app::run(argument_count, arguments);
  } catch (const std::bad_alloc&) {
    app::say("error: the memory of this machine is not enough for that (give fewer or shorter inputs)\n");
  } catch (const std::length_error&) {
    app::say("error: the memory of this machine is not enough for that (give fewer or shorter inputs)\n");
  } catch (const std::exception& error) {
    app::say(
        fmt::format("error: {} (this is a bug of rooftune; please report it with the command line)\n", core::printable(error.what())));
  }
  if (!app::finish_output()) exit_code = static_cast<int>(app::ExitCode::bad_input);
  return app::end_ranks(exit_code);
}
