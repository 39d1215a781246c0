#include "rooftune/domain/gpu.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <optional>

#include "rooftune/core/letters.hpp"

namespace rooftune::domain {
namespace {

std::string folded(std::string_view name) {
  std::string text(name);
  std::ranges::transform(text, text.begin(), [](char c) { return c == '_' || c == ' ' ? '-' : core::lower(c); });
  return text;
}

/// Words that tools add to a GPU's name without saying which GPU it is: vendor, brand, memory technology, bus of the module, cooling
/// ("AC"), a cloud's network ("mega"), time slices of a Kubernetes node ("SHARED").
constexpr std::array<std::string_view, 21> kPlainWords{"nvidia", "tesla", "amd",   "instinct", "gpu",    "gb",   "hbm2",
                                                       "hbm2e",  "hbm3",  "hbm3e", "oam",      "sxm",    "sxm2", "sxm3",
                                                       "sxm4",   "sxm5",  "sxm6",  "nvlink",   "shared", "mega", "ac"};
/// Of a size in the name, GB of the marketing against GiB of the data sheet.
constexpr double kSameMemory = 0.12;
/// A larger number without a unit is part of a product's name: "RTX 4090".
constexpr double kLargestBareSize = 1000.0;

/// A GPU's name as driver, Kubernetes labels and benchmarks spell it: "NVIDIA-H100-80GB-HBM3", "Tesla V100-SXM2-32GB".
struct ToolName {
  std::string family{};  ///< "h100"
  std::optional<double> memory_gb{};
  std::vector<std::string> variants{};  ///< words that make it another GPU: "pcie", "nvl", "mig"
};

std::optional<double> size_in(std::string_view word) {
  double size = 0.0;
  const auto [end, failure] = std::from_chars(word.data(), word.data() + word.size(), size);
  const std::string_view rest = word.substr(static_cast<std::size_t>(end - word.data()));
  if (failure != std::errc() || (!rest.empty() && rest != "gb" && rest != "gib")) return std::nullopt;
  if (rest.empty() && size > kLargestBareSize) return std::nullopt;
  return size;
}

/// The name alone: without the key of a label ("nvidia.com/gpu.product=...") and without a count ("8x", "8 x ").
std::string_view without_label_and_count(std::string_view text) {
  text.remove_prefix(text.find('=') == std::string_view::npos ? 0 : text.find('=') + 1);
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::size_t times = std::min(text.find_first_not_of(' ', digits), text.size());
  if (digits > 0 && times < text.size() && (text[times] == 'x' || text[times] == 'X')) text.remove_prefix(times + 1);
  return text;
}

ToolName tool_name(std::string_view text) {
  text = without_label_and_count(text);
  ToolName name;
  std::string word;
  const auto end_word = [&] {
    if (word.empty()) return;
    const bool is_plain = std::ranges::find(kPlainWords, word) != kPlainWords.end();
    if (const auto size = size_in(word)) {
      name.memory_gb = size;
    } else if (!is_plain && name.family.empty()) {
      name.family = word;
    } else if (!is_plain) {
      name.variants.push_back(word);
    }
    word.clear();
  };
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
      word += core::lower(c);
    } else {
      end_word();
    }
  }
  end_word();
  std::ranges::sort(name.variants);
  return name;
}

bool is_named(const GpuSpec& gpu, const ToolName& wanted) {
  if (wanted.family.empty()) return false;
  if (wanted.memory_gb && std::abs(*wanted.memory_gb / gpu.memory.value - 1.0) > kSameMemory) return false;
  const auto is_same = [&](std::string_view own) {
    const ToolName name = tool_name(own);
    return name.family == wanted.family && name.variants == wanted.variants;
  };
  return is_same(gpu.name) || std::ranges::any_of(gpu.aliases, is_same);
}

}  // namespace

const GpuSpec* find_gpu(const std::vector<GpuSpec>& gpus, std::string_view name) {
  const std::string wanted = folded(name);
  for (const GpuSpec& gpu : gpus) {
    if (folded(gpu.name) == wanted) return &gpu;
    if (std::ranges::any_of(gpu.aliases, [&](const std::string& alias) { return folded(alias) == wanted; })) return &gpu;
  }
  const ToolName spelled = tool_name(name);
  const auto found = std::ranges::find_if(gpus, [&](const GpuSpec& gpu) { return is_named(gpu, spelled); });
  return found == gpus.end() ? nullptr : &*found;
}

}  // namespace rooftune::domain
