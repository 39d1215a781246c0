#pragma once

#include <functional>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/core/limits.hpp"  // IWYU pragma: export

namespace CLI {
class App;
class Option;
}  // namespace CLI

/// How commands say what they take: the part of CLI11 that they need, so that its header, four seconds of compiling, stays out of
/// them. Commands and options are handles; what is behind them lives as long as the program's command line.
namespace rooftune::app {

/// A check of a value, and how help describes what passes.
struct Check {
  std::function<std::string(const std::string&)> problem;  ///< of the text, or ""
  std::string description;
};

// Numbers are checked as in files: plain decimal ones (no nan, no inf, no octal or hexadecimal ones) within bounds that the message
// says in few digits.
[[nodiscard]] Check positive(double most);
[[nodiscard]] Check not_negative(double most);
[[nodiscard]] Check between(double least, double most);
/// Of random streams: any whole number of 64 bits.
[[nodiscard]] Check seed();
[[nodiscard]] Check one_of(std::vector<std::string> words);

class Option {
 public:
  explicit Option(CLI::Option& option) : option_(&option) {}

  Option required() const;
  /// The heading of its part of the help.
  Option group(const std::string& name) const;
  Option check(const Check& check) const;
  /// Several values in one argument: 1,2,4.
  Option delimiter(char separator) const;
  /// Help shows what the variable holds now.
  Option capture_default_str() const;
  /// Exactly so many values.
  Option expected(int values) const;
  Option excludes(const Option& other) const;
  Option excludes(const std::string& other) const;
  Option needs(const Option& other) const;
  /// One value each time that it is given; all are kept.
  Option repeatable() const;
  /// Whether the command line has it; known once that is read.
  [[nodiscard]] bool is_given() const;

 private:
  CLI::Option* option_;
};

class Command {
 public:
  explicit Command(CLI::App& app) : app_(&app) {}

  [[nodiscard]] Command add_subcommand(const std::string& name, const std::string& help) const;
  /// Stands below the options in the help.
  void footer(const std::string& text) const;
  void require_subcommand(int count) const;
  void callback(std::function<void()> callback) const;

  /// What is given goes to `value`, which has to live on. For the types that are instantiated in command_line.cpp.
  template <class Value>
  Option add_option(const std::string& name, Value& value, const std::string& help) const;
  /// One of `words`, each standing for a value.
  template <class Value, class Words>
  Option add_choice(const std::string& name, Value& value, const Words& words, const std::string& help) const {
    std::vector<std::string> names;
    for (const auto& [word, meant] : words) names.emplace_back(word);
    return add_word(name, std::move(names), help, [&value, words](const std::string& given) {
      for (const auto& [word, meant] : words) {
        if (word == given) value = meant;
      }
    });
  }
  Option add_flag(const std::string& name, bool& value, const std::string& help) const;
  [[nodiscard]] Option option(const std::string& name) const;

  [[nodiscard]] CLI::App& app() const { return *app_; }

 private:
  Option add_word(const std::string& name, std::vector<std::string> words, const std::string& help,
                  std::function<void(const std::string&)> take) const;

  CLI::App* app_;
};

}  // namespace rooftune::app
