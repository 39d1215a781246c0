#include "rooftune/kernels/tables.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "rooftune/core/letters.hpp"

namespace rooftune::kernels {

std::string_view format_name(NumberFormat format) {
  switch (format) {
    case NumberFormat::bf16: return "bf16";
    case NumberFormat::fp8: return "fp8";
    case NumberFormat::fp8_block: return "fp8_block";
    case NumberFormat::int4: return "int4";
    case NumberFormat::mxfp4: return "mxfp4";
    case NumberFormat::nvfp4: return "nvfp4";
  }
  return "";
}

double bytes_per_element(NumberFormat format) {
  switch (format) {
    case NumberFormat::bf16: return 2.0;
    case NumberFormat::fp8: return 1.0;
    case NumberFormat::fp8_block: return 1.0 + 4.0 / (128.0 * 128.0);
    case NumberFormat::int4: return 0.5 + 2.0 / 128.0;
    case NumberFormat::mxfp4: return 0.5 + 1.0 / 32.0;
    case NumberFormat::nvfp4: return 0.5 + 1.0 / 16.0;
  }
  return 2.0;
}

std::optional<NumberFormat> find_format(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, NumberFormat>, 13> kSpellings{{
      {"bf16", NumberFormat::bf16},
      {"bfloat16", NumberFormat::bf16},
      {"fp16", NumberFormat::bf16},
      {"float16", NumberFormat::bf16},
      {"half", NumberFormat::bf16},
      {"fp8", NumberFormat::fp8},
      {"float8", NumberFormat::fp8},
      {"fp8_e4m3", NumberFormat::fp8},
      {"float8_e4m3fn", NumberFormat::fp8},
      {"fp8_block", NumberFormat::fp8_block},
      {"int4", NumberFormat::int4},
      {"mxfp4", NumberFormat::mxfp4},
      {"nvfp4", NumberFormat::nvfp4},
  }};
  for (const auto& [spelling, format] : kSpellings) {
    if (core::same_word(name, spelling)) return format;
  }
  return std::nullopt;
}

double flops(const GemmRow& row) { return 2.0 * static_cast<double>(row.m) * static_cast<double>(row.n) * static_cast<double>(row.k); }

double weight_bytes(const GemmRow& row) {
  return static_cast<double>(row.n) * static_cast<double>(row.k) * bytes_per_element(row.format.value_or(NumberFormat::bf16));
}

double attention_pairs(double new_tokens, double kv_tokens, double window) {
  if (window <= 0.0 || kv_tokens <= window) return new_tokens * (kv_tokens - new_tokens) + new_tokens * new_tokens / 2.0;
  // The first tokens find less context than a window; all others see a whole one.
  const double filling = std::max(0.0, window - (kv_tokens - new_tokens));
  return filling * (window - filling / 2.0) + (new_tokens - filling) * window;
}

double flops(const AttentionRow& row) {
  const auto fresh = static_cast<double>(row.new_tokens);
  const auto context = static_cast<double>(row.kv_tokens);
  const auto window = static_cast<double>(row.window);
  const double pairs =
      row.new_tokens == 1 ? (window > 0.0 ? std::min(context, window) : context) : attention_pairs(fresh, context, window);
  return 4.0 * static_cast<double>(row.shape.heads * row.shape.head_dim * row.batch) * pairs;
}

double kv_bytes(const AttentionRow& row) {
  const std::int64_t read = row.window > 0 ? std::min(row.kv_tokens, row.window) : row.kv_tokens;
  return 2.0 * static_cast<double>(row.batch * read) * static_cast<double>(row.shape.kv_heads * row.shape.head_dim) *
         bytes_per_element(row.kv_format);
}

}  // namespace rooftune::kernels
