#pragma once

#include "rooftune/latency/step_time.hpp"
#include "rooftune/sim/engine.hpp"

namespace rooftune::sim {

/// What an engine is compiled for: all that a setup, the options and a step-time model can ask for, or the usual, in which the loop
/// does not even ask whether its steps are observed, tokens are drafted, prompts run alone or are fetched or cut into short chunks, or
/// room is kept for tokens to come or below a watermark.
enum class Features { usual, all };

template <class Scalar>
[[nodiscard]] Features features_of(const EngineSetup& setup, const EngineOptions<Scalar>& options,
                                   const latency::StepTime<Scalar>& step_time) {
  const bool drafts = setup.speculation.draft_tokens > 0 || setup.speculation.recomputes_last_hit;
  const bool limits = setup.watermark_blocks > 0 || setup.long_prefill_token_threshold > 0;
  const bool observed = options.observer != nullptr && (options.observer->wants_steps() || options.observer->wants_schedules());
  const bool looks_at_steps = observed || options.stepping != Stepping::closed_form || step_time.wants_decode_contexts();
  const bool special = drafts || limits || setup.prompts_alone || setup.growth_reserve || setup.fetches_prompts || looks_at_steps;
  return special ? Features::all : Features::usual;
}

}  // namespace rooftune::sim
