#pragma once

#include <cstdint>
#include <string_view>

#include "p_norm.hpp"
#include "rooftune/core/contract.hpp"
#include "rooftune/core/derivative.hpp"

namespace rooftune::latency {

/// How the times of a step's prefills and of its decodes make one time, for models that compute the two apart.
enum class MixedRule {
  weighted,  ///< weighted mean: by which phase dominates, else by tokens (roofline V1)
  additive,  ///< one after the other
  max,       ///< fully overlapped
  p_norm,    ///< between the two
};

[[nodiscard]] inline MixedRule mixed_rule(std::string_view word) {
  if (word == "additive") return MixedRule::additive;
  if (word == "max") return MixedRule::max;
  if (word == "p_norm") return MixedRule::p_norm;
  ROOFTUNE_EXPECTS(word == "weighted");
  return MixedRule::weighted;
}

/// Weights of the prefill and the decode time in a step that has both: prefill-heavy, decode-heavy, else by tokens.
/// Source: field notes, section 4 (roofline V1).
struct MixedWeights {
  double prefill = 0.0;
  double decode = 0.0;
};
[[nodiscard]] inline MixedWeights mixed_weights(std::int64_t prefill_tokens, std::int64_t decode_requests) {
  if (prefill_tokens > 4 * decode_requests && prefill_tokens > 100) return {.prefill = 0.75, .decode = 0.25};
  if (decode_requests > 2 * prefill_tokens && decode_requests > 50) return {.prefill = 0.35, .decode = 0.65};
  const auto total = static_cast<double>(prefill_tokens + decode_requests);
  return {.prefill = static_cast<double>(prefill_tokens) / total, .decode = static_cast<double>(decode_requests) / total};
}

/// The time of a step that has prefills and decodes; `p` is the exponent of MixedRule::p_norm.
template <class Scalar>
[[nodiscard]] Scalar combine(MixedRule rule, const MixedWeights& weights, const Scalar& prefill_us, const Scalar& decode_us,
                             const Scalar& p) {
  switch (rule) {
    case MixedRule::weighted: break;
    case MixedRule::additive: return prefill_us + decode_us;
    case MixedRule::max: return core::value_of(prefill_us) > core::value_of(decode_us) ? prefill_us : decode_us;
    case MixedRule::p_norm: return latency::p_norm<Scalar>(prefill_us, decode_us, p);
  }
  return weights.prefill * prefill_us + weights.decode * decode_us;
}

}  // namespace rooftune::latency
