#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/domain/model.hpp"

namespace rooftune::data {

/// Reads one model: a Hugging Face `config.json` (or a folder that holds one), or our own facts (YAML, as in configs/models).
///
/// Of a config.json: `text_config` is used where there is one; the model is called after its folder, or after the file when
/// that is not called config.json. `generation_config.json` beside it gives the default sampling; without it that is unknown.
/// `quantization_config` (fp8, compressed-tensors, awq, gptq) gives the element widths of attention and FFN weights, each by
/// the share of its modules that the ignore list leaves in 16 bits. Models of 32 bits count as 16, which is how vLLM loads them.
[[nodiscard]] core::Result<domain::ModelSpec> read_model(const std::filesystem::path& path);

/// Models of files, of folders with a config.json, and of folders of both. A model that occurs again replaces the earlier one,
/// so that a user's own comes last and wins.
[[nodiscard]] core::Result<std::vector<domain::ModelSpec>> read_models(std::span<const std::filesystem::path> paths);

/// The models that ship (configs/models of the data directory).
[[nodiscard]] core::Result<std::vector<domain::ModelSpec>> default_models();

}  // namespace rooftune::data
