#pragma once

#include <filesystem>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/kernels/kernel_summary.hpp"

namespace rooftune::data {

/// Reads an efficiency summary (schema `rooftune/kernel-efficiency/1`, written by scripts/import/summarise_kernels.py).
[[nodiscard]] core::Result<std::vector<kernels::KernelSummary>> read_kernel_summaries(const std::filesystem::path& file);

}  // namespace rooftune::data
