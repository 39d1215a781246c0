#pragma once

#include "rooftune/latency/step_time.hpp"
#include "rooftune/sim/engine.hpp"

namespace rooftune::sim {

/// What an engine is compiled for: all that a setup, the options and a step-time model can ask for, or the usual, in which the loop
/// does not even ask whether it is observed, tokens are drafted, prompts run alone, room is kept for tokens to come, or prompts are
/// fetched.
enum class Features { usual, all };

template <class Scalar>
[[nodiscard]] Features features_of(const EngineSetup& setup, const EngineOptions<Scalar>& options,
                                   const latency::StepTime<Scalar>& step_time) {
  const bool drafts = setup.speculation.draft_tokens > 0 || setup.speculation.recomputes_last_hit;
  const bool special = drafts || setup.prompts_alone || setup.growth_reserve || setup.fetches_prompts || options.observer != nullptr ||
                       options.stepping != Stepping::closed_form || step_time.wants_decode_contexts();
  return special ? Features::all : Features::usual;
}

}  // namespace rooftune::sim
