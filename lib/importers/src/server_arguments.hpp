#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "recorded_run.hpp"
#include "settings_text.hpp"

/// What vLLM's arguments mean to an experiment, whoever lists them: a server's log, a command line, a report of somebody's stack.
namespace rooftune::importers {

/// The settings of an experiment that an argument gives, under the experiment's names: none, one or (compilation_config) several.
[[nodiscard]] std::vector<SettingText> settings_of_argument(std::string_view name, std::string_view value);

/// Something that an argument switches on and no experiment has.
struct NotSimulated {
  std::string_view what{};     ///< empty: nothing is
  std::string described{};     ///< "eagle3, 3 tokens", "enable_lora=True"
  std::string_view assumed{};  ///< what is simulated in its place
};
[[nodiscard]] NotSimulated not_simulated(std::string_view name, std::string_view value);

/// Whether the argument is used, named by not_simulated() where it is on, or changes nothing about times.
[[nodiscard]] bool is_known_argument(std::string_view name);

/// What an object of arguments says: with the dashes of a command line, where a key without a value is a flag, or without; an object
/// where an argument takes JSON. Fills settings and places of the run, and names what is not simulated.
void read_arguments(const text::Node& arguments, RecordedRun& run);

}  // namespace rooftune::importers
