#pragma once

#include <vector>

#include "rooftune/domain/model.hpp"
#include "rooftune/text/object_reader.hpp"

namespace rooftune::data {

/// Sets how the weights of `layers` (a model's, in order) and the KV cache of `model` are kept, from a Hugging Face
/// `quantization_config`, or the `quantization` of ModelOpt's hf_quant_config.json.
void read_quantization(const text::Node& node, std::vector<domain::Layer>& layers, domain::ModelSpec& model, text::Problems& problems);

}  // namespace rooftune::data
