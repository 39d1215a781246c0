#include <memory>
#include <string>

#include "command_tree.hpp"
#include "commands.hpp"
#include "rooftune/runs/run.hpp"
#include "terminal.hpp"

namespace rooftune::app {

void add_completion_command(const Command& program, ExitCode& exit_code) {
  const Command command = program.add_subcommand("completion", "print a completion script for a shell, or the manual page");
  command.footer(
      "Examples: source <(rooftune completion bash)\n"
      "          rooftune completion zsh > ~/.zfunc/_rooftune\n"
      "          rooftune completion man | man -l -");
  const auto form = std::make_shared<std::string>();
  command.add_option("FORM", *form, "bash, zsh, or man for the manual page").required().check(one_of({"bash", "zsh", "man"}));
  command.callback([form, program, &exit_code] {
    if (*form == "bash") print_as_it_is(bash_completion(program.app()));
    if (*form == "zsh") print_as_it_is(zsh_completion(program.app()));
    if (*form == "man") print_as_it_is(manual_page(program.app(), runs::versions().at("rooftune")));
    exit_code = ExitCode::done;
  });
}

}  // namespace rooftune::app
