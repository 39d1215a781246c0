#pragma once

#include <vector>

#include "model_config.hpp"
#include "rooftune/domain/layers.hpp"

namespace rooftune::data {

/// The layers of a config, one by one, all in 16 bits. Errors are in the config's problems.
[[nodiscard]] std::vector<domain::Layer> read_layers(ModelConfig& config, int hidden);

}  // namespace rooftune::data
