#pragma once

#include <string>

#include "rooftune/domain/layers.hpp"
#include "rooftune/domain/model.hpp"
#include "rooftune/text/object_reader.hpp"

namespace rooftune::data {

/// A Hugging Face config.json as model facts (huggingface_model.cpp); `side_file`: hf_quant_config.json, or null. Name, source and sampling are left to the caller.
[[nodiscard]] domain::ModelSpec read_huggingface_model(const text::Node& root, const text::Document* side_file,
                                                       text::Problems& problems);

/// Our own facts (model_facts.cpp).
[[nodiscard]] domain::ModelSpec read_model_facts(const text::Node& root, text::Problems& problems);

/// What both forms must satisfy; `place` is the object with these facts, the key names are those of the form.
struct ShapeKeys {
  std::string heads;
  std::string kv_heads;
};
void check_model_shape(const domain::DecoderShape& shape, const ShapeKeys& keys, const text::ObjectReader& reader,
                       text::Problems& problems);

}  // namespace rooftune::data
