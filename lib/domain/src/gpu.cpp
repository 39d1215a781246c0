#include "rooftune/domain/gpu.hpp"

#include <algorithm>
#include <cctype>

namespace rooftune::domain {
namespace {

std::string folded(std::string_view name) {
  std::string text(name);
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return c == '_' || c == ' ' ? '-' : static_cast<char>(std::tolower(c)); });
  return text;
}

}  // namespace

const GpuSpec* find_gpu(const std::vector<GpuSpec>& gpus, std::string_view name) {
  const std::string wanted = folded(name);
  for (const GpuSpec& gpu : gpus) {
    if (folded(gpu.name) == wanted) return &gpu;
    if (std::ranges::any_of(gpu.aliases, [&](const std::string& alias) { return folded(alias) == wanted; })) return &gpu;
  }
  return nullptr;
}

}  // namespace rooftune::domain
