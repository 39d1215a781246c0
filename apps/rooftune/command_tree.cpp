#include "command_tree.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <string_view>
#include <vector>

namespace rooftune::app {
namespace {

/// A command with the words that lead to it: "kernels audit".
struct Command {
  std::string path;
  const CLI::App* app = nullptr;
};

void collect(const CLI::App& app, const std::string& path, std::vector<Command>& commands) {
  for (const CLI::App* sub : app.get_subcommands({})) {
    const std::string own = path.empty() ? sub->get_name() : path + " " + sub->get_name();
    commands.push_back({.path = own, .app = sub});
    collect(*sub, own, commands);
  }
}

std::vector<Command> commands_of(const CLI::App& program) {
  std::vector<Command> commands;
  collect(program, "", commands);
  return commands;
}

std::vector<std::string> names_of(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  return names;
}

std::vector<const CLI::Option*> named_options(const CLI::App& app) {
  return app.get_options([](const CLI::Option* option) { return option->nonpositional(); });
}

std::vector<const CLI::Option*> positionals(const CLI::App& app) {
  return app.get_options([](const CLI::Option* option) { return option->get_positional(); });
}

bool takes_value(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

/// The words between braces in an option's type ("{config,hardware-config}"), which CLI11 makes of its checks.
std::vector<std::string> choices_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const std::size_t open = type.find('{');
  const std::size_t close = type.find('}', open == std::string::npos ? 0 : open);
  std::vector<std::string> choices;
  if (open == std::string::npos || close == std::string::npos) return choices;
  std::string word;
  for (const char letter : type.substr(open + 1, close - open - 1)) {
    if (letter == ',') {
      choices.push_back(word);
      word.clear();
    } else {
      word += letter;
    }
  }
  choices.push_back(word);
  return choices;
}

std::vector<std::string> words_after(const CLI::App& app) {
  std::vector<std::string> words;
  for (const CLI::App* sub : app.get_subcommands({})) words.push_back(sub->get_name());
  for (const CLI::Option* option : named_options(app)) {
    for (const std::string& name : names_of(*option)) words.push_back(name);
  }
  return words;
}

std::string replaced(std::string text, std::string_view wanted, std::string_view by) {
  for (std::size_t at = text.find(wanted); at != std::string::npos; at = text.find(wanted, at + by.size())) {
    text.replace(at, wanted.size(), by);
  }
  return text;
}

/// A text between single quotes of _arguments, where brackets and colons mean something.
std::string zsh_text(const std::string& text) {
  std::string safe = replaced(text, "\\", "\\\\");
  for (const char* special : {"[", "]", ":"}) safe = replaced(safe, special, std::string("\\") + special);
  return replaced(safe, "'", "'\\''");
}

std::string zsh_values(const CLI::Option& option) {
  const std::vector<std::string> choices = choices_of(option);
  return choices.empty() ? "_files" : fmt::format("({})", fmt::join(choices, " "));
}

std::string zsh_arguments(const CLI::App& app, std::string_view indent) {
  std::string lines;
  for (const CLI::Option* option : named_options(app)) {
    for (const std::string& name : names_of(*option)) {
      const std::string repeatable = option->get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll ? "*" : "";
      lines += fmt::format(" \\\n{}'{}{}[{}]{}'", indent, repeatable, name, zsh_text(option->get_description()),
                           takes_value(*option) ? ":value:" + zsh_values(*option) : "");
    }
  }
  for (const CLI::Option* option : positionals(app)) {
    lines += fmt::format(" \\\n{}'{}:{}:{}'", indent, option->get_items_expected_max() > 1 ? "*" : "",
                         zsh_text(option->get_name(true)), zsh_values(*option));
  }
  return lines;
}

std::string zsh_function(const std::string& name, const CLI::App& app, std::string& others) {
  const auto subs = app.get_subcommands({});
  if (subs.empty()) return fmt::format("{}() {{\n  _arguments -s{}\n}}\n\n", name, zsh_arguments(app, "    "));
  std::string described;
  std::string cases;
  for (const CLI::App* sub : subs) {
    const std::string own = name + "_" + replaced(sub->get_name(), "-", "_");
    described += fmt::format("    '{}:{}'\n", sub->get_name(), zsh_text(sub->get_description()));
    cases += fmt::format("        {}) {} ;;\n", sub->get_name(), own);
    std::string nested;
    others += zsh_function(own, *sub, nested);
    others += nested;
  }
  return fmt::format(
      "{0}() {{\n"
      "  local -a commands=(\n{1}  )\n"
      "  local state\n"
      "  _arguments -C{2} \\\n    '1: :->command' \\\n    '*:: :->rest'\n"
      "  case $state in\n"
      "    command) _describe command commands ;;\n"
      "    rest)\n      case $words[1] in\n{3}      esac ;;\n"
      "  esac\n"
      "}}\n\n",
      name, described, zsh_arguments(app, "    "), cases);
}

/// Text as troff takes it literally.
std::string troff(const std::string& text) {
  std::string safe = replaced(replaced(text, "\\", "\\\\"), "-", "\\-");
  safe = replaced(safe, "\n.", "\n\\&.");
  return replaced(safe, "\n'", "\n\\&'");
}

std::string man_options(const CLI::App& app) {
  std::string text;
  const auto add = [&text](const CLI::Option& option, const std::string& heading) {
    text += fmt::format(".TP\n{}\n{}{}\n", heading, troff(option.get_description()), option.get_required() ? " (required)" : "");
  };
  for (const CLI::Option* option : positionals(app)) add(*option, fmt::format("\\fI{}\\fR", troff(option->get_name(true))));
  for (const CLI::Option* option : named_options(app)) {
    std::vector<std::string> names;
    for (const std::string& name : names_of(*option)) names.push_back("\\fB" + troff(name) + "\\fR");
    const std::string value = takes_value(*option) ? " \\fI" + troff(option->get_type_name()) + "\\fR" : "";
    add(*option, fmt::format("{}{}", fmt::join(names, ", "), value));
  }
  return text;
}

}  // namespace

std::string bash_completion(const CLI::App& program) {
  std::string values;
  std::string words = fmt::format("    '') words='{}' ;;\n", fmt::join(words_after(program), " "));
  std::vector<std::string> groups;
  for (const Command& command : commands_of(program)) {
    words += fmt::format("    '{}') words='{}' ;;\n", command.path, fmt::join(words_after(*command.app), " "));
    if (!command.app->get_subcommands({}).empty()) groups.push_back(fmt::format("'{}'", command.path));
    for (const CLI::Option* option : named_options(*command.app)) {
      const std::vector<std::string> choices = choices_of(*option);
      if (!takes_value(*option)) continue;
      for (const std::string& name : names_of(*option)) {
        values += choices.empty() ? fmt::format("    '{} {}') files=yes ;;\n", command.path, name)
                                  : fmt::format("    '{} {}') choices='{}' ;;\n", command.path, name, fmt::join(choices, " "));
      }
    }
    for (const CLI::Option* option : positionals(*command.app)) {
      const std::vector<std::string> choices = choices_of(*option);
      if (!choices.empty())
        values += fmt::format("    '{0} {1}') choices='{2}' ;;\n", command.path, command.app->get_name(), fmt::join(choices, " "));
    }
  }
  return fmt::format(
      "# Completion of rooftune for bash; made by: rooftune completion bash\n"
      "_rooftune() {{\n"
      "  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}}\n"
      "  local command='' words='' choices='' files='' i\n"
      "  for ((i = 1; i < COMP_CWORD; ++i)); do\n"
      "    case $command in\n"
      "      ''{0}) [[ ${{COMP_WORDS[i]}} == -* ]] || command=\"${{command:+$command }}${{COMP_WORDS[i]}}\" ;;\n"
      "    esac\n"
      "  done\n"
      "  case \"$command $previous\" in\n{1}  esac\n"
      "  case $command in\n{2}  esac\n"
      "  if [[ -n $choices ]]; then\n"
      "    mapfile -t COMPREPLY < <(compgen -W \"$choices\" -- \"$current\")\n"
      "  elif [[ -z $files && ( -z $command || $current == -* || \"{3}\" == *\"'$command'\"* ) ]]; then\n"
      "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
      "  else\n"
      "    mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
      "  fi\n"
      "}}\n"
      "complete -o filenames -F _rooftune rooftune\n",
      groups.empty() ? "" : fmt::format("|{}", fmt::join(groups, "|")), values, words, fmt::join(groups, " "));
}

std::string zsh_completion(const CLI::App& program) {
  std::string others;
  const std::string own = zsh_function("_rooftune", program, others);
  return "#compdef rooftune\n# Completion of rooftune for zsh; made by: rooftune completion zsh\n\n" + others + own +
         "if [ \"$funcstack[1]\" = _rooftune ]; then _rooftune \"$@\"; else compdef _rooftune rooftune; fi\n";
}

std::string manual_page(const CLI::App& program, const std::string& version) {
  std::string text = fmt::format(".TH ROOFTUNE 1 \"\" \"rooftune {}\" \"User Commands\"\n.SH NAME\nrooftune \\- {}\n", troff(version),
                                 troff("calibrates roofline models of LLM serving against measured benchmarks"));
  text += ".SH SYNOPSIS\n\\fBrooftune\\fR \\fICOMMAND\\fR [\\fIOPTIONS\\fR]\n.SH OPTIONS\n" + man_options(program) + ".SH COMMANDS\n";
  for (const Command& command : commands_of(program)) {
    text +=
        fmt::format(".SS rooftune {}\n{}\n{}", troff(command.path), troff(command.app->get_description()), man_options(*command.app));
    if (const std::string footer = command.app->get_footer(); !footer.empty()) {
      text += fmt::format(".PP\n.nf\n{}\n.fi\n", troff(footer));
    }
  }
  return text +
         ".SH ENVIRONMENT\n.TP\n\\fBNO_COLOR\\fR\nno colours, whatever the terminal\n.TP\n\\fBROOFTUNE_DATA_DIR\\fR\nfolder of the "
         "shipped "
         "models, GPUs and measurements\n.SH EXIT STATUS\n.TP\n0\ndone\n.TP\n1\nbad usage or input\n.TP\n2\nran, but no usable "
         "solution\n";
}

}  // namespace rooftune::app
