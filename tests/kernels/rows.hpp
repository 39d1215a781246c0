#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "rooftune/kernels/tables.hpp"

/// Rows of kernel tables in one line.
namespace rooftune::kernels {

inline GemmRow gemm_row(std::optional<NumberFormat> format, std::int64_t m, std::int64_t n, std::int64_t k, double latency_us,
                        std::string engine = {}) {
  GemmRow row;
  row.format = format;
  row.m = m;
  row.n = n;
  row.k = k;
  row.latency_us = latency_us;
  row.engine = std::move(engine);
  return row;
}

}  // namespace rooftune::kernels
