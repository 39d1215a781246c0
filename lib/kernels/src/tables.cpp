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

double flops(const GemmRow& row) { return 2.0 * static_cast<double>(row.m) * static_cast<double>(row.n) * static_cast<double>(row.k); }

double weight_bytes(const GemmRow& row) {
  return static_cast<double>(row.n) * static_cast<double>(row.k) * bytes_per_element(row.format.value_or(NumberFormat::bf16));
}

double flops(const AttentionRow& row) {
  const auto fresh = static_cast<double>(row.new_tokens);
  const auto context = static_cast<double>(row.kv_tokens);
  const double pairs = row.new_tokens == 1 ? context : fresh * (context - fresh) + fresh * fresh / 2.0;
  return 4.0 * static_cast<double>(row.shape.heads * row.shape.head_dim * row.batch) * pairs;
}

double kv_bytes(const AttentionRow& row) {
  return 2.0 * static_cast<double>(row.batch * row.kv_tokens) * static_cast<double>(row.shape.kv_heads * row.shape.head_dim) *
         bytes_per_element(row.kv_format);
}

}  // namespace rooftune::kernels
