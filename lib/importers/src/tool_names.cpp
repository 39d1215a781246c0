#include "tool_names.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <vector>

#include "rooftune/core/letters.hpp"
#include "settings_text.hpp"

namespace rooftune::importers {
namespace {

constexpr std::string_view kCachePrefix = "models--";
/// Folders inside a model's own, and those that hold models: neither names one.
constexpr std::array<std::string_view, 6> kInside{"snapshots", "main", "model", "weights", "checkpoint", "checkpoints"};
constexpr std::array<std::string_view, 8> kPlaces{"models", "hub", "huggingface", "data", "mnt", "storage", "cache", "home"};

std::vector<std::string_view> parts_of(std::string_view path) {
  std::vector<std::string_view> parts;
  for (std::size_t start = 0; start <= path.size();) {
    const std::size_t end = std::min(path.find('/', start), path.size());
    if (end > start) parts.push_back(path.substr(start, end - start));
    start = end + 1;
  }
  return parts;
}

template <std::size_t count>
bool is_among(const std::array<std::string_view, count>& words, std::string_view part) {
  return std::ranges::find(words, core::lower(part)) != words.end();
}

/// The name of a snapshot: a commit.
bool is_hash(std::string_view part) {
  constexpr std::size_t kShortestHash = 12;
  return part.size() >= kShortestHash && std::ranges::all_of(part, [](unsigned char c) { return std::isxdigit(c) != 0; });
}

/// "1", "v2": model servers keep versions so.
bool is_version(std::string_view part) {
  if (part.starts_with('v')) part.remove_prefix(1);
  return !part.empty() && std::ranges::all_of(part, [](unsigned char c) { return std::isdigit(c) != 0; });
}

}  // namespace

std::string model_name_of(std::string_view id) {
  const std::vector<std::string_view> parts = parts_of(id);
  for (const std::string_view part : parts) {
    if (!part.starts_with(kCachePrefix)) continue;
    const std::string_view name = part.substr(kCachePrefix.size());
    const std::size_t between = name.find("--");
    if (between == std::string_view::npos) return std::string(name);
    return std::string(name.substr(0, between)) + "/" + std::string(name.substr(between + 2));
  }
  const bool is_path = id.starts_with('/') || id.starts_with('.') || id.starts_with('~') || parts.size() > 2;
  if (!is_path) return std::string(id);
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    if (is_hash(*part) || is_version(*part) || is_among(kInside, *part)) continue;
    return part->starts_with('.') || *part == "~" || is_among(kPlaces, *part) ? std::string() : std::string(*part);
  }
  return {};
}

}  // namespace rooftune::importers
