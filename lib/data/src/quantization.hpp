#pragma once

#include "rooftune/domain/layers.hpp"
#include "rooftune/domain/model.hpp"
#include "rooftune/text/object_reader.hpp"

namespace rooftune::data {

/// Sets the element widths of `model` (whose shape is known) from a Hugging Face `quantization_config`.
void read_quantization(const text::Node& node, domain::DecoderShape& shape, domain::ModelSpec& model, text::Problems& problems);

}  // namespace rooftune::data
