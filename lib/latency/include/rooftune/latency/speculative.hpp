#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "rooftune/domain/model.hpp"
#include "rooftune/latency/step_time.hpp"

namespace rooftune::latency {

/// What drafts tokens in every step.
struct Drafter {
  int tokens = 0;                            ///< per step and request
  const domain::ModelSpec* model = nullptr;  ///< computes one pass per drafted token; null: the host drafts (n-grams)
};

/// The drafter of MTP and EAGLE: layers of the target's last kind, with its vocabulary, and greedy.
[[nodiscard]] domain::ModelSpec draft_layers_of(const domain::ModelSpec& target, int layers);

/// Why steps that verify drafts cannot be priced, or nothing.
[[nodiscard]] std::optional<std::string> unsupported_drafting(std::string_view step_time_model, const Target& target,
                                                              const Drafter& drafter);

/// Steps that compute 1 + k positions for every decode, and k passes of the drafter (docs/speculation.md):
///
///   step(D decodes, C context, P prefill) = T(D, C) + T(D (1 + k), 0) - T(D, 0)             without prefills
///                                         = T(D (1 + k), C, P)                              with them
///       + draft(the same positions) + (k - 1) draft(D + R, C') + k engine.draft_pass_us
///
/// so that products, experts and all-reduces see all positions, while the cache of a request is read once. `draft` is a step of the
/// drafter by the same step-time model without what the host takes per step and sequence. A piece is one of a step in which every
/// decode gets one token: what it grows by in truth the engine knows.
/// Instantiated for double and the core::Dual widths.
template <class Scalar>
[[nodiscard]] std::unique_ptr<StepTime<Scalar>> make_drafting_step_time(std::string_view step_time_model, const Target& target,
                                                                        const params::Resolved<Scalar>& parameters,
                                                                        const Drafter& drafter);

}  // namespace rooftune::latency
