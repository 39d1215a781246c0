#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/domain/gpu.hpp"

/// Configs that ship (configs/tuned of the data directory): `<gpu>.<step_time_model>.json`, and `<gpu>.json`, the best of a GPU's.
/// They have names, their file's without ".json", by which they are found from any folder.
namespace rooftune::data {

/// Whether the text is the name of a config and no path: it has neither a '/' nor the suffix of a file ("./h100" is a path).
[[nodiscard]] bool is_config_name(std::string_view text);

/// The file that a name or a path stands for. An error where no config of that name ships; whether a path exists is left to its
/// reader.
[[nodiscard]] core::Result<std::filesystem::path> find_config(const std::string& name_or_path);

/// The name of the config that ships for a GPU, of a step-time model or the best; nothing where none does.
[[nodiscard]] std::optional<std::string> shipped_config_of(const domain::GpuSpec& gpu,
                                                           const std::optional<std::string>& step_time_model,
                                                           const std::vector<domain::GpuSpec>& gpus);

}  // namespace rooftune::data
