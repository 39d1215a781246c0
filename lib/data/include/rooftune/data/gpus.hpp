#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/domain/gpu.hpp"

namespace rooftune::data {

/// Reads a YAML file of GPUs in the form of configs/gpus.yaml. A name or alias that two GPUs share is an error. Facts that contradict
/// each other (sparse peaks, GB/s for TB/s) are added to `warnings` where it is given.
[[nodiscard]] core::Result<std::vector<domain::GpuSpec>> read_gpus(const std::filesystem::path& file,
                                                                   core::Diagnostics* warnings = nullptr);

/// The GPUs that ship (configs/gpus.yaml of the data directory).
[[nodiscard]] core::Result<std::vector<domain::GpuSpec>> default_gpus();

/// Such a file of these GPUs.
[[nodiscard]] std::string gpus_text(std::span<const domain::GpuSpec> gpus);

/// JSON Schema of such files: share/rooftune/schema/gpus.schema.json.
[[nodiscard]] std::string gpus_schema();

}  // namespace rooftune::data
