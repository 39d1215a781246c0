#include "rooftune/kernels/release.hpp"

#include <array>
#include <charconv>

namespace rooftune::kernels {

std::optional<Release> find_release(std::string_view text) {
  if (const std::size_t dash = text.find('-'); dash != std::string_view::npos && dash + 1 < text.size()) {
    const char next = text[dash + 1];
    if (next >= '0' && next <= '9' && (text.front() < '0' || text.front() > '9')) text.remove_prefix(dash + 1);
  }
  std::array<int, 3> numbers{};
  const char* at = text.data();
  const char* const end = text.data() + text.size();
  std::size_t found = 0;
  for (; found < numbers.size(); ++found) {
    const auto [after, failure] = std::from_chars(at, end, numbers[found]);
    if (failure != std::errc()) break;
    at = after;
    if (at == end || *at != '.') {
      ++found;
      break;
    }
    ++at;
  }
  // "0.14" is a release, a single number ("5b8c30d") is not.
  if (found < 2) return std::nullopt;
  return Release{.major = numbers[0], .minor = numbers[1], .patch = numbers[2]};
}

}  // namespace rooftune::kernels
