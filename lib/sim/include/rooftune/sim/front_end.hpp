#pragma once

#include <cstdint>

#include "rooftune/params/resolved.hpp"
#include "rooftune/sim/engine.hpp"

namespace rooftune::sim {

/// What a client sees beside the engine: the parameters `frontend.*`.
template <class Scalar>
[[nodiscard]] FrontEnd<Scalar> front_end_of(const params::Resolved<Scalar>& parameters) {
  return {.constant_us = parameters["frontend.constant_us"],
          .per_prompt_token_us = parameters["frontend.per_prompt_token_us"],
          .per_output_token_us = parameters["frontend.per_output_token_us"]};
}

/// A request's time to first token as its client sees it, in microseconds: that of the engine, work before the queue, and the
/// streaming of the token.
[[nodiscard]] inline double seen_ttft_us(const FrontEnd<double>& front_end, double ttft_us, std::int32_t prompt_tokens) {
  const double before_us = front_end.constant_us + front_end.per_prompt_token_us * prompt_tokens;
  return ttft_us + before_us + front_end.per_output_token_us;
}
/// The same of its whole time.
[[nodiscard]] inline double seen_e2e_us(const FrontEnd<double>& front_end, double e2e_us, std::int32_t prompt_tokens,
                                        std::int32_t output_tokens) {
  const double before_us = front_end.constant_us + front_end.per_prompt_token_us * prompt_tokens;
  return e2e_us + before_us + front_end.per_output_token_us * output_tokens;
}

}  // namespace rooftune::sim
