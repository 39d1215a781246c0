#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/data/kernel_tables.hpp"

/// Vidur's profiles of a model's operators on a GPU: compute/<gpu>/<org>/<model>/{mlp,attention}.csv and
/// network/<gpu>_<links>/all_reduce.csv, times in ms, 16-bit floats.
namespace rooftune::data {

/// Where the GPU's profiles lie in `folder`: the whole of them, compute/, or the GPU's own folder.
[[nodiscard]] std::optional<KernelFolder> find_vidur_profiles(const std::filesystem::path& folder, const domain::GpuSpec& gpu);

/// Whether the folder is one GPU's: it holds profiles of models.
[[nodiscard]] bool is_vidur_folder(const std::filesystem::path& folder);

/// Every profile in one GPU's folder: the linear layers of every model as matrix products, its attention, and all-reduces.
[[nodiscard]] core::Result<kernels::MeasuredKernels> read_vidur_profiles(const std::filesystem::path& folder, std::string_view gpu);

}  // namespace rooftune::data
