#include "rooftune/text/number_text.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

namespace rooftune::text {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Takes characters from the front of a text.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  [[nodiscard]] bool at_end() const { return rest_.empty(); }

  bool take(std::string_view any_of) {
    if (rest_.empty() || any_of.find(rest_.front()) == std::string_view::npos) return false;
    rest_.remove_prefix(1);
    return true;
  }

  std::size_t take_digits() {
    const auto end = std::ranges::find_if_not(rest_, is_digit);
    const auto count = static_cast<std::size_t>(end - rest_.begin());
    rest_.remove_prefix(count);
    return count;
  }

 private:
  std::string_view rest_;
};

}  // namespace

bool is_decimal_number(std::string_view text) {
  Scanner scanner(text);
  scanner.take("+-");
  const bool starts_with_zero = scanner.take("0");
  const bool has_whole = starts_with_zero || scanner.take_digits() > 0;
  const bool has_point = scanner.take(".");
  const bool has_fraction = has_point && scanner.take_digits() > 0;
  if (!has_whole && !has_fraction) return false;
  if (scanner.take("eE")) {
    scanner.take("+-");
    if (scanner.take_digits() == 0) return false;
  }
  return scanner.at_end();
}

bool has_leading_zero(std::string_view text) {
  Scanner scanner(text);
  scanner.take("+-");
  if (!scanner.take("0") || scanner.take_digits() == 0) return false;
  if (scanner.take(".")) scanner.take_digits();
  return scanner.at_end();
}

bool is_special_number(std::string_view text) {
  constexpr std::array<std::string_view, 3> kWords{"nan", "inf", "infinity"};
  if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
  if (text.starts_with('.')) text.remove_prefix(1);
  return std::ranges::any_of(kWords, [&](std::string_view word) { return equals_ignoring_case(text, word); });
}

bool equals_ignoring_case(std::string_view text, std::string_view lower_case) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::ranges::equal(text, lower_case, {}, lower);
}

}  // namespace rooftune::text
