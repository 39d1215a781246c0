#pragma once

#include <cmath>
#include <cstdint>

#include "rooftune/core/derivative.hpp"
#include "rooftune/latency/step_time.hpp"

namespace rooftune::latency {

/// One side of a maximum, linear in total decode context.
template <class Scalar>
struct LinearSide {
  Scalar value_us{0.0};
  Scalar slope_us_per_token{0.0};
};

/// max(a, b) of a batch that only decodes, as a piece: the side that rules now, until the other one overtakes it while
/// every step adds `decode_requests` tokens of context.
template <class Scalar>
[[nodiscard]] StepPiece<Scalar> larger_side(const LinearSide<Scalar>& a, const LinearSide<Scalar>& b, std::int64_t decode_requests) {
  const double lead_of_a_us = core::value_of(a.value_us) - core::value_of(b.value_us);
  const double gain_of_a_us_per_token = core::value_of(a.slope_us_per_token) - core::value_of(b.slope_us_per_token);
  const bool a_rules = lead_of_a_us > 0.0 || (lead_of_a_us == 0.0 && gain_of_a_us_per_token >= 0.0);
  const LinearSide<Scalar>& ruling = a_rules ? a : b;

  StepPiece<Scalar> piece{.duration_us = ruling.value_us, .slope_us_per_token = ruling.slope_us_per_token, .valid_steps = kEveryStep};
  const double lead_us = std::abs(lead_of_a_us);
  const double loss_us_per_step = (a_rules ? -gain_of_a_us_per_token : gain_of_a_us_per_token) * static_cast<double>(decode_requests);
  if (loss_us_per_step > 0.0) {
    // Step i is still ruled by the same side when i * loss <= lead.
    const double last_step = std::floor(lead_us / loss_us_per_step);
    if (last_step < 1e15) piece.valid_steps = static_cast<std::int64_t>(last_step) + 1;
  }
  return piece;
}

}  // namespace rooftune::latency
