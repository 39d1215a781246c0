#pragma once

#include <nlohmann/json.hpp>
#include <optional>

#include "rooftune/plan/speculation.hpp"

namespace rooftune::runs {

/// `{"tokens_per_step": ..., "break_even_requests": ..., ...}`, or null where nothing is drafted.
[[nodiscard]] inline nlohmann::ordered_json speculation_json(const std::optional<plan::SpeculationGain>& gain) {
  if (!gain) return nullptr;
  nlohmann::ordered_json json{{"tokens_per_step", gain->tokens_per_step}, {"context_tokens", gain->context_tokens},
                              {"gain_alone", gain->gain_alone},           {"gain_crowded", gain->gain_crowded},
                              {"most_requests", gain->most_requests},     {"break_even_requests", nullptr}};
  if (gain->break_even_requests) json["break_even_requests"] = *gain->break_even_requests;
  return json;
}

}  // namespace rooftune::runs
