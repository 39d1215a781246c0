// The keywords of functions are the program's options, read by its parser: one set of names, checks and messages.
#include "words.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>

#include "load_options.hpp"
#include "ranks.hpp"
#include "requests.hpp"

// The options ask for the other ranks of the program; the module is one process.
namespace rooftune::app {
core::Ranks* ranks() { return nullptr; }
}  // namespace rooftune::app

namespace rooftune::python {
namespace {

using Add = std::function<void(const app::Command&)>;

/// What each function takes beside its positional arguments. The variables that values go to are no one's here.
struct Scratch {
  app::DataOptions overrides;
  SimulationRequest simulation;
  CapacityQuestion capacity;
  StepTimeRequest step_time;
};

std::map<std::string, Add> functions(Scratch& scratch) {
  return {
      {"open_study", [&](const app::Command& command) { add_overrides(command, scratch.overrides); }},
      {"simulate", [&](const app::Command& command) { add_simulation(command, scratch.simulation); }},
      {"capacity",
       [&](const app::Command& command) { app::add_capacity_options(command, scratch.capacity.overrides, scratch.capacity.request); }},
      {"step_time", [&](const app::Command& command) { add_step_time_options(command, scratch.step_time); }},
  };
}

/// Of every keyword: its name ("tp" of "--tp"), what help says of it, whether it is a flag, and whether several values are joined by
/// commas instead of given one by one.
py::list described(const std::string& function) {
  Scratch scratch;
  CLI::App program;
  functions(scratch).at(function)(app::Command(program));
  py::list all;
  for (const CLI::Option* option : program.get_options()) {
    if (option->get_lnames().empty() || option->get_lnames().front() == "help") continue;
    std::string name = option->get_lnames().front();
    std::ranges::replace(name, '-', '_');
    std::string text = option->get_description();
    if (!option->get_default_str().empty()) text += fmt::format(" (default: {})", option->get_default_str());
    all.append(py::make_tuple(name, text, option->get_items_expected_max() == 0, option->get_delimiter() == ','));
  }
  return all;
}

}  // namespace

void read_words(const std::string& function, const Words& words, const Add& add, const Add& parsed) {
  CLI::App program("", function);
  program.set_help_flag();
  add(app::Command(program));
  try {
    Words reversed(words.rbegin(), words.rend());  // as the parser takes them
    program.parse(std::move(reversed));
  } catch (const CLI::ParseError& error) {
    fail(error.what(), fmt::format("see help(rooftune.{})", function));
  }
  if (parsed) parsed(app::Command(program));
}

runs::StudyOverrides read_overrides(const std::string& function, const Words& words) {
  app::DataOptions overrides;
  read_words(function, words, [&](const app::Command& command) { add_overrides(command, overrides); });
  return overrides;
}

void add_options(py::module_& module) {
  module.def("described_options", &described, py::arg("function"),
             "(name, meaning, is a flag, is joined by commas) of every keyword of a function.");
}

}  // namespace rooftune::python
