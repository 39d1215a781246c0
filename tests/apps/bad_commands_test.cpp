// What the program says about inputs that only a whole command finds wrong: tests/bad_inputs/commands/<name>.command holds the
// arguments (OUT stands for a new folder, '' for an empty one), <name>.command.expected what goes to standard error and the exit code.
#include <gtest/gtest.h>

#include <sstream>

#include "command_line.hpp"
#include "support/bad_inputs.hpp"

namespace rooftune::testing_support {
namespace {

namespace fs = std::filesystem;

std::string replaced(std::string text, const std::string& wanted, const std::string& by) {
  for (std::size_t at = text.find(wanted); at != std::string::npos; at = text.find(wanted, at + by.size())) {
    text.replace(at, wanted.size(), by);
  }
  return text;
}

std::vector<std::string> arguments_of(const fs::path& command, const fs::path& out) {
  std::istringstream words(replaced(bad_inputs::text_of(command), "OUT", out.string()));
  std::vector<std::string> arguments{std::istream_iterator<std::string>(words), {}};
  std::ranges::replace(arguments, "''", "");
  return arguments;
}

TEST(BadCommands, AreRefusedWithPlaceAndRemedy) {
  for (const fs::path& input : bad_inputs::inputs_of("commands")) {
    if (input.extension() != ".command") continue;
    const TemporaryFolder out;
    const ProgramResult result = rooftune(arguments_of(input, out.path()), {.working_directory = input.parent_path()});
    const std::string said = replaced(replaced(result.errors, out.path().string(), "OUT"), shipped(""), "");
    bad_inputs::expect_messages(input, said + "exit code " + std::to_string(result.exit_code) + "\n");
  }
}

}  // namespace
}  // namespace rooftune::testing_support
