#pragma once

#include <cstddef>

#include "rooftune/params/config.hpp"

namespace rooftune::params {

/// The choice that a switch has with this config: an index into its choices.
[[nodiscard]] inline std::size_t choice_of(const Config& config, SwitchId id) {
  const auto found = config.switches.find(id);
  return found == config.switches.end() ? id.spec().initial : found->second;
}

}  // namespace rooftune::params
