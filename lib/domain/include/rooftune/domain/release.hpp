#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>

namespace rooftune::domain {

/// A release of an engine or a library: 0.15.1 is {0, 15, 1}.
struct Release {
  int major = 0;
  int minor = 0;
  int patch = 0;
  friend constexpr auto operator<=>(const Release&, const Release&) = default;
};

/// The release that a text begins with, after a name ("vllm-0.14.0", "nccl-2.29.2", "vllm/vllm-openai:v0.15.1") or a 'v': "0.15.1", "v0.11.0rc2", "0.14",
/// "0.10.2 (blank in data)". Empty where it names none ("nightly-5b8c30d", "main").
[[nodiscard]] std::optional<Release> find_release(std::string_view text);
/// "0.15.1"
[[nodiscard]] std::string release_text(Release release);

/// The engine as the rules know it: "vllm" and "sglang" however they are written, others as they are.
[[nodiscard]] std::string engine_name(std::string_view text);

}  // namespace rooftune::domain
