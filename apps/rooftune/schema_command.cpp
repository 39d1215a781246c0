
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "commands.hpp"
#include "rooftune/runs/schemas.hpp"
#include "terminal.hpp"

namespace rooftune::app {
namespace {

ExitCode run(const std::string& name) {
  const auto text = name.empty() ? runs::schema_names().transform([](const std::vector<std::string>& names) {
    return fmt::format("{}\n", fmt::join(names, "\n"));
  })
                                 : runs::schema(name);
  if (!text) return refuse(text.error());
  print_as_it_is(*text);
  return ExitCode::done;
}

}  // namespace

void add_schema_command(const Command& program, ExitCode& exit_code) {
  const Command command = program.add_subcommand("schema", "print the JSON Schema of a kind of file or of a command's --json");
  command.footer(
      "Examples: rooftune schema\n"
      "          rooftune schema study > study.schema.json");
  const auto name = std::make_shared<std::string>();
  command.add_option("NAME", *name, "what to describe, e.g. study, config, fit; without it the names are listed");
  command.callback([name, &exit_code] { exit_code = run(*name); });
}

}  // namespace rooftune::app
