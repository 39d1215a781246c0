#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/domain/model.hpp"

namespace rooftune::data {

/// Reads one model: a Hugging Face `config.json` (or a folder that holds one, or a model's folder in a Hugging Face cache), or our
/// own facts (YAML, as in configs/models).
///
/// Of a config.json: `text_config` is used where there is one; the model is called after its folder, or after the file when
/// that is not called config.json. What a config leaves out has the default of its class in transformers where that is known.
/// `quantization_config`, or hf_quant_config.json beside it, says how every matrix of every layer and the KV cache are kept.
/// generation_config.json gives the default sampling; without it that is unknown. Models of 32 bits count as 16, which is how
/// vLLM loads them. What was filled in, and what is not modelled, is in the model's notes.
[[nodiscard]] core::Result<domain::ModelSpec> read_model(const std::filesystem::path& path);

/// A model of a folder of several that could not be read.
struct UnreadableModel {
  std::string name;
  core::Diagnostics problems;
};

/// Models of files, of folders with a config.json, and of folders of both (a Hugging Face cache too). A model that occurs again
/// replaces the earlier one, so that a user's own comes last and wins. With `set_aside`, models of a folder of several that
/// cannot be read go there; else they fail all.
[[nodiscard]] core::Result<std::vector<domain::ModelSpec>> read_models(std::span<const std::filesystem::path> paths,
                                                                       std::vector<UnreadableModel>* set_aside = nullptr);

/// The models that ship (configs/models of the data directory).
[[nodiscard]] core::Result<std::vector<domain::ModelSpec>> default_models();

}  // namespace rooftune::data
