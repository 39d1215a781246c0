#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <string>

#include "commands.hpp"
#include "options.hpp"
#include "rooftune/data/registry_file.hpp"
#include "rooftune/params/registry.hpp"
#include "rooftune/params/term.hpp"
#include "rooftune/report/text_table.hpp"
#include "terminal.hpp"

namespace rooftune::app {
namespace {

using params::ParameterSpec;
using params::SwitchSpec;

std::string bounds_of(const ParameterSpec& spec) { return fmt::format("{:g} .. {:g}", spec.lower, spec.upper); }

std::string words_of(const SwitchSpec& spec) { return fmt::format("{}", fmt::join(spec.choices, ", ")); }

/// Calls `visit(group, first)` for every group of the registry, in its order.
template <class Specs, class Visit>
void for_each_group(const Specs& specs, const Visit& visit) {
  std::string_view last;
  for (const auto& spec : specs) {
    if (spec.group() != last) visit(spec.group());
    last = spec.group();
  }
}

std::string plain_text() {
  const report::Colour colour = output_colour();
  std::string text;
  for_each_group(params::parameter_registry(), [&](std::string_view group) {
    report::TextTable table({{"parameter", report::Align::left},
                             {"unit", report::Align::left},
                             {"default"},
                             {"bounds"},
                             {"transform", report::Align::left},
                             {"scope", report::Align::left},
                             {"meaning", report::Align::left}});
    for (const ParameterSpec& spec : params::parameter_registry()) {
      if (spec.group() != group) continue;
      table.add({std::string(spec.id), std::string(spec.unit), fmt::format("{:g}", spec.initial), bounds_of(spec),
                 std::string(params::transform_name(spec.transform)), std::string(params::scope_name(spec.scope)),
                 std::string(spec.meaning)});
    }
    text += (text.empty() ? "" : "\n") + table.text(colour);
  });
  report::TextTable table({{"switch", report::Align::left},
                           {"default", report::Align::left},
                           {"choices", report::Align::left},
                           {"meaning", report::Align::left}});
  for (const SwitchSpec& spec : params::switch_registry()) {
    table.add({std::string(spec.id), std::string(spec.choices[spec.initial]), words_of(spec), std::string(spec.meaning)});
  }
  report::TextTable quantities(
      {{"quantity of terms", report::Align::left}, {"unit", report::Align::left}, {"meaning", report::Align::left}});
  for (const params::QuantitySpec& spec : params::quantities()) {
    quantities.add({std::string(spec.name), std::string(spec.unit), std::string(spec.meaning)});
  }
  return text + "\n" + table.text(colour) + "\n" + quantities.text(colour);
}

/// docs/parameters.md.
std::string markdown() {
  std::string text =
      "# Parameters\n\n"
      "Written by `rooftune params --markdown` from the parameter registry (`lib/params/src/registry.cpp`); do not edit.\n\n"
      "Ids are `<group>.<name>`. *Transform* is the space in which optimisers see a parameter; *scope* says where its value "
      "naturally\n"
      "differs. Bounds are the default search box and the range that files may use.\n";
  for_each_group(params::parameter_registry(), [&](std::string_view group) {
    text += fmt::format("\n## {}\n\n| id | unit | default | bounds | transform | scope | meaning | source of the default |\n", group);
    text += "|---|---|---|---|---|---|---|---|\n";
    for (const ParameterSpec& spec : params::parameter_registry()) {
      if (spec.group() != group) continue;
      text += fmt::format("| `{}` | {} | {:g} | {} | {} | {} | {} | {} |\n", spec.id, spec.unit, spec.initial, bounds_of(spec),
                          params::transform_name(spec.transform), params::scope_name(spec.scope), spec.meaning, spec.source);
    }
  });
  text +=
      "\n## Switches\n\nStructural choices: words, not numbers.\n\n| id | default | choices | meaning | source "
      "|\n|---|---|---|---|---|\n";
  for (const SwitchSpec& spec : params::switch_registry()) {
    text +=
        fmt::format("| `{}` | {} | {} | {} | {} |\n", spec.id, spec.choices[spec.initial], words_of(spec), spec.meaning, spec.source);
  }
  text +=
      "\n## Quantities\n\nWhat expressions of `terms` may read (docs/improve.md): what a step knows as a whole.\n\n| name | unit | "
      "meaning "
      "|\n|---|---|---|\n";
  for (const params::QuantitySpec& spec : params::quantities()) {
    text += fmt::format("| `{}` | {} | {} |\n", spec.name, spec.unit, spec.meaning);
  }
  return text;
}

}  // namespace

void add_params_command(const Command& program, ExitCode& exit_code) {
  const Command command = program.add_subcommand(
      "params", "list every parameter and switch with unit, bounds, default and meaning, and what terms may read");
  command.footer("Example: rooftune params --json");
  struct Forms {
    bool markdown = false;
    OutputOptions output;
  };
  const auto forms = std::make_shared<Forms>();
  const Option as_markdown = command.add_flag("--markdown", forms->markdown, "print docs/parameters.md");
  command.add_flag("--json", forms->output.json, "print one JSON object").excludes(as_markdown);
  add_csv_option(command, forms->output);
  command.callback([forms, &exit_code] {
    exit_code = write_csv(forms->output, data::registry_csv) ? ExitCode::done : ExitCode::bad_input;
    if (exit_code != ExitCode::done) return;
    if (forms->markdown || forms->output.json)
      print_data(forms->markdown ? markdown() : data::registry_json());
    else
      print(plain_text());
  });
}

}  // namespace rooftune::app
