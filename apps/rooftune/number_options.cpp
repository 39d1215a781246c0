#include "number_options.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <limits>
#include <string>
#include <system_error>

#include "rooftune/core/printable.hpp"
#include "rooftune/text/number_text.hpp"

namespace rooftune::app {
namespace {

/// Why it is no number to take, or "".
std::string check(const std::string& text, double least, bool excludes_least, double most) {
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

CLI::Validator within(double least, bool excludes_least, double most, const std::string& description) {
  CLI::Validator validator([=](std::string& text) { return check(text, least, excludes_least, most); }, description);
  return validator;
}

}  // namespace

CLI::Validator positive(double most) { return within(0.0, true, most, "POSITIVE"); }
CLI::Validator not_negative(double most) { return within(0.0, false, most, "NONNEGATIVE"); }
CLI::Validator between(double least, double most) { return within(least, false, most, fmt::format("{} to {}", least, most)); }
CLI::Validator seed() { return not_negative(static_cast<double>(std::numeric_limits<std::uint64_t>::max())); }

}  // namespace rooftune::app
