#include "rooftune/domain/release.hpp"

#include <array>
#include <charconv>

#include "rooftune/core/letters.hpp"

namespace rooftune::domain {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string_view without_name(std::string_view text) {
  if (const std::size_t colon = text.rfind(':'); colon != std::string_view::npos) text.remove_prefix(colon + 1);  // an image's tag
  if (const std::size_t dash = text.find('-'); dash != std::string_view::npos && !text.empty() && !is_digit(text.front())) {
    const std::string_view behind = text.substr(dash + 1);
    if (!behind.empty() && (is_digit(behind.front()) || behind.front() == 'v')) text = behind;
  }
  if (text.starts_with('v')) text.remove_prefix(1);
  return text;
}

}  // namespace

std::optional<Release> find_release(std::string_view text) {
  text = without_name(text);
  std::array<int, 3> numbers{};
  std::size_t found = 0;
  const char* at = text.data();
  const char* const end = text.data() + text.size();
  while (found < numbers.size() && at != end && is_digit(*at)) {
    const auto [next, failure] = std::from_chars(at, end, numbers[found]);
    if (failure != std::errc{}) break;
    ++found;
    if (next == end || *next != '.') break;
    at = next + 1;
  }
  // "0.14" is a release, a single number ("5b8c30d") is not.
  if (found < 2) return std::nullopt;
  return Release{.major = numbers[0], .minor = numbers[1], .patch = numbers[2]};
}

std::string release_text(Release release) {
  return std::to_string(release.major) + "." + std::to_string(release.minor) + "." + std::to_string(release.patch);
}

std::string engine_name(std::string_view text) {
  for (const std::string_view known : {"vllm", "sglang"}) {
    if (core::same_word(text, known)) return std::string(known);
  }
  return std::string(text);
}

}  // namespace rooftune::domain
