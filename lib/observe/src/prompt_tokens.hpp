#pragma once

#include <cstdint>
#include <string>

#include "rooftune/sim/request_plan.hpp"

namespace rooftune::observe {

/// The prompt of a request as a JSON list of token ids: the first chain_tokens are those of its chain, and no two requests share
/// more than the plan says. Ids lie where vocabularies of 32,000 tokens and more have ordinary words.
[[nodiscard]] std::string prompt_json(const sim::RequestPlan& plan, const sim::PlannedRequest& request, std::uint64_t own_stream,
                                      std::uint64_t seed);

}  // namespace rooftune::observe
