#include "rooftune/kernels/tables.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

namespace rooftune::kernels {

std::string_view format_name(NumberFormat format) {
  switch (format) {
    case NumberFormat::bf16: return "bf16";
    case NumberFormat::fp8: return "fp8";
  }
  return "";
}

std::optional<NumberFormat> find_format(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, NumberFormat>, 9> kSpellings{{
      {"bf16", NumberFormat::bf16},
      {"bfloat16", NumberFormat::bf16},
      {"fp16", NumberFormat::bf16},
      {"float16", NumberFormat::bf16},
      {"half", NumberFormat::bf16},
      {"fp8", NumberFormat::fp8},
      {"float8", NumberFormat::fp8},
      {"fp8_e4m3", NumberFormat::fp8},
      {"float8_e4m3fn", NumberFormat::fp8},
  }};
  const auto same_letter = [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; };
  for (const auto& [spelling, format] : kSpellings) {
    if (std::ranges::equal(name, spelling, same_letter)) return format;
  }
  return std::nullopt;
}

}  // namespace rooftune::kernels
