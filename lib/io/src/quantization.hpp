#pragma once

#include "rooftune/domain/layers.hpp"
#include "rooftune/domain/model.hpp"
#include "rooftune/io/object_reader.hpp"

namespace rooftune::io {

/// Sets the element widths of `model` (whose shape is known) from a Hugging Face `quantization_config`.
void read_quantization(const Node& node, domain::DecoderShape& shape, domain::ModelSpec& model, Problems& problems);

}  // namespace rooftune::io
