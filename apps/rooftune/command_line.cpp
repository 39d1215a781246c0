#include "command_line.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <system_error>
#include <utility>

#include "rooftune/core/printable.hpp"
#include "rooftune/text/number_text.hpp"

namespace rooftune::app {
namespace {

/// Why it is no number to take, or "".
std::string number_problem(const std::string& text, double least, bool excludes_least, double most) {
  const std::string shown = core::shown(text);
  if (text::has_leading_zero(text))
    return fmt::format("'{}' may be taken for an octal number (write it without leading zeros)", shown);
  if (!text::is_decimal_number(text)) return fmt::format("'{}' is no plain decimal number", shown);
  double value = 0.0;
  const char* const begin = text.data() + (text.front() == '+' ? 1 : 0);
  const auto [end, failed] = std::from_chars(begin, text.data() + text.size(), value);
  const bool is_in = failed == std::errc{} && (excludes_least ? value > least : value >= least) && value <= most;
  return is_in ? ""
               : fmt::format("{} is out of range (give {} {} and at most {:.10g})", shown,
                             excludes_least ? "a number above" : "at least", least, most);
}

Check number_check(double least, bool excludes_least, double most, std::string description) {
  return {.problem = [=](const std::string& text) { return number_problem(text, least, excludes_least, most); },
          .description = std::move(description)};
}

}  // namespace

Check positive(double most) { return number_check(0.0, true, most, "POSITIVE"); }
Check not_negative(double most) { return number_check(0.0, false, most, "NONNEGATIVE"); }
Check between(double least, double most) { return number_check(least, false, most, fmt::format("{} to {}", least, most)); }
Check seed() { return not_negative(static_cast<double>(std::numeric_limits<std::uint64_t>::max())); }

Check one_of(std::vector<std::string> words) {
  std::string listed = fmt::format("{{{}}}", fmt::join(words, ","));
  const auto problem = [words = std::move(words), listed](const std::string& text) {
    for (const std::string& word : words) {
      if (word == text) return std::string();
    }
    return fmt::format("{} not in {}", core::shown(text), listed);
  };
  return {.problem = problem, .description = std::move(listed)};
}

Option Option::required() const {
  option_->required();
  return *this;
}
Option Option::group(const std::string& name) const {
  option_->group(name);
  return *this;
}
Option Option::check(const Check& check) const {
  option_->check(CLI::Validator([problem = check.problem](std::string& text) { return problem(text); }, check.description));
  return *this;
}
Option Option::delimiter(char separator) const {
  option_->delimiter(separator);
  return *this;
}
Option Option::capture_default_str() const {
  option_->capture_default_str();
  return *this;
}
Option Option::expected(int values) const {
  option_->expected(values);
  return *this;
}
Option Option::excludes(const Option& other) const {
  option_->excludes(other.option_);
  return *this;
}
Option Option::excludes(const std::string& other) const {
  option_->excludes(other);
  return *this;
}
Option Option::needs(const Option& other) const {
  option_->needs(other.option_);
  return *this;
}
Option Option::repeatable() const {
  option_->allow_extra_args(false)->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  return *this;
}

bool Option::is_given() const { return option_->count() > 0; }

Command Command::add_subcommand(const std::string& name, const std::string& help) const {
  return Command(*app_->add_subcommand(name, help));
}
void Command::footer(const std::string& text) const { app_->footer(text); }
void Command::require_subcommand(int count) const { app_->require_subcommand(count); }
void Command::callback(std::function<void()> callback) const { app_->callback(std::move(callback)); }

template <class Value>
Option Command::add_option(const std::string& name, Value& value, const std::string& help) const {
  return Option(*app_->add_option(name, value, help));
}

Option Command::add_flag(const std::string& name, bool& value, const std::string& help) const {
  return Option(*app_->add_flag(name, value, help));
}

Option Command::option(const std::string& name) const { return Option(*app_->get_option(name)); }

Option Command::add_word(const std::string& name, std::vector<std::string> words, const std::string& help,
                         std::function<void(const std::string&)> take) const {
  return Option(*app_->add_option_function<std::string>(name, std::move(take), help)).check(one_of(std::move(words)));
}

template Option Command::add_option(const std::string&, std::string&, const std::string&) const;
template Option Command::add_option(const std::string&, std::optional<std::string>&, const std::string&) const;
template Option Command::add_option(const std::string&, std::optional<std::filesystem::path>&, const std::string&) const;
template Option Command::add_option(const std::string&, std::vector<std::string>&, const std::string&) const;
template Option Command::add_option(const std::string&, int&, const std::string&) const;
template Option Command::add_option(const std::string&, std::optional<int>&, const std::string&) const;
template Option Command::add_option(const std::string&, std::vector<int>&, const std::string&) const;
template Option Command::add_option(const std::string&, std::int64_t&, const std::string&) const;
template Option Command::add_option(const std::string&, std::optional<std::int64_t>&, const std::string&) const;
template Option Command::add_option(const std::string&, std::vector<std::int64_t>&, const std::string&) const;
template Option Command::add_option(const std::string&, std::uint64_t&, const std::string&) const;
template Option Command::add_option(const std::string&, std::optional<std::uint64_t>&, const std::string&) const;
template Option Command::add_option(const std::string&, double&, const std::string&) const;
template Option Command::add_option(const std::string&, std::optional<double>&, const std::string&) const;
template Option Command::add_option(const std::string&, std::vector<double>&, const std::string&) const;

}  // namespace rooftune::app
