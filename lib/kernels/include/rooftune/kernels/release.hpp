#pragma once

#include <compare>
#include <optional>
#include <string_view>

namespace rooftune::kernels {

/// A release of an engine, as "vllm-0.14.0" or "0.14.0" names it.
struct Release {
  int major = 0;
  int minor = 0;
  int patch = 0;
  friend auto operator<=>(const Release&, const Release&) = default;
};

/// Empty where the text names no release ("nightly-5b8c30d", "unknown"). What follows the numbers ("rc1", "+cu130") is ignored.
[[nodiscard]] std::optional<Release> find_release(std::string_view text);

}  // namespace rooftune::kernels
