#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "rooftune/core/word.hpp"
#include "rooftune/domain/gpu.hpp"
#include "rooftune/text/form.hpp"

namespace rooftune::data {

inline constexpr std::array<core::Word<domain::Interconnect>, 2> kInterconnects{
    {{"nvlink", domain::Interconnect::nvlink}, {"pcie", domain::Interconnect::pcie}}};

template <class Table>
[[nodiscard]] std::vector<std::string_view> words_of(const Table& table) {
  std::vector<std::string_view> words;
  for (const auto& [word, value] : table) words.push_back(word);
  return words;
}

/// A GPU in a file of GPUs.
[[nodiscard]] text::Form<domain::GpuSpec> gpu_form();

}  // namespace rooftune::data
